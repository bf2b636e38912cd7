//! How a client says in SQL who it works for: a closed grammar, and everything that only resembles it.
//!
//! A reserved name (`bulkhead.context`, `bulkhead.user`, and the setting that the policy names) may stand in a text in these forms
//! alone: SET, SET LOCAL or RESET as the only statement, and `SELECT set_config(name, value, is_local)` alone. Reading one with
//! `current_setting('name')` is allowed anywhere. Whatever else names one, spells a name so that it cannot be read here, or has a name
//! computed, is [`Mention::Hidden`]: it is refused, because a switch that is not seen leaves the connection at the previous user.
//!
//! What cannot be seen, by design: what a stored function does inside, and a statement that a DO block puts together from strings.
//!
//! Source: PostgreSQL documentation, "SET", "Lexical Structure", "System Administration Functions".

use memchr::memchr2_iter;

use super::lexer::{Lexer, Token};
use super::literal;

/// `bulkhead.context`: the value is a token.
const CONTEXT: &str = "bulkhead.context";

/// `bulkhead.user`: the value is a bare id.
const USER: &str = "bulkhead.user";

/// What a text says about who the client works for.
#[derive(Debug, PartialEq, Eq)]
pub enum Mention {
    /// Nothing.
    Nothing,
    /// It names a user, or takes the name back, and does nothing else.
    Names(Naming),
    /// It may, in a form that is not accepted.
    Hidden(Hidden),
}

/// A statement of the closed grammar.
#[derive(Clone, PartialEq, Eq)]
pub struct Naming {
    /// Which name.
    pub name: Name,
    /// What it is set to.
    pub value: NamingValue,
    /// How long that lasts.
    pub lasts: Lasts,
    /// How it was said, and so how it is answered.
    pub form: Form,
}

/// A reserved name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    /// `bulkhead.context`.
    Context,
    /// `bulkhead.user`.
    User,
    /// The application's own setting, which the policy names.
    Setting,
}

/// What a name is set to.
#[derive(Clone, PartialEq, Eq)]
pub enum NamingValue {
    /// This.
    Text(String),
    /// What the statement's only parameter, `$1`, is bound to.
    Parameter,
    /// Nobody: RESET, or TO DEFAULT.
    Nobody,
}

/// How long a value lasts, as the statement says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lasts {
    /// To the end of the transaction: SET LOCAL, or `is_local` true.
    Transaction,
    /// As long as the policy says.
    Scope,
}

/// How a name was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    /// SET; the tag is SET.
    Set,
    /// RESET; the tag is RESET.
    Reset,
    /// `SELECT set_config(…)`, which answers with one row; the name of its column.
    SetConfig(String),
}

/// Why a text is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hidden {
    /// A reserved name in a statement of another form.
    OtherForm,
    /// An identifier or a string with Unicode escapes.
    UnicodeEscape,
    /// `set_config` with a name that is computed.
    ComputedName,
    /// UPDATE of `pg_settings`.
    UpdatesSettings,
}

/// The value stays out: it may be a token.
impl std::fmt::Debug for Naming {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Naming")
            .field("name", &self.name)
            .field("lasts", &self.lasts)
            .field("form", &self.form)
            .finish_non_exhaustive()
    }
}

/// Reads a text. `setting`: the application's own, where the policy names one, in lower case.
#[must_use]
pub fn read_naming(text: &[u8], setting: Option<&str>) -> Mention {
    if !is_suspicious(text, setting) {
        return Mention::Nothing;
    }
    let names = Names { setting };
    if let Some(naming) = names.closed_form(text) {
        return Mention::Names(naming);
    }
    names.search(text)
}

/// Whether the text must be taken apart: a few searches for rare bytes.
fn is_suspicious(text: &[u8], setting: Option<&str>) -> bool {
    let last = setting.and_then(|setting| setting.rsplit('.').next());
    contains(text, b"bulkhead", 4)
        || contains(text, b"_config", 0)
        || contains(text, b"_settings", 0)
        || contains(text, b"u&", 1)
        || memchr::memchr(b'\\', text).is_some()
        || last.is_some_and(|last| {
            let rare = last.find('_').unwrap_or(0);
            contains(text, last.as_bytes(), rare)
        })
}

/// Whether a word, which is given in lower case, is anywhere in a text, in any case. `rare`: which of its bytes to look for.
fn contains(text: &[u8], word: &[u8], rare: usize) -> bool {
    let Some(byte) = word.get(rare) else {
        return false;
    };
    memchr2_iter(*byte, byte.to_ascii_uppercase(), text).any(|at| {
        let start = at.checked_sub(rare);
        let found = start.and_then(|start| text.get(start..start.saturating_add(word.len())));
        found.is_some_and(|found| found.eq_ignore_ascii_case(word))
    })
}

#[derive(Clone, Copy)]
struct Names<'a> {
    setting: Option<&'a str>,
}

