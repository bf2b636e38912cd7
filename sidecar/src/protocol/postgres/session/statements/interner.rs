//! One text, one statement, for as long as somebody holds it.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;
use std::hash::BuildHasher;
use std::rc::{Rc, Weak};

use super::super::super::statement_text::{self, ResetStatement};
use super::{Change, Statement};
use crate::attribution::comment;

/// Entries for which the list of statements always has room.
pub(super) const ROOM: usize = 64;

/// The statements of one worker, each text once. Holds no text itself: a statement that nobody holds any more takes itself out.
#[derive(Debug, Default)]
pub struct Interner {
    pub(super) known: Rc<Known>,
    next: Cell<u64>,
}

/// Statements by the hash of their bodies.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) by_hash: RefCell<HashMap<u64, Weak<Statement>, foldhash::fast::RandomState>>,
    pub(super) hasher: foldhash::fast::RandomState,
}

/// A statement's entry in the list.
#[derive(Debug)]
pub(super) struct Listed {
    known: Rc<Known>,
    hash: u64,
}

impl Interner {
    /// The statement with this `Parse` body (behind the name); the same one for the same bytes while somebody holds it.
    #[must_use]
    pub fn intern(&self, body: &[u8]) -> Rc<Statement> {
        let hash = self.known.hasher.hash_one(body);
        let found = self.known.get(hash);
        match found {
            Some(found) if *found.body == *body => return found,
            // Two bodies of one hash: the second is served all the same, and shared with nobody.
            Some(_) => return self.once(body),
            None => {}
        }
        let listed = Listed {
            known: Rc::clone(&self.known),
            hash,
        };
        let statement = self.make(body, Some(listed));
        self.known.insert(hash, Rc::downgrade(&statement));
        statement
    }

    /// A statement that is not looked up again: the unnamed one, or a simple query.
    #[must_use]
    pub fn once(&self, body: &[u8]) -> Rc<Statement> {
        self.make(body, None)
    }

    fn make(&self, body: &[u8], listed: Option<Listed>) -> Rc<Statement> {
        let end = memchr::memchr(0, body).unwrap_or(body.len());
        let text = &body[..end];
        let traits = statement_text::classify(text);
        let change = if traits.sets_parameter() {
            statement_text::parse_set(text).map(Change::Set)
        } else if traits.resets_parameter() && statement_text::ends_with_reset_all(text) {
            Some(Change::Reset(ResetStatement::All))
        } else if traits.resets_parameter() {
            statement_text::parse_reset(text).map(Change::Reset)
        } else {
            None
        };
        Rc::new(Statement {
            id: self.number(),
            body: body.into(),
            traits,
            change,
            claim: OnceCell::new(),
            listed,
        })
    }

    /// A statement that is too long to be kept, of which this is the beginning.
    #[must_use]
    pub fn unkept(&self, beginning: &[u8]) -> Rc<Statement> {
        Rc::new(Statement {
            id: self.number(),
            body: Box::default(),
            traits: statement_text::classify(beginning),
            change: None,
            claim: OnceCell::from(comment::claim(beginning, false)),
            listed: None,
        })
    }

    fn number(&self) -> u64 {
        let id = self.next.get() + 1;
        self.next.set(id);
        id
    }
}

impl Statement {
    /// Lets the next one who prepares this text have a statement of their own, because the servers' plans of this one are of no
    /// use any more. Those who hold it are told so whenever they use it, as by a server.
    pub fn retire(&self) {
        if let Some(listed) = &self.listed {
            listed.known.retire(listed.hash, self);
        }
    }
}

impl Known {
    pub(super) fn get(&self, hash: u64) -> Option<Rc<Statement>> {
        self.by_hash.borrow().get(&hash).and_then(Weak::upgrade)
    }

    pub(super) fn insert(&self, hash: u64, statement: Weak<Statement>) {
        self.by_hash.borrow_mut().insert(hash, statement);
    }

    fn retire(&self, hash: u64, statement: &Statement) {
        let mut by_hash = self.by_hash.borrow_mut();
        let found = by_hash.get(&hash);
        if found.is_some_and(|found| std::ptr::eq(found.as_ptr(), statement)) {
            by_hash.remove(&hash);
        }
    }

    /// Takes out what nobody holds any more; the successor of a statement that was retired stays. Also gives the list's own room
    /// back, once most of it is unused.
    fn remove(&self, hash: u64) {
        let mut by_hash = self.by_hash.borrow_mut();
        let found = by_hash.get(&hash);
        if found.is_some_and(|found| found.strong_count() > 0) {
            return;
        }
        by_hash.remove(&hash);
        let used = by_hash.len().max(ROOM);
        if used < by_hash.capacity() / 8 {
            by_hash.shrink_to(2 * used);
        }
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.known.remove(self.hash);
    }
}
