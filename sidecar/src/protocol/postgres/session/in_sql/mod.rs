//! Clients that say in SQL who they work for: pools that keep their connections and switch users on them.
//!
//! ```text
//! client's message → judge ─ names a user ──→ switch ─→ this worker's factory, or a move to the user's worker
//!                          ─ known by heart → answer
//!                          ─ work ──────────→ checkout, with the BEGIN that the server has not heard
//!                          ─ of nobody ─────→ 28000
//! ```
//!
//! Such a client is *nobody* when it logs in, and whenever what it has said is over. Nobody holds no server connection, and what it may
//! run is a list ([`bootstrap`]). BEGIN is answered here and sent ahead of the first statement that needs a server, so that a user who
//! is named behind it, as drivers do that open transactions by themselves, is named between transactions. Whatever
//! comes behind a message for the server waits for its answer: a switch can never overtake it.

mod answer;
mod bootstrap;
mod extended;
mod judge;
mod local;
mod moving;
mod naming;
mod portals;
mod refusal;
mod switch;

use std::rc::Rc;

use bulkhead_crds::kinds::{Mode, SqlScope, Tier};

use super::super::codec::{FrontendTag, HEADER_LENGTH, Header};
use super::super::message::{self, TransactionStatus};
use super::baseline::Settings;
use super::client::Step;
use super::statements::Change;
use super::{Ending, Session};
use crate::factory::key::Owner;
use crate::force::DatabaseForce;
use judge::Verdict;
pub use moving::Moving;
pub(super) use moving::{arrive, depart};
use naming::Switch;
use portals::Portals;

/// What a session keeps whose client may say in SQL who it works for.
#[derive(Debug)]
pub struct InSql {
    /// The application's own setting that names the user, in lower case.
    setting: Option<Box<str>>,
    /// Whether nobody may do nothing, or is served as `unattributed`.
    strict: bool,
    who: Who,
    /// The text of a BEGIN that has been acknowledged and that no server has heard.
    begun: Option<Box<[u8]>>,
    /// The client's baseline as nobody, while it is somebody: what that user sets is theirs.
    baseline: Rc<Settings>,
    portals: Portals,
    /// The switch that is being made.
    switch: Option<Box<Switch>>,
    /// SETs of nobody's inside of a transaction: baseline if it is committed.
    pending: Vec<Change>,
    /// Whether the transaction that has just ended was rolled back.
    rolled_back: bool,
    /// Whether the client has said RESET ALL or DISCARD ALL.
    reset: bool,
    /// Whether anything has been run since the user was named: what is only prepared is no transaction of theirs.
    worked: bool,
    /// Whether its work as nobody has been counted.
    counted: bool,
}

/// Who the client works for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    /// Nobody has been named, or that is over.
    Nobody,
    /// The user of the session's context.
    User {
        /// How long that lasts.
        lasts: SqlScope,
        /// Whether it was said in the transaction that is open: a rollback takes it back.
        fresh: bool,
    },
}

impl InSql {
    /// What a session of this policy keeps; none where users cannot be named in SQL. `identified`: the login has named one.
    #[must_use]
    pub fn new(
        force: &DatabaseForce,
        identified: bool,
        baseline: &Rc<Settings>,
    ) -> Option<Box<Self>> {
        force.in_sql()?;
        let who = if identified {
            Who::User {
                lasts: SqlScope::Connection,
                fresh: false,
            }
        } else {
            Who::Nobody
        };
        Some(Box::new(Self {
            setting: force
                .naming_setting()
                .map(|setting| setting.to_ascii_lowercase().into()),
            strict: force.policy.mode == Mode::Enforce && force.tier() != Tier::Shared,
            who,
            begun: None,
            baseline: Rc::clone(baseline),
            portals: Portals::default(),
            switch: None,
            pending: Vec::new(),
            rolled_back: false,
            reset: false,
            worked: false,
            counted: false,
        }))
    }

    /// Whose factory serves nobody.
    #[must_use]
    pub const fn nobody(strict: bool) -> Owner {
        if strict {
            Owner::Bootstrap
        } else {
            Owner::Unattributed
        }
    }

    fn is_nobody(&self) -> bool {
        self.who == Who::Nobody
    }

    /// Whether what was said ends with the transaction that has just ended.
    fn ends_with_transaction(&self) -> bool {
        match self.who {
            Who::Nobody => false,
            Who::User { lasts, fresh } => {
                lasts == SqlScope::Transaction || self.reset || (fresh && self.rolled_back)
            }
        }
    }
}

impl Session {
    /// Whether the client has named nobody, and must before it works: it holds no server connection beyond a transaction then.
    pub(super) fn is_unidentified(&self) -> bool {
        let in_sql = self.in_sql.as_deref();
        in_sql.is_some_and(|in_sql| in_sql.strict && in_sql.is_nobody())
    }

