//! The closed grammar: SET, SET LOCAL, RESET and `SELECT set_config(…)`, each alone.

use super::super::lexer::{Lexer, Token};
use super::{Form, Lasts, Names, Naming, NamingValue, string};

impl Names<'_> {
    /// The text, where it is a statement of the grammar.
    pub(super) fn closed_form(self, text: &[u8]) -> Option<Naming> {
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
}

/// A constant that means the same whatever the session's parameters are: a string, a number, or a word as SET takes it.
fn constant(token: Token<'_>) -> Option<String> {
    match token {
        Token::Number(number) => String::from_utf8(number.to_vec()).ok(),
        Token::Word(_) | Token::Quoted(_) => String::from_utf8(token.name()?).ok(),
        token => string(token),
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
