//! Session tokens: what a client brings back to be recognised by, sealed so that nobody but a pod of the same policy can write one.
//!
//! A token names the pod that a sidecar is to dial, so what is not authentic is never looked at. It is no proof of who the client is: that is
//! asked again, as of any client.
//!
//! ```text
//! version 1 │ key 4 │ worker 2 │ generation 4 │ session 16 │ family 1 │ address 0, 4 or 16 │ port 0 or 2 │ authenticator 16
//! ```
//!
//! in base64url without padding (RFC 4648, section 5), numbers big-endian. The authenticator is HMAC-SHA-256 over all before it, cut to 128
//! bits (RFC 2104, section 5). Pure, but for the making of ids.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use thiserror::Error;

use crate::identity::NoRandomness;
use crate::random;

/// The first byte of a token.
const VERSION: u8 = 1;
/// The bytes that name a key.
const KEY_NAME: usize = 4;
/// The bytes of a session's id.
const SESSION: usize = 16;
/// The bytes of the authenticator.
const AUTHENTICATOR: usize = 16;
/// Up to the address's family.
const FIXED: usize = 1 + KEY_NAME + 2 + 4 + SESSION;
/// The longest token: one that names an IPv6 address.
const LONGEST: usize = FIXED + 1 + 16 + 2 + AUTHENTICATOR;

/// Families of addresses.
const HERE: u8 = 0;
const IPV4: u8 = 4;
const IPV6: u8 = 6;

/// What a session is known by. Random, and told to its client alone.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId(pub [u8; SESSION]);

impl SessionId {
    /// An id that nobody has and nobody can guess.
    ///
    /// # Errors
    /// See [`NoRandomness`].
    pub fn random() -> Result<Self, NoRandomness> {
        let mut bytes = [0; SESSION];
        random::fill(&mut bytes).map_err(|_| NoRandomness)?;
        Ok(Self(bytes))
    }
}

impl fmt::Debug for SessionId {
    /// Its beginning: enough to follow a session through a log, too little to guess it from one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, ..] = self.0;
        write!(f, "SessionId({a:02x}{b:02x}{c:02x}…)")
    }
}

/// Where a session lives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum PodAddress {
    /// In the pod that has sealed the token, which no other pod can reach.
    #[default]
    Here,
    /// In the pod whose sidecar takes other sidecars' connections at this address.
    At(SocketAddr),
}

/// What a token says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionToken {
    /// Where the session lives.
    pub pod: PodAddress,
    /// The worker, of that pod.
    pub worker: u16,
    /// The session.
    pub session: SessionId,
    /// Which of the session's tokens this is.
    pub generation: u32,
}

/// Why a text is no token of this entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TokenError {
    /// Not of the form of a token, or of another version.
    #[error("it is no session token")]
    Malformed,
    /// Sealed by a key that this process does not know: a key that was turned long ago, another namespace's, or another process's own.
    #[error("it is sealed by a key that is not known here")]
    UnknownKey,
    /// Not as it was sealed, or sealed for another entry.
    #[error("it was not sealed for this entry")]
    Forged,
}

/// A key for the tokens of one entry of one policy.
#[derive(Clone)]
pub(super) struct TokenKey {
    name: [u8; KEY_NAME],
    key: hmac::Key,
}

impl TokenKey {
    /// The key for one purpose, drawn from a key for many. `purpose` is a list of texts without NUL.
    pub(super) fn derive(root: &hmac::Key, purpose: &[&str]) -> Self {
        let mut context = hmac::Context::with_key(root);
        for text in purpose {
            context.update(text.as_bytes());
            context.update(&[0]);
        }
        let key = hmac::Key::new(hmac::HMAC_SHA256, context.sign().as_ref());
        let named = hmac::sign(&key, b"name");
        let mut name = [0; KEY_NAME];
        name.copy_from_slice(&named.as_ref()[..KEY_NAME]);
        Self { name, key }
    }

    fn authenticator(&self, body: &[u8]) -> hmac::Tag {
        hmac::sign(&self.key, body)
    }

    fn vouches_for(&self, body: &[u8], authenticator: &[u8]) -> bool {
        let own = self.authenticator(body);
        verify_slices_are_equal(&own.as_ref()[..AUTHENTICATOR], authenticator).is_ok()
    }
}

