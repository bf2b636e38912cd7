//! Which answers the server owes, in order.
//!
//! The server answers messages strictly in the order in which they were sent. For each message that is forwarded, and for
//! each that the sidecar adds or answers by itself, one [`Expect`] stands in the queue; what the server says is held against
//! its front. That is how an added `Parse` is swallowed, an answer of our own comes at the right place in a pipeline, and
//! `ReadyForQuery` in mid-batch is not taken for the end. Pure: no I/O, no clock.
//!
//! Source: PostgreSQL documentation, "Message Flow", "Extended Query" and "Pipelining".

use std::collections::VecDeque;
use std::rc::Rc;

use super::super::codec::BackendTag;
use super::super::error_response::ErrorResponse;
use super::statements::Statement;

/// One message whose answer is outstanding.
#[derive(Debug)]
pub enum Expect {
    /// `Parse` of a statement; `hidden` if the client has not sent it now.
    Parse {
        /// The statement, to be forgotten if the server refuses it; none where the sidecar does not follow it.
        statement: Option<Rc<Statement>>,
        /// The client's name for it, where it has one and has sent this `Parse` itself.
        name: Option<Rc<[u8]>>,
        /// Whether the answer is swallowed.
        hidden: bool,
    },
    /// `Bind`.
    Bind,
    /// `Describe` of a statement.
    DescribeStatement,
    /// `Describe` of a portal.
    DescribePortal,
    /// `Execute`; with the statement whose portal it runs, where known.
    Execute(Option<Rc<Statement>>),
    /// `Close` of the client's.
    Close,
    /// `Close` of the sidecar's own, whose answer is swallowed: the statement of this number makes room for another.
    Evict(u64),
    /// `Sync`.
    Sync,
    /// A simple query; with what is to be remembered if it succeeds.
    Query(Option<Rc<Statement>>),
    /// A function call.
    FunctionCall,
    /// The client has ended a COPY that may not have been announced yet.
    CopyEnd,
    /// A message that is sure to fail, put in place of one that the sidecar refuses; its error is replaced by this body.
    Refusal(Box<ErrorResponse>),
    /// A simple query, or a `Sync`, of the sidecar's own: everything up to its `ReadyForQuery` is swallowed.
    Own,
    /// Nothing from the server: an answer of the sidecar's own.
    Answer(Answer),
}

/// What the sidecar answers by itself, in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// `ParseComplete`: the server knows the statement already.
    ParseComplete(Option<Forgotten>),
    /// `CloseComplete`: the statement is closed for this client alone.
    CloseComplete(Option<Forgotten>),
    /// `CommandComplete` with the tag `DEALLOCATE`, and `ReadyForQuery`.
    Deallocated(Option<Forgotten>),
}

/// A name that a client has given or taken away: if an error before it in the batch undoes that, so does the sidecar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forgotten {
    /// The client's name for it.
    pub name: Rc<[u8]>,
    /// The statement.
    pub statement: Rc<Statement>,
}

/// What is to be done with a message of the server's.
#[derive(Debug)]
pub enum Step {
    /// Give it to the client; the front stays.
    Forward,
    /// Give it to the client; this is done.
    Finished(Expect),
    /// Keep it from the client; this is done.
    Swallowed(Expect),
    /// Keep it from the client; the front stays.
    Swallow,
    /// Give the client this error instead.
    Replace(Box<ErrorResponse>),
    /// An error that nothing asked for: the server is about to go.
    Unsolicited,
}

/// The server has sent what the protocol does not allow here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfOrder(pub BackendTag);

/// The queue.
#[derive(Debug, Default)]
pub struct Replies {
    queue: VecDeque<Expect>,
    skipping: bool,
    copying_in: bool,
    unsynced: bool,
    /// A `Sync` that came while the server was reading a COPY: it goes out if the COPY fails, and is forgotten if it ends.
    withheld: bool,
    /// Each `Sync` that was on its way when a COPY began: whether the server has ignored it or will answer it is not known
    /// until the COPY has succeeded.
    doubtful: u32,
}

impl Replies {
    /// Adds what has just been sent.
    pub fn push(&mut self, expect: Expect) {
        // The server never hears of a DEALLOCATE that the sidecar answers.
        if !matches!(expect, Expect::Answer(Answer::Deallocated(_))) {
            self.unsynced = !ends_batch(&expect);
        }
        self.queue.push_back(expect);
    }

    /// Adds a `Sync`, unless the server is going to ignore it because it is reading a COPY.
    pub fn push_sync(&mut self) {
        if self.copying_in {
            return;
        }
        self.skipping = false;
        self.push(Expect::Sync);
    }

    /// Adds a `Sync` of the sidecar's own, behind a batch that has failed and whose client does not end it.
    pub fn push_own_sync(&mut self) {
        self.skipping = false;
        self.push(Expect::Own);
    }

