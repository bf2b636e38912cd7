//! Why a request is refused before any upgrade, and in which words: a status, never a close code.

use std::time::Duration;

use http::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, RETRY_AFTER, SEC_WEBSOCKET_VERSION, UPGRADE,
    WWW_AUTHENTICATE,
};
use http::{HeaderValue, Response, StatusCode};

use crate::identity::{Rejection, RejectionReason};
use crate::telemetry::ConnectionOutcome;

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The request breaks RFC 6455 or RFC 9110.
    Malformed(&'static str),
    /// The client speaks another version than 13.
    Version,
    /// No valid user context.
    Identity(Box<Rejection>),
    /// The page that opens the socket may not.
    Origin,
    /// No WebSocket is served at this path.
    Path,
    /// Tokens are renewed by POST.
    Method,
    /// The user has as many sockets as they may.
    Sockets(String),
    /// A newer socket of the same user has taken the place of this one, which was not there yet.
    GaveWay(String),
    /// An operator has ended the connections of the user.
    Killed,
    /// One user more than `limits.maxUsers`.
    Users,
    /// The sidecar is going.
    Draining,
    /// Another pod asks for a session that is not this one's.
    Misdirected,
    /// The application did not accept in time.
    Starting(String),
    /// The application does not accept, and nobody waits for it.
    Unreachable,
    /// The application did not answer in time.
    Silent(String),
    /// The application's answer is none.
    BadAnswer(&'static str),
}

impl Refusal {
    /// The status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::Version => StatusCode::UPGRADE_REQUIRED,
            Self::Identity(rejection) if may_pass(rejection.reason) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Identity(_) => StatusCode::UNAUTHORIZED,
            Self::Origin => StatusCode::FORBIDDEN,
            Self::Path => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Sockets(_) | Self::GaveWay(_) => StatusCode::TOO_MANY_REQUESTS,
            // RFC 9110, section 15.5.20.
            Self::Misdirected => StatusCode::MISDIRECTED_REQUEST,
            Self::Killed | Self::Users | Self::Draining | Self::Starting(_) | Self::Unreachable => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Silent(_) => StatusCode::GATEWAY_TIMEOUT,
            Self::BadAnswer(_) => StatusCode::BAD_GATEWAY,
        }
    }

    /// How it is counted.
    #[must_use]
    pub fn outcome(&self) -> ConnectionOutcome {
        match self {
            Self::Malformed(_) | Self::Version | Self::Path | Self::Method | Self::Misdirected => {
                ConnectionOutcome::ProtocolError
            }
            Self::Identity(_) | Self::Origin => ConnectionOutcome::Rejected,
            Self::Sockets(_) | Self::GaveWay(_) | Self::Killed | Self::Users => {
                ConnectionOutcome::Limited
            }
            Self::Draining => ConnectionOutcome::Draining,
            Self::Starting(_) | Self::Unreachable | Self::Silent(_) | Self::BadAnswer(_) => {
                ConnectionOutcome::Unavailable
            }
        }
    }

    /// When it is worth another try; none where the same request would be refused again.
    #[must_use]
    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Sockets(_) | Self::Users => Some(Duration::from_secs(10)),
            Self::Draining | Self::Starting(_) | Self::Unreachable => Some(Duration::from_secs(1)),
            Self::Identity(rejection) if may_pass(rejection.reason) => Some(Duration::from_secs(5)),
            _ => None,
        }
    }

    /// What is wrong and what to do about it, for whoever reads the answer.
    #[must_use]
    pub fn message(&self) -> String {
        match self {
            Self::Malformed(what) => (*what).to_owned(),
            Self::Version => {
                "only version 13 of the WebSocket protocol is spoken here (RFC 6455)".into()
            }
            Self::Identity(rejection) if rejection.reason == RejectionReason::Revoked => {
                format!(
                    "{}; log in again, or ask who administers the application",
                    rejection.message
                )
            }
            Self::Identity(rejection) if rejection.reason == RejectionReason::AuditUnavailable => {
                format!("{}; {}", rejection.message, rejection.hint)
            }
            Self::Identity(rejection) => format!("{}; {}", rejection.message, HINT),
            Self::Origin => "webSockets[].allowedOrigins does not name this page's origin".into(),
            Self::Path => "webSockets[].paths names no prefix of this path".into(),
            Self::Method => "a token is renewed here, by POST (webSockets[].tokenPath)".into(),
            Self::Sockets(field) => format!(
                "this user has as many connections as {field} allows; close one, or come again"
            ),
            Self::GaveWay(field) => {
                format!("a newer connection of the same user took this place; {field}")
            }
            Self::Killed => {
                "an administrator has ended all connections of this user; connect again".into()
            }
            Self::Users => "limits.maxUsers is reached; come again".into(),
            Self::Draining => {
                "this instance is shutting down; connect again, and you will reach another".into()
            }
            Self::Misdirected => "this pod answers other pods for its own sessions alone".into(),
            Self::Starting(field) => format!(
                "the application does not accept connections yet, and {field} is over; come again"
            ),
            Self::Unreachable => "the application does not accept connections; come again".into(),
            Self::Silent(field) => format!("the application did not answer within {field}"),
            Self::BadAnswer(what) => {
                format!("the application's answer to the upgrade is not one: {what}")
            }
        }
    }

    /// The answer.
    #[must_use]
    pub fn response(&self) -> Response<String> {
        let mut response = Response::new(format!("{}\n", self.message()));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("text/plain; charset=utf-8"),
        );
        // Caches keep a 404 for a while (RFC 9110, section 15.1).
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(after) = self.retry_after() {
            headers.insert(RETRY_AFTER, after.as_secs().into());
        }
        match self {
            Self::Version => {
                // RFC 6455, section 4.4, and RFC 9110, section 15.5.22.
                headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
                headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
                headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
            }
            Self::Identity(rejection) if self.status() == StatusCode::UNAUTHORIZED => {
                headers.insert(WWW_AUTHENTICATE, challenge(rejection.reason));
            }
            Self::Method => {
                headers.insert(ALLOW, HeaderValue::from_static("POST, OPTIONS"));
            }
            _ => {}
        }
        response
    }
}

