//! Numbers as they stand in RESP's headers: decimal, in their shortest form, ended by CR LF.

/// A number at the front of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Number {
    /// Its end has not come.
    More,
    /// It is none.
    Malformed,
    /// The number, and the bytes that it takes with its CR LF.
    Is(i64, usize),
}

/// As many digits as the longest number has.
const MOST_DIGITS: usize = 19;

/// Reads a number and the CR LF behind it. As the server's `string2ll`: no plus, no leading zero, no white space.
#[inline]
pub fn read_number(bytes: &[u8]) -> Number {
    // Nearly all there are.
    match *bytes {
        [one @ b'0'..=b'9', b'\r', b'\n', ..] => return Number::Is(i64::from(one - b'0'), 3),
        [ten @ b'1'..=b'9', one @ b'0'..=b'9', b'\r', b'\n', ..] => {
            let number = i64::from(ten - b'0') * 10 + i64::from(one - b'0');
            return Number::Is(number, 4);
        }
        _ => {}
    }
    read_any_number(bytes)
}

fn read_any_number(bytes: &[u8]) -> Number {
    let negative = bytes.first() == Some(&b'-');
    let start = usize::from(negative);
    let mut value: u64 = 0;
    let mut at = start;
    loop {
        match bytes.get(at) {
            None => {
                return if at - start > MOST_DIGITS {
                    Number::Malformed
                } else {
                    Number::More
                };
            }
            Some(digit @ b'0'..=b'9') => {
                if at - start >= MOST_DIGITS {
                    return Number::Malformed;
                }
                value = value * 10 + u64::from(digit - b'0');
                at += 1;
            }
            Some(b'\r') => break,
            Some(_) => return Number::Malformed,
        }
    }
    let digits = at - start;
    let shortest = bytes.get(start) != Some(&b'0') || (digits == 1 && !negative);
    if digits == 0 || !shortest {
        return Number::Malformed;
    }
    let Ok(value) = i64::try_from(value) else {
        return Number::Malformed;
    };
    match bytes.get(at + 1) {
        None => Number::More,
        Some(b'\n') => Number::Is(if negative { -value } else { value }, at + 2),
        Some(_) => Number::Malformed,
    }
}

/// A whole argument as an integer, by the same rules; `None` where the server would say that it is none.
#[must_use]
pub fn parse_integer(text: &[u8]) -> Option<i64> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let plain = digits.iter().all(u8::is_ascii_digit) && !digits.is_empty();
    let shortest = digits.first() != Some(&b'0') || text == b"0";
    if !plain || !shortest {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_taken_in_their_shortest_form_alone() {
        for (text, want) in [
            ("", Number::More),
            ("-", Number::More),
            ("1", Number::More),
            ("1\r", Number::More),
            ("1\r\n", Number::Is(1, 3)),
            ("0\r\n", Number::Is(0, 3)),
            ("-1\r\n", Number::Is(-1, 4)),
            ("9223372036854775807\r\n", Number::Is(i64::MAX, 21)),
            ("9223372036854775808\r\n", Number::Malformed),
            ("00000000000000000000", Number::Malformed),
            ("01\r\n", Number::Malformed),
            ("-0\r\n", Number::Malformed),
            ("+1\r\n", Number::Malformed),
            (" 1\r\n", Number::Malformed),
            ("\r\n", Number::Malformed),
            ("-\r\n", Number::Malformed),
            ("1\n", Number::Malformed),
            ("1\rx", Number::Malformed),
            ("1x", Number::Malformed),
        ] {
            assert_eq!(read_number(text.as_bytes()), want, "{text:?}");
        }
    }

    #[test]
    fn an_argument_is_an_integer_as_the_server_sees_it() {
        for (text, want) in [
            ("0", Some(0)),
            ("17", Some(17)),
            ("-3", Some(-3)),
            ("9223372036854775807", Some(i64::MAX)),
            ("9223372036854775808", None),
            ("", None),
            ("-", None),
            ("+1", None),
            ("01", None),
            ("-0", None),
            ("1 ", None),
            ("1.0", None),
        ] {
            assert_eq!(parse_integer(text.as_bytes()), want, "{text:?}");
        }
    }
}
