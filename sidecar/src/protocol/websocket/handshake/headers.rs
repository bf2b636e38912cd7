//! What the application is told beside what the client said, and what is nobody's business behind this hop.

use std::fmt::Write as _;
use std::net::IpAddr;

use http::header::{
    AUTHORIZATION, CONNECTION, COOKIE, FORWARDED, HOST, ORIGIN, PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::list;
use crate::identity::UserContext;

/// What every header of Bulkhead's begins with.
const OURS: &str = "x-bulkhead-";
/// The end user's id.
const USER: HeaderName = HeaderName::from_static("x-bulkhead-user");
/// The conversation.
const THREAD: HeaderName = HeaderName::from_static("x-bulkhead-thread");
/// The run.
const RUN: HeaderName = HeaderName::from_static("x-bulkhead-run");
/// The request.
const REQUEST: HeaderName = HeaderName::from_static("x-bulkhead-request");
/// The signed context token.
const CONTEXT: HeaderName = HeaderName::from_static("x-bulkhead-context");
/// Who the client is, and who has passed the request on.
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// By which scheme the client came.
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// Which host the client asked for.
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
/// Not standardised, and named by clients all the same.
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
/// Likewise.
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// Who a request is for.
#[derive(Clone, Copy, Debug)]
pub struct Identity<'a> {
    /// The verified context.
    pub context: &'a UserContext,
    /// The same, signed for the application to pass on.
    pub token: Option<&'a str>,
}

/// What a client cannot name in `Connection` to have it taken away: what is meant for the application is no option of one hop (RFC 9110,
/// section 7.6.1), and who wants it gone wants the application to take the request for another one. Likewise all that begins with
/// [`CONTENT`] or [`WEB_SOCKET`].
const FOR_THE_APPLICATION: [HeaderName; 8] = [
    HOST,
    AUTHORIZATION,
    COOKIE,
    ORIGIN,
    FORWARDED,
    FORWARDED_FOR,
    FORWARDED_PROTO,
    FORWARDED_HOST,
];
/// `Content-Length`, `Content-Type` and their like.
const CONTENT: &str = "content-";
/// `Sec-WebSocket-Key` and its like.
const WEB_SOCKET: &str = "sec-websocket-";

/// Takes away what concerns one hop only (RFC 9110, section 7.6.1), of a request or of an answer. `Trailer` stays, because trailers are
/// passed on.
pub fn without_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = list(headers, CONNECTION)
        .filter_map(|name| name.parse().ok())
        .filter(|name| !is_for_the_application(name))
        .collect();
    let trailers = list(headers, TE).any(|coding| coding.eq_ignore_ascii_case("trailers"));
    for name in [
        CONNECTION,
        KEEP_ALIVE,
        PROXY_AUTHENTICATE,
        PROXY_AUTHORIZATION,
        PROXY_CONNECTION,
        TE,
        TRANSFER_ENCODING,
        UPGRADE,
    ] {
        headers.remove(name);
    }
    for name in named {
        headers.remove(name);
    }
    if trailers {
        // Who reads this hop's trailers reads the next one's too (RFC 9110, section 6.5.1).
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
}

/// Takes out of trailers what a proxy answers for: an application that merges them into the headers (RFC 9110, section 6.5.1) would take
/// a client's word for the sidecar's.
pub fn passable_trailers(trailers: &mut HeaderMap) {
    without_hop_by_hop(trailers);
    strip_ours(trailers);
    for name in [FORWARDED_FOR, FORWARDED_PROTO, FORWARDED_HOST, TE] {
        trailers.remove(name);
    }
}

fn is_for_the_application(name: &HeaderName) -> bool {
    let text = name.as_str();
    FOR_THE_APPLICATION.contains(name) || text.starts_with(CONTENT) || text.starts_with(WEB_SOCKET)
}

