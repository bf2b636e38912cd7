//! A query's exchange with its server: the request up, the answer down, and the clocks beside it.

use std::cell::Cell;
use std::future::{pending, poll_fn};
use std::rc::Rc;

use http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::{Body, Frame, Incoming};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use super::ask::Knows;
use super::body::{Answer, Pieces, Relayed, Sent, Upload, Uploaded, end, says_nothing};
use super::error::{Code, EXCEPTION_CODE, Exception};
use super::query::{Asked, Query, relayed};
use super::wire::{Exchange, kept_for};
use super::{rewrite, settings};
use crate::execution::ExecutionState;
use crate::factory::server::Owned;
use crate::telemetry::{ErrorClass, TimeoutKind};
use crate::upstream::socket::USER_TIMEOUT_ALLOWANCE;
use crate::worker::Signal;

/// ClickHouse's codes for credentials that it does not take: UNKNOWN_USER, WRONG_PASSWORD, REQUIRED_PASSWORD, AUTHENTICATION_FAILED.
const NOT_AUTHENTICATED: [&[u8]; 4] = [b"192", b"193", b"194", b"516"];

/// How an exchange has ended.
#[derive(Clone, Copy, Debug)]
pub(super) enum Outcome {
    /// The server has answered, and all of that has been passed on.
    Whole {
        /// Whether the connection may be used again.
        reusable: bool,
    },
    /// Nobody waits for the answer any more, or the connection is lost: whatever still runs is ended.
    Abandoned(ExecutionState),
    /// Nothing has been run.
    Refused,
}

/// Why an exchange is given up.
enum Why {
    ClientGone,
    Statement,
    Signal(Signal),
    /// The connection to the server.
    Lost(hyper::Error),
}

/// An exchange that is about to begin.
#[derive(Debug)]
pub(super) struct Conversation {
    head: Request<()>,
    body: Sent,
    reply: oneshot::Sender<Response<Answer>>,
    /// Whether the client has asked for ClickHouse's own compression.
    compressed: bool,
}

impl Conversation {
    /// Makes the request that the server gets.
    ///
    /// # Errors
    /// It cannot be made; the client is to be told.
    pub(super) fn new(
        query: &mut Query,
        knows: Knows,
        asked: Asked,
    ) -> Result<Self, (Exception, oneshot::Sender<Response<Answer>>)> {
        let owner = &query.factory.key.owner;
        if knows.log_comment {
            query.account = query.account.clone().with_quota_key(owner);
        }
        let mut client = asked.parameters;
        let compressed = client.first("compress").is_some_and(|value| value != b"0");
        let session = client.first("session_id").filter(|id| !id.is_empty());
        let session = session.map(|id| rewrite::session_id(owner, id));
        client.remove(|one| one.is("session_id") || one.is("query_id"));
        let mut given = settings::given(&query.settings(knows), client);
        given.push("query_id", query.id.as_str());
        if let Some(session) = session {
            given.push("session_id", session);
        }
        let database = query.force.settings.upstream.database.as_deref();
        if let Some(database) = database
            && !given.has("database")
            && !asked.headers.contains_key("x-clickhouse-database")
        {
            given.push("database", database);
        }
        let authority = query.force.connector.endpoint().place();
        let head = rewrite::forward(
            &asked.method,
            asked.path,
            &given,
            &asked.headers,
            &authority,
        );
        let mut head = match head {
            Ok(head) => head,
            Err(error) => return Err((error, asked.reply)),
        };
        query.account.write(head.headers_mut());
        Ok(Self {
            head,
            body: asked.body,
            reply: asked.reply,
            compressed,
        })
    }

