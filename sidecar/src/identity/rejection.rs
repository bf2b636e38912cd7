//! Why a client was not taken for anybody, in words for the client and in one word for the metric.
//!
//! Lives here: the closed list of reasons, and the hints. May not live here: SQLSTATEs or any other wire form. A message
//! never holds the token, and of its claims only what a verified token said.

use bulkhead_crds::effective::EffectivePolicy;
use bulkhead_crds::kinds::{AuditFailure, IdentitySource};

use super::UserId;
use crate::audit::Unwritable;

/// Why, as the label `reason` of `bulkhead_identity_rejections_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RejectionReason {
    /// The client brought nothing.
    Missing,
    /// The id names nobody (`null`, `anonymous`, …).
    Placeholder,
    /// What came is not a token, or not an id.
    Malformed,
    /// A token or id above its bound.
    TooLong,
    /// A bare id where the policy wants a token, or the other way round.
    WrongForm,
    /// A token and a bare id that name different users.
    Conflict,
    /// The token's algorithm is none that its key may be used with.
    Algorithm,
    /// No key of the token's key id.
    UnknownKey,
    /// The signature does not hold.
    Signature,
    /// `iss` is missing or another one.
    Issuer,
    /// `aud` is missing or names others.
    Audience,
    /// `exp` is past.
    Expired,
    /// `nbf` is yet to come.
    NotYetValid,
    /// A claim that is needed is missing or unusable.
    Claim,
    /// The keys could not be fetched, and none are known.
    KeysUnavailable,
    /// The user has been cut off since the context was issued.
    Revoked,
    /// Nobody is accepted while the audit trail cannot be written.
    AuditUnavailable,
}

impl RejectionReason {
    /// Every reason, so that the metric can show each from the start.
    pub const ALL: [Self; 17] = [
        Self::Missing,
        Self::Placeholder,
        Self::Malformed,
        Self::TooLong,
        Self::WrongForm,
        Self::Conflict,
        Self::Algorithm,
        Self::UnknownKey,
        Self::Signature,
        Self::Issuer,
        Self::Audience,
        Self::Expired,
        Self::NotYetValid,
        Self::Claim,
        Self::KeysUnavailable,
        Self::Revoked,
        Self::AuditUnavailable,
    ];

    /// Whether the client could have said something else: the hint is how.
    #[must_use]
    pub const fn is_clients(self) -> bool {
        !matches!(self, Self::Revoked | Self::AuditUnavailable)
    }

    /// The label's value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Placeholder => "placeholder",
            Self::Malformed => "malformed",
            Self::TooLong => "too_long",
            Self::WrongForm => "wrong_form",
            Self::Conflict => "conflict",
            Self::Algorithm => "algorithm",
            Self::UnknownKey => "unknown_key",
            Self::Signature => "signature",
            Self::Issuer => "issuer",
            Self::Audience => "audience",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::Claim => "claim",
            Self::KeysUnavailable => "keys_unavailable",
            Self::Revoked => "revoked",
            Self::AuditUnavailable => "audit_unavailable",
        }
    }
}

/// A refusal: what is wrong, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// For the metric.
    pub reason: RejectionReason,
    /// What is wrong.
    pub message: String,
    /// The right form, for a PostgreSQL client of a policy with this identity source.
    pub hint: String,
    /// Who it is, where that is proven all the same.
    pub user: Option<UserId>,
}

impl Rejection {
    /// Who cannot be recorded is not accepted, as this policy says.
    #[must_use]
    pub fn unrecorded(policy: &EffectivePolicy) -> Self {
        let setting = policy.name_field("auditTrail.onFailure", AuditFailure::Refuse);
        Self {
            reason: RejectionReason::AuditUnavailable,
            message: Unwritable.to_string(),
            hint: format!(
                "Try again. {setting}: the sidecar's log says why the trail cannot be written."
            ),
            user: None,
        }
    }

