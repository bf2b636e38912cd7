//! `run`: from the command line to a sidecar that serves, and from a signal to one that has ended.

mod begin;
mod follow;
mod give_back;

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use thiserror::Error;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, mpsc};

use crate::accept::{ListenError, Listener, Listeners, PeerListenError, SocketFile};
use crate::admin::console::{Console, ConsoleDoor};
use crate::admin::control::ControlSocket;
use crate::admin::port::AdminPort;
use crate::admin::{AdminError, AdminState, Readiness};
use crate::audit::{AuditError, Trail};
use crate::cli::RunArgs;
use crate::force::{Force, ForceError};
use crate::policy::{
    Diagnostic, NotedSecrets, PolicyStore, PolicyWatch, Rejection, RevocationFollower, Timing,
    Trial,
};
use crate::process::Process;
use crate::protocol::websocket::resume::PodAddress;
use crate::secrets::Secrets;
use crate::telemetry::{Metrics, MetricsError};
use crate::upstream::Resolver;
use crate::worker::mailbox::Letter;
use crate::worker::thread::{self, Start};
use begin::{Refused, begin};
use follow::{follow, look_again};

/// Between two looks at whether the last session has ended.
const DRAIN_LOOK: Duration = Duration::from_millis(20);

/// How long the workers may take to end what the grace period has left.
const STOP_LIMIT: Duration = Duration::from_secs(3);