/// Tells the application who the request is for, where it comes from and which host was asked, where no header `Host` says so. Whatever the
/// client said of the first is taken away.
pub fn tell_application(
    headers: &mut HeaderMap,
    peer: IpAddr,
    host: Option<HeaderValue>,
    identity: Option<Identity<'_>>,
) {
    strip_ours(headers);
    if let Some(Identity { context, token }) = identity {
        headers.insert(USER, value(context.user_id().as_str()));
        for (name, id) in [
            (THREAD, context.thread_id()),
            (RUN, context.run_id()),
            (REQUEST, context.request_id()),
        ] {
            if let Some(id) = id {
                headers.insert(name, value(id));
            }
        }
        if let Some(token) = token {
            let mut token = value(token);
            // HTTP/2 is not to keep it in its table of headers (RFC 7541, section 7.1.3).
            token.set_sensitive(true);
            headers.insert(CONTEXT, token);
        }
    }
    forwarded(headers, peer, host);
}

fn strip_ours(headers: &mut HeaderMap) {
    let ours: Vec<HeaderName> = headers
        .keys()
        .filter(|name| is_ours(name))
        .cloned()
        .collect();
    for name in ours {
        headers.remove(name);
    }
}

/// Whether an application may take the header for one of ours: WSGI, Rack, CGI and their kin write every name in capitals and
/// underscores, and cannot tell `x_bulkhead_user` from `x-bulkhead-user` any more; some do so with every character that is no letter.
fn is_ours(name: &HeaderName) -> bool {
    let begins = name.as_str().as_bytes().get(..OURS.len());
    begins.is_some_and(|begins| {
        let same = |(found, ours): (&u8, u8)| {
            *found == ours || (ours == b'-' && !found.is_ascii_alphanumeric())
        };
        begins.iter().zip(OURS.bytes()).all(same)
    })
}

/// Appended to, because what a proxy before this one has written is true as well.
fn forwarded(headers: &mut HeaderMap, peer: IpAddr, host: Option<HeaderValue>) {
    let before: Vec<&str> = list(headers, FORWARDED_FOR).collect();
    let chain = match before.as_slice() {
        [] => peer.to_canonical().to_string(),
        before => format!("{}, {}", before.join(", "), peer.to_canonical()),
    };
    headers.insert(FORWARDED_FOR, value(&chain));
    if !headers.contains_key(FORWARDED_PROTO) {
        headers.insert(FORWARDED_PROTO, HeaderValue::from_static("http"));
    }
    if !headers.contains_key(FORWARDED_HOST)
        && let Some(host) = host.or_else(|| headers.get(HOST).cloned())
    {
        headers.insert(FORWARDED_HOST, host);
    }
}

