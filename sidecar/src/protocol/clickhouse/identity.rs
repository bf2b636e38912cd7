//! What a request says of who it is for: a token, a user's id, and the ClickHouse user that it logs in as. Pure; nothing is verified here.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bulkhead_crds::kinds::IdentitySource;
use http::header::{AUTHORIZATION, HeaderMap, HeaderName};

use super::parameters::{Parameters, percent_decode};
use crate::identity::{Presented, Rejection, RejectionReason};
use crate::protocol::postgres::handshake::{Redacted, split_role};

/// The header of a context token.
const CONTEXT: HeaderName = HeaderName::from_static("x-bulkhead-context");
/// The header of a bare id, percent-encoded as the sidecar itself writes it for the application.
const USER: HeaderName = HeaderName::from_static("x-bulkhead-user");
/// ClickHouse's own header of a user name.
const CLICKHOUSE_USER: HeaderName = HeaderName::from_static("x-clickhouse-user");

/// The user of a client that names none (ClickHouse's own default).
const NO_USER: &str = "default";

/// What a request says of itself.
#[derive(Debug, Default)]
pub struct Said {
    token: Option<Redacted>,
    user: Option<String>,
    /// The ClickHouse user that it logs in as, where it names one.
    pub role: Option<String>,
}

impl Said {
    /// What there is to verify.
    #[must_use]
    pub fn presented(&self) -> Presented<'_> {
        Presented {
            token: self.token.as_ref().map(Redacted::expose),
            user: self.user.as_deref(),
        }
    }
}

/// Reads who a request is for. `trusts`: a bare word counts, so the user name may be `role+ID`.
///
/// # Errors
/// It says two things, or what nothing can be read from.
pub fn read(
    headers: &HeaderMap,
    parameters: &Parameters,
    source: IdentitySource,
) -> Result<Said, Rejection> {
    let trusts = source == IdentitySource::Trusted;
    let refuse = |reason, message: &str| Rejection {
        reason,
        message: message.to_owned(),
        user: None,
        hint: hint(reason, source),
    };
    let malformed = |what: &str| refuse(RejectionReason::Malformed, what);
    let conflict = |what: &str| refuse(RejectionReason::Conflict, what);
    let mut tokens = Vec::new();
    let mut names = Vec::new();
    for value in headers.get_all(CONTEXT) {
        let text = value.to_str();
        tokens.push(text.map_err(|_| malformed("X-Bulkhead-Context is no token"))?);
    }
    for value in headers.get_all(AUTHORIZATION) {
        let text = value.to_str();
        let text = text.map_err(|_| malformed("the header Authorization is not ASCII"))?;
        let (scheme, rest) = text.split_once(' ').unwrap_or((text, ""));
        if scheme.eq_ignore_ascii_case("Bearer") {
            tokens.push(rest.trim());
        } else if scheme.eq_ignore_ascii_case("Basic") {
            let name = basic_user(rest.trim());
            names.push(name.ok_or_else(|| {
                malformed("the header Authorization is no Basic authentication (RFC 7617)")
            })?);
        } else {
            return Err(malformed(
                "the header Authorization is neither Bearer nor Basic",
            ));
        }
    }
    for value in headers.get_all(CLICKHOUSE_USER) {
        let text = std::str::from_utf8(value.as_bytes());
        names.push(
            text.map_err(|_| malformed("X-ClickHouse-User is not UTF-8"))?
                .to_owned(),
        );
    }
    for value in parameters.all("user") {
        let text = std::str::from_utf8(value);
        names.push(
            text.map_err(|_| malformed("the parameter user is not UTF-8"))?
                .to_owned(),
        );
    }
    let token = only(tokens).ok_or_else(|| conflict("the request carries two different tokens"))?;
    names.retain(|name| !name.is_empty());
    let name =
        only(names).ok_or_else(|| conflict("the request names two different ClickHouse users"))?;
    let mut users = Vec::new();
    for value in headers.get_all(USER).into_iter().filter(|_| trusts) {
        let text = value
            .to_str()
            .ok()
            .and_then(|text| percent_decode(text).ok());
        let text = text.and_then(|bytes| String::from_utf8(bytes).ok());
        users.push(text.ok_or_else(|| malformed("X-Bulkhead-User is not percent-encoded UTF-8"))?);
    }
    let mut role = name;
    if let Some(named) = role.take_if(|_| trusts) {
        let (base, id) = split_role(&named);
        users.extend(id.map(str::to_owned));
        role = Some(base.to_owned());
    }
    let user = only(users).ok_or_else(|| conflict("the request names two different users"))?;
    Ok(Said {
        token: token.map(|token| Redacted::new(token.to_owned())),
        user,
        role: role.filter(|role| !role.is_empty() && role != NO_USER),
    })
}

