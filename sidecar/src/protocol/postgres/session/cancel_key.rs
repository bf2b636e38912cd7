//! The keys that clients get for their cancel requests: the sidecar's own, never the server's.
//!
//! The process id says which worker and which slot of it; the secret is random. Whoever holds no key of this sidecar's cannot
//! cancel anything, and a key lives no longer than its session.

use super::super::message::{CancelKey, ProtocolVersion};

use crate::random;

/// Bits of the process id that are the slot; the worker's number stands above them.
const SLOT_BITS: u32 = 24;

/// Bytes of a secret under protocol 3.2, which allows up to 256.
const LONG_SECRET: usize = 32;

/// Bytes of a secret under protocol 3.0, which has room for no more.
const SHORT_SECRET: usize = 4;

/// A new key. `None` where the operating system gives no random bytes.
#[must_use]
pub fn make(worker: usize, slot: usize, protocol: ProtocolVersion) -> Option<CancelKey> {
    let mut secret = [0; LONG_SECRET];
    random::fill(&mut secret).ok()?;
    let length = if protocol.has_long_cancel_keys() {
        LONG_SECRET
    } else {
        SHORT_SECRET
    };
    CancelKey::new(process_id(worker, slot), &secret[..length])
}

/// Whether a key's secret is one of protocol 3.0's, of which there are no more than can be tried.
#[must_use]
pub const fn can_be_guessed(key: &CancelKey) -> bool {
    key.secret().len() <= SHORT_SECRET
}

/// The process id of a worker's slot; above 0, because clients print it and no server's is 0.
#[must_use]
pub fn process_id(worker: usize, slot: usize) -> i32 {
    let worker = i32::try_from(worker & 0x3f).unwrap_or(0);
    let slot = i32::try_from((slot + 1) & ((1 << SLOT_BITS) - 1)).unwrap_or(0);
    (worker << SLOT_BITS) | slot
}

/// The worker that a process id names.
#[must_use]
pub const fn worker(process_id: i32) -> usize {
    ((process_id >> SLOT_BITS) & 0x3f) as usize
}

/// The slot that a process id names.
#[must_use]
pub const fn slot(process_id: i32) -> usize {
    let mask = (1 << SLOT_BITS) - 1;
    ((process_id & mask) as usize).wrapping_sub(1) & (mask as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_id_names_its_worker_and_slot() {
        for (w, s) in [(0, 0), (3, 1), (1, 70_000), (63, (1 << SLOT_BITS) - 2)] {
            let id = process_id(w, s);
            assert!(id > 0);
            assert_eq!((worker(id), slot(id)), (w, s));
        }
    }

    #[test]
    fn a_key_is_random_and_as_long_as_the_protocol_allows() {
        for (version, length) in [(3 << 16, SHORT_SECRET), ((3 << 16) | 2, LONG_SECRET)] {
            let protocol = ProtocolVersion::from_code(version);
            let (one, other) = (make(1, 7, protocol).unwrap(), make(1, 7, protocol).unwrap());
            assert_eq!(one.secret().len(), length);
            assert_eq!(one.process_id(), process_id(1, 7));
            assert!(!one.matches(&other));
        }
    }

    #[test]
    fn a_process_id_that_nobody_gave_names_a_place_within_bounds() {
        for id in [i32::MIN, -1, i32::MAX] {
            assert!(worker(id) < 64);
            assert!(slot(id) < 1 << SLOT_BITS);
        }
    }
}
