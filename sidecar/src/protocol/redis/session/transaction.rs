//! A client's transaction: `WATCH`, `MULTI`, and what became of one that the sidecar has ended. Pure.
//!
//! Source: Redis, "Transactions".

use super::super::commands::Shape;

/// Where a client stands.
#[derive(Debug, Default)]
pub(super) struct Transaction {
    /// Whether keys are watched.
    watches: bool,
    /// Whether commands are queued (`MULTI`); what their replies look like.
    queued: Option<Vec<Shape>>,
    /// The database that was selected last inside of it.
    selected: Option<u32>,
    /// Why it has been ended, which the client has not been told.
    aborted: Option<Box<str>>,
}

/// What a command of a client comes to whose transaction the sidecar has ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Aftermath {
    /// An error line.
    Error(String),
    /// `OK`: it is over.
    Over,
}

impl Transaction {
    /// Whether the server connection must stay.
    pub(super) const fn is_open(&self) -> bool {
        self.watches || self.queued.is_some()
    }

    /// Whether commands are queued.
    pub(super) const fn is_queueing(&self) -> bool {
        self.queued.is_some()
    }

    /// `MULTI` has been sent.
    pub(super) fn begin(&mut self) {
        self.queued.get_or_insert_default();
    }

    /// `WATCH` has been sent.
    pub(super) const fn watch(&mut self) {
        // Inside MULTI it is an error, and the server says so.
        if self.queued.is_none() {
            self.watches = true;
        }
    }

    /// `UNWATCH` has been sent.
    pub(super) const fn unwatch(&mut self) {
        if self.queued.is_none() {
            self.watches = false;
        }
    }

    /// A command has been sent that is queued, and whose reply looks like this.
    pub(super) fn queue(&mut self, shape: Shape) {
        if let Some(queued) = &mut self.queued {
            queued.push(shape);
        }
    }

    /// `SELECT` has been sent, and is queued.
    pub(super) const fn select(&mut self, database: u32) {
        self.selected = Some(database);
    }

    /// `EXEC` has been sent: what the replies of what was queued look like, and the database that is selected where it is executed.
    pub(super) fn execute(&mut self) -> (Vec<Shape>, Option<u32>) {
        let Some(queued) = self.queued.take() else {
            // EXEC without MULTI is an error, and leaves what is watched.
            return (Vec::new(), None);
        };
        self.watches = false;
        (queued, self.selected.take())
    }

    /// `DISCARD` has been sent.
    pub(super) fn discard(&mut self) {
        if self.queued.take().is_some() {
            self.watches = false;
            self.selected = None;
        }
    }

    /// The sidecar has ended it: the client learns why.
    pub(super) fn abort(&mut self, why: &str) {
        if self.is_open() {
            self.aborted = Some(why.into());
        }
        self.watches = false;
        self.selected = None;
    }

    /// Whether the client has still to be told why its transaction has ended.
    pub(super) const fn is_aborted(&self) -> bool {
        self.aborted.is_some()
    }

    /// What this command of the client's comes to, whose transaction has been ended: an error until the client ends it too.
    pub(super) fn after(&mut self, command: &[u8]) -> Aftermath {
        let why = self.aborted.take().unwrap_or_default();
        let queueing = self.queued.is_some();
        if command.eq_ignore_ascii_case(b"EXEC") {
            self.queued = None;
            return Aftermath::Error(format!("EXECABORT Transaction discarded: {why}"));
        }
        if command.eq_ignore_ascii_case(b"DISCARD") || command.eq_ignore_ascii_case(b"UNWATCH") {
            self.queued = None;
            return Aftermath::Over;
        }
        let line = format!("ERR {why}");
        // Whoever only watched is told once: there is nothing that they would end.
        if queueing {
            self.aborted = Some(why);
        }
        Aftermath::Error(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_is_open_from_watch_or_multi_to_its_end() {
        let mut it = Transaction::default();
        it.watch();
        assert!(it.is_open() && !it.is_queueing());
        it.begin();
        it.queue(Shape::Keys);
        it.queue(Shape::Plain);
        it.select(3);
        assert!(it.is_queueing());
        assert_eq!(it.execute(), (vec![Shape::Keys, Shape::Plain], Some(3)));
        assert!(!it.is_open());
        it.begin();
        it.discard();
        assert!(!it.is_open());
        it.watch();
        it.unwatch();
        assert!(!it.is_open());
    }

    #[test]
    fn what_the_server_refuses_changes_nothing() {
        let mut it = Transaction::default();
        it.watch();
        assert_eq!(it.execute(), (vec![], None));
        it.discard();
        assert!(it.is_open(), "EXEC and DISCARD without MULTI are errors");
        it.begin();
        it.unwatch();
        assert!(it.is_queueing(), "UNWATCH inside MULTI is queued");
    }

    #[test]
    fn a_transaction_that_was_ended_is_told_of_until_its_client_ends_it() {
        let mut it = Transaction::default();
        it.begin();
        it.abort("too slow");
        for _ in 0..2 {
            assert!(it.is_aborted());
            assert_eq!(it.after(b"GET"), Aftermath::Error("ERR too slow".into()));
        }
        let end = it.after(b"exec");
        assert_eq!(
            end,
            Aftermath::Error("EXECABORT Transaction discarded: too slow".into())
        );
        assert!(!it.is_aborted() && !it.is_open());
        it.begin();
        it.abort("too slow");
        assert_eq!(it.after(b"DISCARD"), Aftermath::Over);
        assert!(!it.is_aborted() && !it.is_open());
    }

    #[test]
    fn whoever_only_watched_is_told_once() {
        let mut it = Transaction::default();
        it.watch();
        it.abort("too slow");
        assert_eq!(it.after(b"GET"), Aftermath::Error("ERR too slow".into()));
        assert!(!it.is_aborted() && !it.is_open());
        it.abort("nothing is open");
        assert!(!it.is_aborted());
    }
}
