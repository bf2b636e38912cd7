//! Which messages of the application are events that its policy calls critical (`criticalEvents`). Pure.
//!
//! Only the first [`SCANNED_BYTES`] of a message are looked at, in place and without an allocation: [`json`] goes down the paths that are
//! asked for and passes over everything else, [`socket_io`] reads the head of a packet.

mod json;
mod landmark;
mod socket_io;

use bulkhead_crds::names::CriticalEvent;

use json::Wanted;
pub use landmark::Landmark;

/// As much of a message is looked at.
pub const SCANNED_BYTES: usize = 4096;

/// The longest id of a run that is told from others.
const MOST_RUN_ID: usize = 128;

/// The events of one policy entry, ready to be looked for.
#[derive(Debug, Default)]
pub struct CriticalEvents {
    /// As the policy names them, which is how the metrics do.
    names: Vec<String>,
    wanted: Vec<Wanted>,
    socket_io: Vec<socket_io::Event>,
    /// What each says of its run.
    landmarks: Vec<Landmark>,
}

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The critical event of this number.
    Event(usize),
    /// No critical event.
    Ordinary,
    /// No critical event, but a packet without which socket.io does not go on: a ping, an acknowledgement, a binary attachment.
    Needed,
    /// Not to be decided from as much as is looked at.
    Unscanned,
}

impl CriticalEvents {
    /// The events that `criticalEvents` lists.
    #[must_use]
    pub fn new(list: &[String]) -> Self {
        let mut events = Self {
            names: list.to_vec(),
            ..Self::default()
        };
        let entries: Vec<CriticalEvent> = list
            .iter()
            .map(|entry| CriticalEvent::parse(entry))
            .collect();
        let said: Vec<&str> = entries.iter().map(CriticalEvent::says).collect();
        events.landmarks = landmark::landmarks(&said);
        for (number, entry) in entries.into_iter().enumerate() {
            match entry {
                CriticalEvent::Json { path, value } => events.wanted.push(Wanted {
                    path,
                    value,
                    number,
                }),
                CriticalEvent::SocketIo(name) => {
                    events.socket_io.push(socket_io::Event { name, number })
                }
            }
        }
        events
    }

    /// Whether there is nothing to look for.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The events as the policy names them, each at its number.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// What a text message is, of which `head` is the beginning, or all there is.
    #[must_use]
    pub fn text(&self, head: &[u8], is_whole: bool) -> Verdict {
        let is_whole = is_whole && head.len() <= SCANNED_BYTES;
        let head = head.get(..SCANNED_BYTES).unwrap_or(head);
        if !self.socket_io.is_empty() && head.first().is_some_and(u8::is_ascii_digit) {
            return socket_io::read(head, is_whole, &self.socket_io);
        }
        json::find(head, is_whole, &self.wanted)
    }

    /// What an event says of its run.
    #[must_use]
    pub fn landmark(&self, event: usize) -> Landmark {
        let known = self.landmarks.get(event);
        known.copied().unwrap_or(Landmark::Progress)
    }

    /// The run that a message names at `/run_id`, as it is written there; none where it stands behind what is looked at.
    #[must_use]
    pub fn run_id(head: &[u8]) -> Option<&[u8]> {
        let head = head.get(..SCANNED_BYTES).unwrap_or(head);
        let id = json::member(head, b"run_id")?;
        (id.len() <= MOST_RUN_ID).then_some(id)
    }

    /// What a binary message is.
    #[must_use]
    pub const fn binary(&self) -> Verdict {
        if self.socket_io.is_empty() {
            Verdict::Ordinary
        } else {
            Verdict::Needed
        }
    }
}

#[cfg(test)]
mod tests;