impl Names<'_> {
    /// Which reserved name this is. Parameters are told apart without regard to case, be they quoted or not.
    fn find(self, name: &str) -> Option<Name> {
        let is = |known: &str| known.eq_ignore_ascii_case(name);
        if is(CONTEXT) {
            Some(Name::Context)
        } else if is(USER) {
            Some(Name::User)
        } else {
            self.setting
                .filter(|setting| is(setting))
                .map(|_| Name::Setting)
        }
    }

    /// Whether a reserved name stands anywhere in a string, as a whole word.
    fn stands_in(self, text: &[u8]) -> bool {
        let ends = |end: usize| {
            text.get(end)
                .is_none_or(|byte| !super::lexer::continues_word(*byte))
        };
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

    fn closed_form(self, text: &[u8]) -> Option<Naming> {
        let mut lexer = Lexer::new(text);
        let first = lexer.next()?;
        let naming = if first.is("set") {
            self.set(&mut lexer)?
        } else if first.is("reset") {
            let part = lexer.next()?;
            let name = self.find(&lexer.dotted_name(part)?)?;
            Naming {
                name,
                value: NamingValue::Nobody,
                lasts: Lasts::Scope,
                form: Form::Reset,
            }
        } else if first.is("select") {
            self.set_config(&mut lexer)?
        } else {
            return None;
        };
        lexer.at_end().then_some(naming)
    }

    /// `[SESSION | LOCAL] name {TO | =} {value | DEFAULT}`.
    fn set(self, lexer: &mut Lexer<'_>) -> Option<Naming> {
        let mut part = lexer.next()?;
        let mut lasts = Lasts::Scope;
        if part.is("local") || part.is("session") {
            if part.is("local") {
                lasts = Lasts::Transaction;
            }
            part = lexer.next()?;
        }
        let name = self.find(&lexer.dotted_name(part)?)?;
        if !lexer.eat("to") && lexer.next()? != Token::Symbol(b'=') {
            return None;
        }
        let value = lexer.next()?;
        let value = if value.is("default") {
            NamingValue::Nobody
        } else {
            NamingValue::Text(constant(value)?)
        };
        Some(Naming {
            name,
            value,
            lasts,
            form: Form::Set,
        })
    }

    /// `[pg_catalog.]set_config(name, {value | $1}, {true | false}) [[AS] column]`, with casts to text.
    fn set_config(self, lexer: &mut Lexer<'_>) -> Option<Naming> {
        if lexer.eat("pg_catalog") && lexer.next()? != Token::Symbol(b'.') {
            return None;
        }
        let function = lexer.next()?;
        let is_function = function.name()? == b"set_config";
        if !is_function || lexer.next()? != Token::Symbol(b'(') {
            return None;
        }
        let name = string(lexer.next()?)?;
        let name = self.find(&name)?;
        skip_cast(lexer)?;
        comma(lexer)?;
        let value = match lexer.next()? {
            Token::Symbol(b'$') => {
                (lexer.next()? == Token::Number(b"1")).then_some(NamingValue::Parameter)?
            }
            token if token.is("null") => NamingValue::Nobody,
            token => NamingValue::Text(string(token)?),
        };
        skip_cast(lexer)?;
        comma(lexer)?;
        let lasts = truth(lexer.next()?)?;
        (lexer.next()? == Token::Symbol(b')')).then_some(())?;
        let named = lexer.eat("as");
        let column = match lexer.peek() {
            Some(Token::Word(_) | Token::Quoted(_)) => {
                let name = lexer.next()?.name()?;
                String::from_utf8(name).ok()?
            }
            _ if named => return None,
            _ => "set_config".to_owned(),
        };
        Some(Naming {
            name,
            value,
            lasts,
            form: Form::SetConfig(column),
        })
    }

    /// Looks for a reserved name anywhere, and for what could hide one.
    fn search(self, text: &[u8]) -> Mention {
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
}

/// A constant that means the same whatever the session's parameters are: a string, a number, or a word as SET takes it.
fn constant(token: Token<'_>) -> Option<String> {
    match token {
        Token::Number(number) => String::from_utf8(number.to_vec()).ok(),
        Token::Word(_) | Token::Quoted(_) => String::from_utf8(token.name()?).ok(),
        token => string(token),
    }
}

fn string(token: Token<'_>) -> Option<String> {
    match token {
        Token::Text(written) => literal::certain(written),
        _ => None,
    }
}

fn comma(lexer: &mut Lexer<'_>) -> Option<()> {
    (lexer.next()? == Token::Symbol(b',')).then_some(())
}

/// `::text` and `::varchar`; any other cast is none of the grammar.
fn skip_cast(lexer: &mut Lexer<'_>) -> Option<()> {
    if lexer.peek() != Some(Token::Symbol(b':')) {
        return Some(());
    }
    lexer.next();
    (lexer.next()? == Token::Symbol(b':')).then_some(())?;
    let kind = lexer.next()?;
    (kind.is("text") || kind.is("varchar")).then_some(())
}

fn truth(token: Token<'_>) -> Option<Lasts> {
    if token.is("true") {
        Some(Lasts::Transaction)
    } else if token.is("false") {
        Some(Lasts::Scope)
    } else {
        None
    }
}

#[cfg(test)]
mod tests;
