//! What a token's claims must say (RFC 7519, section 4.1), and the user context that they make.
//!
//! Lives here: the rules, over claims whose signature holds. Pure: the time is passed in. May not live here: signatures.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bulkhead_crds::effective::EffectiveIdentity;
use serde_json::{Map, Value};

use super::placeholder::is_placeholder;
use super::rejection::{Refusal, RejectionReason, shown};
use super::user::{IdError, UserId, Verified, check_id};

/// Clock skew, unless the policy says otherwise.
pub(super) const LEEWAY: Duration = Duration::from_secs(30);

/// The claim of a context token that says when the credential was issued that it was made of, so that a revocation of that one reaches it
/// wherever it was made; 0 where nobody knows.
pub(super) const ORIGIN: &str = "orig_iat";

/// What the policy demands of a token.
#[derive(Clone, Debug)]
pub(super) struct Expected {
    /// `iss`, where the policy names one.
    pub(super) issuer: Option<String>,
    /// One of them must be in `aud`. With none, a token that has an `aud` at all is meant for somebody else.
    pub(super) audiences: Vec<String>,
    /// The claim that names the user: a member's name, or a JSON pointer (RFC 6901) where it starts with `/`.
    pub(super) user_claim: String,
    /// How far the signer's clock may be off.
    pub(super) leeway: Duration,
    /// Whether ids that name nobody are refused.
    pub(super) reject_placeholders: bool,
}

impl Expected {
    /// What a policy of this name demands of Bulkhead's own tokens, and what those that it issues say.
    pub(super) fn of_context_tokens(policy: &str, identity: &EffectiveIdentity) -> Self {
        let settings = identity.signed_context.as_ref();
        let audiences = settings.and_then(|settings| settings.audiences.clone());
        Self {
            issuer: settings.and_then(|settings| settings.issuer.clone()),
            audiences: audiences.unwrap_or_else(|| vec![policy.into()]),
            user_claim: "sub".into(),
            leeway: LEEWAY,
            reject_placeholders: identity.reject_placeholders,
        }
    }

    /// Checks the claims at `now`, and makes the context of them.
    pub(super) fn check(
        &self,
        claims: &Map<String, Value>,
        key_id: Option<Arc<str>>,
        now: SystemTime,
    ) -> Result<Verified, Refusal> {
        self.check_issuer(claims)?;
        self.check_audience(claims)?;
        let expires_at = self.check_times(claims, now)?;
        Ok(Verified {
            user_id: self.user(claims)?,
            thread_id: label(claims, "thread_id")?,
            run_id: label(claims, "run_id")?,
            request_id: label(claims, "request_id")?,
            session_id: label(claims, "sid")?,
            token_id: label(claims, "jti")?,
            key_id,
            expires_at: Some(expires_at),
            issued_at: issued(claims),
            of_house: false,
        })
    }

    fn check_issuer(&self, claims: &Map<String, Value>) -> Result<(), Refusal> {
        let Some(wanted) = &self.issuer else {
            return Ok(());
        };
        let found = match claims.get("iss") {
            Some(Value::String(iss)) if iss == wanted => return Ok(()),
            Some(Value::String(iss)) => format!("is from issuer {}", shown(iss)),
            _ => "names no issuer (iss)".into(),
        };
        let message = format!(
            "the context token {found}; the policy accepts {}",
            shown(wanted)
        );
        Err(Refusal::new(RejectionReason::Issuer, message))
    }

    /// `aud` is one text or an array of texts (RFC 7519, section 4.1.3).
    fn check_audience(&self, claims: &Map<String, Value>) -> Result<(), Refusal> {
        let found: Vec<&str> = match claims.get("aud") {
            Some(Value::String(aud)) => vec![aud],
            Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).collect(),
            None if self.audiences.is_empty() => return Ok(()),
            _ => Vec::new(),
        };
        if found
            .iter()
            .any(|aud| self.audiences.iter().any(|wanted| wanted == aud))
        {
            return Ok(());
        }
        let accepted = if self.audiences.is_empty() {
            "the policy names no audiences".into()
        } else {
            format!(
                "the policy accepts {}",
                list(self.audiences.iter().map(String::as_str))
            )
        };
        let found = if found.is_empty() {
            "names no audience (aud)".into()
        } else {
            format!("is for {}", list(found.into_iter()))
        };
        Err(Refusal::new(
            RejectionReason::Audience,
            format!("the context token {found}; {accepted}"),
        ))
    }

    /// Valid from `nbf - leeway` (inclusive) to `exp + leeway` (exclusive); gives the end.
    fn check_times(
        &self,
        claims: &Map<String, Value>,
        now: SystemTime,
    ) -> Result<SystemTime, Refusal> {
        let Some(exp) = date(claims, "exp")? else {
            return Err(Refusal::new(
                RejectionReason::Claim,
                "the context token never expires: it has no claim exp",
            ));
        };
        let end = exp
            .checked_add(self.leeway)
            .ok_or_else(|| not_a_date("exp"))?;
        if now >= end {
            let ago = now.duration_since(exp).unwrap_or_default().as_secs();
            let message = format!(
                "the context token expired {ago} s ago (leeway {} s)",
                self.leeway.as_secs()
            );
            return Err(Refusal::new(RejectionReason::Expired, message));
        }
        if let Some(nbf) = date(claims, "nbf")?
            && now
                .checked_add(self.leeway)
                .is_some_and(|latest| latest < nbf)
        {
            let ahead = nbf.duration_since(now).unwrap_or_default().as_secs();
            let message = format!(
                "the context token is not valid for another {ahead} s (leeway {} s)",
                self.leeway.as_secs()
            );
            return Err(Refusal::new(RejectionReason::NotYetValid, message));
        }
        Ok(end)
    }

    fn user(&self, claims: &Map<String, Value>) -> Result<UserId, Refusal> {
        let value = if self.user_claim.starts_with('/') {
            pointed(claims, &self.user_claim)
        } else {
            claims.get(&self.user_claim)
        };
        match id_text(value) {
            Some(id) => user_id(&id, self.reject_placeholders),
            None => {
                let what = if matches!(value, None | Some(Value::Null)) {
                    "has no claim"
                } else {
                    "has no text or whole number in claim"
                };
                let message = format!(
                    "the context token {what} {}, which names the user",
                    shown(&self.user_claim)
                );
                Err(Refusal::new(RejectionReason::Claim, message))
            }
        }
    }
}

