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

mod closed;
mod hidden;

use memchr::memchr2_iter;

use super::lexer::Token;
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

/// The names that are reserved under a policy.
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
}

/// What a string constant says, if that is the same whatever the session's parameters are.
fn string(token: Token<'_>) -> Option<String> {
    match token {
        Token::Text(written) => literal::certain(written),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
