//! What the string constants of SQL stand for.
//!
//! Source: PostgreSQL documentation, "String Constants", "String Constants with C-Style Escapes", "Dollar-Quoted String Constants".

/// The value of a string constant, as written with its quotes, where it is the same under every setting. `None`: it has no end, is not
/// UTF-8, or has a backslash whose meaning depends on `standard_conforming_strings`.
pub(super) fn certain(written: &[u8]) -> Option<String> {
    let value = match written {
        [b'e' | b'E', b'\'', ..] => {
            let inner = written.get(2..)?.strip_suffix(b"'")?;
            memchr::memchr(b'\\', inner)
                .is_none()
                .then(|| undouble(inner))?
        }
        [b'\'', inner @ ..] => {
            let inner = inner.strip_suffix(b"'")?;
            memchr::memchr(b'\\', inner)
                .is_none()
                .then(|| undouble(inner))?
        }
        [b'$', ..] => dollar(written)?.to_vec(),
        _ => return None,
    };
    String::from_utf8(value).ok()
}

/// The value of a string constant as well as it can be told: escapes resolved, whatever has no end taken to its end.
pub(super) fn lossy(written: &[u8]) -> Vec<u8> {
    match written {
        [b'e' | b'E', b'\'', inner @ ..] => {
            unescape(&undouble(inner.strip_suffix(b"'").unwrap_or(inner)))
        }
        // Under `standard_conforming_strings = off` it is an escape string; a name hidden by one must be seen all the same.
        [b'\'', inner @ ..] => unescape(&undouble(inner.strip_suffix(b"'").unwrap_or(inner))),
        [b'$', ..] => dollar(written).unwrap_or(written).to_vec(),
        other => other.to_vec(),
    }
}

fn dollar(written: &[u8]) -> Option<&[u8]> {
    let tag = memchr::memchr(b'$', written.get(1..)?)?.checked_add(2)?;
    let delimiter = written.get(..tag)?;
    written.get(tag..)?.strip_suffix(delimiter)
}

fn undouble(inner: &[u8]) -> Vec<u8> {
    let mut value = Vec::with_capacity(inner.len());
    let mut bytes = inner.iter().copied();
    while let Some(byte) = bytes.next() {
        value.push(byte);
        if byte == b'\'' {
            bytes.next();
        }
    }
    value
}

/// C-style escapes: octal, hexadecimal and Unicode ones; any other character stands for itself, as good as for what it means.
fn unescape(inner: &[u8]) -> Vec<u8> {
    let mut value = Vec::with_capacity(inner.len());
    let mut rest = inner;
    while let Some((byte, behind)) = rest.split_first() {
        rest = behind;
        if *byte != b'\\' {
            value.push(*byte);
            continue;
        }
        let (radix, skip, most) = match rest.first() {
            Some(b'x') => (16, 1, 2),
            Some(b'u') => (16, 1, 4),
            Some(b'U') => (16, 1, 8),
            Some(b'0'..=b'7') => (8, 0, 3),
            _ => continue,
        };
        let digits = rest.get(skip..).unwrap_or_default();
        let count = digits
            .iter()
            .take(most)
            .take_while(|digit| char::from(**digit).is_digit(radix))
            .count();
        let code = digits
            .iter()
            .take(count)
            .filter_map(|digit| char::from(*digit).to_digit(radix))
            .fold(0_u32, |code, digit| {
                code.wrapping_mul(radix).wrapping_add(digit)
            });
        if most > 3 {
            let character = char::from_u32(code).unwrap_or('?');
            value.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        } else if let Ok(byte) = u8::try_from(code & 0xff) {
            value.push(byte);
        }
        rest = digits.get(count..).unwrap_or_default();
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_constant_that_is_certain_has_its_value() {
        for (written, value) in [
            ("'alice'", "alice"),
            ("'o''brien'", "o'brien"),
            ("''", ""),
            ("E'alice'", "alice"),
            ("$$a'b$$", "a'b"),
            ("$t$a$$b$t$", "a$$b"),
        ] {
            assert_eq!(
                certain(written.as_bytes()).as_deref(),
                Some(value),
                "{written}"
            );
        }
        for written in [
            "'a", "'a\\'", "E'\\x61'", "$$a", "$t$a$$", "alice", "'", "E'",
        ] {
            assert_eq!(certain(written.as_bytes()), None, "{written}");
        }
    }

    #[test]
    fn escapes_hide_nothing() {
        for written in [
            r"E'\x62\154b'",
            r"e'\u0062\U0000006cb'",
            r"'\x62lb'",
            "'blb",
            r"E'\b\154b'",
        ] {
            let value = lossy(written.as_bytes());
            assert!(
                value == b"blb" || value == b"lb",
                "{written}: {}",
                String::from_utf8_lossy(&value)
            );
        }
        assert_eq!(lossy(b"$x$blb$x$"), b"blb");
        assert_eq!(lossy(b"E'a\\"), b"a");
    }
}
