//! A tenure of a server session: what `bulkhead.hello()` has said, and the claims that are made for it.

use std::time::Duration;

use thiserror::Error;
use tokio::time::Instant;

use super::keys::{SigningKey, SigningKeys};
use super::{VERSION, hex};

/// How long a claim is good. It is bound to its tenure, so this only bounds what a session can do that its sidecar has forgotten.
const LIFETIME: Duration = Duration::from_secs(10 * 60);

/// A tenure that lacks the key that is preferred is asked again after this time, whether the database has it now.
const ASKED_AGAIN: Duration = Duration::from_secs(5);

/// Bytes of an answer: the longest that the database gives has 16 keys.
const LONGEST_ANSWER: usize = 4096;

/// What a server session has said of itself. Every user who comes to it begins another.
#[derive(Clone, Debug)]
pub struct Tenure {
    /// Cluster, database, process, its beginning, and a random number: said back word for word.
    binding: Box<str>,
    /// The database's clock when it answered, in milliseconds since 1970.
    clock: u64,
    /// When that was.
    answered: Instant,
    /// The keys that the database has, `id=fingerprint`.
    keys: Box<[Box<str>]>,
    /// Until when the last claim is good.
    good_until: Option<Instant>,
}

/// Why an answer of `bulkhead.hello()` is of no use.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum TenureError {
    /// The database has another version of the file.
    #[error(
        "the database has version {0} of sql/signed-user.sql, and this sidecar speaks to version {VERSION}"
    )]
    Version(String),
    /// It is none.
    #[error("bulkhead.hello() has answered what is no answer")]
    Malformed,
}

/// Neither side has a key that the other has too.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("the database has none of its keys{0}")]
pub struct NoKey(&'static str);

impl Tenure {
    /// Reads an answer that has come at `now`.
    ///
    /// # Errors
    /// See [`TenureError`].
    pub fn read(answer: &str, now: Instant) -> Result<Self, TenureError> {
        let parts: Vec<&str> = answer.split('|').collect();
        let [version, rest @ ..] = parts.as_slice() else {
            return Err(TenureError::Malformed);
        };
        if *version != VERSION {
            let shown = version.chars().take(20).collect();
            return Err(TenureError::Version(shown));
        }
        let [binding, clock, keys] = rest else {
            return Err(TenureError::Malformed);
        };
        let clock: Option<u64> = clock.parse().ok();
        let sound = answer.len() <= LONGEST_ANSWER && is_binding(binding);
        let clock = clock.filter(|_| sound).ok_or(TenureError::Malformed)?;
        Ok(Self {
            binding: (*binding).into(),
            clock,
            answered: now,
            keys: keys.split(',').map(Into::into).collect(),
            good_until: None,
        })
    }

    /// Whether a claim can be signed for it, by the key that is preferred or, for a while, by another.
    #[must_use]
    pub fn serves(&self, keys: &SigningKeys, now: Instant) -> bool {
        let Some(index) = keys.iter().position(|key| self.knows(key)) else {
            return false;
        };
        index == 0 || now.saturating_duration_since(self.answered) < ASKED_AGAIN
    }

    /// Whether the database has one of these keys.
    ///
    /// # Errors
    /// It has none.
    pub fn check(&self, keys: &SigningKeys) -> Result<(), NoKey> {
        self.chosen(keys).map(drop)
    }

    /// Whether the claim that was made last is in its second half.
    #[must_use]
    pub fn is_due(&self, now: Instant) -> bool {
        self.good_until
            .is_none_or(|until| until.saturating_duration_since(now) < LIFETIME / 2)
    }

    /// A claim that this session is `user`'s, signed by the first key that the database has too.
    ///
    /// # Errors
    /// It has none of them.
    pub fn claim(&mut self, keys: &SigningKeys, user: &str, now: Instant) -> Result<String, NoKey> {
        let key = self.chosen(keys)?;
        let (clock, since) = (
            Duration::from_millis(self.clock),
            now.saturating_duration_since(self.answered),
        );
        let not_after = (clock + since + LIFETIME).as_secs();
        let said = format!(
            "v1:{}:{}:{not_after}:{}",
            key.id,
            self.binding,
            hex(user.as_bytes())
        );
        let mac = key.sign(&said);
        self.good_until = Some(now + LIFETIME);
        Ok(format!("{said}:{mac}"))
    }

    fn chosen<'a>(&self, keys: &'a SigningKeys) -> Result<&'a SigningKey, NoKey> {
        let mut keys_of_both = keys.iter().filter(|key| self.knows(key));
        keys_of_both.next().ok_or_else(|| self.no_key(keys))
    }

    fn knows(&self, key: &SigningKey) -> bool {
        self.keys.iter().any(|known| {
            let known = known.split_once('=');
            known.is_some_and(|(id, print)| *id == *key.id && *print == *key.fingerprint)
        })
    }

    fn no_key(&self, keys: &SigningKeys) -> NoKey {
        let same_id = |key: &SigningKey| {
            let ids = self.keys.iter().filter_map(|known| known.split_once('='));
            ids.into_iter().any(|(id, _)| *id == *key.id)
        };
        NoKey(if keys.iter().any(same_id) {
            ", but another under the same id"
        } else {
            ""
        })
    }
}

