//! The conversations: messages, and the types of what must come back for them.

mod copies;
mod requests;
mod sessions;
mod statements;

use bulkhead_tests::wire::{Wire, send};

use super::answer;

/// What a client says, and hears, to show one feature.
pub(super) struct Conversation {
    /// Its row in the table.
    pub(super) feature: &'static str,
    turns: Vec<Turn>,
}

/// Messages, sent at once; the types of the answers; and words that must stand in them.
struct Turn(Vec<Vec<u8>>, &'static str, &'static str);

impl Conversation {
    /// Says everything, and holds every answer to what it must be; what is wrong with the first that is not.
    pub(super) async fn carry_on(&self, wire: &mut Wire) -> Result<(), String> {
        for (number, Turn(messages, tags, words)) in self.turns.iter().enumerate() {
            wire.send(messages.concat()).await;
            let said = answer(wire, tags.len()).await;
            if said.tags() != *tags || !format!("{said:?}").contains(words) {
                return Err(format!("turn {number}, {tags} {words}: {said:?}"));
            }
        }
        Ok(())
    }
}

/// A query of the simple protocol.
fn ask(sql: &str, tags: &'static str, words: &'static str) -> Turn {
    Turn(vec![send::query(sql)], tags, words)
}

/// Messages of the extended protocol.
fn say<const N: usize>(messages: [Vec<u8>; N], tags: &'static str, words: &'static str) -> Turn {
    Turn(messages.into(), tags, words)
}

fn row(feature: &'static str, turns: Vec<Turn>) -> Conversation {
    Conversation { feature, turns }
}

/// All of them, in the order of the table.
pub(super) fn conversations() -> Vec<Conversation> {
    [
        requests::queries(),
        requests::batches(),
        statements::statements(),
        copies::copies(),
        sessions::transactions(),
        sessions::settings(),
        sessions::states(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
