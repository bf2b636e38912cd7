//! Messages that are read on their way: whether text is text, and which events it carries, where the policy says so. What passes is not
//! changed, and nothing is kept but the beginning of a message that comes in parts.

use std::sync::Arc;

use super::super::codec::{Header, Opcode, Payload, Utf8, Violation};
use super::super::events::{CriticalEvents, SCANNED_BYTES, Verdict};

/// What is read of one side's messages.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// The text under way, where it is checked; none in other messages, and where nothing is checked.
    text: Option<Utf8>,
    /// `validateUtf8`.
    checks_text: bool,
    /// Looks for events, where there are any.
    scan: Option<Box<Scan>>,
}

/// Looks at the message under way.
#[derive(Debug)]
pub(super) struct Scan {
    events: Arc<CriticalEvents>,
    /// The beginning of a text message that came in parts.
    head: Vec<u8>,
    /// What the message under way is, once that is known.
    verdict: Option<Verdict>,
    /// The run that the last event has named, where anybody wants to know; empty where it has named none.
    run_id: Option<String>,
}

impl Reading {
    /// Reads what the policy asks for.
    pub(super) const fn new(checks_text: bool) -> Self {
        Self {
            text: None,
            checks_text,
            scan: None,
        }
    }

    /// Looks for these events as well; there may be none.
    pub(super) fn looking_for(mut self, events: &Arc<CriticalEvents>) -> Self {
        if !events.is_empty() {
            self.scan = Some(Box::new(Scan::new(Arc::clone(events))));
        }
        self
    }

    /// Reads which run an event belongs to as well.
    pub(super) fn naming_runs(mut self) -> Self {
        if let Some(scan) = &mut self.scan {
            scan.run_id = Some(String::new());
        }
        self
    }

    /// The run that the last event has named; empty where it has named none.
    pub(super) fn run_id(&self) -> &str {
        let id = self.scan.as_ref().and_then(|scan| scan.run_id.as_deref());
        id.unwrap_or_default()
    }

    /// The events that are looked for.
    pub(super) fn events(&self) -> Option<&CriticalEvents> {
        self.scan.as_ref().map(|scan| &*scan.events)
    }

    /// Reads the next bytes of a message: `bytes` are those of the step, header included. Where they end it, says what it was, if anybody
    /// wants to know.
    ///
    /// # Errors
    /// They cannot stand there.
    #[inline]
    pub(super) fn read(
        &mut self,
        header: Option<&Header>,
        payload: Payload,
        bytes: &[u8],
        ends: bool,
    ) -> Result<Option<Verdict>, Violation> {
        if self.checks_text {
            self.check(header, payload, bytes, ends)?;
        }
        let Some(scan) = &mut self.scan else {
            return Ok(None);
        };
        scan.read(header, payload, bytes, ends);
        Ok(if ends { scan.verdict.take() } else { None })
    }

    fn check(
        &mut self,
        header: Option<&Header>,
        payload: Payload,
        bytes: &[u8],
        ends: bool,
    ) -> Result<(), Violation> {
        match header.map(|header| header.opcode) {
            Some(Opcode::Text) => self.text = Some(Utf8::default()),
            Some(Opcode::Binary) => self.text = None,
            _ => {}
        }
        let Some(text) = &mut self.text else {
            return Ok(());
        };
        let bytes = bytes.get(payload.start..).unwrap_or_default();
        match payload.mask {
            Some(mask) => text.check_masked(bytes, mask)?,
            None => text.check(bytes)?,
        }
        if ends { text.end() } else { Ok(()) }
    }
}

impl Scan {
    /// Looks for events in the application's messages, which have no masks.
    pub(super) const fn new(events: Arc<CriticalEvents>) -> Self {
        Self {
            events,
            head: Vec::new(),
            verdict: None,
            run_id: None,
        }
    }

    /// Looks at the next bytes of a message, and says what it is once that is known, which is at its end at the latest.
    pub(super) fn read(
        &mut self,
        header: Option<&Header>,
        payload: Payload,
        bytes: &[u8],
        ends: bool,
    ) -> Option<Verdict> {
        let bytes = bytes.get(payload.start..).unwrap_or_default();
        match header.map(|header| header.opcode) {
            Some(Opcode::Binary) => self.verdict = Some(self.events.binary()),
            Some(Opcode::Text) if ends => {
                // The most frequent case: it is there as a whole.
                let verdict = self.events.text(bytes, true);
                self.decide(verdict, bytes);
            }
            Some(Opcode::Text) => {
                self.verdict = None;
                self.head.clear();
                self.go_on(bytes, ends);
            }
            _ if self.verdict.is_none() => self.go_on(bytes, ends),
            _ => {}
        }
        self.verdict
    }

    fn go_on(&mut self, bytes: &[u8], ends: bool) {
        // One more than is looked at tells a message of just that length from a longer one.
        let room = (SCANNED_BYTES + 1).saturating_sub(self.head.len());
        self.head
            .extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        if ends || self.head.len() > SCANNED_BYTES {
            let head = std::mem::take(&mut self.head);
            let verdict = self.events.text(&head, ends);
            self.decide(verdict, &head);
            self.head = head;
            self.head.clear();
        }
    }

    fn decide(&mut self, verdict: Verdict, text: &[u8]) {
        self.verdict = Some(verdict);
        if let (Verdict::Event(_), Some(run_id)) = (verdict, &mut self.run_id) {
            run_id.clear();
            let id = CriticalEvents::run_id(text).unwrap_or_default();
            run_id.push_str(&String::from_utf8_lossy(id));
        }
    }
}