    /// Deals with one message of a client that may name its users in SQL.
    pub(super) fn in_sql_message(
        &mut self,
        tag: FrontendTag,
        header: Header,
    ) -> Result<Step, Ending> {
        use FrontendTag as T;
        let skipping = self
            .server
            .as_ref()
            .is_some_and(|owned| owned.server.backend.replies.is_skipping());
        if skipping || tag == T::Authentication {
            return self.pass(tag, header);
        }
        match tag {
            T::Query | T::Parse if header.message_length() > self.inbox.len() => {
                Ok(self.wait_for_text(tag, header))
            }
            T::Query => self.query_in_sql(header),
            T::Parse => self.parse_in_sql(header),
            T::Bind => self.bind_in_sql(header),
            T::Describe => self.describe_in_sql(header),
            T::Execute => self.execute_in_sql(header),
            T::Close => self.close_in_sql(header),
            T::Sync if self.is_free() => {
                self.discard(header);
                self.sync_locally();
                Ok(Step::Done)
            }
            T::FunctionCall if self.is_refused(b"") => {
                let error = self.nobody_error();
                Ok(self.complain(header, error, true))
            }
            _ => self.pass(tag, header),
        }
    }

    /// A text is judged whole: one longer than a user's memory is refused.
    fn wait_for_text(&mut self, tag: FrontendTag, header: Header) -> Step {
        let total = header.message_length();
        if total > self.statement_limit() {
            let error = self.text_too_long();
            return self.complain(header, error, tag == FrontendTag::Query);
        }
        self.inbox.reserve(total);
        Step::Wait
    }

    fn query_in_sql(&mut self, header: Header) -> Result<Step, Ending> {
        match self.judge(self.query_text(header)) {
            Verdict::Names(_) if !self.is_free() => {
                let error = self.in_transaction_error();
                Ok(self.complain(header, error, true))
            }
            Verdict::Names(naming) => {
                self.discard(header);
                Ok(self.name_user(naming, None, naming::Reply::Query))
            }
            Verdict::Answered(statements) => {
                self.discard(header);
                self.answer_query(statements);
                Ok(Step::Done)
            }
            Verdict::Work => self.pass(FrontendTag::Query, header),
            Verdict::Refused(error) => Ok(self.complain(header, error, true)),
        }
    }

    /// Whether no server has anything of the client's under way: a user may be named.
    fn is_free(&self) -> bool {
        self.server.as_ref().is_none_or(|owned| {
            let backend = &owned.server.backend;
            backend.status == TransactionStatus::Idle && backend.replies.is_settled()
        })
    }

    /// Gives a message to the server, behind the BEGIN that it has not heard; or asks for one.
    fn pass(&mut self, tag: FrontendTag, header: Header) -> Result<Step, Ending> {
        use FrontendTag as T;
        self.count_nobody();
        if let Some(in_sql) = self.in_sql.as_deref_mut() {
            in_sql.worked |= matches!(tag, T::Query | T::Execute | T::FunctionCall);
        }
        self.send_begun();
        let step = self.client_message(tag, header)?;
        if step == Step::Done && matches!(tag, T::Query | T::Sync | T::FunctionCall) {
            self.hold.until_answered();
        }
        Ok(step)
    }

    /// In mode Audit nobody is served, and counted once; the inventory counts the connection by its first work.
    fn count_nobody(&mut self) {
        let Some(in_sql) = self.in_sql.as_deref_mut() else {
            return;
        };
        if in_sql.strict || self.server.is_none() {
            return;
        }
        let is_nobody = in_sql.is_nobody();
        if is_nobody && !std::mem::replace(&mut in_sql.counted, true) {
            let protocol = self.force.settings.protocol;
            self.worker.process.metrics.unattributed(protocol);
        }
        self.count_connection();
    }

    /// Sends the BEGIN that has been acknowledged, ahead of the first message that needs it.
    pub(super) fn send_begun(&mut self) {
        let Some(in_sql) = self.in_sql.as_deref_mut() else {
            return;
        };
        let Some(owned) = &mut self.server else {
            return;
        };
        let Some(text) = in_sql.begun.take() else {
            return;
        };
        let query = message::Query { text: &text };
        if query.write(owned.server.outbox.writer()).is_ok() {
            owned
                .server
                .backend
                .replies
                .push(super::replies::Expect::Own);
            owned.server.backend.statements.set_unnamed(None);
        }
    }

    /// The body of a message that has arrived whole.
    fn arrived_body(&self, header: Header) -> Option<&[u8]> {
        self.inbox
            .bytes()
            .get(HEADER_LENGTH..header.message_length())
    }
}
