//! Extensions (RFC 6455, section 9): permessage-deflate (RFC 7692) passes through, or is taken from the offer where messages must be read.

use bulkhead_crds::kinds::Compression;
use http::HeaderMap;
use http::header::SEC_WEBSOCKET_EXTENSIONS;

use super::list;
use super::refusal::Refusal;

const DEFLATE: &str = "permessage-deflate";

/// Whether messages of a connection are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compressed(pub bool);

/// Leaves the application the offer that may stand: extensions that the relay does not know would change frames behind its back. Says
/// whether compression is offered.
pub fn offered_extensions(
    headers: &mut HeaderMap,
    compression: Compression,
    is_read: bool,
) -> bool {
    let removes = match compression {
        Compression::Pass => false,
        Compression::Remove => true,
        Compression::Auto => is_read,
    };
    let kept: Vec<String> = list(headers, SEC_WEBSOCKET_EXTENSIONS)
        .filter(|extension| !removes && is_deflate(extension))
        .map(str::to_owned)
        .collect();
    headers.remove(SEC_WEBSOCKET_EXTENSIONS);
    // What was a header's value is one still.
    if let Ok(value) = kept.join(", ").parse()
        && !kept.is_empty()
    {
        headers.insert(SEC_WEBSOCKET_EXTENSIONS, value);
    }
    !kept.is_empty()
}

/// What the application has agreed to.
///
/// # Errors
/// It has agreed to what was not offered (RFC 6455, section 4.1).
pub(super) fn agreed(headers: &HeaderMap, offered: bool) -> Result<Compressed, Refusal> {
    let mut agreed = list(headers, SEC_WEBSOCKET_EXTENSIONS);
    match (agreed.next(), agreed.next()) {
        (None, _) => Ok(Compressed(false)),
        (Some(extension), None) if offered && is_deflate(extension) => Ok(Compressed(true)),
        _ => Err(Refusal::BadAnswer(
            "it agrees to an extension that was not offered",
        )),
    }
}

fn is_deflate(extension: &str) -> bool {
    let name = extension.split(';').next().unwrap_or_default();
    name.trim().eq_ignore_ascii_case(DEFLATE)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFFER: &str =
        "permessage-deflate; client_max_window_bits, x-webkit-deflate-frame, permessage-deflate";

    fn headers(extensions: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if !extensions.is_empty() {
            headers.insert(SEC_WEBSOCKET_EXTENSIONS, extensions.parse().unwrap());
        }
        headers
    }

    fn offered(
        extensions: &str,
        compression: Compression,
        is_read: bool,
    ) -> (bool, Option<String>) {
        let mut headers = headers(extensions);
        let offered = offered_extensions(&mut headers, compression, is_read);
        let left = headers.get(SEC_WEBSOCKET_EXTENSIONS);
        (offered, left.map(|it| it.to_str().unwrap().to_owned()))
    }

    #[test]
    fn compression_is_offered_on_unless_messages_are_read_or_the_policy_says_so() {
        let kept = "permessage-deflate; client_max_window_bits, permessage-deflate";
        let passes = (true, Some(kept.to_owned()));
        let goes = (false, None);
        assert_eq!(offered(OFFER, Compression::Auto, false), passes);
        assert_eq!(offered(OFFER, Compression::Auto, true), goes);
        assert_eq!(offered(OFFER, Compression::Pass, true), passes);
        assert_eq!(offered(OFFER, Compression::Remove, false), goes);
        assert_eq!(offered("x-unknown", Compression::Pass, false), goes);
        assert_eq!(offered("", Compression::Pass, false), goes);
    }

    #[test]
    fn an_application_agrees_to_what_was_offered() {
        let agreed = |extensions, offered| agreed(&headers(extensions), offered).ok();
        assert_eq!(agreed("", true), Some(Compressed(false)));
        assert_eq!(
            agreed("permessage-deflate; server_no_context_takeover", true),
            Some(Compressed(true))
        );
        assert_eq!(agreed("permessage-deflate", false), None);
        assert_eq!(agreed("x-webkit-deflate-frame", true), None);
        assert_eq!(agreed("permessage-deflate, permessage-deflate", true), None);
    }
}
