//! The snapshot by which the operator hands an effective policy to a sidecar: JSON with a version and a revision.
//!
//! The version is that of the form. A sidecar refuses a version that it does not know rather than guess at fields, and an operator
//! writes each version that living sidecars may need, a key each. The revision is a hash of the content: equal content has an
//! equal revision wherever it was resolved, and a snapshot that was cut short or edited by hand does not match its own.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::effective::{EffectivePolicy, MISSED, NETWORK_POLICY};

/// The version that this build reads and writes.
pub const VERSION: u32 = 1;

/// The largest snapshot that is read; a ConfigMap holds no more.
pub const LARGEST_SNAPSHOT: usize = 1 << 20;

/// Bytes of the hash that a revision shows.
const REVISION_BYTES: usize = 8;

/// An effective policy on its way to a sidecar.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Snapshot {
    version: u32,
    revision: String,
    policy: EffectivePolicy,
}

/// Why a text is no snapshot that can be put in force.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// More than [`LARGEST_SNAPSHOT`].
    #[error("the snapshot has {bytes} bytes, and may have {LARGEST_SNAPSHOT}")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// Not JSON, or not of the form that its version has.
    #[error("the snapshot cannot be read: {0}")]
    Malformed(String),
    /// A version of which this build knows nothing.
    #[error(
        "the snapshot has version {found}, and this build reads version {VERSION}: use an operator and a sidecar at most two minor releases apart"
    )]
    Version {
        /// The version that it has.
        found: u64,
    },
    /// The content is not what the revision was made of.
    #[error(
        "the snapshot says revision {written}, and its content has {found}: it was cut short or edited"
    )]
    Revision {
        /// What it says.
        written: String,
        /// What it is.
        found: String,
    },
}

impl Snapshot {
    /// Wraps a policy, in the version of this build. What concerns the operator alone is left out: its changes are no news to sidecars, and
    /// those that do not know it can still read the rest.
    #[must_use]
    pub fn of(mut policy: EffectivePolicy) -> Self {
        policy.missed = None;
        policy.network_policy = None;
        for path in [MISSED, NETWORK_POLICY] {
            policy.origins.0.remove(path);
        }
        Self {
            version: VERSION,
            revision: revision(&policy),
            policy,
        }
    }

    /// The hash of the content.
    #[must_use]
    pub fn revision(&self) -> &str {
        &self.revision
    }

    /// The policy.
    #[must_use]
    pub fn policy(&self) -> &EffectivePolicy {
        &self.policy
    }

    /// As JSON.
    ///
    /// # Errors
    /// [`WireError::Malformed`], which a policy that has been resolved never causes.
    pub fn to_json(&self) -> Result<String, WireError> {
        serde_json::to_string_pretty(self).map_err(|error| WireError::Malformed(error.to_string()))
    }

    /// From JSON.
    ///
    /// # Errors
    /// [`WireError`]: too large, not JSON of this form, another version, or a content that does not match the revision.
    pub fn from_json(text: &str) -> Result<Self, WireError> {
        /// The one field that every version has.
        #[derive(Deserialize)]
        struct Versioned {
            version: u64,
        }
        let malformed = |error: serde_json::Error| WireError::Malformed(error.to_string());
        if text.len() > LARGEST_SNAPSHOT {
            return Err(WireError::TooLarge { bytes: text.len() });
        }
        let Versioned { version } = serde_json::from_str(text).map_err(malformed)?;
        if version != u64::from(VERSION) {
            return Err(WireError::Version { found: version });
        }
        let snapshot: Self = serde_json::from_str(text).map_err(malformed)?;
        let found = revision(&snapshot.policy);
        if found != snapshot.revision {
            return Err(WireError::Revision {
                written: snapshot.revision,
                found,
            });
        }
        Ok(snapshot)
    }
}

/// The revision of an effective policy: the first 16 hexadecimal digits of the SHA-256 of its JSON, origins included.
#[must_use]
pub fn revision(policy: &EffectivePolicy) -> String {
    // The policy's maps have text keys and its numbers are finite, so it always has a JSON form.
    let content = serde_json::to_vec(policy).unwrap_or_default();
    let hash = Sha256::digest(&content);
    hash.iter()
        .take(REVISION_BYTES)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
