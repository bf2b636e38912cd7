//! The keys derived from a password: once for a password and salt, on a thread of their own.
//!
//! Thousands of hashes on a worker would stall every user of it, and a server may ask for a million.

use std::num::NonZeroU32;

use aws_lc_rs::{digest, pbkdf2};
use tokio::sync::Mutex;
use tokio::task::JoinError;

pub(super) const KEY: usize = digest::SHA256_OUTPUT_LEN;

/// The keys of the last password and salt.
#[derive(Default)]
pub(in crate::upstream) struct KeyCache(Mutex<Option<Entry>>);

struct Entry {
    password: Vec<u8>,
    salt: Vec<u8>,
    iterations: NonZeroU32,
    salted: [u8; KEY],
}

impl KeyCache {
    /// The salted password. Many connections that ask at once wait for one derivation.
    ///
    /// Cancel-safe: a derivation that nobody waits for any more ends by itself and is forgotten.
    pub(super) async fn salted(
        &self,
        password: &str,
        salt: &[u8],
        iterations: NonZeroU32,
    ) -> Result<[u8; KEY], JoinError> {
        // What SASLprep refuses is used as it is, as PostgreSQL does on its side.
        let password = stringprep::saslprep(password)
            .map_or_else(|_| password.as_bytes().to_vec(), |p| p.as_bytes().to_vec());
        let mut cached = self.0.lock().await;
        if let Some(entry) = cached.as_ref()
            && entry.password == password
            && entry.salt == salt
            && entry.iterations == iterations
        {
            return Ok(entry.salted);
        }
        let salt = salt.to_vec();
        let entry = tokio::task::spawn_blocking(move || derive(password, salt, iterations)).await?;
        let salted = entry.salted;
        *cached = Some(entry);
        Ok(salted)
    }
}

fn derive(password: Vec<u8>, salt: Vec<u8>, iterations: NonZeroU32) -> Entry {
    let mut salted = [0; KEY];
    let algorithm = pbkdf2::PBKDF2_HMAC_SHA256;
    pbkdf2::derive(algorithm, iterations, &salt, &password, &mut salted);
    Entry {
        password,
        salt,
        iterations,
        salted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COUNT: NonZeroU32 = NonZeroU32::MIN.saturating_add(4095);

    #[tokio::test]
    async fn keys_are_derived_again_only_when_password_or_salt_change() {
        let keys = KeyCache::default();
        let salted = async |password| keys.salted(password, &[7; 16], COUNT).await.unwrap();
        let first = salted("one").await;
        keys.0.lock().await.as_mut().unwrap().salted[0] ^= 1;
        assert_ne!(salted("one").await, first, "taken from the cache");
        let other = salted("two").await;
        assert_ne!(other, first);
        assert_eq!(salted("one").await, first, "derived afresh");
    }
}
