//! Random bytes that nobody can guess, from the operating system.
//!
//! The crypto library's own generator gathers entropy from the processor's jitter when it is first asked, some 20 ms of pure computing: a client
//! that connects to a sidecar which has just started must not wait for that. Only what the library draws for itself, in a TLS handshake,
//! comes from there.

/// Fills `bytes` from the kernel's generator (`getrandom(2)`), which blocks only before it has been seeded at boot.
///
/// # Errors
/// The operating system has none to give.
pub fn fill(bytes: &mut [u8]) -> Result<(), getrandom::Error> {
    getrandom::fill(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_are_alike() {
        let (mut one, mut other) = ([0; 32], [0; 32]);
        fill(&mut one).unwrap();
        fill(&mut other).unwrap();
        assert_ne!(one, other);
        assert_ne!(one, [0; 32]);
    }
}