/// Seals and opens the tokens of one entry of one policy.
#[derive(Clone)]
pub struct Sealer {
    seals: TokenKey,
    /// All that open, the one that seals among them.
    opens: Vec<TokenKey>,
}

impl fmt::Debug for Sealer {
    /// Nothing of the keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealer({} keys)", self.opens.len())
    }
}

impl Sealer {
    /// Seals by `seals`, and opens what it or one of `others` has sealed.
    pub(super) fn new(seals: TokenKey, others: Vec<TokenKey>) -> Self {
        let mut opens = others;
        opens.insert(0, seals.clone());
        Self { seals, opens }
    }

    /// The token as the client gets it: at most 83 characters, each of `A-Z a-z 0-9 - _`.
    #[must_use]
    pub fn seal(&self, token: &SessionToken) -> String {
        let mut bytes = Vec::with_capacity(LONGEST);
        bytes.push(VERSION);
        bytes.extend(self.seals.name);
        bytes.extend(token.worker.to_be_bytes());
        bytes.extend(token.generation.to_be_bytes());
        bytes.extend(token.session.0);
        match token.pod {
            PodAddress::Here => bytes.push(HERE),
            PodAddress::At(address) => {
                match address.ip() {
                    IpAddr::V4(ip) => {
                        bytes.push(IPV4);
                        bytes.extend(ip.octets());
                    }
                    IpAddr::V6(ip) => {
                        bytes.push(IPV6);
                        bytes.extend(ip.octets());
                    }
                }
                bytes.extend(address.port().to_be_bytes());
            }
        }
        let authenticator = self.seals.authenticator(&bytes);
        bytes.extend(&authenticator.as_ref()[..AUTHENTICATOR]);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// What a token says that was sealed for this entry, by this pod or another one.
    ///
    /// # Errors
    /// See [`TokenError`].
    pub fn open(&self, text: &str) -> Result<SessionToken, TokenError> {
        let mut bytes = [0; LONGEST];
        let length = URL_SAFE_NO_PAD
            .decode_slice(text, &mut bytes)
            .map_err(|_| TokenError::Malformed)?;
        let (body, authenticator) = bytes[..length]
            .split_last_chunk::<AUTHENTICATOR>()
            .ok_or(TokenError::Malformed)?;
        let (head, place) = body
            .split_first_chunk::<FIXED>()
            .ok_or(TokenError::Malformed)?;
        let [VERSION, rest @ ..] = head else {
            return Err(TokenError::Malformed);
        };
        let named: Vec<&TokenKey> = self
            .opens
            .iter()
            .filter(|key| rest.starts_with(&key.name))
            .collect();
        if named.is_empty() {
            return Err(TokenError::UnknownKey);
        }
        if !named.iter().any(|key| key.vouches_for(body, authenticator)) {
            return Err(TokenError::Forged);
        }
        said(rest, place).ok_or(TokenError::Malformed)
    }
}

/// What the bytes behind the version say; none where a pod of another release has sealed what is not known yet.
fn said(rest: &[u8], place: &[u8]) -> Option<SessionToken> {
    let (_, rest) = rest.split_first_chunk::<KEY_NAME>()?;
    let (worker, rest) = rest.split_first_chunk()?;
    let (generation, rest) = rest.split_first_chunk()?;
    Some(SessionToken {
        pod: pod(place)?,
        worker: u16::from_be_bytes(*worker),
        session: SessionId(rest.try_into().ok()?),
        generation: u32::from_be_bytes(*generation),
    })
}

fn pod(place: &[u8]) -> Option<PodAddress> {
    let (family, place) = place.split_first()?;
    if *family == HERE {
        return place.is_empty().then_some(PodAddress::Here);
    }
    let (ip, port) = place.split_last_chunk()?;
    let ip = match *family {
        IPV4 => IpAddr::from(<[u8; 4]>::try_from(ip).ok()?),
        IPV6 => IpAddr::from(<[u8; 16]>::try_from(ip).ok()?),
        _ => return None,
    };
    let port = u16::from_be_bytes(*port);
    Some(PodAddress::At(SocketAddr::new(ip, port)))
}

#[cfg(test)]
mod tests;
