//! `CopyFail`: a COPY given up by the sending side.

use super::frame::{short, string};

/// Appends a `CopyFail` with the reason that the server is to report.
pub fn copy_fail(reason: &[u8], out: &mut Vec<u8>) {
    short(b'f', out, |out| string(reason, out));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden() {
        let mut out = Vec::new();
        copy_fail(b"no", &mut out);
        assert_eq!(out, b"f\x00\x00\x00\x07no\x00");
    }
}
