//! A client's arrival: until it has said whose work it brings, and moves to the worker of its user.
//!
//! Until then it holds no server connection, and the sidecar itself answers what clients say at the beginning of a connection. A client of
//! nobody's (tier `Shared`, mode `Audit`) is served from its first other command on.

use std::rc::Rc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::task::spawn_local;
use tokio::time::{Instant, timeout, timeout_at};

use super::admission::{self, Admitted, Refusal};
use super::client::Choices;
use super::codec::{Limits, RequestStep, RequestWalker, push_error};
use super::greeting::{self, Answer, Asked, Credentials};
use super::session;
use crate::accept::{PeerUid, lets_in, peer_uid, uid_refused};
use crate::relay::Inbox;
use crate::stream::Stream;
use crate::telemetry::{ConnectionOutcome, TimeoutKind};
use crate::worker::kills::Moment;
use crate::worker::mailbox::Letter;
use crate::worker::{Entry, Worker};

/// How long a client may take from its first byte until it has said who it is. The sidecar's peer is on the same host.
const LOGIN_LIMIT: Duration = Duration::from_secs(10);

/// How long a client may take to read why it is refused.
const FAREWELL_LIMIT: Duration = Duration::from_secs(1);

/// Wrong credentials that one connection may bring.
const MOST_ATTEMPTS: u32 = 10;

/// A client that has not said who it is.
struct Newcomer {
    stream: Stream,
    inbox: Inbox,
    walker: RequestWalker,
    choices: Choices,
    attempts: u32,
    /// Whether it has ever sent a command.
    has_spoken: bool,
}

/// What a newcomer's command leads to.
enum Next {
    /// It is answered, and may say more.
    Stay,
    /// It is admitted. `consumed`: bytes of the command that is answered by that.
    Go(Box<Admitted>),
    /// The connection ends.
    End(ConnectionOutcome),
}

/// Serves a client that has just been accepted.
pub async fn welcome(worker: Rc<Worker>, entries: Rc<[Rc<Entry>]>, stream: Stream) {
    let Some(entry) = entries.first() else {
        return;
    };
    let peer = peer_uid(&stream);
    let deadline = Instant::now() + LOGIN_LIMIT;
    let Some(stream) = encrypt(entry, stream, deadline).await else {
        return;
    };
    if !lets_in(entry, peer) {
        refuse_uid(entry, peer, stream).await;
        return;
    }
    let newcomer = Newcomer::new(&worker, stream, Choices::default());
    newcomer.receive(&worker, entry, deadline).await;
}

/// A client that has given up whom it worked for (`RESET`), or brings somebody else: it begins again.
pub(super) async fn begin_again(
    worker: Rc<Worker>,
    entry: Rc<Entry>,
    stream: Stream,
    unread: Vec<u8>,
    choices: Choices,
) {
    let mut newcomer = Newcomer::new(&worker, stream, choices);
    newcomer.inbox.preload(&unread);
    newcomer.has_spoken = true;
    // It has been here for as long as it liked.
    let deadline = Instant::now() + LOGIN_LIMIT;
    newcomer.receive(&worker, &entry, deadline).await;
}

/// Shakes hands where the listener has a certificate: then it speaks nothing but TLS, as a Redis server's TLS port does.
async fn encrypt(entry: &Entry, stream: Stream, deadline: Instant) -> Option<Stream> {
    let certificate = entry.force_now().tls.clone();
    let (certificate, tcp) = match (certificate, stream) {
        (Some(certificate), Stream::Tcp(tcp)) => (certificate, tcp),
        (_, stream) => return Some(stream),
    };
    match timeout_at(deadline, certificate.accept(tcp)).await {
        Ok(Ok(tls)) => Some(Stream::TlsServer(Box::new(tls))),
        Ok(Err(error)) => {
            entry.metrics.connection(ConnectionOutcome::ProtocolError);
            entry.metrics.clients.notice("tls", |upstream, left_out| {
                tracing::warn!(upstream, %error, left_out, "a client's TLS handshake has failed");
            });
            None
        }
        Err(_) => {
            entry.timed_out(TimeoutKind::Handshake, None);
            entry.metrics.connection(ConnectionOutcome::Abandoned);
            None
        }
    }
}

