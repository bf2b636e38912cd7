//! The one thread that writes: it gives each event its place in the chain, and the lines to the sink.
//!
//! A line is written as soon as the queue gives it; `fdatasync` follows within [`SYNC`]. So a process that is killed loses what was in the
//! queue, a node that loses its power at most what a second has brought, and the chain shows no more than its end. What cannot be written is
//! kept, to the byte, and tried again: the queue fills up meanwhile, and what it does not take is counted.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use prometheus::IntGauge;
use tokio::sync::mpsc::Receiver;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout_at};

use super::chain::{Chain, Seal, hex};
use super::record::{Around, Event, append};
use super::sink::{Sink, Taken};
use super::time::rfc3339;
use crate::telemetry::AuditMetrics;

/// Within which time a record that was written is on the disk.
pub const SYNC: Duration = Duration::from_secs(1);
/// Between two tries to write.
const RETRY: Duration = Duration::from_millis(500);
/// Events that are written together.
const BATCH: usize = 256;

/// What goes through the queue.
#[derive(Debug)]
pub(super) enum Queued {
    /// Something has happened.
    Event(SystemTime, Box<Event>),
    /// A revision is in force from here on.
    Revision(SystemTime, Arc<str>, Box<Event>),
    /// The trail ends; the answer says that it has.
    End(oneshot::Sender<()>),
}

/// What writer and recorders share.
#[derive(Debug)]
pub(super) struct State {
    failing: AtomicBool,
    /// Records that were not taken and that no record tells of yet.
    dropped: AtomicU64,
    metrics: Arc<AuditMetrics>,
    up: IntGauge,
}

/// What the writer is made of.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) queue: Receiver<Queued>,
    pub(super) state: Arc<State>,
    pub(super) sink: Sink,
    pub(super) seal: Seal,
    pub(super) around: Around,
    /// What the first record says; the writer adds what it has found.
    pub(super) first: Option<Event>,
}

/// A writer whose sink is open.
struct Writing {
    writer: Writer,
    chain: Chain,
    /// Lines that are not written yet.
    pending: Vec<u8>,
    /// How many bytes of them are.
    done: usize,
    /// When what was written last must be on the disk.
    sync_by: Option<Instant>,
    end: Option<oneshot::Sender<()>>,
}

impl State {
    pub(super) fn new(metrics: Arc<AuditMetrics>, up: IntGauge) -> Self {
        up.set(1);
        Self {
            failing: AtomicBool::new(false),
            dropped: AtomicU64::new(0),
            metrics,
            up,
        }
    }

    /// Whether the last try to write has failed.
    pub(super) fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }

    /// A record was not taken.
    pub(super) fn drop_one(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
        self.metrics.dropped.inc();
    }

    /// The queue is full. `has_room`: whether it still is.
    pub(super) fn full(&self, has_room: impl FnOnce() -> bool) {
        self.up.set(0);
        // The writer may have emptied it in between, and then has said so for the last time.
        if has_room() && !self.is_failing() {
            self.up.set(1);
        }
    }

    fn failed(&self, error: &io::Error) {
        if !self.failing.swap(true, Ordering::Relaxed) {
            tracing::error!(%error, "the audit trail cannot be written");
        }
        self.up.set(0);
    }

    fn works(&self) {
        if self.failing.swap(false, Ordering::Relaxed) {
            tracing::info!("the audit trail can be written again");
        }
        self.up.set(1);
    }
}

impl Drop for Writer {
    /// A writer that has gone can write no more, however it has gone.
    fn drop(&mut self) {
        self.state.failing.store(true, Ordering::Relaxed);
        self.state.up.set(0);
    }
}

impl Writer {
    /// Writes until the queue ends.
    pub(super) async fn run(mut self) {
        let Some((chain, pending)) = self.open().await else {
            return;
        };
        let mut writing = Writing {
            chain,
            pending,
            done: 0,
            sync_by: None,
            end: None,
            writer: self,
        };
        writing.begin();
        writing.flush().await;
        while writing.end.is_none() && writing.take().await {
            writing.flush().await;
        }
        writing.finish().await;
    }

    /// Opens the sink, however long that takes: the chain, and what must be written before its next record. None where everybody has gone
    /// meanwhile.
    async fn open(&mut self) -> Option<(Chain, Vec<u8>)> {
        loop {
            match self.try_open() {
                Ok(opened) => return Some(opened),
                Err(error) => self.state.failed(&error),
            }
            sleep(RETRY).await;
            if self.queue.is_closed() {
                return None;
            }
        }
    }