    /// Holds it, to its end or to the moment at which nobody waits for that.
    pub(super) async fn hold(
        self,
        query: &mut Query,
        owned: &mut Owned,
        began: Instant,
    ) -> Outcome {
        let Self {
            head,
            body,
            mut reply,
            compressed,
        } = self;
        let limit = query.force.settings.timeouts.statement;
        let deadline = limit.map(|limit| began + limit);
        let large = body
            .size_hint()
            .upper()
            .is_none_or(|size| size > USER_TIMEOUT_ALLOWANCE);
        if large {
            // What a busy server has not taken yet must not end the connection.
            owned.server.note_sent(usize::MAX);
        }
        let (upload, uploaded) = Upload::new(body);
        let stream = &mut owned.server.stream;
        let begun = Exchange::begin(stream).await;
        let mut exchange = match begun {
            Ok(exchange) => exchange,
            Err(error) => return query.give_up(Why::Lost(error), &uploaded, Some(reply)),
        };
        let mut request = head.map(|()| upload);
        let has_none = request.body().is_end_stream();
        if has_none && matches!(*request.method(), Method::POST | Method::PUT) {
            // The HTTP library says no length of a body that is none, and ClickHouse asks for one.
            let none = HeaderValue::from_static("0");
            request.headers_mut().insert(CONTENT_LENGTH, none);
        }
        let answer = tokio::select! {
            biased;
            () = reply.closed() => Err(Why::ClientGone),
            why = query.interrupted(deadline) => Err(why),
            answer = exchange.head(request) => answer.map_err(Why::Lost),
        };
        let answer = match answer {
            Ok(answer) => answer,
            Err(why) => return query.give_up(why, &uploaded, Some(reply)),
        };
        query.note_status(&answer);
        if let Some(error) = query.refused_credentials(&answer) {
            query.refuse(&error, reply);
            return Outcome::Refused;
        }
        let kept = kept_for(answer.headers().get("keep-alive"));
        let (parts, mut body) = answer.into_parts();
        let appends = !compressed && is_plain(&parts.headers);
        let (pieces, relay) = Relayed::new(&body.size_hint());
        let mut response = Response::from_parts(parts, relay);
        rewrite::answer(response.headers_mut(), query.theirs.as_deref(), &query.id);
        if reply.send(relayed(response)).is_err() {
            return query.give_up(Why::ClientGone, &uploaded, None);
        }
        let passed = pass_on(query, &mut exchange, &mut body, &pieces, deadline).await;
        if let Err(why) = passed {
            let told = appends.then_some(&pieces);
            return query.give_up_midway(why, &uploaded, told);
        }
        let reusable = exchange.give_back().await && uploaded.get() == Uploaded::Whole;
        owned.server.kept_until = kept.map(|kept| Instant::now() + kept);
        Outcome::Whole { reusable }
    }
}

/// Whether words may be added to an answer's body: it is text as it stands, and its length has not been said.
fn is_plain(headers: &HeaderMap) -> bool {
    !headers.contains_key(CONTENT_ENCODING) && !headers.contains_key(CONTENT_LENGTH)
}

/// Passes an answer on, piece by piece: none is read that the client has no room for.
async fn pass_on(
    query: &Query,
    exchange: &mut Exchange<'_, Upload<Sent>>,
    body: &mut Incoming,
    pieces: &Pieces,
    deadline: Option<Instant>,
) -> Result<(), Why> {
    // Whoever has been told how long an answer is does not wait for more.
    while !body.is_end_stream() {
        let room = tokio::select! {
            biased;
            why = query.interrupted(deadline) => return Err(why),
            room = exchange.during(pieces.reserve()) => room.map_err(|_| Why::ClientGone)?,
        };
        let piece = loop {
            let piece = tokio::select! {
                biased;
                () = pieces.closed() => return Err(Why::ClientGone),
                why = query.interrupted(deadline) => return Err(why),
                piece = exchange.piece(body) => piece,
            };
            match piece {
                Some(Err(error)) => return Err(Why::Lost(error)),
                // No piece is empty but the last.
                Some(Ok(frame)) if says_nothing(&frame) => {}
                other => break other,
            }
        };
        match piece {
            Some(piece) => room.send(piece.map_err(|_| super::body::Cut)),
            None => {
                room.send(end());
                return Ok(());
            }
        }
    }
    Ok(())
}

impl Query {
    /// Waits for what ends an exchange from outside: the clock, or a signal.
    async fn interrupted(&self, deadline: Option<Instant>) -> Why {
        let clock = async {
            match deadline {
                Some(deadline) => sleep_until(deadline).await,
                None => pending().await,
            }
        };
        tokio::select! {
            biased;
            signal = poll_fn(|cx| self.handle.poll_interrupted(cx)) => Why::Signal(signal),
            () = clock => Why::Statement,
        }
    }

    /// Gives an exchange up before its answer has begun: the client is told, where it is still there.
    fn give_up(
        &mut self,
        why: Why,
        uploaded: &Rc<Cell<Uploaded>>,
        reply: Option<oneshot::Sender<Response<Answer>>>,
    ) -> Outcome {
        let (error, how) = self.judge(why, uploaded);
        if let (Some(error), Some(reply)) = (error, reply) {
            self.refuse(&error, reply);
        }
        Outcome::Abandoned(how)
    }

