//! A client that comes back to a session which has survived its connection: the application is not asked.

use std::sync::Arc;

use http::header::{SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Response};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto::upgrade::downcast;
use tokio::task::spawn_local;
use tokio::time::timeout;

use super::super::handshake::{Choice, Offer, Refusal, Returning, accept_of};
use super::super::resume::{LostReason, SessionId, SessionToken};
use super::body::Body;
use super::front::Front;
use super::upgrade::switching;
use crate::force::WebSocketForce;
use crate::identity::UserContext;
use crate::stream::Stream;
use crate::telemetry::{ConnectionOutcome, ResumeOutcome};
use crate::worker::mailbox::Letter;
use crate::worker::{Claim, Lost, Returned};

/// The client's connection in the making, and what it has.
struct Coming {
    client: OnUpgrade,
    session: SessionId,
    count: u64,
    context: UserContext,
}

/// A session that is there for the client.
pub(super) struct Found {
    session: SessionId,
    choice: Choice,
    context: UserContext,
}

/// What names the session that a client comes back to, where it is authentic.
pub(super) fn asked_for(force: &WebSocketForce, offer: &Offer) -> Option<SessionToken> {
    force.sealer.open(&offer.returning()?.token).ok()
}

/// Looks for the session that the client comes back to, which `token` names if anything does.
///
/// # Errors
/// It is gone; the client gets a new one.
pub(super) async fn find(
    front: &Front,
    force: &WebSocketForce,
    offer: &Offer,
    token: Option<&SessionToken>,
    context: Option<&UserContext>,
) -> Result<Found, Lost> {
    let found = claimed(front, force, offer, token, context).await;
    if let Err(lost) = &found {
        tracing::debug!(upstream = &*force.name, reason = ?lost.reason, "a session cannot be resumed");
        let resumes = &front.entry.metrics.resumes;
        resumes.count(ResumeOutcome::Refused);
    }
    found
}

async fn claimed(
    front: &Front,
    force: &WebSocketForce,
    offer: &Offer,
    token: Option<&SessionToken>,
    context: Option<&UserContext>,
) -> Result<Found, Lost> {
    let context = context.ok_or(Lost::UNKNOWN)?;
    let token = token.ok_or(Lost::UNKNOWN)?;
    let process = &front.worker.process;
    if token.pod != process.pod() {
        return Err(Lost {
            reason: LostReason::Unreachable,
            written: None,
        });
    }
    let claim = Claim {
        entry: Arc::clone(&force.name),
        session: token.session,
        generation: token.generation,
        user: context.user_id().clone(),
        patience: force.settings.handshake,
    };
    // The worker where the session lives.
    let claimed = front.ask(
        usize::from(token.worker),
        claim,
        |worker, claim| worker.claim(&claim),
        |claim, reply| Letter::Claim { claim, reply },
    );
    let protocol = claimed.await.unwrap_or(Err(Lost::UNKNOWN))?;
    let choice = offer.choose_again(&protocol).ok_or(Lost::UNKNOWN)?;
    Ok(Found {
        session: token.session,
        choice,
        context: context.clone(),
    })
}

impl Found {
    /// Answers the client, and gives its connection to the session.
    ///
    /// # Errors
    /// The request has no key.
    pub(super) fn come_back(
        self,
        front: &Front,
        parts: &Parts,
        returning: &Returning,
        client: OnUpgrade,
    ) -> Result<Response<Body>, Refusal> {
        let key = parts.headers.get(SEC_WEBSOCKET_KEY);
        let key = key.ok_or(Refusal::Malformed("the request has no Sec-WebSocket-Key"))?;
        let mut response = switching(&HeaderMap::new());
        let headers = response.headers_mut();
        let accept = HeaderValue::from_str(&accept_of(key));
        headers.insert(
            SEC_WEBSOCKET_ACCEPT,
            accept.unwrap_or(HeaderValue::from_static("")),
        );
        self.choice.tell_client(headers);
        let coming = Coming {
            client,
            session: self.session,
            count: returning.count,
            context: self.context,
        };
        spawn_local(hand_over(front.clone(), coming));
        Ok(response)
    }
}

async fn hand_over(front: Front, coming: Coming) {
    let force = front.entry.force();
    let clients = &front.entry.metrics.clients;
    let Ok(Ok(client)) = timeout(force.settings.handshake, coming.client).await else {
        clients.connection(ConnectionOutcome::Abandoned);
        return;
    };
    let Ok(client) = downcast::<TokioIo<Stream>>(client) else {
        tracing::error!("an upgraded connection is not the socket that it was made of");
        return;
    };
    clients.connection(ConnectionOutcome::Accepted);
    let process = &front.worker.process;
    let home = coming.context.user_id().home(process.workers());
    let returned = Box::new(Returned {
        session: coming.session,
        context: coming.context,
        stream: client.io.into_inner(),
        early: client.read_buf,
        count: coming.count,
    });
    if home == front.worker.index {
        front.worker.take_returned(returned);
    } else {
        process.send(home, Letter::Returned(returned));
    }
}
