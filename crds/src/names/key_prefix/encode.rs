//! User ids as they stand in a prefix: percent-encoded, so that no two are alike and none has a byte that means something.

/// Whether a byte stands for itself in an encoded user id: letters, digits, `_` and `.`. Not `-`, which is special in a glob's brackets.
#[must_use]
pub const fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.')
}

/// Appends a user id: what is not [plain](is_plain) as `%` and two capital hexadecimal digits. As `%` itself is not plain, two user ids
/// never have the same encoding.
pub fn encode_user(user: &str, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for byte in user.bytes() {
        if is_plain(byte) {
            out.push(byte);
        } else {
            let [high, low] = [byte >> 4, byte & 15].map(|nibble| DIGITS[usize::from(nibble)]);
            out.extend_from_slice(&[b'%', high, low]);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encoded(user: &str) -> String {
        let mut out = Vec::new();
        encode_user(user, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_means_something_is_escaped() {
        for (user, want) in [
            ("alice", "alice"),
            ("Alice_1.b", "Alice_1.b"),
            ("a:b", "a%3Ab"),
            ("a%3Ab", "a%253Ab"),
            ("*?[]\\^-", "%2A%3F%5B%5D%5C%5E%2D"),
            ("{a}", "%7Ba%7D"),
            ("a b\r\n", "a%20b%0D%0A"),
            ("~&+@|", "%7E%26%2B%40%7C"),
            ("é", "%C3%A9"),
            ("", ""),
        ] {
            assert_eq!(encoded(user), want, "{user:?}");
        }
    }

    proptest! {
        #[test]
        fn it_can_be_undone(user: String) {
            let text = encoded(&user);
            prop_assert!(text.bytes().all(|byte| is_plain(byte) || byte == b'%'));
            let mut bytes = Vec::new();
            let mut left = text.as_bytes();
            while let Some((byte, rest)) = left.split_first() {
                if *byte == b'%' {
                    let digits = std::str::from_utf8(&rest[..2]).unwrap();
                    bytes.push(u8::from_str_radix(digits, 16).unwrap());
                    left = &rest[2..];
                } else {
                    bytes.push(*byte);
                    left = rest;
                }
            }
            prop_assert_eq!(bytes, user.as_bytes());
        }
    }
}
