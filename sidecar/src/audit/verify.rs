//! Whether lines are a chain: each holds its own hash and that of the line before, and none is missing. Pure.
//!
//! What this can show: that nothing was changed, taken out, put in or moved between the first record and the last that are looked at. What
//! it cannot show by itself: that the last record is the last that there was, and, where the chain has no key, that nobody has made the
//! whole of it anew. A record that somebody has noted elsewhere, by its number and hash, shows both ([`Verifier::expecting`]).

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::Deserialize;
use thiserror::Error;

use super::chain::{Key, Link, Seal, split};
use super::record::{BEGINNING, Torn, VERSION};
use super::tail::torn;

/// A record by its number and its hash, as `SEQUENCE:HASH`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// Its number.
    pub sequence: u64,
    /// Its hash.
    pub hash: Link,
}

/// What is wrong with a line, or with the end.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Fault {
    /// It is no record, and nobody tells of it.
    #[error("it is no record: damaged, or written by somebody else")]
    NoRecord,
    /// Its bytes have another hash.
    #[error(
        "record {0} has another hash than it says: it was changed, or sealed under another key"
    )]
    Changed(u64),
    /// A record of a form that this program does not know.
    #[error("record {sequence} has form {version}, and this program knows {VERSION}")]
    Form {
        /// Its number.
        sequence: u64,
        /// The form.
        version: u64,
    },
    /// The chain is sealed under a key that was not given.
    #[error("record {sequence} is sealed under key {key}: give it with --key")]
    UnknownKey {
        /// Its number.
        sequence: u64,
        /// The key's id.
        key: String,
    },
    /// A key was given, and the record has a hash that anybody can make.
    #[error("record {0} is sealed under no key: whoever can write the file could have made it")]
    Unkeyed(u64),
    /// The first record is not the chain's first.
    #[error(
        "the first record is number {0}: what was before it is not here; verify from a known record on with --after"
    )]
    NoBeginning(u64),
    /// Records are missing.
    #[error("records {from} to {to} are missing before it")]
    Gap {
        /// The first.
        from: u64,
        /// The last.
        to: u64,
    },
    /// Records are there, and not in their order.
    #[error("record {0} stands further down: lines were moved")]
    Moved(u64),
    /// A record that has been there already.
    #[error("record {0} has been there already: lines were repeated or moved")]
    Again(u64),
    /// It goes on from another record than the one that is there.
    #[error("record {0} follows another record than the one before it: that was made anew")]
    Unlinked(u64),
    /// Another chain begins.
    #[error(
        "another chain begins: {0}; a trail that could not be continued, or one that was put in the place of another"
    )]
    OtherChain(String),
    /// The last line is not whole.
    #[error(
        "the end is torn: {0} bytes behind the last whole record; the writer was interrupted, or is writing"
    )]
    TornEnd(u64),
    /// The anchor is not the record that is there.
    #[error("record {0} is not the one that was noted: the chain was made anew")]
    OtherRecord(u64),
    /// The anchor is not there.
    #[error("record {0}, which was noted, is not here: the end or the beginning was cut off")]
    NotThere(u64),
    /// There is nothing.
    #[error("there is no record")]
    Nothing,
}

/// A chain that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Its name.
    pub chain: String,
    /// The number of the first record that was verified.
    pub first: u64,
    /// The last record: to be noted elsewhere.
    pub head: Anchor,
    /// When the last record was made, as it says.
    pub until: String,
    /// Records that could not be taken, as the trail says.
    pub dropped: u64,
    /// Lines that are none of the trail's.
    pub passed_over: u64,
    /// The id of the key; none: hashes without a key.
    pub key: Option<String>,
}

/// Verifies lines, one after the other.
#[derive(Debug)]
pub struct Verifier {
    keys: Vec<Arc<Key>>,
    after: Option<Anchor>,
    expected: Vec<Anchor>,
    only: Option<String>,
    mixed: bool,
    state: Option<Standing>,
    /// Lines that are no records, since the last one that is.
    loose: Vec<u8>,
    loose_at: Option<u64>,
    is_loose: bool,
    passed_over: u64,
    line: u64,
    fault: Option<(u64, Fault)>,
}

/// Where the chain stands.
#[derive(Debug)]
struct Standing {
    chain: String,
    first: u64,
    head: Anchor,
    seal: Seal,
    until: String,
    dropped: u64,
}

