//! A fresh token that comes on the socket itself, from a client that speaks `bulkhead.resume.v1`.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{SystemTime, UNIX_EPOCH};

use super::super::resume::message::write_credential;
use super::Session;
use crate::identity::{Rejection, UserContext};
use crate::telemetry::RenewalOutcome;

/// The verification of a token; it takes some time only where the token's key has to be fetched.
pub(super) struct Renewing(Pin<Box<dyn Future<Output = Result<UserContext, Rejection>>>>);

impl fmt::Debug for Renewing {
    /// Nothing of the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Renewing")
    }
}

impl Session {
    /// The client brings a fresh token. One at a time: a newer one takes the place of one that is still being verified.
    pub(super) fn renew(&mut self, token: &str) {
        if self.renewing.take().is_some() {
            self.answer_renewal(Err("a newer token has come".into()));
        }
        let force = self.entry.force();
        let token = token.to_owned();
        self.renewing = Some(Renewing(Box::pin(async move {
            // As for a POST, a context token counts to its own end.
            let presented = force.presented(Some(&token));
            Arc::clone(&force.verifier).verify(&presented).await
        })));
    }

    /// Looks whether the token is verified. Whether there is an answer for the client.
    pub(super) fn poll_renewed(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(renewing) = &mut self.renewing else {
            return false;
        };
        let Poll::Ready(verified) = renewing.0.as_mut().poll(cx) else {
            return false;
        };
        self.renewing = None;
        let outcome = match (verified, &self.credential) {
            (Err(rejection), _) => {
                let metrics = &self.worker.process.metrics;
                metrics.identity_rejection(rejection.reason);
                self.entry.trail.refused(&rejection);
                Err(rejection.message)
            }
            (Ok(_), None) => Err("this socket has no user".into()),
            (Ok(fresh), Some(credential)) => match credential.renew(&fresh) {
                Ok(_) => {
                    self.handle.badge.renew(&fresh);
                    Ok(())
                }
                Err(not_theirs) => Err(not_theirs.to_string()),
            },
        };
        self.answer_renewal(outcome);
        true
    }

    /// Says until when the socket may live now, and why the token was refused.
    fn answer_renewal(&mut self, outcome: Result<(), String>) {
        self.entry.metrics.renewal(match outcome {
            Ok(()) => RenewalOutcome::Renewed,
            Err(_) => RenewalOutcome::Refused,
        });
        // Who sends tokens and reads no answers gets none.
        if self.client.told || self.is_away() || self.owes_much() {
            return;
        }
        let ends = self.credential.as_ref().and_then(|it| it.ends());
        let seconds = |end: SystemTime| end.duration_since(UNIX_EPOCH).unwrap_or_default();
        let until = ends.map_or(0, |end| seconds(end).as_secs());
        let mut message = Vec::new();
        write_credential(&mut message, until, outcome.err().as_deref());
        self.tell(&message);
    }
}
