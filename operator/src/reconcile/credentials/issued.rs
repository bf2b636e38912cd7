//! The certificates that sidecars show to applications that insist on TLS: one authority a policy, for the names of its upstreams alone.
//! Pure, but for the making of keys.

use std::time::{Duration, SystemTime};

use bulkhead_crds::EffectivePolicy;
use bulkhead_crds::kinds::{InjectionTemplate, ListenTls};

use crate::certificates::CertificateError;
use crate::certificates::make::{self, Identity, Purpose};

/// How long an authority lives.
const AUTHORITY: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// How long a certificate lives; it is issued anew when a third of that is left.
const CERTIFICATE: Duration = Duration::from_secs(90 * 24 * 3600);

/// What a policy's listeners show, and who vouches for it.
#[derive(Clone, PartialEq, Eq)]
pub struct Issued {
    /// The authority.
    pub authority: Identity,
    /// What it has issued.
    pub shown: Identity,
}

/// The names that a policy's certificate is for; none where no listener asks for one.
#[must_use]
pub fn names(policy: &EffectivePolicy, template: &InjectionTemplate) -> Vec<String> {
    let asks = |database: &&bulkhead_crds::effective::EffectiveDatabase| {
        database.listen.tls == Some(ListenTls::Issued)
    };
    let mut found = Vec::new();
    for database in policy.databases.iter().filter(asks) {
        let address = database.listen.address.to_string();
        found.extend(database.upstream.hosts().map(|it| it.host));
        let aliases = template.spec.host_aliases.iter().flatten();
        for alias in aliases.filter(|alias| alias.ip == address) {
            found.extend(alias.hostnames.iter().cloned());
        }
        found.push("localhost".to_owned());
        found.push(address);
    }
    let mut seen = std::collections::BTreeSet::new();
    found.retain(|name| !name.starts_with('/') && seen.insert(name.clone()));
    found
}

/// What is to be shown at `now` for these names, given what was shown before: the same while it fits, else a new certificate of the same
/// authority, which applications need not be told of.
///
/// # Errors
/// A name that is none, and the system's randomness.
pub fn renewed(
    before: Option<Issued>,
    policy: &str,
    names: &[String],
    now: SystemTime,
) -> Result<Issued, CertificateError> {
    let authority = match before {
        Some(before) if lives(&before.authority, now, CERTIFICATE) => {
            if fits(&before.shown, names, now) {
                return Ok(before);
            }
            before.authority
        }
        _ => make::authority(&format!("Bulkhead policy {policy}"), now, AUTHORITY)?,
    };
    Ok(Issued {
        shown: make::issue(&authority, Purpose::Server, names, now, CERTIFICATE)?,
        authority,
    })
}

fn lives(identity: &Identity, now: SystemTime, at_least: Duration) -> bool {
    make::facts(&identity.certificate).is_ok_and(|facts| facts.expires > now + at_least)
}

fn fits(shown: &Identity, names: &[String], now: SystemTime) -> bool {
    lives(shown, now, CERTIFICATE / 3)
        && make::facts(&shown.certificate)
            .is_ok_and(|facts| names.iter().all(|name| facts.names.contains(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_certificate_stays_while_it_fits_and_changes_under_one_authority() {
        let now = SystemTime::UNIX_EPOCH + 365 * DAY;
        let db = names(&["db", "127.0.0.1"]);
        let first = renewed(None, "chat", &db, now).unwrap();
        let later = renewed(Some(first.clone()), "chat", &db, now + 59 * DAY).unwrap();
        assert!(later == first);
        let renewed_in_time = renewed(Some(first.clone()), "chat", &db, now + 61 * DAY).unwrap();
        assert!(
            renewed_in_time.shown != first.shown && renewed_in_time.authority == first.authority
        );
        let more = renewed(Some(first.clone()), "chat", &names(&["db", "other"]), now).unwrap();
        assert!(more.shown != first.shown && more.authority == first.authority);
        let years = renewed(Some(first.clone()), "chat", &db, now + 3600 * DAY).unwrap();
        assert!(years.authority != first.authority);
    }

    #[test]
    fn what_cannot_be_read_is_made_anew() {
        let now = SystemTime::UNIX_EPOCH + 365 * DAY;
        let junk = Identity {
            certificate: "junk".to_owned(),
            key: "junk".to_owned(),
        };
        let before = Issued {
            authority: junk.clone(),
            shown: junk,
        };
        assert!(renewed(Some(before), "chat", &names(&["db"]), now).is_ok());
    }
}
