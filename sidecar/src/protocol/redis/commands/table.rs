//! The table: facts and treatments joined by name, and found by what a client wrote.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::facts::{Facts, takes};
use super::newer::{NEWER, WIDER};
use super::server::SERVER;
use super::treatment::{self, Treatment};

/// A command or subcommand, and what becomes of it.
#[derive(Debug)]
pub struct Command {
    /// What a server says of it.
    pub facts: Facts,
    /// What Bulkhead does with it.
    pub treatment: Treatment,
    /// Whether it may change data.
    pub writes: bool,
    /// Whether its subcommands are commands of their own.
    container: bool,
    /// Other than [`Facts::arity`], for a server that came after it.
    wider: Option<i16>,
    name: &'static [u8],
    sub: Option<&'static [u8]>,
}

/// Longer names are of no command.
const LONGEST: usize = 24;
/// Four times as many as there are commands, and a power of two.
const SLOTS: usize = 2048;

/// Commands by the hash of their names: in the slot of the hash, or in the next that is free behind it.
struct Table {
    commands: Vec<Command>,
    slots: Vec<u16>,
}

/// A slot that holds nothing.
const FREE: u16 = u16::MAX;

static TABLE: LazyLock<Table> = LazyLock::new(Table::new);

/// What a name stands for, in whatever case; where the command has subcommands, `sub` is the argument behind it, and none of its
/// own without one that is known stands for the command alone. None for what Bulkhead does not know.
#[inline]
#[must_use]
pub fn find(name: &[u8], sub: Option<&[u8]>) -> Option<&'static Command> {
    let table = &*TABLE;
    let command = table.find(name, None)?;
    if !command.container {
        return Some(command);
    }
    match sub {
        Some(sub) => table.find(name, Some(sub)).or(Some(command)),
        None => Some(command),
    }
}

/// Every command, those of the server by name and then the newer ones.
#[must_use]
pub fn all() -> &'static [Command] {
    &TABLE.commands
}

impl Command {
    /// Whether its subcommands are commands of their own. With more arguments than its name, such a command has a subcommand that nobody
    /// knows.
    #[must_use]
    pub const fn is_container(&self) -> bool {
        self.container
    }

    /// Whether it may have so many arguments, its name included: on the server that its facts are of, or on a newer one.
    #[must_use]
    pub fn takes(&self, arguments: usize) -> bool {
        self.facts.takes(arguments) || self.wider.is_some_and(|arity| takes(arity, arguments))
    }

    /// How many arguments stand before the first one that is not a name: 1, or 2 for a subcommand.
    #[must_use]
    pub const fn names(&self) -> usize {
        if self.sub.is_some() { 2 } else { 1 }
    }
}

/// There is one of each name.
impl PartialEq for Command {
    fn eq(&self, other: &Self) -> bool {
        self.facts.name == other.facts.name
    }
}

impl Eq for Command {}

impl Table {
    fn new() -> Self {
        let treatments: HashMap<&str, Treatment> = treatment::rows()
            .flat_map(|(names, treatment)| names.iter().map(|name| (*name, *treatment)))
            .collect();
        let facts: Vec<Facts> = SERVER.iter().chain(NEWER).copied().collect();
        let mut table = Self {
            commands: facts
                .iter()
                .filter_map(|each| Some(Command::new(each, *treatments.get(each.name)?, &facts)))
                .collect(),
            slots: vec![FREE; SLOTS],
        };
        for index in 0..table.commands.len() {
            let command = &table.commands[index];
            let mut slot = hash(command.name, command.sub);
            while table.slots[slot % SLOTS] != FREE {
                slot += 1;
            }
            // There are some hundred commands.
            table.slots[slot % SLOTS] = index as u16;
        }
        table
    }

    #[inline]
    fn find(&self, name: &[u8], sub: Option<&[u8]>) -> Option<&Command> {
        let long = |text: &[u8]| text.len() > LONGEST;
        if name.is_empty() || long(name) || sub.is_some_and(long) {
            return None;
        }
        let mut slot = hash(name, sub);
        loop {
            let index = *self.slots.get(slot % SLOTS)?;
            if index == FREE {
                return None;
            }
            let command = self.commands.get(usize::from(index))?;
            if command.is_called(name, sub) {
                return Some(command);
            }
            slot += 1;
        }
    }
}

impl Command {
    fn new(facts: &Facts, treatment: Treatment, all: &[Facts]) -> Self {
        let (name, sub) = facts.names();
        let container = sub.is_none()
            && all
                .iter()
                .any(|other| matches!(other.names(), (of, Some(_)) if of == name));
        Self {
            facts: *facts,
            treatment,
            writes: facts.has_flag("write"),
            container,
            wider: WIDER
                .iter()
                .find(|(name, _)| *name == facts.name)
                .map(|(_, arity)| *arity),
            name: name.as_bytes(),
            sub: sub.map(str::as_bytes),
        }
    }

    #[inline]
    fn is_called(&self, name: &[u8], sub: Option<&[u8]>) -> bool {
        self.name.eq_ignore_ascii_case(name)
            && match (self.sub, sub) {
                (None, None) => true,
                (Some(ours), Some(theirs)) => ours.eq_ignore_ascii_case(theirs),
                _ => false,
            }
    }
}

/// A hash of names of [`LONGEST`] bytes and less, the same in any case.
#[inline]
fn hash(name: &[u8], sub: Option<&[u8]>) -> usize {
    let mut hash = hash_word(0, name);
    if let Some(sub) = sub {
        hash = hash_word(hash, sub);
    }
    (hash ^ (hash >> 32)) as usize
}

#[inline]
fn hash_word(seed: u64, word: &[u8]) -> u64 {
    // The case of letters is one bit.
    const SMALL: u64 = 0x2020_2020_2020_2020;
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    let (front, back) = ends(word);
    let mixed = (seed ^ (front | SMALL)).wrapping_mul(ODD).rotate_left(29);
    (mixed ^ (back | SMALL) ^ word.len() as u64).wrapping_mul(ODD)
}

/// The first and the last bytes of a word, up to eight of each, which overlap where it is short.
#[inline]
fn ends(word: &[u8]) -> (u64, u64) {
    if let (Some(front), Some(back)) = (word.first_chunk::<8>(), word.last_chunk::<8>()) {
        return (u64::from_le_bytes(*front), u64::from_le_bytes(*back));
    }
    if let (Some(front), Some(back)) = (word.first_chunk::<4>(), word.last_chunk::<4>()) {
        let number = |bytes| u64::from(u32::from_le_bytes(bytes));
        return (number(*front), number(*back));
    }
    let each = |bytes: u64, byte: &u8| bytes << 8 | u64::from(*byte);
    (word.iter().fold(0, each), 0)
}

#[cfg(test)]
mod tests;