#[derive(Debug, Deserialize)]
struct Record {
    #[serde(rename = "bulkheadAudit")]
    version: u64,
    sequence: u64,
    time: String,
    chain: String,
    event: String,
    previous: String,
    #[serde(default)]
    key: Option<String>,
    #[serde(default)]
    torn: Option<Torn>,
    #[serde(default)]
    count: u64,
}

impl Verifier {
    /// One that takes chains without a key, or under one of these: then no other.
    #[must_use]
    pub fn new(keys: Vec<Key>) -> Self {
        Self {
            keys: keys.into_iter().map(Arc::new).collect(),
            after: None,
            expected: Vec::new(),
            only: None,
            mixed: false,
            state: None,
            loose: Vec::new(),
            loose_at: None,
            is_loose: false,
            passed_over: 0,
            line: 0,
            fault: None,
        }
    }

    /// What was before this record is known: it and everything before it is passed over.
    #[must_use]
    pub fn after(self, after: Option<Anchor>) -> Self {
        Self { after, ..self }
    }

    /// These records must be there.
    #[must_use]
    pub fn expecting(self, expected: Vec<Anchor>) -> Self {
        Self { expected, ..self }
    }

    /// Other chains are passed over.
    #[must_use]
    pub fn only(self, only: Option<String>) -> Self {
        Self { only, ..self }
    }

    /// Lines that do not begin as records do are a log's, and passed over.
    #[must_use]
    pub fn mixed(self, mixed: bool) -> Self {
        Self { mixed, ..self }
    }

    /// Takes the next line, without its line end. `is_whole`: that was there. After a fault, lines are looked at only to say more of it.
    pub fn take(&mut self, line: &[u8], is_whole: bool) {
        self.line += 1;
        let Some(record) = self.read(line, is_whole) else {
            return;
        };
        if self.only.as_ref().is_some_and(|only| *only != record.chain) {
            self.passed_over += 1;
            return;
        }
        if self.fault.is_some() {
            self.say_more(&record);
        } else if let Err(fault) = self.judge(line, &record) {
            self.fault = Some((self.line, fault));
        }
    }

    /// The line and what is wrong there; the last line where it is the end.
    ///
    /// # Errors
    /// The first fault.
    pub fn finish(mut self) -> Result<Report, (u64, Fault)> {
        if let Some(fault) = self.fault.take() {
            return Err(fault);
        }
        if let Some(at) = self.loose_at {
            let bytes = self.loose.len() as u64;
            return Err((
                at,
                if self.is_loose {
                    Fault::NoRecord
                } else {
                    Fault::TornEnd(bytes)
                },
            ));
        }
        if let Some(missing) = self.expected.first() {
            return Err((self.line, Fault::NotThere(missing.sequence)));
        }
        let Some(state) = self.state else {
            return Err((self.line, Fault::Nothing));
        };
        Ok(Report {
            chain: state.chain,
            first: state.first,
            head: state.head,
            until: state.until,
            dropped: state.dropped,
            passed_over: self.passed_over,
            key: state.seal.key_id().map(str::to_owned),
        })
    }

    /// The record that a line is; one that is none is remembered, or passed over.
    fn read(&mut self, line: &[u8], is_whole: bool) -> Option<Record> {
        if self.mixed && !line.starts_with(BEGINNING) {
            self.passed_over += 1;
            return None;
        }
        let read = split(line).and_then(|_| serde_json::from_slice::<Record>(line).ok());
        let record = read.filter(|_| is_whole && line.starts_with(BEGINNING));
        if record.is_none() && self.fault.is_none() {
            if self.loose_at.is_some() {
                self.loose.push(b'\n');
            }
            self.loose_at.get_or_insert(self.line);
            self.loose.extend_from_slice(line);
            self.is_loose = is_whole;
        }
        record
    }

    /// A record further down says whether what is missing was only moved.
    fn say_more(&mut self, record: &Record) {
        if let Some((_, fault)) = &mut self.fault
            && let Fault::Gap { from, .. } = *fault
            && record.sequence == from
        {
            *fault = Fault::Moved(from);
        }
    }