    fn try_open(&mut self) -> io::Result<(Chain, Vec<u8>)> {
        let (tail, file) = self.sink.open()?;
        let seal = self.seal.clone();
        if let Some(last) = tail.last {
            if let Some(Event::TrailBegan { torn, .. }) = &mut self.first {
                *torn = tail.torn;
            }
            let line_end = if tail.within_line {
                vec![b'\n']
            } else {
                Vec::new()
            };
            let chain = Chain::going_on(last.chain, last.sequence, last.head, seal);
            return Ok((chain, line_end));
        }
        if tail.torn.is_some() {
            // Nobody could tell there what is damaged from what was never a record.
            self.sink.begin_next()?;
            if let Some(Event::TrailBegan { unreadable, .. }) = &mut self.first {
                *unreadable = file;
            }
        }
        let mut id = [0; 8];
        crate::random::fill(&mut id).map_err(io::Error::other)?;
        Ok((Chain::new(hex(&id), seal), Vec::new()))
    }
}

impl Writing {
    /// The first record.
    fn begin(&mut self) {
        tracing::info!(
            chain = self.chain.id,
            sequence = self.chain.sequence,
            head = %self.chain.head,
            "the audit trail begins behind this record"
        );
        if let Some(first) = self.writer.first.take() {
            self.append(SystemTime::now(), &first);
        }
    }

    fn append(&mut self, at: SystemTime, event: &Event) {
        append(
            &mut self.chain,
            &self.writer.around,
            &rfc3339(at),
            event,
            &mut self.pending,
        );
        self.writer.state.metrics.record(event.label());
    }

    /// Waits for events, and makes lines of them. Whether there is more to come.
    async fn take(&mut self) -> bool {
        let mut batch = Vec::new();
        let queue = &mut self.writer.queue;
        let taken = match self.sync_by {
            None => queue.recv_many(&mut batch, BATCH).await,
            Some(by) => match timeout_at(by, queue.recv_many(&mut batch, BATCH)).await {
                Ok(taken) => taken,
                Err(_) => return true,
            },
        };
        for queued in batch {
            match queued {
                Queued::Event(at, event) => self.append(at, &event),
                Queued::Revision(at, revision, event) => {
                    self.writer.around.revision = revision;
                    self.append(at, &event);
                }
                Queued::End(answer) => self.end = Some(answer),
            }
        }
        let count = self.writer.state.dropped.swap(0, Ordering::Relaxed);
        if count > 0 {
            self.append(SystemTime::now(), &Event::RecordsDropped { count });
        }
        taken > 0
    }

    /// Writes what is pending, and puts on the disk what is due. Gives up when everybody has gone.
    async fn flush(&mut self) {
        loop {
            match self.write_all() {
                Ok(()) => break self.writer.state.works(),
                Err(error) => self.writer.state.failed(&error),
            }
            sleep(RETRY).await;
            if self.end.is_some() || self.writer.queue.is_closed() {
                return;
            }
            match self.writer.sink.recover() {
                Ok(true) => {}
                // Whole lines go to another file.
                Ok(false) => self.done = line_begin(&self.pending, self.done),
                Err(error) => self.writer.state.failed(&error),
            }
        }
    }

    fn write_all(&mut self) -> io::Result<()> {
        while self.done < self.pending.len() {
            let begun = self.done != line_begin(&self.pending, self.done);
            match self.writer.sink.write(&self.pending[self.done..], begun)? {
                Taken::Bytes(0) => return Err(io::ErrorKind::WriteZero.into()),
                Taken::Bytes(count) => {
                    self.done += count;
                    self.sync_by.get_or_insert_with(|| Instant::now() + SYNC);
                }
                Taken::NextFile(removed) => {
                    // Behind what is pending: the chain has its place there.
                    if let Some(removed) = removed {
                        let event = Event::SegmentRemoved {
                            file: removed.file,
                            through: removed.through,
                        };
                        self.append(SystemTime::now(), &event);
                    }
                }
            }
        }
        self.pending.clear();
        self.done = 0;
        if self.sync_by.is_some_and(|by| by <= Instant::now()) {
            self.sync()?;
        }
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.writer.sink.sync()?;
        self.sync_by = None;
        Ok(())
    }

    async fn finish(mut self) {
        self.append(SystemTime::now(), &Event::TrailEnded {});
        self.flush().await;
        if let Err(error) = self.sync() {
            self.writer.state.failed(&error);
        }
        tracing::info!(
            chain = self.chain.id,
            sequence = self.chain.sequence,
            head = %self.chain.head,
            unwritten = self.pending.len(),
            "the audit trail ends with this record"
        );
        if let Some(answer) = self.end.take() {
            // Whoever asked waits no longer.
            let _ = answer.send(());
        }
    }
}

/// Where the line begins that byte `at` is of.
fn line_begin(lines: &[u8], at: usize) -> usize {
    let before = lines[..at].iter().rposition(|byte| *byte == b'\n');
    before.map_or(0, |end| end + 1)
}

#[cfg(test)]
mod tests;
