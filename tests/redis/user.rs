//! One user of several, by whatever way their commands take: through the pure parts of the sidecar, or through all of it.

use bulkhead_sidecar::protocol::redis::codec::{
    Limits, RequestStep, RequestWalker, push_array_header, push_bulk,
};
use bulkhead_sidecar::protocol::redis::commands::{Effect, Shape, Transaction};
use bulkhead_sidecar::protocol::redis::plan::{Decision, Isolation, decide};
use bulkhead_sidecar::protocol::redis::prefix::{KeyPrefix, PrefixTemplate, Unprefixer};
use bulkhead_tests::redis::Connection;

/// The field that refusals name.
pub const SETTING: &str = "databases[cache].session.keyPrefix";

/// How a user's commands reach the server.
pub trait Way {
    /// Sends one command, and gives back the bytes of its reply as the client sees them; none where the sidecar answers by itself and
    /// this way has none.
    fn ask(&mut self, words: &[&[u8]]) -> Option<Vec<u8>>;
}

/// The prefix of a user under the tests' template.
pub fn prefix(user: &str) -> KeyPrefix {
    PrefixTemplate::parse("{user}:").unwrap().prefix(user)
}

/// The pure parts alone, over a connection to the server.
pub struct Pure {
    connection: Connection,
    isolation: Isolation,
    /// What the commands that are queued since MULTI will reply.
    queued: Option<Vec<Shape>>,
}

impl Pure {
    /// A user under a prefix; `per_user` where the connection is that of a Redis user of their own.
    pub fn new(connection: Connection, user: &str, per_user: bool) -> Self {
        Self {
            connection,
            isolation: Isolation {
                prefix: prefix(user),
                per_user,
            },
            queued: None,
        }
    }

    /// Takes the prefix out of the reply to a command of this effect.
    fn unprefixed(&mut self, effect: Effect, shape: Shape, raw: &[u8]) -> Vec<u8> {
        let prefix = &self.isolation.prefix;
        match effect {
            Effect::Transaction(Transaction::Multi) => self.queued = Some(Vec::new()),
            Effect::Transaction(Transaction::Exec) => {
                let queued = self.queued.take().unwrap_or_default();
                return unprefixed(Unprefixer::exec(queued), prefix, raw);
            }
            Effect::Transaction(Transaction::Discard) => self.queued = None,
            _ => {
                if let Some(queued) = &mut self.queued {
                    assert_eq!(raw, b"+QUEUED\r\n");
                    queued.push(shape);
                }
            }
        }
        unprefixed(Unprefixer::new(shape), prefix, raw)
    }
}

impl Way for Pure {
    fn ask(&mut self, words: &[&[u8]]) -> Option<Vec<u8>> {
        let bytes = command(words);
        let mut walker = RequestWalker::new(Limits::SERVER);
        assert_eq!(
            walker.walk(&bytes),
            Ok(RequestStep::Whole { len: bytes.len() })
        );
        let arguments = walker.arguments(&bytes);
        let plan = match decide(&arguments, Some(&self.isolation)) {
            Decision::More => panic!("the command is there whole"),
            Decision::Refused(refusal) => {
                return Some(format!("-{}\r\n", refusal.line(SETTING)).into_bytes());
            }
            Decision::Plan(plan) => plan,
        };
        if matches!(plan.effect, Effect::Kept(_)) {
            return None;
        }
        let mut rewritten = Vec::new();
        plan.write(&arguments, &self.isolation.prefix, &mut rewritten);
        self.connection.try_send(&rewritten).unwrap();
        let raw = self
            .connection
            .try_read()
            .unwrap_or_else(|error| panic!("{:?}: {error}", String::from_utf8_lossy(&bytes)));
        Some(self.unprefixed(plan.effect, plan.reply, &raw))
    }
}

/// A reply as the client sees it.
fn unprefixed(mut unprefixer: Unprefixer, prefix: &KeyPrefix, raw: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let step = unprefixer
        .step(prefix, raw, &mut out)
        .unwrap_or_else(|error| panic!("{error}: {:?}", String::from_utf8_lossy(raw)));
    assert!(step.ends && step.consumed == raw.len());
    out
}

/// A command as it is on the wire.
pub fn command(words: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    push_array_header(&mut bytes, words.len());
    for word in words {
        push_bulk(&mut bytes, word);
    }
    bytes
}
