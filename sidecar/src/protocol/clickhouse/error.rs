//! An error of the sidecar's own, in ClickHouse's form: its HTTP status, its code, and `Code: N, e.displayText() = DB::Exception: …`.
//!
//! Codes and names are ClickHouse's (`src/Common/ErrorCodes.cpp`). Statuses are those that its clients go by: 503 is theirs for work that
//! was not begun and may be sent again at once; what may have begun has 500.

use std::time::Duration;

use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Response, StatusCode};

/// The header by which clients of newer servers learn the code.
pub const EXCEPTION_CODE: &str = "x-clickhouse-exception-code";

/// The codes that the sidecar uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// A request that cannot be meant.
    BadArguments = 36,
    /// What the sidecar does not serve.
    NotImplemented = 48,
    /// `timeouts.statement`.
    TimeoutExceeded = 159,
    /// The user's breaker is open.
    QuotaExceeded = 201,
    /// `pool.perUser.max`, `pool.maxConnections`, `limits.maxUsers`.
    TooManySimultaneousQueries = 202,
    /// An administrator has paused the upstream.
    NoFreeConnection = 203,
    /// `timeouts.connect`.
    SocketTimeout = 209,
    /// The upstream cannot be reached, or has gone.
    NetworkError = 210,
    /// The upstream's breaker is open.
    AllConnectionTriesFailed = 279,
    /// The sidecar has ended the query.
    QueryWasCancelled = 394,
    /// A setting that clients may not change.
    SettingConstraintViolation = 452,
    /// Who is calling.
    AuthenticationFailed = 516,
}

/// An error as a client is told it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exception {
    /// The status.
    pub status: StatusCode,
    /// The code.
    pub code: Code,
    /// What is wrong; names the setting or the field.
    pub message: String,
    /// What to do about it; empty where there is nothing.
    pub hint: String,
    /// After which time it is worth another try.
    pub retry_after: Option<Duration>,
}

impl Code {
    /// ClickHouse's name of it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::BadArguments => "BAD_ARGUMENTS",
            Self::NotImplemented => "NOT_IMPLEMENTED",
            Self::TimeoutExceeded => "TIMEOUT_EXCEEDED",
            Self::QuotaExceeded => "QUOTA_EXCEEDED",
            Self::TooManySimultaneousQueries => "TOO_MANY_SIMULTANEOUS_QUERIES",
            Self::NoFreeConnection => "NO_FREE_CONNECTION",
            Self::SocketTimeout => "SOCKET_TIMEOUT",
            Self::NetworkError => "NETWORK_ERROR",
            Self::AllConnectionTriesFailed => "ALL_CONNECTION_TRIES_FAILED",
            Self::QueryWasCancelled => "QUERY_WAS_CANCELLED",
            Self::SettingConstraintViolation => "SETTING_CONSTRAINT_VIOLATION",
            Self::AuthenticationFailed => "AUTHENTICATION_FAILED",
        }
    }

    /// The status where nothing else is said.
    const fn status(self) -> StatusCode {
        match self {
            Self::BadArguments => StatusCode::BAD_REQUEST,
            Self::NotImplemented => StatusCode::NOT_IMPLEMENTED,
            Self::TimeoutExceeded | Self::QueryWasCancelled => StatusCode::INTERNAL_SERVER_ERROR,
            Self::QuotaExceeded
            | Self::TooManySimultaneousQueries
            | Self::NoFreeConnection
            | Self::SocketTimeout
            | Self::NetworkError
            | Self::AllConnectionTriesFailed => StatusCode::SERVICE_UNAVAILABLE,
            Self::SettingConstraintViolation => StatusCode::FORBIDDEN,
            Self::AuthenticationFailed => StatusCode::UNAUTHORIZED,
        }
    }
}

impl Exception {
    /// An error with its code's usual status.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            status: code.status(),
            code,
            message: message.into(),
            hint: String::new(),
            retry_after: None,
        }
    }

    /// The same with advice.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }

    /// The same with another status.
    #[must_use]
    pub const fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// The same, and when to try again.
    #[must_use]
    pub const fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// As ClickHouse writes exceptions into a body, on one line.
    #[must_use]
    pub fn text(&self) -> String {
        let mut said: String = self.message.chars().map(on_one_line).collect();
        if !self.hint.is_empty() {
            said.push_str(". ");
            said.extend(self.hint.chars().map(on_one_line));
        }
        let (number, name) = (self.code as u16, self.code.name());
        format!("Code: {number}, e.displayText() = DB::Exception: {said} ({name})\n")
    }

    /// The whole answer.
    #[must_use]
    pub fn response(&self) -> Response<String> {
        let mut response = Response::new(self.text());
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        let plain = HeaderValue::from_static("text/plain; charset=UTF-8");
        headers.insert(CONTENT_TYPE, plain);
        headers.insert(EXCEPTION_CODE, HeaderValue::from(self.code as u16));
        if self.status == StatusCode::UNAUTHORIZED {
            // RFC 9110, section 11.6.1: a 401 says how to authenticate.
            let bearer = HeaderValue::from_static("Bearer realm=\"bulkhead\"");
            headers.insert(WWW_AUTHENTICATE, bearer);
        }
        if let Some(after) = self.retry_after {
            let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        response
    }
}

fn on_one_line(c: char) -> char {
    if c.is_control() { ' ' } else { c }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_has_clickhouses_form() {
        let error = Exception::new(Code::TimeoutExceeded, "the query took longer than x = 1s");
        let response = error.response();
        assert_eq!(response.status(), 500);
        assert_eq!(response.headers()[EXCEPTION_CODE], "159");
        assert_eq!(
            response.body(),
            "Code: 159, e.displayText() = DB::Exception: the query took longer than x = 1s (TIMEOUT_EXCEEDED)\n"
        );
    }

    #[test]
    fn a_refusal_says_how_to_authenticate_and_what_to_do() {
        let error = Exception::new(Code::AuthenticationFailed, "no user context")
            .with_hint("Send X-Bulkhead-Context");
        let response = error.response();
        assert_eq!(response.status(), 401);
        assert!(response.headers().contains_key(WWW_AUTHENTICATE));
        assert!(
            response
                .body()
                .contains("no user context. Send X-Bulkhead-Context")
        );
        let forbidden = error.with_status(StatusCode::FORBIDDEN).response();
        assert!(!forbidden.headers().contains_key(WWW_AUTHENTICATE));
    }

    #[test]
    fn a_second_try_is_told_in_whole_seconds() {
        for (after, header) in [(0, "1"), (1, "1"), (1000, "1"), (1001, "2")] {
            let error = Exception::new(Code::AllConnectionTriesFailed, "x")
                .retry_after(Duration::from_millis(after));
            assert_eq!(error.response().headers()[RETRY_AFTER], header);
        }
    }

    #[test]
    fn what_a_client_has_sent_does_not_make_a_second_line() {
        let text = Exception::new(Code::BadArguments, "a\r\nCode: 1").text();
        assert_eq!(text.lines().count(), 1);
    }
}
