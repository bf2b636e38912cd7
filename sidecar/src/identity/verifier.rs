//! The one way from what a client brought to a user context.
//!
//! Lives here: which form the policy accepts, which authority a token belongs to, and the cache in front of them. May not
//! live here: signatures, claims, HTTP; nor what becomes of a client that is refused.

use std::future::Future;
use std::sync::Arc;
use std::time::SystemTime;

use bulkhead_crds::effective::{EffectiveIdentity, EffectivePolicy};
use bulkhead_crds::kinds::IdentitySource;

use super::authority::{Authority, IdentityError, Outcome};
use super::cache::Cache;
use super::claims;
use super::endpoint::Endpoint;
use super::issue::Issuer;
use super::live::LiveSockets;
use super::rejection::{Refusal, Rejection, RejectionReason, shown};
use super::revocation::Revocations;
use super::token::Token;
use super::user::{UserContext, Verified};
use crate::secrets::Secrets;

/// What a client brought. `Debug` is not derived: the token is a credential.
#[derive(Clone, Copy, Default)]
pub struct Presented<'a> {
    /// A token (`bulkhead.context`).
    pub token: Option<&'a str>,
    /// A bare id (`bulkhead.user`, or the suffix of the role).
    pub user: Option<&'a str>,
}

/// Why there is no context yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VerifyOutcome {
    /// The client is refused.
    Rejected(Rejection),
    /// The token names a key that may have been published since the last fetch: ask [`Verifier::verify`], which fetches.
    NeedsKeys,
}

/// Verifies for one revision of one policy. Shared by all workers.
#[derive(Debug)]
pub struct Verifier {
    source: IdentitySource,
    reject_placeholders: bool,
    /// Whose tokens are accepted; Bulkhead's own first. Empty where only bare ids are.
    authorities: Vec<Authority>,
    cache: Cache,
    /// Who is cut off, whatever they bring.
    revocations: Arc<Revocations>,
}

