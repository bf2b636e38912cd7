//! The server's side: its replies, one after the other, each to where it belongs. Never waits.

use tokio::time::Instant;

use super::super::codec::ReplyStep;
use super::super::commands::Shape;
use super::super::listening::{self, Heard};
use super::super::prefix::Unprefixer;
use super::pending::Due;
use super::{Ending, Flow, Session, Stays};
use crate::telemetry::ErrorClass;

/// How the reply under way is dealt with.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// What it is; none between two replies.
    under_way: Option<Manner>,
    /// Whether it answers nothing: a push, or what a subscriber is told.
    unasked: bool,
    /// Whether it is an error.
    failed: bool,
    /// Whether it is a null.
    nothing: bool,
    /// Whether subscriptions are told of in RESP2, where only their look tells them from replies.
    listens: bool,
}

/// Where a reply goes.
#[derive(Debug)]
enum Manner {
    /// To the client, as it is.
    Passes,
    /// Nowhere.
    Dropped,
    /// To the client, without the user's prefix.
    Unprefixed(Box<Unprefixer>),
}

impl Reading {
    /// Whether the client has been given a part of a reply, or may have.
    pub(super) const fn is_inside(&self) -> bool {
        matches!(self.under_way, Some(Manner::Passes | Manner::Unprefixed(_)))
    }
}

/// What the server has said that cannot be.
type Broken = String;

impl Session {
    /// Deals with what the server has sent.
    ///
    /// # Errors
    /// The session's end.
    pub(super) fn server_bytes(&mut self) -> Result<Flow, Ending> {
        if let Err(broken) = self.read_replies() {
            return self.server_lost(&broken);
        }
        let may_go_on = self.crowded && !self.pending.is_crowded();
        if may_go_on || (self.waits.is_some() && self.pending.is_empty()) {
            return self.client_bytes();
        }
        self.note_silence();
        self.release_if_settled();
        Ok(Flow::Continue)
    }

    fn read_replies(&mut self) -> Result<(), Broken> {
        let now = Instant::now();
        // Bytes in front that go to the client as they are: they are moved at once.
        let mut run = 0;
        loop {
            self.say_what_is_next(&mut run);
            if self.reading.under_way.is_none() && !self.begin_reply(run)? {
                break;
            }
            match self.go_on(&mut run)? {
                None => break,
                Some(true) => self.end_reply(&mut run, now),
                Some(false) => {}
            }
        }
        self.pass_run(&mut run);
        self.make_room_for_reply();
        Ok(())
    }

    /// Looks at what the next reply is, and where it goes. False where there is none, or not enough of it.
    fn begin_reply(&mut self, run: usize) -> Result<bool, Broken> {
        let Some(owned) = &self.server else {
            return Ok(false);
        };
        let unread = owned.server.inbox.bytes().get(run..).unwrap_or_default();
        let Some(first) = unread.first() else {
            return Ok(false);
        };
        let heard = match (self.reading.listens, first) {
            (_, b'>') => Heard::Subscription,
            (true, _) => listening::hear(unread),
            (false, _) => Heard::Reply,
        };
        self.reading.failed = matches!(first, b'-' | b'!');
        self.reading.nothing = is_null(unread);
        self.reading.unasked = heard != Heard::Reply || *first == b'|';
        let manner = match heard {
            Heard::More => return Ok(false),
            Heard::End => {
                self.reading.listens = false;
                self.unprefixed(Shape::Messages)
            }
            Heard::Subscription => self.unprefixed(Shape::Messages),
            Heard::Reply if self.reading.unasked => Manner::Passes,
            Heard::Reply => self.manner_of_next()?,
        };
        self.reading.under_way = Some(manner);
        Ok(true)
    }

    fn unprefixed(&self, shape: Shape) -> Manner {
        if self.isolation.is_some() && shape != Shape::Plain {
            Manner::Unprefixed(Box::new(Unprefixer::new(shape)))
        } else {
            Manner::Passes
        }
    }

    /// Where the reply goes that the next command waits for.
    fn manner_of_next(&mut self) -> Result<Manner, Broken> {
        let failed = self.reading.failed;
        Ok(match self.pending.head_mut() {
            None if self.stays == Some(Stays::Monitor) => {
                self.reading.unasked = true;
                Manner::Passes
            }
            None => return Err("the server has answered what nobody has asked".to_owned()),
            Some(Due::Own) if failed => {
                return Err("the server refuses what makes its connection the client's".to_owned());
            }
            Some(Due::Own | Due::Instead(_)) => Manner::Dropped,
            Some(Due::Shaped { shape, .. }) => {
                let shape = *shape;
                self.unprefixed(shape)
            }
            Some(Due::Exec(_, shapes)) if self.isolation.is_some() => {
                let shapes = std::mem::take(shapes);
                Manner::Unprefixed(Box::new(Unprefixer::exec(shapes)))
            }
            Some(_) => Manner::Passes,
        })
    }