    /// The same in the middle of an answer: where words can be added to it they say why it ends; and in any case it ends in a way that
    /// nobody can take for its end.
    fn give_up_midway(
        &mut self,
        why: Why,
        uploaded: &Rc<Cell<Uploaded>>,
        pieces: Option<&Pieces>,
    ) -> Outcome {
        let (error, how) = self.judge(why, uploaded);
        if let Some(error) = error {
            self.factory.activity.count_error();
            self.entry
                .metrics
                .error(super::query::refusals::class_of(error.code));
            if let Some(pieces) = pieces {
                let words = format!("\n{}", error.text());
                // A client that has no room for them has not read what came before.
                let _ = pieces.try_send(Ok(Frame::data(words.into())));
            }
        }
        Outcome::Abandoned(how)
    }

    /// What a client is told of why its query is given up, and how the work ends.
    fn judge(
        &mut self,
        why: Why,
        uploaded: &Rc<Cell<Uploaded>>,
    ) -> (Option<Exception>, ExecutionState) {
        match why {
            Why::ClientGone => {
                self.record_client_gone();
                (None, ExecutionState::Cancelled)
            }
            Why::Lost(_) if uploaded.get() == Uploaded::CutOff => {
                self.record_client_gone();
                (None, ExecutionState::Cancelled)
            }
            Why::Statement => {
                self.count_timeout(TimeoutKind::Statement);
                let setting = self.force.name_timeout(TimeoutKind::Statement);
                let message = format!("the query took longer than {setting}");
                let error = Exception::new(Code::TimeoutExceeded, message)
                    .with_hint("The server has been told to end it");
                (Some(error), ExecutionState::TimedOut)
            }
            Why::Signal(signal) => {
                let how = match signal {
                    Signal::RunOver => ExecutionState::TimedOut,
                    _ => ExecutionState::Cancelled,
                };
                (Some(self.ended_by(signal)), how)
            }
            Why::Lost(error) => {
                let endpoint = self.force.connector.endpoint();
                let message = format!(
                    "{endpoint}: the connection was lost while the query ran: {}",
                    cause(&error)
                );
                let error = Exception::new(Code::NetworkError, message)
                    .with_status(StatusCode::INTERNAL_SERVER_ERROR)
                    .with_hint("Whether it was done is not known");
                (Some(error), ExecutionState::Failed)
            }
        }
    }

    /// Counts an answer that is an error.
    fn note_status(&self, answer: &Response<Incoming>) {
        if answer.status().is_client_error() || answer.status().is_server_error() {
            let code = answer.headers().get(EXCEPTION_CODE);
            let class = match code.map(http::HeaderValue::as_bytes) {
                Some(b"159" | b"394") => ErrorClass::Timeout,
                Some(b"202" | b"209" | b"210") => ErrorClass::Connection,
                _ => ErrorClass::Other,
            };
            self.entry.metrics.error(class);
            self.factory.activity.count_error();
        }
    }

    /// The server does not take the sidecar's credentials. Which those are is no business of the client's.
    fn refused_credentials(&self, answer: &Response<Incoming>) -> Option<Exception> {
        let code = answer.headers().get(EXCEPTION_CODE);
        let refused = answer.status() == StatusCode::UNAUTHORIZED
            || code.is_some_and(|code| NOT_AUTHENTICATED.contains(&code.as_bytes()));
        if !refused {
            return None;
        }
        self.entry.metrics.clients.notice("credentials", |upstream, left_out| {
            tracing::warn!(
                upstream,
                left_out,
                "the server does not take the user and the password of upstream.credentialsSecretRef, or the user's own (upstream.role)"
            );
        });
        let (endpoint, name) = (self.force.connector.endpoint(), &self.force.name);
        let per_user = !self.force.settings.upstream.role.is_shared();
        let (what, hint) = if per_user && self.factory.key.owner.user().is_some() {
            (
                "the ClickHouse user of this end user",
                format!(
                    "Create it as docs/clickhouse.md says, with the password of databases[{name}].upstream.credentialsSecretRef"
                ),
            )
        } else {
            (
                "the sidecar's own user",
                format!(
                    "Compare databases[{name}].upstream.credentialsSecretRef with the server's users"
                ),
            )
        };
        let message = format!("{endpoint} does not let {what} in");
        Some(
            Exception::new(Code::AuthenticationFailed, message)
                .with_status(StatusCode::FORBIDDEN)
                .with_hint(hint),
        )
    }
}

/// What is behind an error of the HTTP library's, in its own words.
fn cause(error: &hyper::Error) -> String {
    let source = std::error::Error::source(error);
    source.map_or_else(|| error.to_string(), ToString::to_string)
}