/// Five parts of digits and hexadecimal digits: nothing that could be taken for another part of a claim.
fn is_binding(text: &str) -> bool {
    let sound =
        |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    text.split(':').count() == 5 && text.split(':').all(sound)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BINDING: &str = "7712:16395:29225:1795761425196508:33ecd2230acc4ae1bceefc46af20addd";

    /// Keys of these ids, the bytes of each its first letter.
    fn keys(ids: &[&str]) -> SigningKeys {
        use base64::Engine as _;
        let line = |id: &&str| {
            let secret = [id.as_bytes()[0]; 32];
            let secret = base64::engine::general_purpose::STANDARD.encode(secret);
            format!("{id} {secret}\n")
        };
        SigningKeys::read(&ids.iter().map(line).collect::<String>()).unwrap()
    }

    fn known(keys: &SigningKeys) -> String {
        let known: Vec<String> = keys
            .iter()
            .map(|key| format!("{}={}", key.id, key.fingerprint))
            .collect();
        known.join(",")
    }

    fn tenure(database: &[&str], now: Instant) -> Tenure {
        let known = match database {
            [] => String::new(),
            ids => known(&keys(ids)),
        };
        Tenure::read(&format!("1|{BINDING}|1000000|{known}"), now).unwrap()
    }

    #[test]
    fn a_claim_says_all_that_the_tenure_is_bound_to() {
        let now = Instant::now();
        let claim = tenure(&["a"], now)
            .claim(&keys(&["a"]), "alice", now + Duration::from_secs(5))
            .unwrap();
        let said = format!("v1:a:{BINDING}:1605:616c696365");
        let mac = keys(&["a"]).iter().next().unwrap().sign(&said);
        assert_eq!(claim, format!("{said}:{mac}"));
    }

    /// What the Secret has, what the database has, who signs, and whether at once and after a while.
    type Case<'a> = (&'a [&'a str], &'a [&'a str], Option<&'a str>, [bool; 2]);

    #[test]
    fn the_first_key_that_the_database_has_signs() {
        let now = Instant::now();
        let later = now + ASKED_AGAIN;
        let cases: [Case<'_>; 5] = [
            (&["b", "a"], &["a", "b"], Some("b"), [true, true]),
            (&["b", "a"], &["a"], Some("a"), [true, false]),
            (&["a"], &["a", "b"], Some("a"), [true, true]),
            (&["b"], &["a"], None, [false, false]),
            (&["b"], &[], None, [false, false]),
        ];
        for (ours, theirs, signs, serves) in cases {
            let (ours, mut tenure) = (keys(ours), tenure(theirs, now));
            assert_eq!(
                [now, later].map(|at| tenure.serves(&ours, at)),
                serves,
                "{ours:?} {theirs:?}"
            );
            let claim = tenure.claim(&ours, "alice", now).ok();
            let by = claim.as_ref().map(|claim| claim.split(':').nth(1));
            assert_eq!(by.flatten(), signs, "{ours:?} {theirs:?}");
        }
    }

    #[test]
    fn another_key_of_the_same_id_is_told() {
        let now = Instant::now();
        let known = known(&keys(&["a"])).replace("a=", "b=");
        let mut tenure = Tenure::read(&format!("1|{BINDING}|1|{known}"), now).unwrap();
        let refused = tenure.claim(&keys(&["b"]), "alice", now).unwrap_err();
        assert!(
            refused.to_string().contains("under the same id"),
            "{refused}"
        );
    }

    #[test]
    fn a_claim_is_renewed_in_its_second_half() {
        let now = Instant::now();
        let mut tenure = tenure(&["a"], now);
        assert!(tenure.is_due(now), "there is none");
        tenure.claim(&keys(&["a"]), "alice", now).unwrap();
        assert!(!tenure.is_due(now + LIFETIME / 2));
        assert!(tenure.is_due(now + LIFETIME / 2 + Duration::from_secs(1)));
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        let now = Instant::now();
        let long = format!("1|{BINDING}|1|{}", "a".repeat(LONGEST_ANSWER));
        for answer in [
            "1",
            "1|a|b",
            &format!("1|{BINDING}|x|"),
            &format!("1|{BINDING}:1|1|"),
            "1|1:2:3:4|1|",
            "1|1:2:3:4:|1|",
            "1|1:2:3:4:x y|1|",
            &long,
        ] {
            assert_eq!(
                Tenure::read(answer, now).unwrap_err(),
                TenureError::Malformed
            );
        }
        for answer in ["", "2|whatever"] {
            let refused = Tenure::read(answer, now).unwrap_err();
            assert!(matches!(refused, TenureError::Version(_)), "{refused}");
        }
    }
}
