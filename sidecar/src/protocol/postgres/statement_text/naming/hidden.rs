//! What only resembles the grammar: reserved names in any other place, and what could hide one.

use super::super::lexer::{Lexer, Token, continues_word};
use super::super::literal;
use super::{CONTEXT, Hidden, Mention, Names, USER, string};

impl Names<'_> {
    /// Looks for a reserved name anywhere, and for what could hide one.
    pub(super) fn search(self, text: &[u8]) -> Mention {
        let (mut settings, mut updates) = (false, false);
        let mut lexer = Lexer::new(text);
        let mut before = Token::Symbol(b';');
        while let Some(token) = lexer.next() {
            let hidden = match token {
                Token::Text(written) => {
                    let value = literal::lossy(written);
                    if self.stands_in(&value) {
                        Some(Hidden::OtherForm)
                    } else if before.is("do") || before.is("plpgsql") {
                        self.block(&value)
                    } else {
                        None
                    }
                }
                Token::Word(_) | Token::Quoted(_) => {
                    settings |= token.name().is_some_and(|name| name == b"pg_settings");
                    updates |= token.is("update") || token.is("merge");
                    self.identifier(token, &mut lexer)
                }
                _ => None,
            };
            if let Some(hidden) = hidden {
                return Mention::Hidden(hidden);
            }
            before = token;
        }
        if settings && updates {
            return Mention::Hidden(Hidden::UpdatesSettings);
        }
        Mention::Nothing
    }

    /// The text of a DO block is SQL again.
    fn block(self, body: &[u8]) -> Option<Hidden> {
        match self.search(body) {
            Mention::Hidden(hidden) => Some(hidden),
            Mention::Nothing | Mention::Names(_) => None,
        }
    }

    fn identifier(self, token: Token<'_>, lexer: &mut Lexer<'_>) -> Option<Hidden> {
        let mut ahead = *lexer;
        if token.is("u") && ahead.next() == Some(Token::Symbol(b'&')) {
            let escaped = matches!(ahead.next(), Some(Token::Text(_) | Token::Quoted(_)));
            return escaped.then_some(Hidden::UnicodeEscape);
        }
        let mut ahead = *lexer;
        let name = ahead.dotted_name(token)?;
        if self.find(&name).is_some() {
            return Some(Hidden::OtherForm);
        }
        let function = token.name()?;
        let calls = lexer.peek() == Some(Token::Symbol(b'('));
        if !calls {
            return None;
        }
        if function == b"set_config" {
            let mut ahead = *lexer;
            ahead.next();
            let is_constant = ahead.next().is_some_and(|name| string(name).is_some())
                && ahead.next() == Some(Token::Symbol(b','));
            return (!is_constant).then_some(Hidden::ComputedName);
        }
        if function == b"current_setting" {
            // To read a name is no switch: its string is passed over.
            let mut ahead = *lexer;
            ahead.next();
            if ahead.next().is_some_and(|name| string(name).is_some()) {
                *lexer = ahead;
            }
        }
        None
    }

    /// Whether a reserved name stands anywhere in a string, as a whole word.
    fn stands_in(self, text: &[u8]) -> bool {
        let ends = |end: usize| text.get(end).is_none_or(|byte| !continues_word(*byte));
        [Some(CONTEXT), Some(USER), self.setting]
            .into_iter()
            .flatten()
            .any(|name| {
                let dot = name.find('.').unwrap_or(0);
                memchr::memchr_iter(b'.', text).any(|at| {
                    let start = at.checked_sub(dot);
                    start.is_some_and(|start| {
                        let end = start.saturating_add(name.len());
                        text.get(start..end)
                            .is_some_and(|found| found.eq_ignore_ascii_case(name.as_bytes()))
                            && ends(end)
                    })
                })
            })
    }
}
