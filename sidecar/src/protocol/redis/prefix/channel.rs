//! Where the prefix stands in a channel, and in a pattern of channels.
//!
//! A channel of a user's begins with the prefix, as a key does. The server's notifications have channels of their own ("Redis keyspace
//! notifications", redis.io): `__keyspace@0__:KEY` gets the prefix before the key; `__keyevent@0__:EVENT` names no key and stays as it is, and
//! the message, which is a key, tells whose it is.

/// What a channel is, and where the prefix stands in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelKind {
    /// A channel of a user's, or the notifications of one key: the prefix stands at this byte.
    Own(usize),
    /// The notifications of one event, on whatever key: the prefix stands in the message.
    KeyEvent,
}

const KEYSPACE: &[u8] = b"__keyspace@";
const KEYEVENT: &[u8] = b"__keyevent@";

/// Where the prefix goes in a channel that a client names, or stands in one that the server names.
#[must_use]
pub fn place_in_channel(channel: &[u8]) -> ChannelKind {
    if let Some(end) = notification(channel, KEYSPACE, false) {
        return ChannelKind::Own(end);
    }
    match notification(channel, KEYEVENT, false) {
        Some(_) => ChannelKind::KeyEvent,
        None => ChannelKind::Own(0),
    }
}

/// Where the prefix goes in a pattern of a client's, or none where it may match notifications in a way that cannot be told apart.
#[must_use]
pub fn place_in_pattern(pattern: &[u8]) -> Option<ChannelKind> {
    if let Some(end) = notification(pattern, KEYSPACE, true) {
        return Some(ChannelKind::Own(end));
    }
    if notification(pattern, KEYEVENT, true).is_some() {
        return Some(ChannelKind::KeyEvent);
    }
    (!may_begin_with_notification(pattern)).then_some(ChannelKind::Own(0))
}

/// The end of `__keyspace@<database>__:` at the front of some text. In a pattern the database may be `*`.
fn notification(text: &[u8], begins: &[u8], in_pattern: bool) -> Option<usize> {
    let rest = text.strip_prefix(begins)?;
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let database = match rest.first() {
        Some(b'*') if in_pattern => 1,
        _ if digits > 0 => digits,
        _ => return None,
    };
    let rest = rest.get(database..)?;
    rest.starts_with(b"__:")
        .then_some(begins.len() + database + 3)
}

/// Whether what a pattern matches may begin with `__key`. Up to its first special character a pattern matches itself alone.
fn may_begin_with_notification(pattern: &[u8]) -> bool {
    let literal = pattern
        .iter()
        .position(|byte| matches!(byte, b'*' | b'?' | b'[' | b'\\'))
        .unwrap_or(pattern.len());
    let head = pattern.get(..literal).unwrap_or_default();
    // A pattern such as `*` means the user's own channels, and is taken so; one that has begun to spell `__key` means notifications.
    head.starts_with(b"__key")
        || (literal < pattern.len() && head.len() >= 2 && b"__key".starts_with(head))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prefix_stands_before_the_key() {
        for (channel, want) in [
            ("news", ChannelKind::Own(0)),
            ("", ChannelKind::Own(0)),
            ("__keyspace@0__:foo", ChannelKind::Own(15)),
            ("__keyspace@15__:", ChannelKind::Own(16)),
            ("__keyspace@*__:foo", ChannelKind::Own(0)),
            ("__keyspace@__:foo", ChannelKind::Own(0)),
            ("__keyspace@0__", ChannelKind::Own(0)),
            ("__keyevent@0__:del", ChannelKind::KeyEvent),
            ("__KEYEVENT@0__:del", ChannelKind::Own(0)),
        ] {
            assert_eq!(place_in_channel(channel.as_bytes()), want, "{channel}");
        }
    }

    #[test]
    fn a_pattern_says_what_it_is_of_or_is_not_taken() {
        for (pattern, want) in [
            ("*", Some(ChannelKind::Own(0))),
            ("news.*", Some(ChannelKind::Own(0))),
            ("_*", Some(ChannelKind::Own(0))),
            ("__other*", Some(ChannelKind::Own(0))),
            ("__keyspace@0__:foo*", Some(ChannelKind::Own(15))),
            ("__keyspace@*__:*", Some(ChannelKind::Own(15))),
            ("__keyevent@0__:*", Some(ChannelKind::KeyEvent)),
            ("__keyevent@*__:expired", Some(ChannelKind::KeyEvent)),
            ("__key*__:*", None),
            ("__key*", None),
            ("__*", None),
            ("__?eyspace@0__:*", None),
            ("__keyspace@?__:*", None),
            ("__keyspace@0*", None),
        ] {
            assert_eq!(place_in_pattern(pattern.as_bytes()), want, "{pattern}");
        }
    }
}
