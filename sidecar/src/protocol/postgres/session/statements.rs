//! Prepared statements in Transaction mode: a client's names, and what each server connection has learnt.
//!
//! A client's statement is its text and types. Each server connection learns it under a name of ours on first use, so any
//! connection of the user's can run it. Two clients that use one name for two texts never meet, and two that use two names for
//! one text share the server's plan.

mod interner;

use std::cell::OnceCell;
use std::collections::HashMap;
use std::rc::Rc;

use super::super::statement_text::{ResetStatement, SetStatement, Traits};
use super::replies::{Answer, Expect, Forgotten};
use crate::attribution::comment;
use crate::ledger::Ledger;
use crate::telemetry::Attribution;

pub use interner::Interner;
use interner::Listed;

/// Statements that one server connection keeps; the one that was used longest ago makes room.
pub const STATEMENTS_PER_SERVER: usize = 256;

/// A prepared statement, whoever uses it.
#[derive(Debug)]
pub struct Statement {
    /// Which one; never reused.
    pub id: u64,
    /// The body of its `Parse` behind the name: text, NUL, parameter types. Empty where it was too long to be kept.
    pub body: Box<[u8]>,
    /// What its text says about the session's state.
    pub traits: Traits,
    /// What it changes, where that is something that the sidecar can repeat on another connection.
    pub change: Option<Change>,
    /// What its comment says of its user, where anybody has asked.
    claim: OnceCell<Option<Attribution>>,
    /// Where it is looked up, for as long as it lives.
    listed: Option<Listed>,
}

/// A change of run-time parameters that can be repeated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A SET that stands alone.
    Set(SetStatement),
    /// A RESET that stands alone, or a `RESET ALL` behind what changes no parameter.
    Reset(ResetStatement),
}

/// One client's statements by name; the unnamed one apart.
#[derive(Debug, Default)]
pub struct ClientStatements {
    named: HashMap<Rc<[u8]>, Rc<Statement>, foldhash::fast::RandomState>,
    unnamed: Option<Rc<Statement>>,
    /// Bytes of this client's in the ledger.
    bytes: usize,
    ledger: Rc<Ledger>,
}

/// What one server connection has learnt.
#[derive(Debug, Default)]
pub struct ServerStatements {
    known: HashMap<u64, u64, foldhash::fast::RandomState>,
    unnamed: Option<u64>,
    clock: u64,
}

impl PartialEq for Statement {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for Statement {}

impl Statement {
    /// The text, without its NUL.
    #[must_use]
    pub fn text(&self) -> &[u8] {
        let end = memchr::memchr(0, &self.body).unwrap_or(self.body.len());
        &self.body[..end]
    }

    /// What its comment says of its user, for the inventory. Found out by the first who asks.
    #[must_use]
    pub fn claim(&self) -> Option<Attribution> {
        *self.claim.get_or_init(|| comment::claim(self.text(), true))
    }

    /// Whether it can be taught to a server that does not have it.
    #[must_use]
    pub const fn is_kept(&self) -> bool {
        !self.body.is_empty()
    }

    /// The name under which servers know it.
    #[must_use]
    pub fn server_name(&self) -> ServerName {
        ServerName::new(self.id)
    }
}

/// A statement's name on the server: `bh_` and its number in hexadecimal.
#[derive(Clone, Copy, Debug)]
pub struct ServerName {
    bytes: [u8; 19],
    length: usize,
}

impl ServerName {
    fn new(id: u64) -> Self {
        let mut bytes = *b"bh_0000000000000000";
        let mut length = 3;
        let digits = (16 - (id.leading_zeros() / 4) as usize).max(1);
        for place in (0..digits).rev() {
            let digit = (id >> (4 * place)) & 0xf;
            bytes[length] = b"0123456789abcdef"[digit as usize];
            length += 1;
        }
        Self { bytes, length }
    }

    /// The name, without NUL.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl Drop for ClientStatements {
    fn drop(&mut self) {
        self.ledger.exchange(self.bytes, 0);
    }
}

impl ClientStatements {
    /// None yet; what they take is counted in this ledger.
    #[must_use]
    pub fn in_ledger(ledger: Rc<Ledger>) -> Self {
        let mut none = Self::default();
        none.ledger = ledger;
        none
    }

    /// The statement of this name; the empty name is the unnamed one.
    #[must_use]
    pub fn get(&self, name: &[u8]) -> Option<&Rc<Statement>> {
        if name.is_empty() {
            self.unnamed.as_ref()
        } else {
            self.named.get(name)
        }
    }

    /// Remembers a named statement.
    pub fn insert(&mut self, name: Rc<[u8]>, statement: Rc<Statement>) {
        let now = statement.body.len() + name.len();
        let replaced = self.named.insert(Rc::clone(&name), statement);
        let before = replaced.map_or(0, |before| before.body.len() + name.len());
        self.count(before, now);
    }

    /// Remembers the unnamed statement, or that there is none which could be repeated.
    pub fn set_unnamed(&mut self, statement: Option<Rc<Statement>>) {
        let bytes_of =
            |kept: &Option<Rc<Statement>>| kept.as_ref().map_or(0, |kept| kept.body.len());
        let (before, now) = (bytes_of(&self.unnamed), bytes_of(&statement));
        self.unnamed = statement;
        self.count(before, now);
    }

    /// Forgets a named statement, and gives back what was forgotten.
    pub fn remove(&mut self, name: &[u8]) -> Option<Forgotten> {
        let (name, statement) = self.named.remove_entry(name)?;
        self.count(statement.body.len() + name.len(), 0);
        Some(Forgotten { name, statement })
    }

