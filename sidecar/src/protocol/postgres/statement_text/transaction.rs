//! Transaction control, where it stands alone.

use super::lexer::{Lexer, Token};

/// What a statement does to the transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionControl {
    /// BEGIN or START TRANSACTION, with any modes.
    Begin,
    /// COMMIT or END.
    Commit,
    /// COMMIT AND CHAIN: another transaction begins.
    CommitAndChain,
    /// ROLLBACK or ABORT, of the whole transaction.
    Rollback,
    /// ROLLBACK AND CHAIN: another transaction begins.
    RollbackAndChain,
    /// ROLLBACK TO a savepoint.
    RollbackTo,
    /// SAVEPOINT.
    Savepoint,
    /// RELEASE of a savepoint.
    Release,
    /// PREPARE TRANSACTION, for two-phase commit.
    PrepareTransaction,
    /// COMMIT PREPARED.
    CommitPrepared,
    /// ROLLBACK PREPARED.
    RollbackPrepared,
}

/// Reads a text that is one statement of transaction control and nothing else.
#[must_use]
pub fn transaction_control(text: &[u8]) -> Option<TransactionControl> {
    use TransactionControl as Control;
    let mut lexer = Lexer::new(text);
    let first = lexer.next()?;
    let is = |word| first.is(word);
    let control = if is("begin") {
        begin(&mut lexer)?
    } else if is("start") {
        lexer.eat("transaction").then_some(())?;
        begin(&mut lexer)?
    } else if is("commit") || is("end") {
        if lexer.eat("prepared") {
            string(&mut lexer, Control::CommitPrepared)?
        } else {
            end(&mut lexer, Control::Commit, Control::CommitAndChain)?
        }
    } else if is("rollback") || is("abort") {
        if lexer.eat("prepared") {
            string(&mut lexer, Control::RollbackPrepared)?
        } else {
            rollback(&mut lexer)?
        }
    } else if is("savepoint") {
        name(&mut lexer, Control::Savepoint)?
    } else if is("release") {
        savepoint(&mut lexer, Control::Release)?
    } else if is("prepare") {
        lexer.eat("transaction").then_some(())?;
        string(&mut lexer, Control::PrepareTransaction)?
    } else {
        return None;
    };
    lexer.at_end().then_some(control)
}

fn skip_noise(lexer: &mut Lexer<'_>) {
    let _ = lexer.eat("work") || lexer.eat("transaction");
}

/// The modes are words and commas; the server judges them.
fn begin(lexer: &mut Lexer<'_>) -> Option<TransactionControl> {
    skip_noise(lexer);
    while matches!(lexer.peek(), Some(Token::Word(_) | Token::Symbol(b','))) {
        lexer.next();
    }
    Some(TransactionControl::Begin)
}

fn end(
    lexer: &mut Lexer<'_>,
    alone: TransactionControl,
    chained: TransactionControl,
) -> Option<TransactionControl> {
    skip_noise(lexer);
    if !lexer.eat("and") {
        return Some(alone);
    }
    let control = if lexer.eat("no") { alone } else { chained };
    lexer.eat("chain").then_some(control)
}

fn rollback(lexer: &mut Lexer<'_>) -> Option<TransactionControl> {
    skip_noise(lexer);
    if lexer.eat("to") {
        return savepoint(lexer, TransactionControl::RollbackTo);
    }
    end(
        lexer,
        TransactionControl::Rollback,
        TransactionControl::RollbackAndChain,
    )
}

/// `[SAVEPOINT] name`; a savepoint may be called `savepoint`.
fn savepoint(lexer: &mut Lexer<'_>, control: TransactionControl) -> Option<TransactionControl> {
    let first = lexer.next()?;
    if first.is("savepoint") && !lexer.at_end() {
        return name(lexer, control);
    }
    first.name().map(|_| control)
}

fn name(lexer: &mut Lexer<'_>, control: TransactionControl) -> Option<TransactionControl> {
    lexer.next()?.name().map(|_| control)
}

fn string(lexer: &mut Lexer<'_>, control: TransactionControl) -> Option<TransactionControl> {
    matches!(lexer.next()?, Token::Text(_)).then_some(control)
}

#[cfg(test)]
mod tests {
    use super::TransactionControl::*;
    use super::*;

    #[test]
    fn every_form() {
        for (text, expected) in [
            ("BEGIN", Begin),
            ("begin work;", Begin),
            ("BEGIN ISOLATION LEVEL SERIALIZABLE, READ ONLY", Begin),
            ("/* pool */ START TRANSACTION READ WRITE", Begin),
            ("COMMIT", Commit),
            ("COMMIT WORK AND NO CHAIN ;", Commit),
            ("END TRANSACTION", Commit),
            ("COMMIT AND CHAIN", CommitAndChain),
            ("COMMIT PREPARED 'x'", CommitPrepared),
            ("ROLLBACK", Rollback),
            ("abort", Rollback),
            ("ROLLBACK TRANSACTION AND CHAIN", RollbackAndChain),
            ("ROLLBACK TO s1", RollbackTo),
            ("ROLLBACK WORK TO SAVEPOINT \"s 1\"", RollbackTo),
            ("ROLLBACK TO savepoint", RollbackTo),
            ("ROLLBACK PREPARED 'x'", RollbackPrepared),
            ("SAVEPOINT s1", Savepoint),
            ("RELEASE SAVEPOINT s1", Release),
            ("RELEASE s1", Release),
            ("PREPARE TRANSACTION 'x'", PrepareTransaction),
        ] {
            assert_eq!(
                transaction_control(text.as_bytes()),
                Some(expected),
                "{text}"
            );
        }
    }

    #[test]
    fn nothing_else() {
        for text in [
            "",
            "SELECT 1",
            "COMMIT; SELECT 1",
            "BEGIN; SELECT 1",
            "COMMIT AND",
            "ROLLBACK TO",
            "ROLLBACK now",
            "START",
            "PREPARE p AS SELECT 1",
            "SAVEPOINT",
            "COMMITS",
        ] {
            assert_eq!(transaction_control(text.as_bytes()), None, "{text}");
        }
    }
}
