//! A worker's thread: its runtime, and the letters that it answers.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::{Builder, LocalOptions};
use tokio::task::spawn_local;
use tokio::time::Instant;

use super::mailbox::{Letter, Receiver};
use super::{Entry, Signal, Worker};
use crate::accept::{self, Listener};
use crate::factory::janitor;
use crate::force::Force;
use crate::process::Process;
use crate::protocol::clickhouse;
use crate::protocol::postgres::session;
use crate::protocol::redis;
use crate::protocol::websocket::SocketEntry;

/// Between two looks at whether the last session has said its farewell.
const LAST_LOOK: Duration = Duration::from_millis(5);

/// How long connections may still take to come home after the last session: the server is told to end what nobody waits for.
/// Within the time that the process gives its workers for their end.
const ERRANDS_LIMIT: Duration = Duration::from_secs(2);

/// What a worker starts with.
#[derive(Debug)]
pub struct Start {
    /// Which one.
    pub index: usize,
    /// What all workers share.
    pub process: Arc<Process>,
    /// The revision in force.
    pub force: Arc<Force>,
    /// The sockets that it accepts from, shared with the other workers.
    pub listeners: Vec<Listener>,
    /// Its mailbox.
    pub mailbox: Receiver,
}

/// Starts a worker on a thread of its own. The thread ends when every session has ended after [`Letter::Stop`], and what they
/// have left on their servers with them.
///
/// # Errors
/// The operating system gives no thread or no runtime.
pub fn start(start: Start) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new()
        .name(format!("worker-{}", start.index))
        .spawn(move || {
            // Whoever else wants the processor goes first: they may be about to send. A worker that then finds several sockets
            // ready has slept less often, and nobody had to wake it. Costs a system call only where nothing is left to do.
            let built = Builder::new_current_thread()
                .on_thread_park(std::thread::yield_now)
                .enable_all()
                .build_local(LocalOptions::default());
            match built {
                Ok(runtime) => runtime.block_on(run(start)),
                Err(error) => tracing::error!(%error, "a worker has no runtime"),
            }
        })
}

async fn run(start: Start) {
    let Start {
        index,
        process,
        force,
        listeners,
        mut mailbox,
    } = start;
    let worker = Rc::new(Worker::new(index, process));
    for database in &force.databases {
        let entry = Entry::new(
            Arc::clone(database),
            worker.process.limiter(database),
            worker.process.breaker(database),
            worker.process.steering(&database.name),
            worker.process.upstream_metrics(database),
        );
        let trail = worker.process.trail_of(database);
        worker.add_entry(Rc::new(entry.recording(trail)));
    }
    for web_socket in &force.web_sockets {
        let metrics = worker.process.metrics.socket(&web_socket.name);
        let entry = SocketEntry::new(Arc::clone(web_socket), metrics);
        let trail = worker.process.trail_of_socket(web_socket);
        worker.add_socket_entry(Rc::new(entry.recording(trail)));
    }
    for listener in listeners {
        spawn_local(accept::serve(Rc::clone(&worker), listener));
    }
    spawn_local(janitor::run(Rc::clone(&worker)));
    while let Some(letter) = mailbox.recv().await {
        if answer(&worker, letter).is_break() {
            break;
        }
    }
    while worker.sessions() > 0 {
        tokio::time::sleep(LAST_LOOK).await;
    }
    let limit = Instant::now() + ERRANDS_LIMIT;
    while !worker.errands.are_done() && Instant::now() < limit {
        tokio::time::sleep(LAST_LOOK).await;
    }
    worker.end_factories();
}

fn answer(worker: &Rc<Worker>, letter: Letter) -> std::ops::ControlFlow<()> {
    match letter {
        Letter::Client(mut admitted) => {
            if let Err(error) = admitted.login.stream.settle_here() {
                // It is served all the same; the worker that accepted it goes on hearing of it first.
                tracing::debug!(%error, "a client's socket could not be moved");
            }
            spawn_local(session::serve(Rc::clone(worker), admitted));
        }
        Letter::Query(asked) => {
            spawn_local(clickhouse::serve(Rc::clone(worker), asked));
        }
        Letter::Redis(mut admitted) => {
            if let Err(error) = admitted.stream.settle_here() {
                tracing::debug!(%error, "a client's socket could not be moved");
            }
            spawn_local(redis::serve(Rc::clone(worker), admitted));
        }
        Letter::Moving(moving) => {
            spawn_local(session::go_on(Rc::clone(worker), moving));
        }
        Letter::Whereabouts { slot, now } => worker.note_whereabouts(slot, now),
        Letter::Gone(slot) => worker.forget_place(slot),
        Letter::Cancel(key, canceller) => worker.cancel(&key, canceller),
        Letter::CancelAt {
            slot,
            key,
            canceller,
        } => worker.cancel_guest(slot, &key, canceller),
        Letter::Seat { entry, user, reply } => {
            // Whoever asked has gone: the seat is given back when the answer is dropped.
            drop(reply.send(worker.keep_seat(&entry, user)));
        }
        Letter::SeatGivenBack {
            entry,
            user,
            socket,
            number,
        } => worker.give_seat_back(&entry, &user, socket.as_deref(), number),
        Letter::Renew {
            entry,
            fresh,
            reply,
        } => drop(reply.send(worker.renew_sockets(&entry, &fresh))),
        Letter::Socket(upgraded) => worker.take_socket_over(upgraded),
        // Whoever asked has gone: the session is kept a moment for nothing.
        Letter::Claim { claim, reply } => drop(reply.send(worker.claim(&claim))),
        Letter::Returned(returned) => worker.take_returned(returned),
        Letter::Force(force) => worker.take_over(&force),
        Letter::Revocations => worker.enforce_revocations(),
        Letter::Reclaim(reclaim) => worker.answer_reclaim(reclaim),
        Letter::Users(reply) => drop(reply.send(worker.user_rows())),
        Letter::Look(look) => look.answer(worker),
        // Whoever asked has gone: it is done all the same.
        Letter::Order(ordered) => drop(ordered.reply.send(worker.obey(&ordered.order))),
        Letter::Leave => worker.leave(),
        Letter::Drain => {
            worker.leave();
            worker.draining.send_replace(true);
            worker.signal_all(Signal::Drain);
        }
        Letter::Stop => {
            worker.draining.send_replace(true);
            worker.stopping.set(true);
            worker.signal_all(Signal::Stop);
            return std::ops::ControlFlow::Break(());
        }
    }
    std::ops::ControlFlow::Continue(())
}