    /// The client has sent a `Sync` into a COPY: it is not forwarded, because whether the server ignores or answers it
    /// depends on whether the COPY has failed meanwhile.
    pub fn withhold_sync(&mut self) {
        self.withheld = true;
    }

    /// Whether a withheld `Sync` is due, because the COPY has failed; the caller sends and pushes it.
    pub fn take_due_sync(&mut self) -> bool {
        self.skipping && std::mem::take(&mut self.withheld)
    }

    /// Whether it is not known what the server still owes: such a connection is never reused.
    #[must_use]
    pub const fn is_doubtful(&self) -> bool {
        self.doubtful > 0
    }

    /// The client has sent `CopyDone` or `CopyFail`.
    pub fn push_copy_end(&mut self) {
        if self.copying_in {
            self.withheld = false;
            self.copying_in = false;
        } else if !self.queue.is_empty() {
            self.queue.push_back(Expect::CopyEnd);
        }
    }

    /// Whether nothing is outstanding and no message has been sent since the last `Sync` or query.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.queue.is_empty() && !self.unsynced && !self.skipping && self.doubtful == 0
    }

    /// Whether the server owes an answer.
    #[must_use]
    pub fn is_outstanding(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Whether the server discards everything until the next `Sync`, which has not been sent.
    #[must_use]
    pub const fn is_skipping(&self) -> bool {
        self.skipping
    }

    /// The statement that the front is about, where it was remembered.
    #[must_use]
    pub fn front_statement(&self) -> Option<Rc<Statement>> {
        match self.queue.front() {
            Some(Expect::Query(statement) | Expect::Execute(statement)) => statement.clone(),
            _ => None,
        }
    }

    /// Whether the next answer is to the use of a statement that was prepared before.
    #[must_use]
    pub fn is_use_next(&self) -> bool {
        matches!(
            self.queue.front(),
            Some(Expect::Bind | Expect::DescribeStatement)
        )
    }

    /// Whether the next answer is the client's, and not to a statement of the sidecar's own.
    #[must_use]
    pub fn client_is_next(&self) -> bool {
        !matches!(self.queue.front(), Some(Expect::Own))
    }

    /// Whether the client waits for an answer: statements of the sidecar's own do not count.
    #[must_use]
    pub fn client_waits(&self) -> bool {
        self.queue
            .iter()
            .any(|expect| !matches!(expect, Expect::Own))
    }

    /// Whether work of the client's comes to an end by itself: nothing more of the client's is needed for it.
    #[must_use]
    pub fn owes_an_end(&self) -> bool {
        !self.copying_in && self.abandoned().0 > 0
    }

    /// How many `ReadyForQuery` the client is owed, and whether it has sent more since: what a lost server leaves open.
    #[must_use]
    pub fn abandoned(&self) -> (usize, bool) {
        let ends = |expect: &&Expect| {
            matches!(
                expect,
                Expect::Sync
                    | Expect::Query(_)
                    | Expect::FunctionCall
                    | Expect::Answer(Answer::Deallocated(_))
            )
        };
        (
            self.queue.iter().filter(ends).count(),
            self.unsynced || self.skipping,
        )
    }

    /// Holds a message of the server's against the front.
    ///
    /// `dropped` is given each message that an error has taken with it, the last one first.
    ///
    /// # Errors
    /// A message that cannot come here: the two sides no longer agree on where they are, and the connection must go.
    pub fn step(
        &mut self,
        tag: BackendTag,
        mut dropped: impl FnMut(Expect),
    ) -> Result<Step, OutOfOrder> {
        use BackendTag as T;
        match tag {
            T::NotificationResponse | T::ParameterStatus => return Ok(Step::Forward),
            T::NoticeResponse | T::ErrorResponse
                if matches!(self.queue.front(), Some(Expect::Own)) =>
            {
                return Ok(Step::Swallow);
            }
            T::NoticeResponse => return Ok(Step::Forward),
            T::ErrorResponse => return Ok(self.step_error(&mut dropped)),
            T::CopyInResponse | T::CopyBothResponse => self.enter_copy_in(),
            _ => {}
        }
        if tag == T::CommandComplete {
            self.doubtful = 0;
        }
        let Some(front) = self.queue.front() else {
            return self.step_doubtful(tag);
        };
        if matches!(front, Expect::Own) && tag != T::ReadyForQuery {
            return Ok(Step::Swallow);
        }
        let done = match (front, tag) {
            (Expect::Own, T::ReadyForQuery)
            | (Expect::Parse { .. }, T::ParseComplete)
            | (Expect::Bind, T::BindComplete)
            | (Expect::DescribeStatement | Expect::DescribePortal, T::RowDescription | T::NoData)
            | (
                Expect::Execute(_),
                T::CommandComplete | T::EmptyQueryResponse | T::PortalSuspended,
            )
            | (Expect::Close | Expect::Evict(_), T::CloseComplete)
            | (Expect::Sync | Expect::Query(_) | Expect::FunctionCall, T::ReadyForQuery) => true,
            (Expect::DescribeStatement, T::ParameterDescription)
            | (
                Expect::Execute(_),
                T::DataRow
                | T::CopyInResponse
                | T::CopyOutResponse
                | T::CopyBothResponse
                | T::CopyData
                | T::CopyDone,
            )
            | (
                Expect::Query(_),
                T::RowDescription
                | T::DataRow
                | T::CommandComplete
                | T::EmptyQueryResponse
                | T::CopyInResponse
                | T::CopyOutResponse
                | T::CopyBothResponse
                | T::CopyData
                | T::CopyDone,
            )
            | (Expect::FunctionCall, T::FunctionCallResponse) => false,
            _ => return Err(OutOfOrder(tag)),
        };
        if !done {
            return Ok(Step::Forward);
        }
        let front = self.queue.pop_front();
        self.drop_copy_ends();
        Ok(match front {
            Some(
                hidden @ (Expect::Own | Expect::Parse { hidden: true, .. } | Expect::Evict(_)),
            ) => Step::Swallowed(hidden),
            Some(finished) => {
                if tag == T::ReadyForQuery {
                    self.copying_in = false;
                }
                Step::Finished(finished)
            }
            None => Step::Forward,
        })
    }

    /// With nothing outstanding, only the answer to a `Sync` that a failed COPY has not ignored can come.
    fn step_doubtful(&mut self, tag: BackendTag) -> Result<Step, OutOfOrder> {
        if self.doubtful == 0 || tag != BackendTag::ReadyForQuery {
            return Err(OutOfOrder(tag));
        }
        self.doubtful -= 1;
        self.skipping = false;
        self.unsynced = false;
        Ok(Step::Finished(Expect::Sync))
    }

    /// The next answer of the sidecar's own, if its turn has come.
    pub fn take_answer(&mut self) -> Option<Answer> {
        if !matches!(self.queue.front(), Some(Expect::Answer(_))) {
            return None;
        }
        let taken = self.queue.pop_front();
        self.drop_copy_ends();
        match taken {
            Some(Expect::Answer(answer)) => Some(answer),
            _ => None,
        }
    }

    /// An error ends the batch: everything up to the next `Sync` is never answered. It is dropped from its end to its beginning,
    /// so that each undoes what it has done to what it found.
    fn step_error(&mut self, dropped: &mut impl FnMut(Expect)) -> Step {
        self.copying_in = false;
        let step = match self.queue.front() {
            None => return Step::Unsolicited,
            Some(Expect::Query(_) | Expect::FunctionCall | Expect::Sync) => {
                self.withheld = false;
                return Step::Forward;
            }
            Some(Expect::Refusal(_)) => match self.queue.pop_front() {
                Some(Expect::Refusal(body)) => Step::Replace(body),
                _ => Step::Forward,
            },
            Some(_) => Step::Forward,
        };
        let mut left = self.queue.iter();
        let end = left.position(|expect| matches!(expect, Expect::Sync));
        self.skipping |= end.is_none();
        let end = end.unwrap_or(self.queue.len());
        self.queue.drain(..end).rev().for_each(dropped);
        step
    }

    /// Whether the server reads a COPY whose end has not been sent.
    #[must_use]
    pub const fn is_copying_in(&self) -> bool {
        self.copying_in
    }

    /// While the server reads a COPY it ignores `Sync`: those that were sent before the COPY's end are never answered.
    /// Source: PostgreSQL documentation, "COPY Operations".
    fn enter_copy_in(&mut self) {
        let (mut ended, mut ignored) = (false, false);
        let mut index = 0;
        while index < self.queue.len() {
            match self.queue[index] {
                Expect::CopyEnd => {
                    self.queue.remove(index);
                    ended = true;
                    break;
                }
                Expect::Sync => {
                    self.queue.remove(index);
                    ignored = true;
                    self.doubtful += 1;
                }
                _ => index += 1,
            }
        }
        self.copying_in = !ended;
        if ignored {
            let mut sent = self.queue.iter().rev();
            let last = sent.find(|expect| !matches!(expect, Expect::CopyEnd | Expect::Answer(_)));
            self.unsynced = last.is_some_and(|last| !ends_batch(last));
        }
    }

    /// Forgets everything, because nothing of it will be answered.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// The end of a COPY that was over before is nothing that the server answers.
    fn drop_copy_ends(&mut self) {
        while matches!(self.queue.front(), Some(Expect::CopyEnd)) {
            self.queue.pop_front();
        }
    }
}

/// Whether the server is outside of an extended batch once it has answered this.
const fn ends_batch(expect: &Expect) -> bool {
    matches!(
        expect,
        Expect::Sync | Expect::Query(_) | Expect::FunctionCall | Expect::Own
    )
}

#[cfg(test)]
mod tests;
