//! What a command that goes to the server does to its connection, and what is owed for it.

use tokio::time::Instant;

use super::super::client::Resp;
use super::super::commands::{Effect, Shape, Subscription, Transaction as Step};
use super::super::plan::Plan;
use super::pending::Due;
use super::{Session, Stays};

impl Session {
    /// A command goes to the server: what it may take is counted from here on, where nothing is owed before it.
    pub(super) fn note_begun(&mut self) {
        if self.pending.is_empty() {
            self.clocks.command = Some(Instant::now());
            self.clocks.silence = None;
        }
    }

    /// A command has gone to the server, or is about to. `total`: how many arguments it has, its name included.
    #[inline]
    pub(super) fn note_passed(&mut self, plan: &Plan, total: usize) {
        self.note_begun();
        if let Some(counted) = &self.counted
            && !self.force.enforces()
        {
            counted.query(self.context.is_some(), None);
        }
        match plan.effect {
            Effect::None | Effect::Script
                if plan.reply == Shape::Plain && !self.transaction.is_queueing() =>
            {
                self.pending.push_pass();
            }
            Effect::Transaction(step) => self.note_step(step),
            Effect::Subscription(change) => self.note_subscription(change, total),
            Effect::Pins => self.note_pin(plan),
            Effect::None | Effect::Script | Effect::Blocking(_) | Effect::Kept(_) => {
                self.note_reply(plan);
            }
        }
    }

    fn note_reply(&mut self, plan: &Plan) {
        let blocking = plan.wait.is_some();
        // Inside of MULTI nothing waits, and what is answered is that it is queued.
        if self.transaction.is_queueing() {
            self.transaction.queue(plan.reply);
            self.pending.push_pass();
        } else if plan.reply != Shape::Plain {
            self.pending.push(Due::Shaped {
                shape: plan.reply,
                blocking,
            });
        } else if blocking {
            self.pending.push(Due::Blocking);
        } else {
            self.pending.push_pass();
        }
    }

    /// The connection stays with the client from now on, unless the server refuses.
    fn note_pin(&mut self, plan: &Plan) {
        let monitors = plan
            .command
            .is_some_and(|command| command.facts.name == "monitor");
        let now = if monitors {
            Stays::Monitor
        } else {
            Stays::State
        };
        let before = self.stays;
        self.stays.get_or_insert(now);
        if self.transaction.is_queueing() {
            self.note_reply(plan);
        } else {
            self.pending.push(Due::Pin { before, now });
        }
    }

    fn note_step(&mut self, step: Step) {
        if self.clocks.transaction.is_none() {
            self.clocks.transaction = Some(Instant::now());
        }
        let due = match step {
            Step::Multi => {
                self.transaction.begin();
                Due::Pass
            }
            Step::Watch => {
                self.transaction.watch();
                Due::Pass
            }
            Step::Unwatch => {
                self.transaction.unwatch();
                Due::Pass
            }
            Step::Discard => {
                self.transaction.discard();
                Due::Pass
            }
            Step::Exec => {
                let (shapes, selected) = self.transaction.execute();
                Due::Exec(selected, shapes)
            }
        };
        if !self.transaction.is_open() {
            self.clocks.transaction = None;
        }
        self.pending.push(due);
    }

    /// A subscriber keeps its connection. In RESP3 confirmations and messages are pushes, and no replies; in RESP2 they are told from
    /// replies by what they look like, from the first SUBSCRIBE on.
    fn note_subscription(&mut self, change: Subscription, total: usize) {
        let listens = self.stays == Some(Stays::Subscriber);
        if change.begins {
            self.stays = Some(Stays::Subscriber);
        }
        match self.choices.resp {
            Resp::Three => {}
            Resp::Two if change.begins => self.pending.push(Due::Listens),
            Resp::Two if listens => {}
            // Confirmations of nothing: one a name, or one alone.
            Resp::Two => {
                for _ in 0..total.saturating_sub(1).max(1) {
                    self.pending.push(Due::Shaped {
                        shape: Shape::Messages,
                        blocking: false,
                    });
                }
            }
        }
    }
}
