//! The page that a person opens, and the client that it uses: files, compiled in.

use hyper::body::Bytes;

/// A file of the page's: its type, and what stands in it.
pub(crate) fn file(path: &str) -> Option<(&'static str, Bytes)> {
    const SCRIPT: &str = "text/javascript; charset=utf-8";
    let (kind, text) = match path {
        "/" => (
            "text/html; charset=utf-8",
            include_str!("../../page/index.html"),
        ),
        "/page.css" => (
            "text/css; charset=utf-8",
            include_str!("../../page/page.css"),
        ),
        "/page.js" => (SCRIPT, include_str!("../../page/page.js")),
        "/bulkhead-socket.js" => (
            SCRIPT,
            include_str!("../../../../clients/javascript/bulkhead-socket.js"),
        ),
        "/protocol.js" => (
            SCRIPT,
            include_str!("../../../../clients/javascript/protocol.js"),
        ),
        _ => return None,
    };
    Some((kind, Bytes::from_static(text.as_bytes())))
}