    /// Goes on with the reply under way: whether it has ended; none where more of it must come.
    fn go_on(&mut self, run: &mut usize) -> Result<Option<bool>, Broken> {
        if matches!(self.reading.under_way, Some(Manner::Unprefixed(_))) {
            self.pass_run(run);
        }
        let (Some(owned), Some(manner)) = (&mut self.server, &mut self.reading.under_way) else {
            return Ok(None);
        };
        let server = &mut *owned.server;
        let unread = server.inbox.bytes().get(*run..).unwrap_or_default();
        if let (Manner::Unprefixed(unprefixer), Some(isolation)) = (&mut *manner, &self.isolation) {
            let out = self.outbox.writer();
            let step = unprefixer.step(&isolation.prefix, unread, out);
            let step = step.map_err(|error| error.to_string())?;
            server.inbox.consume(step.consumed);
            return Ok((step.consumed > 0).then_some(step.ends));
        }
        let step = server.far.walker.step(unread);
        let ReplyStep::Data { len, ends, .. } = step.map_err(|error| error.to_string())? else {
            return Ok(None);
        };
        if matches!(manner, Manner::Dropped) {
            self.pass_run(run);
            if let Some(owned) = &mut self.server {
                owned.server.inbox.consume(len);
            }
        } else {
            *run += len;
        }
        Ok(Some(ends))
    }

    /// A reply has ended.
    fn end_reply(&mut self, run: &mut usize, now: Instant) {
        self.reading.under_way = None;
        if std::mem::take(&mut self.reading.unasked) {
            return;
        }
        if self.reading.failed {
            self.factory.activity.count_error();
            self.entry.metrics.error(ErrorClass::Other);
        }
        let done = !self.reading.failed && !self.reading.nothing;
        match self.pending.pop() {
            Some(Due::Instead(bytes)) => {
                self.pass_run(run);
                self.outbox.push(&bytes);
            }
            Some(Due::Select(database) | Due::Exec(Some(database), _)) if done => {
                self.choices.database = Some(database);
                if let Some(owned) = &mut self.server {
                    owned.server.far.database = database;
                }
            }
            Some(Due::Pin { before, .. }) if self.reading.failed => self.stays = before,
            Some(Due::Pin { before, now }) => self.stays = before.or(Some(now)),
            Some(Due::Hello(resp)) if done => {
                self.choices.resp = resp;
                if let Some(owned) = &mut self.server {
                    owned.server.far.resp = resp;
                }
            }
            _ => {}
        }
        if let Some(began) = self.clocks.command {
            let took = now.saturating_duration_since(began).as_secs_f64();
            self.entry.metrics.query_seconds.observe(took);
        }
        self.clocks.command = (!self.pending.is_empty()).then_some(now);
    }

    /// Says what stands at the front of the queue and needs no reply.
    fn say_what_is_next(&mut self, run: &mut usize) {
        if self.reading.under_way.is_some() {
            return;
        }
        while let Some(Due::Said(_) | Due::Listens) = self.pending.head_mut() {
            self.pass_run(run);
            match self.pending.pop() {
                Some(Due::Said(bytes)) => self.outbox.push(&bytes),
                Some(Due::Listens) => self.reading.listens = true,
                _ => {}
            }
        }
    }

    /// Moves what goes to the client as it is.
    fn pass_run(&mut self, run: &mut usize) {
        if *run == 0 {
            return;
        }
        if let Some(owned) = &mut self.server {
            let bytes = owned.server.inbox.bytes().get(..*run).unwrap_or_default();
            self.outbox.push(bytes);
            owned.server.inbox.consume(*run);
        }
        *run = 0;
    }

    /// Room for more where what is there cannot be told yet.
    fn make_room_for_reply(&mut self) {
        if let Some(owned) = &mut self.server {
            let there = owned.server.inbox.len();
            if there > 0 {
                owned.server.inbox.reserve(there + 1);
            }
        }
    }

    /// Everything has been answered inside a transaction: from here on it is the client who takes its time.
    fn note_silence(&mut self) {
        if self.pending.is_empty() && self.transaction.is_open() && self.clocks.silence.is_none() {
            self.clocks.silence = Some(Instant::now());
        }
    }
}

/// A null: what EXEC answers where nothing was executed.
fn is_null(reply: &[u8]) -> bool {
    reply.starts_with(b"*-1") || reply.starts_with(b"_") || reply.starts_with(b"$-1")
}
