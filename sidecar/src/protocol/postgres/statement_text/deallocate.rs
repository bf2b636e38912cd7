//! `DEALLOCATE [PREPARE] name`, where it stands alone.

use super::lexer::Lexer;

/// The name of the prepared statement; `None` for `ALL`, and for every other text.
///
/// SQL folds a name without quotes to lower case; the protocol's names are as they are. So `DEALLOCATE "S_1"` means the
/// statement that a client has prepared as `S_1`, and `DEALLOCATE S_1` means `s_1`.
#[must_use]
pub fn deallocated_name(text: &[u8]) -> Option<Vec<u8>> {
    let mut lexer = Lexer::new(text);
    if !lexer.eat("deallocate") {
        return None;
    }
    let mut target = lexer.next()?;
    if target.is("prepare") && !lexer.at_end() {
        target = lexer.next()?;
    }
    if target.is("all") || !lexer.at_end() {
        return None;
    }
    target.name()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_name_alone() {
        let name = |text: &str| deallocated_name(text.as_bytes());
        assert_eq!(name("DEALLOCATE S_1").as_deref(), Some(&b"s_1"[..]));
        assert_eq!(
            name("deallocate prepare \"S_1\" ;").as_deref(),
            Some(&b"S_1"[..])
        );
        assert_eq!(name("DEALLOCATE prepare").as_deref(), Some(&b"prepare"[..]));
        assert_eq!(name("DEALLOCATE \"all\"").as_deref(), Some(&b"all"[..]));
    }

    #[test]
    fn anything_else_is_not_ours() {
        for text in [
            "DEALLOCATE ALL",
            "DEALLOCATE PREPARE ALL",
            "DEALLOCATE",
            "DEALLOCATE a b",
            "DEALLOCATE a; SELECT 1",
            "DEALLOCATE 'a'",
            "SELECT 1",
            "",
        ] {
            assert_eq!(deallocated_name(text.as_bytes()), None, "{text}");
        }
    }
}