/// A text as a header's value: printable ASCII as it is, everything else and `%` percent-encoded (RFC 3986, section 2.1), so that two
/// ids are never written the same.
fn value(text: &str) -> HeaderValue {
    let mut encoded = String::with_capacity(text.len());
    let inner = 1..text.len().saturating_sub(1);
    for (at, byte) in text.bytes().enumerate() {
        // A blank at an end would be taken for none.
        let plain =
            (byte.is_ascii_graphic() && byte != b'%') || (byte == b' ' && inner.contains(&at));
        if plain {
            encoded.push(char::from(byte));
        } else {
            // A String takes everything.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    // Printable ASCII is a header's value.
    HeaderValue::from_str(&encoded).unwrap_or(HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn headers(list: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in list {
            headers.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        }
        headers
    }

    fn names(headers: &HeaderMap) -> Vec<&str> {
        let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn what_concerns_one_hop_ends_here() {
        let mut headers = headers(&[
            ("connection", "close, X-Secret"),
            ("connection", "keep-alive, ,not a name"),
            ("x-secret", "1"),
            ("x-secret", "2"),
            ("keep-alive", "timeout=5"),
            ("proxy-authorization", "Basic eA=="),
            ("proxy-authenticate", "Basic"),
            ("proxy-connection", "keep-alive"),
            ("te", "trailers, deflate"),
            ("trailer", "x-checksum"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("accept", "*/*"),
            ("host", "chat.example"),
        ]);
        without_hop_by_hop(&mut headers);
        assert_eq!(names(&headers), ["accept", "host", "te", "trailer"]);
        assert_eq!(headers[TE], "trailers");
    }

    #[test]
    fn a_client_cannot_have_taken_away_what_the_application_goes_by() {
        let kept = [
            "authorization",
            "content-length",
            "content-type",
            "cookie",
            "forwarded",
            "host",
            "origin",
            "sec-websocket-key",
            "sec-websocket-version",
            "x-forwarded-for",
            "x-forwarded-host",
            "x-forwarded-proto",
        ];
        let mut all: Vec<(&str, &str)> = kept.iter().map(|name| (*name, "1")).collect();
        all.extend(kept.iter().map(|name| ("connection", *name)));
        let mut headers = headers(&all);
        without_hop_by_hop(&mut headers);
        assert_eq!(names(&headers), kept);
    }

    #[test]
    fn what_a_client_says_of_itself_under_our_names_is_taken_away() {
        let ours = [
            "X-Bulkhead-User",
            "x-bulkhead-user",
            "x-bulkhead-context",
            "x-bulkhead-anything",
            "x-bulkhead-",
            "X_Bulkhead_User",
            "x_bulkhead-user",
            "x-bulkhead_user",
            "x.bulkhead.user",
            "x~bulkhead|user",
        ];
        let theirs = [
            "x-bulkhead",
            "x-bulkheads",
            "xx-bulkhead-user",
            "x-bulk-head-user",
            "xabulkheadauser",
        ];
        let mut list: Vec<(&str, &str)> = ours.iter().map(|name| (*name, "root")).collect();
        list.extend(theirs.iter().map(|name| (*name, "stays")));
        let mut headers = headers(&list);
        tell_application(&mut headers, "::ffff:10.0.0.9".parse().unwrap(), None, None);
        let mut left: Vec<&str> = names(&headers);
        left.retain(|name| !name.starts_with("x-forwarded-"));
        let mut expected = theirs;
        expected.sort_unstable();
        assert_eq!(left, expected);
        assert_eq!(headers[FORWARDED_FOR], "10.0.0.9");
    }

    #[test]
    fn where_a_request_comes_from_is_added_to_what_others_have_written() {
        let mut headers = headers(&[
            ("host", "chat.example"),
            ("x-forwarded-for", "192.0.2.1"),
            ("x-forwarded-for", "10.0.0.1"),
            ("x-forwarded-proto", "https"),
        ]);
        tell_application(&mut headers, "10.0.0.9".parse().unwrap(), None, None);
        assert_eq!(headers[FORWARDED_FOR], "192.0.2.1, 10.0.0.1, 10.0.0.9");
        assert_eq!(headers[FORWARDED_PROTO], "https");
        assert_eq!(headers[FORWARDED_HOST], "chat.example");
    }

    #[test]
    fn trailers_say_nothing_that_is_a_proxys_to_say() {
        let mut trailers = headers(&[
            ("x-checksum", "7"),
            ("connection", "x-hop"),
            ("x-hop", "1"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("x-bulkhead-user", "mallory"),
            ("X_Bulkhead_Context", "forged"),
            ("x-forwarded-for", "192.0.2.1"),
        ]);
        passable_trailers(&mut trailers);
        assert_eq!(names(&trailers), ["x-checksum"]);
    }

    #[test]
    fn the_host_that_was_asked_by_another_way_counts() {
        let mut headers = headers(&[("host", "other.example")]);
        let host = Some("chat.example".parse().unwrap());
        tell_application(&mut headers, "10.0.0.9".parse().unwrap(), host, None);
        assert_eq!(headers[FORWARDED_HOST], "chat.example");
        assert_eq!(headers[HOST], "other.example");
    }

    #[test]
    fn an_id_that_is_no_header_text_is_percent_encoded() {
        for (id, written) in [
            ("alice@example.com", "alice@example.com"),
            ("Ülle", "%C3%9Clle"),
            ("100%", "100%25"),
            ("a b", "a b"),
            (" a", "%20a"),
            ("a ", "a%20"),
        ] {
            assert_eq!(value(id), written);
        }
    }

    proptest! {
        #[test]
        fn two_ids_are_never_written_the_same(one in "[ a%Ü\u{7f}]{1,6}", other in "[ a%Ü\u{7f}]{1,6}") {
            prop_assert_eq!(value(&one) == value(&other), one == other);
        }
    }
}