async fn refuse_uid(entry: &Entry, peer: PeerUid, mut stream: Stream) {
    let why = uid_refused(entry, peer);
    say_error(&mut stream, &format!("NOPERM {why}")).await;
}

/// Tells a client why it is refused, and closes. A client that does not read is not waited for.
pub(super) async fn say_error(stream: &mut Stream, line: &str) {
    let mut bytes = Vec::new();
    push_error(&mut bytes, line);
    let farewell = async {
        if stream.write_all(&bytes).await.is_ok() {
            // A client that has gone meanwhile does not need the end of the stream.
            let _ = stream.shutdown().await;
        }
    };
    let _ = timeout(FAREWELL_LIMIT, farewell).await;
}

impl Newcomer {
    fn new(worker: &Worker, stream: Stream, choices: Choices) -> Self {
        Self {
            stream,
            inbox: Inbox::new(worker.slab.clone()),
            walker: RequestWalker::new(Limits::UNIDENTIFIED),
            choices,
            attempts: 0,
            has_spoken: false,
        }
    }

    /// Reads and answers until it is admitted, or has gone.
    async fn receive(mut self, worker: &Rc<Worker>, entry: &Rc<Entry>, deadline: Instant) {
        match timeout_at(deadline, self.converse(worker, entry)).await {
            Ok(Next::Go(admitted)) => {
                let admitted = self.into_admitted(*admitted);
                dispatch(worker, admitted);
            }
            Ok(Next::End(outcome)) => entry.metrics.connection(outcome),
            Ok(Next::Stay) => {}
            Err(_) => {
                entry.timed_out(TimeoutKind::Handshake, None);
                entry.metrics.connection(ConnectionOutcome::Abandoned);
            }
        }
    }

    async fn converse(&mut self, worker: &Rc<Worker>, entry: &Rc<Entry>) -> Next {
        loop {
            match self.walker.walk(self.inbox.bytes()) {
                Ok(RequestStep::Nothing { len }) => {
                    self.inbox.consume(len);
                    self.walker.next();
                }
                Ok(RequestStep::Whole { len }) => match self.command(worker, entry, len).await {
                    Next::Stay => {}
                    end => return end,
                },
                Ok(RequestStep::More | RequestStep::Long(_)) => {
                    if let Some(end) = self.read().await {
                        return end;
                    }
                }
                Err(error) => {
                    let line = format!("ERR {error}");
                    say_error(&mut self.stream, &line).await;
                    return Next::End(ConnectionOutcome::ProtocolError);
                }
            }
        }
    }

    /// Reads once; an outcome where the client has gone. What a command may have before AUTH fits in a buffer that grows little.
    async fn read(&mut self) -> Option<Next> {
        let total = self.inbox.len() + 1;
        self.inbox.reserve(total);
        let (inbox, stream) = (&mut self.inbox, &mut self.stream);
        let read = std::future::poll_fn(|cx| inbox.poll_fill(stream, cx)).await;
        match read {
            Ok(count) if count > 0 => None,
            _ => Some(Next::End(ConnectionOutcome::Abandoned)),
        }
    }

    async fn command(&mut self, worker: &Rc<Worker>, entry: &Rc<Entry>, len: usize) -> Next {
        if !self.has_spoken {
            self.has_spoken = true;
            entry.metrics.clients.seen();
        }
        let asked = greeting::read(&self.walker.arguments(self.inbox.bytes()), &self.choices);
        let presented = worker.process.kills.now();
        match asked {
            Asked::Local(answer) => {
                self.done(len);
                self.answer(worker, entry, answer).await
            }
            Asked::Credentials(credentials) => {
                self.done(len);
                self.identify(worker, entry, credentials, presented).await
            }
            Asked::Work => self.begin_work(worker, entry, len, presented).await,
        }
    }

    /// The command is dealt with.
    fn done(&mut self, len: usize) {
        self.inbox.consume(len);
        self.walker.next();
    }