/// Why the sidecar does not start.
#[derive(Debug, Error)]
pub enum RunError {
    /// The policy.
    #[error("the policy cannot be used")]
    Policy(Vec<Diagnostic>),
    /// The list of revocations.
    #[error("the revocations cannot be used")]
    Revocations(Vec<Diagnostic>),
    /// What the policy refers to.
    #[error(transparent)]
    Force(#[from] ForceError),
    /// The audit trail.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// A listener.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The port for other pods.
    #[error(transparent)]
    PeerListen(#[from] PeerListenError),
    /// The admin port or the control socket.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// The metrics.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// The operating system.
    #[error("the operating system refuses: {0}")]
    System(#[from] std::io::Error),
}

/// A sidecar that serves.
struct Running {
    process: Arc<Process>,
    threads: Vec<JoinHandle<()>>,
    /// Removed at the end.
    sockets: Vec<SocketFile>,
}

/// The signals that end it.
struct Ending {
    terminate: Signal,
    interrupt: Signal,
}

/// Runs until SIGTERM or SIGINT has been followed to its end.
///
/// # Errors
/// Why it did not start.
pub async fn run(args: &RunArgs) -> Result<(), RunError> {
    // First: without a handler a signal ends the process, or is lost where the process is the first of its container.
    let reload = signal(SignalKind::hangup())?;
    // A file that may not grow any further is an error of the write to it (RLIMIT_FSIZE).
    let _grown = signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()))?;
    let ending = Ending {
        terminate: signal(SignalKind::terminate())?,
        interrupt: signal(SignalKind::interrupt())?,
    };
    let metrics = Metrics::new()?;
    let noted = NotedSecrets::of(args.secrets.clone());
    let secrets = Arc::new(Secrets::new(args.secrets.clone()));
    let resolver = args.resolver();
    let beginning = begin(args, &secrets, &resolver)?;
    let accepted = beginning.accepted;
    for warning in &accepted.warnings {
        warning.log();
    }
    let (store, copy) = (PolicyStore::new(accepted.clone()), args.accepted_copy());
    let mut watch = PolicyWatch::new(
        args.source(),
        noted,
        Arc::clone(&store),
        Arc::clone(&metrics),
        Timing::default(),
    )
    .with_trial(trial(&secrets, &resolver))
    .with_copy(copy.clone());
    let force = Arc::new(beginning.force);
    let trail = begin_trail(args, &accepted.id, &force, &secrets, &metrics)?;
    watch = watch.recording(Arc::clone(&trail));
    if let Some(refused) = beginning.refused {
        watch = watch.having_seen(refused.mark.clone());
        trail.policy_refused(&refused.diagnostics);
        tell_refused(&store, &metrics, refused);
    }
    // Before anybody is let in.
    let revocations = follow_revocations(args, &force, &metrics, &trail)?;
    let admin = AdminPort::bind(args.admin)?;
    let control = ControlSocket::bind(&args.control.path())?;
    let running = start(args, &metrics, &force, &trail)?;
    let console = open_console(args)?;
    let readiness = Arc::new(Readiness::default());
    let drain = Arc::new(Notify::new());
    let state = AdminState {
        metrics: Arc::clone(&metrics),
        store: Arc::clone(&store),
        revocations: Arc::clone(&running.process.revocations),
        revocation_standing: revocations
            .as_ref()
            .map(RevocationFollower::standing)
            .unwrap_or_default(),
        readiness: Arc::clone(&readiness),
        inventory: Arc::clone(&running.process) as Arc<_>,
        trail: Arc::clone(&trail),
        drain: Arc::clone(&drain),
    };
    let process = Arc::clone(&running.process);
    let watch = watch.with_revocations(revocations.map(|follower| {
        follower.telling(Box::new(move || process.send_all(|| Letter::Revocations)))
    }));
    let admin_address = admin.address();
    let (admin_state, process) = (state.clone(), Arc::clone(&running.process));
    let at_console = Console {
        admin: admin_state,
        process,
    };
    let tasks = [
        tokio::spawn(admin.serve(state.clone())),
        tokio::spawn(control.serve(state)),
        tokio::spawn(console.serve(at_console)),
        tokio::spawn(look_again(reload, watch.nudge())),
        tokio::spawn(watch.run()),
        tokio::spawn(follow(
            store,
            Arc::clone(&running.process),
            force,
            secrets,
            resolver,
        )),
        tokio::spawn(give_back::after_start()),
    ];
    readiness.set_listening();
    tracing::info!(admin = %admin_address, revision = %accepted.id, "serving");
    if let Some(copy) = copy {
        copy.keep(&accepted);
    }
    ending.wait(&running.process, &readiness, &drain).await;
    running.end(args.grace).await;
    for task in tasks {
        task.abort();
    }
    trail.end().await;
    Ok(())
}

/// Begins the audit trail, where the policy has one.
fn begin_trail(
    args: &RunArgs,
    revision: &Arc<str>,
    force: &Force,
    secrets: &Secrets,
    metrics: &Metrics,
) -> Result<Arc<Trail>, AuditError> {
    let trail = Trail::begin(&force.policy, revision, secrets, args.audit_site(), metrics)?;
    Ok(Arc::new(trail))
}

/// Puts the list of revocations in force that is there, where there is to be one.
fn follow_revocations(
    args: &RunArgs,
    force: &Force,
    metrics: &Arc<Metrics>,
    trail: &Arc<Trail>,
) -> Result<Option<RevocationFollower>, RunError> {
    let Some(source) = args.revocation_source() else {
        return Ok(None);
    };
    let revocations = Arc::clone(force.verifier.revocations());
    let (kept, metrics, trail) = (args.kept_list(), Arc::clone(metrics), Arc::clone(trail));
    RevocationFollower::begin(source, kept, revocations, metrics, trail)
        .map(Some)
        .map_err(RunError::Revocations)
}

/// Opens the console. Nobody has asked for it in the control socket's folder, so where it cannot be there the sidecar does without.
fn open_console(args: &RunArgs) -> Result<ConsoleDoor, AdminError> {
    let mut console = ConsoleDoor::default();
    if let Some(folder) = &args.console {
        console.open_socket(folder)?;
    } else {
        let control = args.control.path();
        let opened = console.open_socket(control.parent().unwrap_or(&control));
        if let Err(error) = opened {
            tracing::warn!(%error, "the console has no socket");
        }
    }
    if let (Some(address), Some(token)) = (args.console_listen, &args.console_token) {
        console.open_port(address, token)?;
    }
    Ok(console)
}

/// The policy that was given is refused, and what was accepted before is in force.
fn tell_refused(store: &PolicyStore, metrics: &Metrics, refused: Refused) {
    let revision = store.current();
    tracing::error!(
        revision = %revision.id,
        "policy refused; the copy of the last accepted one is in force"
    );
    refused.diagnostics.iter().for_each(Diagnostic::log);
    metrics.policy_rejections.inc();
    store.reject(Rejection {
        at: SystemTime::now(),
        diagnostics: refused.diagnostics,
    });
}

/// The crypto library's first random number takes some 20 ms of gathering entropy. Where TLS needs one, that is done beside everything else, and
/// not while the first client waits.
fn warm_random_numbers(force: &Force) {
    if !force.uses_tls() {
        return;
    }
    drop(tokio::task::spawn_blocking(|| {
        let mut first = [0; 1];
        // What fails here fails again where it matters, and is told there.
        let _ = aws_lc_rs::rand::fill(&mut first);
    }));
}

/// Opens the listeners and starts the workers.
fn start(
    args: &RunArgs,
    metrics: &Arc<Metrics>,
    force: &Arc<Force>,
    trail: &Arc<Trail>,
) -> Result<Running, RunError> {
    warm_random_numbers(force);
    let mut listeners = Listeners::open(force)?;
    let pod = args.pod();
    if let PodAddress::At(address) = pod {
        listeners.open_peers(address.port())?;
    }
    for listener in &listeners.all {
        let upstream = listener.entries.join(", ");
        tracing::info!(upstream, address = listener.place()?, "listening");
    }
    let (mailboxes, receivers): (Vec<_>, Vec<_>) = (0..args.worker_count())
        .map(|_| mpsc::unbounded_channel())
        .unzip();
    let process = Process::new(Arc::clone(metrics), mailboxes)
        .with_grace(args.grace)
        .recording(Arc::clone(trail))
        .under(force.verifier.revocations())
        .at(pod);
    process.publish_keys(force);
    process.show(force);
    // Before anybody is told that it is ready: every series is there from the first scrape on.
    for database in &force.databases {
        drop(process.upstream_metrics(database));
    }
    for web_socket in &force.web_sockets {
        drop(metrics.socket(&web_socket.name));
    }
    let process = Arc::new(process);
    let mut threads = Vec::new();
    for (index, mailbox) in receivers.into_iter().enumerate() {
        let shared: Result<Vec<_>, _> = listeners.all.iter().map(Listener::share).collect();
        threads.push(thread::start(Start {
            index,
            process: Arc::clone(&process),
            force: Arc::clone(force),
            listeners: shared?,
            mailbox,
        })?);
    }
    Ok(Running {
        process,
        threads,
        sockets: listeners.into_files(),
    })
}

/// A policy that names what is not there is refused like one that is malformed: the last good one stays in force.
fn trial(secrets: &Arc<Secrets>, resolver: &Resolver) -> Box<Trial> {
    let (secrets, resolver) = (Arc::clone(secrets), resolver.clone());
    Box::new(move |revision| {
        let id = Arc::clone(&revision.id);
        Force::build(id, &revision.policy, &secrets, &resolver, None)
            .map(drop)
            .map_err(|error| error.to_string())
    })
}

impl Ending {
    /// Waits for SIGTERM or SIGINT. A drain that is asked for before makes the sidecar unready, and it serves on until the
    /// signal: in a pod, the application that is still ending needs its databases.
    async fn wait(mut self, process: &Process, readiness: &Readiness, drain: &Notify) {
        let unready = async {
            loop {
                drain.notified().await;
                readiness.set_draining();
                process.send_all(|| Letter::Leave);
                tracing::info!("not ready any more: a drain was asked for");
            }
        };
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            () = unready => {}
        }
        readiness.set_draining();
        tracing::info!("draining");
        process.send_all(|| Letter::Drain);
    }
}

impl Running {
    /// Lets sessions end by themselves for the grace period, then ends them.
    async fn end(self, grace: Duration) {
        let drained = async {
            while self.process.sessions() > 0 {
                tokio::time::sleep(DRAIN_LOOK).await;
            }
        };
        if tokio::time::timeout(grace, drained).await.is_err() {
            tracing::warn!("the grace period is over; ending what is left");
        }
        self.process.send_all(|| Letter::Stop);
        let threads = self.threads;
        let joined = tokio::task::spawn_blocking(move || {
            for thread in threads {
                if thread.join().is_err() {
                    tracing::error!("a worker has panicked");
                }
            }
        });
        if tokio::time::timeout(STOP_LIMIT, joined).await.is_err() {
            tracing::warn!("a worker did not end in time");
        }
        drop(self.sockets);
        tracing::info!("ended");
    }
}