/// Whether the same token may be taken a moment later.
const fn may_pass(reason: RejectionReason) -> bool {
    matches!(
        reason,
        RejectionReason::KeysUnavailable | RejectionReason::AuditUnavailable
    )
}

/// How a token is sent.
const HINT: &str = "send the end user's token as the policy's webSockets[].tokens says: Authorization: Bearer TOKEN, or the subprotocol bulkhead.token.BASE64URL beside bulkhead.v1";

/// RFC 6750, section 3: no error code where nothing was presented.
const fn challenge(reason: RejectionReason) -> HeaderValue {
    match reason {
        RejectionReason::Missing => HeaderValue::from_static("Bearer"),
        _ => HeaderValue::from_static("Bearer error=\"invalid_token\""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(reason: RejectionReason) -> Refusal {
        Refusal::Identity(Box::new(Rejection {
            reason,
            message: "no".into(),
            user: None,
            hint: String::new(),
        }))
    }

    #[test]
    fn each_refusal_has_its_status_and_says_whether_to_come_again() {
        let rows = [
            (Refusal::Malformed("x"), 400, None),
            (Refusal::Version, 426, None),
            (identity(RejectionReason::Missing), 401, None),
            (identity(RejectionReason::KeysUnavailable), 503, Some("5")),
            (identity(RejectionReason::AuditUnavailable), 503, Some("5")),
            (Refusal::Origin, 403, None),
            (Refusal::Path, 404, None),
            (Refusal::Method, 405, None),
            (Refusal::Sockets("x".into()), 429, Some("10")),
            (Refusal::GaveWay("x".into()), 429, None),
            (Refusal::Killed, 503, None),
            (Refusal::Users, 503, Some("10")),
            (Refusal::Draining, 503, Some("1")),
            (Refusal::Starting("x".into()), 503, Some("1")),
            (Refusal::Unreachable, 503, Some("1")),
            (Refusal::Silent("x".into()), 504, None),
            (Refusal::BadAnswer("x"), 502, None),
        ];
        for (refusal, status, after) in rows {
            let response = refusal.response();
            assert_eq!(response.status(), status, "{refusal:?}");
            let header = response.headers().get(RETRY_AFTER);
            assert_eq!(header.map(|it| it.to_str().unwrap()), after, "{refusal:?}");
            assert!(!response.body().is_empty());
        }
    }

    #[test]
    fn a_client_is_told_which_version_and_how_to_show_who_it_is() {
        let version = Refusal::Version.response();
        assert_eq!(version.headers()[SEC_WEBSOCKET_VERSION], "13");
        assert_eq!(version.headers()[UPGRADE], "websocket");
        let missing = identity(RejectionReason::Missing).response();
        assert_eq!(missing.headers()[WWW_AUTHENTICATE], "Bearer");
        let expired = identity(RejectionReason::Expired).response();
        assert_eq!(
            expired.headers()[WWW_AUTHENTICATE],
            "Bearer error=\"invalid_token\""
        );
    }
}