    /// Forgets a statement that the server has refused, if the name still means it.
    pub fn forget(&mut self, name: &[u8], refused: &Statement) {
        if self
            .named
            .get(name)
            .is_some_and(|known| known.id == refused.id)
        {
            self.remove(name);
        }
    }

    /// A message that was sent has not been carried out: the name that it would have given means nothing, and one that it
    /// would have taken away means what it did.
    pub fn undo(&mut self, gone: Expect) {
        match gone {
            Expect::Parse {
                statement: Some(statement),
                name: Some(name),
                ..
            } => self.forget(&name, &statement),
            Expect::Answer(Answer::ParseComplete(Some(given))) => {
                self.forget(&given.name, &given.statement);
            }
            Expect::Answer(
                Answer::CloseComplete(Some(closed)) | Answer::Deallocated(Some(closed)),
            ) => {
                self.remove(&closed.name);
                self.insert(closed.name, closed.statement);
            }
            _ => {}
        }
    }

    /// The server has refused to use one of the named statements as it was prepared: whoever prepares such a text again gets a new
    /// one.
    pub fn retire(&self) {
        for statement in self.named.values() {
            statement.retire();
        }
    }

    /// Forgets everything: `DEALLOCATE ALL`, `DISCARD ALL`.
    pub fn clear(&mut self) {
        self.named.clear();
        self.unnamed = None;
        self.count(self.bytes, 0);
    }

    /// Bytes that are kept for this client.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Names and bodies, for another worker; the unnamed one under the empty name, where it could be kept.
    #[must_use]
    pub fn texts(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let unnamed = self.unnamed.iter().filter(|statement| statement.is_kept());
        let unnamed = unnamed.map(|statement| (Vec::new(), statement.body.to_vec()));
        let named = self.named.iter();
        let named = named.map(|(name, statement)| (name.to_vec(), statement.body.to_vec()));
        unnamed.chain(named).collect()
    }

    /// Takes the statements that another worker has sent.
    pub fn take_texts(&mut self, texts: Vec<(Vec<u8>, Vec<u8>)>, interner: &Interner) {
        for (name, body) in texts {
            if name.is_empty() {
                self.set_unnamed(Some(interner.once(&body)));
            } else {
                self.insert(name.into(), interner.intern(&body));
            }
        }
    }

    /// From here on what they take is counted in another ledger: the client works for another user.
    pub fn move_to(&mut self, ledger: Rc<Ledger>) {
        self.ledger.exchange(self.bytes, 0);
        ledger.exchange(0, self.bytes);
        self.ledger = ledger;
    }

    /// Bytes that a statement may take within `limit`: what no client of the user's holds, and what an unnamed one would replace.
    #[must_use]
    pub fn room(&self, limit: usize, named: bool) -> usize {
        let replaced = self.unnamed.as_ref().filter(|_| !named);
        let replaced = replaced.map_or(0, |unnamed| unnamed.body.len());
        limit.saturating_sub(self.ledger.held().saturating_sub(replaced))
    }

    fn count(&mut self, before: usize, now: usize) {
        self.bytes = (self.bytes + now).saturating_sub(before);
        self.ledger.exchange(before, now);
    }
}

impl ServerStatements {
    /// Whether the server knows the statement; marks it as used.
    pub fn knows(&mut self, statement: &Statement) -> bool {
        self.clock += 1;
        let clock = self.clock;
        match self.known.get_mut(&statement.id) {
            Some(used) => {
                *used = clock;
                true
            }
            None => false,
        }
    }

    /// The server is being taught the statement. Gives back the number of one that must be closed to make room.
    pub fn learn(&mut self, statement: &Statement) -> Option<u64> {
        let evicted = if self.known.len() >= STATEMENTS_PER_SERVER {
            self.known
                .iter()
                .min_by_key(|(_, used)| **used)
                .map(|(id, _)| *id)
        } else {
            None
        };
        if let Some(id) = evicted {
            self.known.remove(&id);
        }
        self.clock += 1;
        self.known.insert(statement.id, self.clock);
        evicted
    }

    /// The server has refused the statement.
    pub fn forget(&mut self, statement: &Statement) {
        self.known.remove(&statement.id);
        if self.unnamed == Some(statement.id) {
            self.unnamed = None;
        }
    }

    /// A message that was sent has not been carried out: what it would have taught is not known, and what it would have taken
    /// away is.
    pub fn undo(&mut self, gone: &Expect) {
        match gone {
            Expect::Parse {
                statement: Some(statement),
                ..
            } => self.forget(statement),
            Expect::Evict(id) => {
                // It had been used longest ago, and is the first to go again.
                self.known.insert(*id, 0);
            }
            _ => {}
        }
    }

    /// Which statement the server's unnamed one is.
    #[must_use]
    pub const fn unnamed(&self) -> Option<u64> {
        self.unnamed
    }

    /// The server's unnamed statement becomes this one, or one that nobody can repeat.
    pub const fn set_unnamed(&mut self, id: Option<u64>) {
        self.unnamed = id;
    }

    /// The server has dropped all.
    pub fn clear(&mut self) {
        self.known.clear();
        self.unnamed = None;
    }
}

/// The name of a statement by its number, for closing one that makes room.
#[must_use]
pub fn server_name(id: u64) -> ServerName {
    ServerName::new(id)
}

#[cfg(test)]
mod tests;