    fn judge(&mut self, line: &[u8], record: &Record) -> Result<(), Fault> {
        let sequence = record.sequence;
        let (bytes, hash) = split(line).ok_or(Fault::NoRecord)?;
        if let Some(after) = self.after
            && self.state.is_none()
        {
            if sequence < after.sequence {
                return Ok(());
            }
            if sequence == after.sequence {
                return (hash == after.hash)
                    .then_some(())
                    .ok_or(Fault::OtherRecord(sequence));
            }
        }
        self.settle_loose(record)?;
        if record.version != u64::from(VERSION) {
            let version = record.version;
            return Err(Fault::Form { sequence, version });
        }
        let seal = self.seal_of(record, bytes, &hash)?;
        self.follow(record)?;
        self.meet(sequence, &hash)?;
        let dropped = if record.event == "records_dropped" {
            record.count
        } else {
            0
        };
        let head = Anchor { sequence, hash };
        let state = self.state.get_or_insert_with(|| Standing {
            chain: record.chain.clone(),
            first: sequence,
            head,
            seal: Seal::Hash,
            until: String::new(),
            dropped: 0,
        });
        state.head = head;
        state.seal = seal;
        state.until.clone_from(&record.time);
        state.dropped += dropped;
        Ok(())
    }

    /// What is no record stands where a record says so: an interrupted writer's last bytes, before the one that went on.
    fn settle_loose(&mut self, record: &Record) -> Result<(), Fault> {
        if self.loose_at.is_none() {
            return match (&record.torn, self.state.is_some()) {
                // What it tells of has been taken out.
                (Some(_), true) => Err(Fault::NoRecord),
                _ => Ok(()),
            };
        }
        if record.torn.as_ref() != Some(&torn(&self.loose)) {
            return Err(Fault::NoRecord);
        }
        self.loose.clear();
        self.loose_at = None;
        Ok(())
    }

    /// What the record is sealed with, if it holds. A sidecar that begins names its key; the others go on with it.
    fn seal_of(&self, record: &Record, bytes: &[u8], hash: &Link) -> Result<Seal, Fault> {
        let sequence = record.sequence;
        let begins = record.event == "trail_began";
        let named = |id: &str| self.keys.iter().find(|key| key.id() == id);
        let seal = match (&self.state, begins, &record.key) {
            (_, true, Some(id)) => match named(id) {
                Some(key) => Seal::Keyed(Arc::clone(key)),
                None => {
                    let key = id.chars().take(16).collect();
                    return Err(Fault::UnknownKey { sequence, key });
                }
            },
            (_, true, None) => Seal::Hash,
            (Some(state), false, _) => state.seal.clone(),
            // Verified from here on: whichever key it is.
            (None, false, _) => {
                let mut keyed = self.keys.iter().map(|key| Seal::Keyed(Arc::clone(key)));
                keyed
                    .find(|seal| seal.holds(bytes, hash))
                    .unwrap_or(Seal::Hash)
            }
        };
        if !seal.holds(bytes, hash) {
            return Err(Fault::Changed(sequence));
        }
        if seal.key_id().is_none() && !self.keys.is_empty() {
            return Err(Fault::Unkeyed(sequence));
        }
        Ok(seal)
    }

    /// Whether the record is the next one.
    fn follow(&self, record: &Record) -> Result<(), Fault> {
        let (sequence, previous) = (record.sequence, Link::parse(&record.previous));
        let before = match &self.state {
            Some(state) if state.chain != record.chain => {
                let chain = record.chain.chars().take(32).collect();
                return Err(Fault::OtherChain(chain));
            }
            Some(state) => state.head,
            None => self.after.unwrap_or(Anchor {
                sequence: 0,
                hash: Link::NONE,
            }),
        };
        let expected = before.sequence + 1;
        if sequence > expected {
            return Err(match &self.state {
                None if self.after.is_none() => Fault::NoBeginning(sequence),
                _ => Fault::Gap {
                    from: expected,
                    to: sequence - 1,
                },
            });
        }
        if sequence < expected {
            return Err(Fault::Again(sequence));
        }
        if previous != Some(before.hash) {
            return Err(Fault::Unlinked(sequence));
        }
        Ok(())
    }

    /// A record that was noted is met.
    fn meet(&mut self, sequence: u64, hash: &Link) -> Result<(), Fault> {
        let noted = self
            .expected
            .iter()
            .find(|anchor| anchor.sequence == sequence);
        if noted.is_some_and(|anchor| anchor.hash != *hash) {
            return Err(Fault::OtherRecord(sequence));
        }
        self.expected.retain(|anchor| anchor.sequence != sequence);
        Ok(())
    }
}

impl FromStr for Anchor {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts = text.split_once(':').and_then(|(sequence, hash)| {
            Some(Self {
                sequence: sequence.parse().ok()?,
                hash: Link::parse(hash)?,
            })
        });
        parts.ok_or_else(|| {
            "write SEQUENCE:HASH, as `audit verify` prints it: a number and 64 hexadecimal digits".to_owned()
        })
    }
}

impl fmt::Display for Anchor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.sequence, self.hash)
    }
}

#[cfg(test)]
mod tests;