    async fn answer(&mut self, worker: &Rc<Worker>, entry: &Rc<Entry>, answer: Answer) -> Next {
        let ends = answer.ends;
        let bytes = match answer.hello {
            None => answer.bytes,
            Some(resp) => match greeting::hello(worker, entry, resp).await {
                Ok(bytes) => bytes,
                Err(line) => greeting::error_bytes(&line),
            },
        };
        self.choices = answer.choices;
        if self.stream.write_all(&bytes).await.is_err() || self.stream.flush().await.is_err() {
            return Next::End(ConnectionOutcome::Abandoned);
        }
        if ends {
            let _ = timeout(FAREWELL_LIMIT, self.stream.shutdown()).await;
            return Next::End(ConnectionOutcome::Abandoned);
        }
        Next::Stay
    }

    /// It has said who it is, or tries to.
    async fn identify(
        &mut self,
        worker: &Rc<Worker>,
        entry: &Rc<Entry>,
        credentials: Credentials,
        presented: Moment,
    ) -> Next {
        let force = entry.force();
        let live = &worker.process.live;
        let decided = admission::admit(&force, &credentials, live).await;
        match admission::record(entry, &force, decided) {
            Ok(identified) => {
                let claim = admission::claim(&credentials, identified.rejection.as_ref());
                self.choices = credentials.choices;
                if let Some(rejection) = &identified.rejection {
                    admission::count_unattributed(worker, &force, rejection);
                }
                let reply = credentials.reply;
                Next::Go(Box::new(Admitted::new(
                    &force, identified, reply, presented, claim,
                )))
            }
            Err(refusal) => {
                self.choices = credentials.choices;
                self.refuse(worker, entry, &refusal).await
            }
        }
    }

    /// It asks for work without having said who it is: it may, in tier `Shared` and in mode `Audit`.
    async fn begin_work(
        &mut self,
        worker: &Rc<Worker>,
        entry: &Rc<Entry>,
        len: usize,
        presented: Moment,
    ) -> Next {
        let force = entry.force();
        let nobody = Credentials::nobody(self.choices.clone());
        let decided = admission::admit(&force, &nobody, &worker.process.live).await;
        match admission::record(entry, &force, decided) {
            Ok(identified) => {
                if let Some(rejection) = &identified.rejection {
                    admission::count_unattributed(worker, &force, rejection);
                }
                // The command stays unread: it is the first that is served.
                self.walker.next();
                Next::Go(Box::new(Admitted::new(
                    &force,
                    identified,
                    nobody.reply,
                    presented,
                    None,
                )))
            }
            Err(refusal) => {
                self.done(len);
                self.refuse(worker, entry, &refusal).await
            }
        }
    }

    /// It is told why it is not served. It may try again, a few times.
    async fn refuse(&mut self, worker: &Rc<Worker>, entry: &Rc<Entry>, refusal: &Refusal) -> Next {
        admission::note_refusal(worker, entry, refusal);
        self.attempts += 1;
        if self.attempts >= MOST_ATTEMPTS {
            say_error(&mut self.stream, &refusal.line()).await;
            return Next::End(ConnectionOutcome::Rejected);
        }
        let bytes = greeting::error_bytes(&refusal.line());
        if self.stream.write_all(&bytes).await.is_err() || self.stream.flush().await.is_err() {
            return Next::End(ConnectionOutcome::Rejected);
        }
        Next::Stay
    }

    /// The client with its socket, and what it has sent already.
    fn into_admitted(self, admitted: Admitted) -> Admitted {
        Admitted {
            stream: self.stream,
            unread: self.inbox.bytes().to_vec(),
            choices: self.choices,
            ..admitted
        }
    }
}

/// Sends an admitted client to the worker of its user: here, or by letter.
fn dispatch(worker: &Rc<Worker>, admitted: Admitted) {
    let home = admitted.owner.home(worker.process.workers(), worker.index);
    if home == worker.index {
        spawn_local(session::serve(Rc::clone(worker), Box::new(admitted)));
    } else {
        worker.process.send(home, Letter::Redis(Box::new(admitted)));
    }
}