/// Why the synchronous part stops.
enum Stop {
    Refused(Refusal),
    Revoked(Rejection),
    NeedsKeys,
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl Verifier {
    /// Reads the policy's keys from where they are, except from addresses, which [`Self::warm`] and [`Self::refresher`] ask. What the
    /// `issuer` signs is accepted beside `identity.source`, whichever that is.
    ///
    /// # Errors
    /// See [`IdentityError`].
    pub fn new(
        policy: &EffectivePolicy,
        secrets: &Secrets,
        issuer: Option<&Issuer>,
    ) -> Result<Self, IdentityError> {
        let mut verifier = Self::for_identity(&policy.name, &policy.identity, secrets)?;
        if let Some(issuer) = issuer {
            let house = Authority::house(&policy.name, &policy.identity, issuer)?;
            verifier.authorities.insert(0, house);
        }
        Ok(verifier)
    }

    /// The same, from the two parts of a policy that count: its name, which context tokens are made out to, and `identity`.
    ///
    /// # Errors
    /// See [`IdentityError`].
    pub fn for_identity(
        policy: &str,
        identity: &EffectiveIdentity,
        secrets: &Secrets,
    ) -> Result<Self, IdentityError> {
        let settings = identity.signed_context.as_ref();
        let context = |needed| Authority::context(policy, identity, needed, secrets);
        let authorities = match identity.source {
            IdentitySource::Trusted if settings.is_none() => Vec::new(),
            IdentitySource::Trusted | IdentitySource::SignedContext => vec![context(true)?],
            IdentitySource::Jwt => vec![
                context(settings.is_some())?,
                Authority::jwt(identity, secrets)?,
            ],
        };
        Ok(Self {
            source: identity.source,
            reject_placeholders: identity.reject_placeholders,
            authorities,
            cache: Cache::new(),
            revocations: Arc::default(),
        })
    }

    /// The same under these revocations, which it shares with others.
    #[must_use]
    pub fn under(self, revocations: &Arc<Revocations>) -> Self {
        Self {
            revocations: Arc::clone(revocations),
            ..self
        }
    }

    /// The revocations that it asks for every context, whether it has been verified before or not.
    #[must_use]
    pub const fn revocations(&self) -> &Arc<Revocations> {
        &self.revocations
    }

    /// Verifies without waiting. A token seen before costs a lookup.
    ///
    /// # Errors
    /// See [`VerifyOutcome`].
    pub fn verify_now(
        &self,
        presented: &Presented<'_>,
        now: SystemTime,
    ) -> Result<UserContext, VerifyOutcome> {
        self.decide(presented, now).map_err(|stop| match stop {
            Stop::Refused(refusal) => VerifyOutcome::Rejected(refusal.under(self.source)),
            Stop::Revoked(rejection) => VerifyOutcome::Rejected(rejection),
            Stop::NeedsKeys => VerifyOutcome::NeedsKeys,
        })
    }

    /// Verifies; where the token's key is unknown, waits for one fetch of the key set (some seconds at the most). Dropping the
    /// future is safe at any time.
    ///
    /// # Errors
    /// See [`Rejection`].
    pub async fn verify(&self, presented: &Presented<'_>) -> Result<UserContext, Rejection> {
        match self.verify_now(presented, SystemTime::now()) {
            Ok(context) => return Ok(context),
            Err(VerifyOutcome::Rejected(rejection)) => return Err(rejection),
            Err(VerifyOutcome::NeedsKeys) => self.warm().await,
        }
        self.decide(presented, SystemTime::now())
            .map_err(|stop| match stop {
                Stop::Refused(refusal) => refusal.under(self.source),
                Stop::Revoked(rejection) => rejection,
                Stop::NeedsKeys => self.unknown_key(presented).under(self.source),
            })
    }

    /// The same; and a context token of this sidecar's own is good beyond its time as long as the socket lives that it was made for.
    ///
    /// # Errors
    /// See [`Rejection`].
    pub async fn verify_live(
        &self,
        presented: &Presented<'_>,
        live: &LiveSockets,
    ) -> Result<UserContext, Rejection> {
        let verified = self.verify(presented).await;
        match verified {
            Err(rejection) if rejection.reason == RejectionReason::Expired => {
                let context = self.of_live_socket(presented, live).ok_or(rejection)?;
                self.unless_revoked(context)
            }
            verified => verified,
        }
    }

    fn of_live_socket(&self, presented: &Presented<'_>, live: &LiveSockets) -> Option<UserContext> {
        let token = Token::parse(presented.token?).ok()?;
        let context = self.authority_of(&token).ok()?.as_issued(&token)?;
        let user = context.user_id();
        let is_named = presented.user.is_none_or(|named| named == user.as_str());
        (is_named && live.is_open(context.socket_id()?, user)).then_some(context)
    }

    /// Fetches the key sets that live at addresses, unless that was done a moment ago. Before the first client is accepted,
    /// this saves it the wait; a failure is logged and tried again.
    pub async fn warm(&self) {
        for endpoint in self.endpoints() {
            endpoint.refresh().await;
        }
    }

    /// Asks each address of keys once, and says what is wrong there: for who wants to know before anybody depends on it.
    pub async fn problems(&self) -> Vec<String> {
        let mut found = Vec::new();
        for endpoint in self.endpoints() {
            found.extend(endpoint.problem().await);
        }
        found
    }

    /// A task that keeps the key sets at addresses fresh: to be spawned once, on any runtime. It ends by itself when the
    /// verifier is dropped. `None` where no key set lives at an address.
    pub fn refresher(&self) -> Option<impl Future<Output = ()> + Send + 'static> {
        // Only the identity provider's keys may live at an address and context keys at another: at most two.
        let mut endpoints = self.endpoints().map(Arc::downgrade);
        let first = endpoints.next()?;
        let second = endpoints.next();
        Some(async move {
            let both = (
                Endpoint::keep_fresh(first),
                Endpoint::keep_fresh(second.unwrap_or_default()),
            );
            tokio::join!(both.0, both.1);
        })
    }

    /// Reads key sets in Secrets again; says whether any changed. One that cannot be used leaves the keys as they are.
    ///
    /// # Errors
    /// The first of them, see [`IdentityError`]; the others have been read all the same.
    pub fn reload(&self, secrets: &Secrets) -> Result<bool, IdentityError> {
        let mut changed = Ok(false);
        for authority in &self.authorities {
            changed = match (changed, authority.reload(secrets)) {
                (Ok(before), Ok(now)) => Ok(before || now),
                (Err(first), _) | (Ok(_), Err(first)) => Err(first),
            };
        }
        changed
    }