/// When a token was issued (`iat`), or the one that it was made of ([`ORIGIN`]), whichever is earlier; none where it does not say.
fn issued(claims: &Map<String, Value>) -> Option<SystemTime> {
    // What is no moment says nothing: nobody needs the claim but revocations, which refuse who has none.
    let claimed = |name| date(claims, name).ok().flatten();
    let issued = claimed("iat")?;
    Some(claimed(ORIGIN).map_or(issued, |origin| origin.min(issued)))
}

/// Takes `id` for a user, unless it names nobody or is out of bounds.
pub(super) fn user_id(id: &str, reject_placeholders: bool) -> Result<UserId, Refusal> {
    if reject_placeholders && is_placeholder(id) {
        let message = format!("the user id {} is a placeholder, not a user", shown(id));
        return Err(Refusal::new(RejectionReason::Placeholder, message));
    }
    UserId::parse(id).map_err(|error| out_of_bounds("the user id", error))
}

/// A label of the work: absent and `null` are the same; anything but a text or a whole number is an error.
fn label(claims: &Map<String, Value>, name: &str) -> Result<Option<Arc<str>>, Refusal> {
    let value = claims.get(name);
    if matches!(value, None | Some(Value::Null)) {
        return Ok(None);
    }
    let Some(text) = id_text(value) else {
        let message =
            format!("the context token's claim {name} is neither a text nor a whole number");
        return Err(Refusal::new(RejectionReason::Claim, message));
    };
    check_id(&text)
        .map_err(|error| out_of_bounds(&format!("the context token's claim {name}"), error))?;
    Ok(Some(Arc::from(text)))
}

fn id_text(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::String(text) => Some(text.clone()),
        // A fraction or an exponent has several ways to be written, so it names nobody for certain.
        Value::Number(number) if !number.is_f64() => Some(number.to_string()),
        _ => None,
    }
}

fn out_of_bounds(what: &str, error: IdError) -> Refusal {
    let reason = match error {
        IdError::TooLong(_) => RejectionReason::TooLong,
        IdError::Empty | IdError::Control(_) => RejectionReason::Malformed,
    };
    Refusal::new(reason, format!("{what} cannot be used: {error}"))
}

/// Follows a JSON pointer from the claims.
fn pointed<'a>(claims: &'a Map<String, Value>, pointer: &str) -> Option<&'a Value> {
    let rest = pointer.strip_prefix('/')?;
    let (first, rest) = rest
        .split_once('/')
        .map_or((rest, None), |(first, rest)| (first, Some(rest)));
    let value = claims.get(&first.replace("~1", "/").replace("~0", "~"))?;
    match rest {
        Some(rest) => value.pointer(&format!("/{rest}")),
        None => Some(value),
    }
}

/// A NumericDate (RFC 7519, section 2): seconds since 1970, whole or not; up to the year 9999.
pub(super) fn date(claims: &Map<String, Value>, name: &str) -> Result<Option<SystemTime>, Refusal> {
    const YEAR_9999: f64 = 253_402_300_799.0;
    let seconds = match claims.get(name) {
        None | Some(Value::Null) => return Ok(None),
        Some(value) => value
            .as_f64()
            .filter(|seconds| (0.0..=YEAR_9999).contains(seconds))
            .ok_or_else(|| not_a_date(name))?,
    };
    Ok(Some(UNIX_EPOCH + Duration::from_secs_f64(seconds)))
}

fn not_a_date(name: &str) -> Refusal {
    let message = format!("the context token's claim {name} is not a time in seconds since 1970");
    Refusal::new(RejectionReason::Claim, message)
}

fn list<'a>(texts: impl Iterator<Item = &'a str>) -> String {
    const MOST: usize = 5;
    texts.take(MOST).map(shown).collect::<Vec<_>>().join(", ")
}