    /// Whether a policy that `enforces`, or one that does not, refuses the client for it. Who has been cut off is refused by both, and who
    /// cannot be recorded: that is somebody's decision, and no defect of the application's.
    #[must_use]
    pub fn refuses(&self, enforces: bool) -> bool {
        enforces || !self.reason.is_clients()
    }
}

/// A refusal before the policy's source has been asked for the hint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) reason: RejectionReason,
    pub(super) message: String,
}

impl Refusal {
    pub(super) fn new(reason: RejectionReason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
        }
    }

    /// Adds the hint for clients of a policy with `source`.
    pub(super) fn under(self, source: IdentitySource) -> Rejection {
        Rejection {
            hint: hint(self.reason, source),
            reason: self.reason,
            message: self.message,
            user: None,
        }
    }
}

/// The right form for a PostgreSQL client, and what to do first where sending the same again would not help.
fn hint(reason: RejectionReason, source: IdentitySource) -> String {
    let form = match source {
        IdentitySource::Trusted => {
            "connect as user=ROLE+ID, or with options=-c bulkhead.user=ID, where ID is the end user's id"
        }
        IdentitySource::Jwt => {
            "connect with options=-c bulkhead.context=TOKEN, where TOKEN is the end user's token from your identity provider"
        }
        IdentitySource::SignedContext => {
            "connect with options=-c bulkhead.context=TOKEN, where TOKEN is the x-bulkhead-context that came with the request"
        }
    };
    match reason {
        RejectionReason::Expired => format!("get a new token, then {form}"),
        RejectionReason::NotYetValid => format!("compare the clocks of the signer and of this machine; to connect again, {form}"),
        RejectionReason::Placeholder => format!(
            "{form}; work that belongs to no user needs a policy of tier Shared, and identity.rejectPlaceholders allows such ids"
        ),
        RejectionReason::UnknownKey | RejectionReason::Signature | RejectionReason::Algorithm => {
            format!("compare the token's key with the policy's jwks; {form}")
        }
        RejectionReason::KeysUnavailable => {
            "try again; the sidecar's log says why the key set of the policy's jwks.uri cannot be fetched".into()
        }
        _ => form.into(),
    }
}

/// `text` for a message: control characters escaped, and cut where it gets long.
pub(super) fn shown(text: &str) -> String {
    const MOST: usize = 64;
    let mut out: String = text
        .chars()
        .take(MOST)
        .flat_map(char::escape_debug)
        .collect();
    if text.chars().nth(MOST).is_some() {
        out.push('…');
    }
    format!("\"{out}\"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_reason_has_a_label_of_its_own() {
        let labels: HashSet<_> = RejectionReason::ALL.iter().map(|r| r.as_str()).collect();
        assert_eq!(labels.len(), RejectionReason::ALL.len());
        assert!(
            labels
                .iter()
                .all(|l| l.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'))
        );
    }

    #[test]
    fn a_hint_shows_the_form_of_the_policys_source() {
        for reason in RejectionReason::ALL.into_iter().filter(|r| {
            !matches!(
                r,
                RejectionReason::KeysUnavailable
                    | RejectionReason::Revoked
                    | RejectionReason::AuditUnavailable
            )
        }) {
            let trusted = Refusal::new(reason, "x")
                .under(IdentitySource::Trusted)
                .hint;
            assert!(
                trusted.contains("user=ROLE+ID") && trusted.contains("options=-c bulkhead.user=ID"),
                "{trusted}"
            );
            for source in [IdentitySource::Jwt, IdentitySource::SignedContext] {
                let hint = Refusal::new(reason, "x").under(source).hint;
                assert!(hint.contains("options=-c bulkhead.context=TOKEN"), "{hint}");
            }
        }
    }

    #[test]
    fn what_is_shown_is_short_and_harmless() {
        assert_eq!(shown("a\nb\"c"), r#""a\nb\"c""#);
        assert!(shown(&"x".repeat(1000)).chars().count() <= 67);
    }
}