    /// Takes over fetched keys from the verifier that this one replaces, so that a policy change while the identity provider
    /// is away refuses nobody.
    pub fn take_over(&self, previous: &Self) {
        for (ours, theirs) in self
            .endpoints()
            .flat_map(|ours| previous.endpoints().map(move |theirs| (ours, theirs)))
        {
            ours.take_over(theirs);
        }
    }

    pub(super) fn endpoints(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        self.authorities.iter().filter_map(Authority::endpoint)
    }

    fn decide(&self, presented: &Presented<'_>, now: SystemTime) -> Result<UserContext, Stop> {
        let context = self.identify(presented, now)?;
        self.unless_revoked(context).map_err(Stop::Revoked)
    }

    fn unless_revoked(&self, context: UserContext) -> Result<UserContext, Rejection> {
        match self.revocations.refusal_of(&context) {
            Some(rejection) => Err(rejection),
            None => Ok(context),
        }
    }

    fn identify(&self, presented: &Presented<'_>, now: SystemTime) -> Result<UserContext, Stop> {
        match (presented.token, presented.user) {
            (None, None) => Err(self.missing().into()),
            (None, Some(user)) => Ok(self.bare(user)?),
            (Some(token), None) => self.token(token, now),
            (Some(token), Some(user)) => {
                let context = self.token(token, now)?;
                if context.user_id().as_str() == user {
                    return Ok(context);
                }
                let message = "the context token and the user id beside it name different users";
                Err(Refusal::new(RejectionReason::Conflict, message).into())
            }
        }
    }

    fn missing(&self) -> Refusal {
        let wanted = if self.source == IdentitySource::Trusted {
            "user id"
        } else {
            "context token"
        };
        Refusal::new(
            RejectionReason::Missing,
            format!("no {wanted}: this connection does not say which end user it works for"),
        )
    }

    /// The application's word, where the policy takes it.
    fn bare(&self, user: &str) -> Result<UserContext, Refusal> {
        if self.source != IdentitySource::Trusted {
            let message = format!(
                "a bare user id proves nothing: the policy's identity.source is {:?}, which needs a token",
                self.source
            );
            return Err(Refusal::new(RejectionReason::WrongForm, message));
        }
        let user_id = claims::user_id(user, self.reject_placeholders)?;
        Ok(UserContext::new(Verified::of(user_id)))
    }

    fn token(&self, text: &str, now: SystemTime) -> Result<UserContext, Stop> {
        let in_force = |generation| {
            self.authorities
                .iter()
                .any(|authority| authority.generation() == generation)
        };
        if let Some(context) = self.cache.get(text, now, in_force) {
            return Ok(context);
        }
        let token = Token::parse(text)?;
        let authority = self.authority_of(&token)?;
        match authority.verify(&token, now)? {
            Outcome::Verified(context, generation) => {
                self.cache.insert(text, context.clone(), generation);
                Ok(context)
            }
            Outcome::UnknownKey if self.endpoints().next().is_some() => Err(Stop::NeedsKeys),
            Outcome::UnknownKey => Err(no_such_key(&token).into()),
        }
    }

    /// Bulkhead's own tokens are known by their key's name; every other token is the last authority's.
    fn authority_of(&self, token: &Token<'_>) -> Result<&Authority, Refusal> {
        let owner = self
            .authorities
            .iter()
            .find(|authority| authority.owns(token))
            .or(self.authorities.last());
        owner.ok_or_else(|| {
            let message =
                "the policy's identity.source is Trusted, and takes a bare user id, not a token";
            Refusal::new(RejectionReason::WrongForm, message)
        })
    }

    /// For a token whose key is unknown after a fetch, too.
    fn unknown_key(&self, presented: &Presented<'_>) -> Refusal {
        if self.endpoints().any(|endpoint| endpoint.keys().is_empty()) {
            let message = "the context token cannot be verified: the key set of the policy's jwks.uri could not be fetched";
            return Refusal::new(RejectionReason::KeysUnavailable, message);
        }
        match Token::parse(presented.token.unwrap_or_default()) {
            Ok(token) => no_such_key(&token),
            Err(refusal) => refusal,
        }
    }
}

fn no_such_key(token: &Token<'_>) -> Refusal {
    let message = match &token.key_id {
        Some(key_id) => format!(
            "the context token names the key {}, which the policy's key set does not have",
            shown(key_id)
        ),
        None => "the context token names no key, and the policy's key set has none".into(),
    };
    Refusal::new(RejectionReason::UnknownKey, message)
}
