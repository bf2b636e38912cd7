//! How many of the client's messages the application has been given.

use std::collections::VecDeque;

/// Counts a client's messages, and which of them have been written whole to the application.
#[derive(Debug, Default)]
pub struct Written {
    /// Messages that will be written, as long as the application lives.
    accepted: u64,
    /// Bytes that have been written to the application.
    bytes: u64,
    /// Where each message that has not been written whole ends, counted as they are.
    ends: VecDeque<u64>,
    /// Messages behind these that were written anew, and go with the sidecar's own frames.
    rewritten: u64,
}

impl Written {
    /// A message ends with the last of `cleared` bytes that have not been written.
    pub fn accept(&mut self, cleared: usize) {
        self.accepted += 1;
        self.ends.push_back(self.bytes + cleared as u64);
    }

    /// A message was written anew, behind all that were accepted before.
    pub const fn accept_rewritten(&mut self) {
        self.accepted += 1;
        self.rewritten += 1;
    }

    /// So many bytes have been written.
    pub fn wrote(&mut self, count: usize) {
        self.bytes += count as u64;
        while self.ends.front().is_some_and(|end| *end <= self.bytes) {
            self.ends.pop_front();
        }
    }

    /// All frames of the sidecar's own have been written, which go when nothing else waits.
    pub const fn wrote_own(&mut self) {
        self.rewritten = 0;
    }

    /// Messages that will have been written, if the application lives.
    #[must_use]
    pub const fn accepted(&self) -> u64 {
        self.accepted
    }

    /// Messages that have been written whole.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.accepted - self.ends.len() as u64 - self.rewritten
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_counts_when_its_last_byte_has_gone() {
        let mut written = Written::default();
        written.accept(10);
        written.accept(25);
        assert_eq!((written.accepted(), written.written()), (2, 0));
        written.wrote(9);
        assert_eq!(written.written(), 0);
        written.wrote(1);
        assert_eq!(written.written(), 1);
        // The next one is cleared behind what is left of the second.
        written.accept(15 + 5);
        written.wrote(20);
        assert_eq!((written.accepted(), written.written()), (3, 3));
    }

    #[test]
    fn what_was_written_anew_counts_with_the_frames_that_it_goes_with() {
        let mut written = Written::default();
        written.accept(4);
        written.accept_rewritten();
        written.wrote(4);
        assert_eq!(written.written(), 1);
        written.wrote_own();
        assert_eq!((written.accepted(), written.written()), (2, 2));
    }
}
