//! What a request is: a query, or a question after the server's health; everything else is not served. Pure.

use http::Method;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap};

use super::error::{Code, Exception};
use super::parameters::Parameters;

/// What a request wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// A query is run, for a user.
    Query,
    /// The server is asked whether it lives (`/ping`), whether its replicas keep up (`/replicas_status`), or greeted (`GET /`): answered by
    /// the upstream itself, for anybody, without credentials.
    Health,
}

/// What a request wants of the path that it names. `/query` is what newer servers call `/`.
///
/// # Errors
/// A path or a method that is not served.
pub fn target(method: &Method, path: &str, parameters: &Parameters) -> Result<Target, Exception> {
    let reads = matches!(*method, Method::GET | Method::HEAD);
    let writes = matches!(*method, Method::POST | Method::PUT);
    match path {
        "/" | "/query" if writes || (reads && parameters.has("query")) => Ok(Target::Query),
        "/" | "/ping" | "/replicas_status" if reads => Ok(Target::Health),
        "/" | "/query" | "/ping" | "/replicas_status" => {
            let shown: String = method.as_str().chars().take(16).collect();
            let message = format!("{shown} {path} is not served by the sidecar");
            Err(Exception::new(Code::NotImplemented, message)
                .with_hint("Send queries by POST / or GET /?query=…, and ask /ping by GET"))
        }
        _ => Err(Exception::new(
            Code::NotImplemented,
            "this path is not served by the sidecar: pages, metrics and predefined queries stay the server's own",
        )
        .with_status(http::StatusCode::NOT_FOUND)
        .with_hint("Send queries by POST / or GET /?query=…, and ask /ping or /replicas_status for health")),
    }
}

/// Parameters that the server goes by once, and that must not come twice: which of the two counts is not for the sidecar to guess.
const ONCE: [&str; 6] = [
    "session_id",
    "session_timeout",
    "session_check",
    "query_id",
    "compress",
    "decompress",
];

/// Refuses what could be read two ways.
///
/// # Errors
/// A parameter stands there twice.
pub fn check_once(parameters: &Parameters) -> Result<(), Exception> {
    for name in ONCE {
        if parameters.all(name).nth(1).is_some() {
            let message = format!("the parameter {name} is there twice");
            return Err(Exception::new(Code::BadArguments, message));
        }
    }
    Ok(())
}

/// Whether the beginning of the body is a query's text that can be read: neither compressed nor a form.
#[must_use]
pub fn body_is_readable(headers: &HeaderMap, parameters: &Parameters) -> bool {
    let encoded = headers
        .get_all(CONTENT_ENCODING)
        .iter()
        .any(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity"));
    let native = parameters
        .first("decompress")
        .is_some_and(|value| value != b"0");
    !encoded && !native && !is_form(headers)
}

/// Whether the body is a form, whose fields may be tables and parameters.
fn is_form(headers: &HeaderMap) -> bool {
    let form = b"multipart/form-data";
    let kind = headers.get(CONTENT_TYPE).map(http::HeaderValue::as_bytes);
    kind.and_then(|kind| kind.get(..form.len()))
        .is_some_and(|kind| kind.eq_ignore_ascii_case(form))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wants(method: &str, path: &str, query: &str) -> Result<Target, u16> {
        let parameters = Parameters::parse(query).unwrap();
        target(&method.parse().unwrap(), path, &parameters).map_err(|error| error.status.as_u16())
    }

    #[test]
    fn a_request_is_a_query_or_a_question_after_health() {
        for (method, path, query, expected) in [
            ("POST", "/", "", Ok(Target::Query)),
            ("PUT", "/", "query=x", Ok(Target::Query)),
            ("GET", "/", "query=x", Ok(Target::Query)),
            ("GET", "/", "%51uery=x", Ok(Target::Query)),
            ("HEAD", "/query", "query=x", Ok(Target::Query)),
            ("GET", "/", "", Ok(Target::Health)),
            ("GET", "/", "database=x", Ok(Target::Health)),
            ("GET", "/ping", "", Ok(Target::Health)),
            ("HEAD", "/ping", "", Ok(Target::Health)),
            ("GET", "/replicas_status", "verbose=1", Ok(Target::Health)),
            ("GET", "/query", "", Err(501)),
            ("POST", "/ping", "", Err(501)),
            ("OPTIONS", "/", "", Err(501)),
            ("DELETE", "/", "query=x", Err(501)),
            ("GET", "/play", "", Err(404)),
            ("POST", "/play", "query=x", Err(404)),
            ("GET", "/metrics", "", Err(404)),
            ("GET", "//", "query=x", Err(404)),
            ("GET", "/%70ing", "", Err(404)),
            ("GET", "/Ping", "", Err(404)),
        ] {
            assert_eq!(
                wants(method, path, query),
                expected,
                "{method} {path}?{query}"
            );
        }
    }

    #[test]
    fn what_counts_once_may_stand_there_once() {
        for (query, fine) in [
            ("session_id=a&query=x&query=y", true),
            ("session_id=a&SESSION_ID=b", false),
            ("query_id=a&query%5Fid=a", false),
            ("max_threads=1&max_threads=2", true),
        ] {
            let read = Parameters::parse(query).unwrap();
            assert_eq!(check_once(&read).is_ok(), fine, "{query}");
        }
    }

    #[test]
    fn a_body_can_be_read_where_it_is_plain() {
        for (name, value, query, readable) in [
            ("accept", "*/*", "", true),
            ("content-encoding", "identity", "", true),
            ("content-encoding", "gzip", "", false),
            ("content-type", "text/plain", "", true),
            ("content-type", "Multipart/Form-Data; boundary=x", "", false),
            ("accept", "*/*", "decompress=1", false),
            ("accept", "*/*", "decompress=0", true),
        ] {
            let mut headers = HeaderMap::new();
            let name: http::HeaderName = name.parse().unwrap();
            headers.insert(name, value.parse().unwrap());
            let parameters = Parameters::parse(query).unwrap();
            assert_eq!(body_is_readable(&headers, &parameters), readable);
        }
    }
}
