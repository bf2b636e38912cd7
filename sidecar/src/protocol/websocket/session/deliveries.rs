//! Critical events on their way to the client: an event is delivered when its last byte has been written to the client's socket.

use std::collections::VecDeque;

use super::super::events::Verdict;
use super::Session;
use crate::telemetry::EventOutcome;

/// The events that were cleared for the client, and how much has been written to it.
#[derive(Debug, Default)]
pub(super) struct Deliveries {
    /// Bytes of the application's that have been written to the client.
    written: u64,
    /// Where the message of each event ends, counted as they are.
    waiting: VecDeque<(u64, usize)>,
}

impl Deliveries {
    /// An event stands at the end of `cleared` bytes that have not been written.
    pub(super) fn expect(&mut self, event: usize, cleared: usize) {
        self.waiting
            .push_back((self.written + cleared as u64, event));
    }

    /// So many bytes have been written.
    #[inline]
    pub(super) const fn wrote(&mut self, count: usize) {
        self.written += count as u64;
    }

    /// The next event that has been written whole.
    #[inline]
    pub(super) fn delivered(&mut self) -> Option<usize> {
        let (_, event) = self.waiting.pop_front_if(|(end, _)| *end <= self.written)?;
        Some(event)
    }
}

impl Session {
    /// A message of the application's has been cleared for the client.
    pub(super) fn carries(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Event(event) => {
                self.deliveries.expect(event, self.application.cleared);
                self.follow(event);
            }
            Verdict::Unscanned => self.entry.metrics.unscanned(),
            Verdict::Ordinary | Verdict::Needed => {}
        }
    }

    /// Bytes of the application's have been written to the client.
    #[inline]
    pub(super) fn count_delivered(&mut self) {
        while let Some(event) = self.deliveries.delivered() {
            self.count_event(event, EventOutcome::Delivered);
        }
    }

    /// Counts what has not reached the client as lost: it never will.
    pub(super) fn lose_events(&mut self) {
        while let Some((_, event)) = self.deliveries.waiting.pop_front() {
            self.count_event(event, EventOutcome::Lost);
        }
    }

    /// Counts an event by its name in the policy.
    pub(super) fn count_event(&self, event: usize, outcome: EventOutcome) {
        let names = self.application.reading.events();
        if let Some(name) = names.and_then(|events| events.names().get(event)) {
            self.entry.metrics.critical_event(name, outcome);
        }
    }
}