/// The one value that all of these are, where there are any; none where they differ.
fn only<T: PartialEq>(mut all: Vec<T>) -> Option<Option<T>> {
    let last = all.pop();
    let same = all.iter().all(|one| Some(one) == last.as_ref());
    same.then_some(last)
}

/// The user of `Basic` credentials. The password is not looked at: the sidecar logs in with its own.
fn basic_user(encoded: &str) -> Option<String> {
    let bytes = BASE64_STANDARD.decode(encoded).ok()?;
    let at = bytes.iter().position(|byte| *byte == b':')?;
    String::from_utf8(bytes[..at].to_vec()).ok()
}

/// The right form for a client of ClickHouse, and what to do first where sending the same again would not help.
#[must_use]
pub fn hint(reason: RejectionReason, source: IdentitySource) -> String {
    let form = match source {
        IdentitySource::Trusted => {
            "send the header X-Bulkhead-User: ID, or log in as the user NAME+ID, where ID is the end user's id"
        }
        IdentitySource::Jwt => {
            "send the header X-Bulkhead-Context: TOKEN, where TOKEN is the end user's token from your identity provider"
        }
        IdentitySource::SignedContext => {
            "send the header X-Bulkhead-Context: TOKEN, where TOKEN is the x-bulkhead-context that came with the request"
        }
    };
    match reason {
        RejectionReason::Expired => format!("get a new token, then {form}"),
        RejectionReason::NotYetValid => {
            format!("compare the clocks of the signer and of this machine; then {form}")
        }
        RejectionReason::Placeholder => format!(
            "{form}; work that belongs to no user needs a policy of tier Shared, and identity.rejectPlaceholders allows such ids"
        ),
        RejectionReason::UnknownKey | RejectionReason::Signature | RejectionReason::Algorithm => {
            format!("compare the token's key with the policy's jwks; {form}")
        }
        RejectionReason::KeysUnavailable => {
            "try again; the sidecar's log says why the key set of the policy's jwks.uri cannot be fetched".to_owned()
        }
        _ => form.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names and values of a request's headers.
    type Headers<'a> = &'a [(&'a str, &'a str)];

    /// A token, a user and a role.
    type Found = (Option<String>, Option<String>, Option<String>);

    fn said(
        list: Headers<'_>,
        query: &str,
        source: IdentitySource,
    ) -> Result<Found, RejectionReason> {
        let mut headers = HeaderMap::new();
        for (name, value) in list {
            let name: HeaderName = name.parse().unwrap();
            headers.append(name, value.parse().unwrap());
        }
        let parameters = Parameters::parse(query).unwrap();
        let said = read(&headers, &parameters, source).map_err(|rejection| rejection.reason)?;
        let presented = said.presented();
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Ok((owned(presented.token), owned(presented.user), said.role))
    }

    #[test]
    fn a_request_says_who_it_is_for_in_one_of_several_ways() {
        let basic = format!("Basic {}", BASE64_STANDARD.encode("app+alice:secret"));
        let plain = format!("Basic {}", BASE64_STANDARD.encode("app:sec:ret"));
        let nobody = format!("Basic {}", BASE64_STANDARD.encode("default:"));
        let rows: [(Headers<'_>, &str, [Option<&str>; 3]); 13] = [
            (&[], "", [None, None, None]),
            (&[("x-bulkhead-context", "t")], "", [Some("t"), None, None]),
            (
                &[("authorization", "bearer t")],
                "",
                [Some("t"), None, None],
            ),
            (
                &[("authorization", "Bearer t"), ("x-bulkhead-context", "t")],
                "",
                [Some("t"), None, None],
            ),
            (
                &[("authorization", &basic)],
                "",
                [None, Some("alice"), Some("app")],
            ),
            (&[("authorization", &plain)], "", [None, None, Some("app")]),
            (&[("authorization", &nobody)], "", [None, None, None]),
            (
                &[("x-clickhouse-user", "app+a+b")],
                "",
                [None, Some("a+b"), Some("app")],
            ),
            (&[], "user=app%2Balice", [None, Some("alice"), Some("app")]),
            (&[], "USER=%2Balice", [None, Some("alice"), None]),
            (
                &[("x-bulkhead-user", "%C3%BClle")],
                "user=app",
                [None, Some("ülle"), Some("app")],
            ),
            (
                &[("x-bulkhead-user", "alice")],
                "user=app%2Balice",
                [None, Some("alice"), Some("app")],
            ),
            (&[("x-clickhouse-user", "")], "", [None, None, None]),
        ];
        for (headers, query, [token, user, role]) in rows {
            let owned = |text: Option<&str>| text.map(str::to_owned);
            let expected = (owned(token), owned(user), owned(role));
            assert_eq!(
                said(headers, query, IdentitySource::Trusted),
                Ok(expected),
                "{headers:?} {query}"
            );
        }
    }

    #[test]
    fn where_a_bare_word_does_not_count_it_is_part_of_a_name() {
        let found = said(
            &[("x-bulkhead-user", "alice")],
            "user=app%2Balice",
            IdentitySource::Jwt,
        );
        assert_eq!(found, Ok((None, None, Some("app+alice".to_owned()))));
    }

    #[test]
    fn two_words_are_one_too_many() {
        use RejectionReason::{Conflict, Malformed};
        let basic = format!("Basic {}", BASE64_STANDARD.encode("app+alice:"));
        let rows: [(Headers<'_>, &str, RejectionReason); 10] = [
            (
                &[("x-bulkhead-context", "a"), ("x-bulkhead-context", "b")],
                "",
                Conflict,
            ),
            (
                &[("x-bulkhead-context", "a"), ("authorization", "Bearer b")],
                "",
                Conflict,
            ),
            (&[("authorization", &basic)], "user=app%2Bbob", Conflict),
            (&[("x-clickhouse-user", "app")], "user=other", Conflict),
            (
                &[("x-bulkhead-user", "alice"), ("x-bulkhead-user", "bob")],
                "",
                Conflict,
            ),
            (&[("x-bulkhead-user", "bob")], "user=app%2Balice", Conflict),
            (&[("authorization", "Negotiate x")], "", Malformed),
            (&[("authorization", "Basic !")], "", Malformed),
            (&[("x-bulkhead-user", "%4")], "", Malformed),
            (&[], "user=%ff", Malformed),
        ];
        for (headers, query, reason) in rows {
            assert_eq!(
                said(headers, query, IdentitySource::Trusted),
                Err(reason),
                "{headers:?} {query}"
            );
        }
    }

    #[test]
    fn a_hint_names_the_header() {
        for reason in RejectionReason::ALL
            .into_iter()
            .filter(|it| *it != RejectionReason::KeysUnavailable)
        {
            for source in [
                IdentitySource::Trusted,
                IdentitySource::Jwt,
                IdentitySource::SignedContext,
            ] {
                assert!(hint(reason, source).contains("X-Bulkhead-"), "{reason:?}");
            }
        }
    }
}
