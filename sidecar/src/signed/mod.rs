//! The signed user: what lets row-level security know a session's user by more than a parameter that SQL can write.
//!
//! ```text
//! Secret ─ keys ─┐
//!                ├─ claim ─→ SELECT bulkhead.assert($1)   at every checkout, ahead of the client's first message
//! hello ─ tenure ┘
//! ```
//!
//! The database's half is `sql/signed-user.sql`: `bulkhead.hello()` begins a tenure of a server session and says what it is bound to, and
//! a claim for that tenure, signed by a key that both sides have, is what `bulkhead.user_id()` believes. Lives here: keys, tenures,
//! claims, all of it pure. May not live here: sending any of it.

mod keys;
mod tenure;

pub use keys::{KeysError, SigningKeys};
pub use tenure::{NoKey, Tenure, TenureError};

/// What an administrator installs once in each database.
pub const INSTALL: &str = include_str!("../../../sql/signed-user.sql");

/// What takes it out again.
pub const UNINSTALL: &str = include_str!("../../../sql/signed-user-uninstall.sql");

/// The version of [`INSTALL`] that this sidecar speaks to.
pub const VERSION: &str = "1";

/// Begins a tenure. It writes, so a session whose transactions only read is told for once to do otherwise.
pub const HELLO: &str = "BEGIN READ WRITE;SELECT bulkhead.hello();COMMIT";

/// Puts the claim that is its parameter in force.
pub const ASSERT: &str = "SELECT bulkhead.assert($1)";

/// A text in hexadecimal.
fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}
