//! What the sidecar says itself: bulk strings and arrays for a server, errors for a client.

/// The header of an array of `count` elements.
#[inline]
pub fn push_array_header(out: &mut Vec<u8>, count: usize) {
    push_header(out, b'*', count as u64);
}

/// The header of a bulk string of `length` bytes.
#[inline]
pub fn push_bulk_header(out: &mut Vec<u8>, length: u64) {
    push_header(out, b'$', length);
}

/// A bulk string.
#[inline]
pub fn push_bulk(out: &mut Vec<u8>, bytes: &[u8]) {
    push_bulk_header(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

/// An error: `line` begins with its code word. What would end the line early becomes a space, as the server has it.
pub fn push_error(out: &mut Vec<u8>, line: &str) {
    out.push(b'-');
    out.extend(line.bytes().map(|byte| match byte {
        b'\r' | b'\n' => b' ',
        byte => byte,
    }));
    out.extend_from_slice(b"\r\n");
}

#[inline]
pub(super) fn push_header(out: &mut Vec<u8>, marker: u8, mut number: u64) {
    out.push(marker);
    // Nearly all there are.
    match u8::try_from(number) {
        Ok(digit @ 0..=9) => return out.extend_from_slice(&[b'0' + digit, b'\r', b'\n']),
        Ok(two @ 10..=99) => {
            let digits = [b'0' + two / 10, b'0' + two % 10, b'\r', b'\n'];
            return out.extend_from_slice(&digits);
        }
        _ => {}
    }
    let mut digits = [0; 20];
    let mut start = digits.len();
    while number > 0 {
        start -= 1;
        // One digit.
        digits[start] = b'0' + (number % 10) as u8;
        number /= 10;
    }
    out.extend_from_slice(&digits[start..]);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_decimal() {
        for (number, want) in [
            (0, "0"),
            (7, "7"),
            (10, "10"),
            (99, "99"),
            (100, "100"),
            (u64::MAX, "18446744073709551615"),
        ] {
            let mut out = Vec::new();
            push_bulk_header(&mut out, number);
            assert_eq!(String::from_utf8(out).unwrap(), format!("${want}\r\n"));
        }
    }

    #[test]
    fn an_error_is_one_line() {
        let mut out = Vec::new();
        push_error(&mut out, "ERR no\r\n+OK");
        assert_eq!(out, b"-ERR no  +OK\r\n");
    }
}
