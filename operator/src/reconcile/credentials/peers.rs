//! The certificate by which the sidecars of a namespace know each other. Pure, but for the making of keys.
//!
//! All pods show the same one, and its name says what it is for; it is their namespace's, as the Secret is. A new authority is believed by
//! every pod before it issues what they show.

use std::time::{Duration, SystemTime};

use bulkhead_crds::names::objects::peer_name;

use crate::certificates::CertificateError;
use crate::certificates::make::{self, Purpose};
use crate::certificates::rotate::Plan;
use crate::certificates::stored::Stored;

const DAY: Duration = Duration::from_secs(24 * 3600);
/// How long an authority lives.
const AUTHORITY: Duration = Duration::from_secs(365 * 24 * 3600);
/// How long a certificate lives; it is issued anew when a third of that is left.
const CERTIFICATE: Duration = Duration::from_secs(60 * 24 * 3600);
/// How long a new authority is in the Secret before it issues; a kubelet renews Secrets within two minutes.
const ANNOUNCED: Duration = DAY;

/// What is to be in the Secret at `now`, given what is: the same while it fits.
///
/// # Errors
/// The system's randomness.
pub fn renewed(
    before: Option<Stored>,
    namespace: &str,
    now: SystemTime,
) -> Result<Stored, CertificateError> {
    let plan = Plan {
        name: "bulkhead-peers",
        purpose: Purpose::Peer,
        authority: AUTHORITY,
        certificate: CERTIFICATE,
        names: vec![peer_name(namespace)],
    };
    let step = plan.due(before.as_ref(), is_announced(before.as_ref(), now), now);
    match (plan.take(step, before.as_ref(), now)?, before) {
        (Some(taken), _) | (None, Some(taken)) => Ok(taken),
        // `take` makes something of nothing always.
        (None, None) => Err(CertificateError::Read("nothing was made".to_owned())),
    }
}

/// Whether every pod has had the time to read the newest authority.
fn is_announced(stored: Option<&Stored>, now: SystemTime) -> bool {
    let newest = stored.and_then(|stored| make::facts(&stored.authorities).ok());
    newest.is_some_and(|newest| newest.made + ANNOUNCED <= now)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn authorities(stored: &Stored) -> Vec<String> {
        let each = make::each(&stored.authorities).unwrap();
        each.into_iter().map(|(facts, _)| facts.subject).collect()
    }

    fn issuer(stored: &Stored) -> String {
        make::facts(&stored.shown.certificate).unwrap().issuer
    }

    #[test]
    fn the_certificate_has_the_name_of_its_namespace_alone() {
        let now = SystemTime::UNIX_EPOCH + 20_000 * DAY;
        let stored = renewed(None, "shop", now).unwrap();
        let facts = make::facts(&stored.shown.certificate).unwrap();
        assert_eq!(facts.names, ["shop.peers.bulkhead.dev"]);
        assert!(renewed(Some(stored.clone()), "shop", now).unwrap() == stored);
        let elsewhere = renewed(Some(stored), "bank", now).unwrap();
        let facts = make::facts(&elsewhere.shown.certificate).unwrap();
        assert_eq!(facts.names, ["bank.peers.bulkhead.dev"]);
    }

    /// Three years, half a day at a time: what a pod shows that learnt of nothing for as long is believed by one that has just learnt, and
    /// the other way.
    #[test]
    fn pods_know_each_other_whichever_of_them_learns_late() {
        let start = SystemTime::UNIX_EPOCH + 20_000 * DAY;
        let mut stored = renewed(None, "shop", start).unwrap();
        let mut seen = vec![issuer(&stored)];
        for half in 1..3 * 365 * 2 {
            let now = start + half * DAY / 2;
            let late = stored.clone();
            stored = renewed(Some(stored), "shop", now).unwrap();
            for (shows, believes) in [(&late, &stored), (&stored, &late), (&stored, &stored)] {
                let issuer = issuer(shows);
                assert!(authorities(believes).contains(&issuer), "day {}", half / 2);
                let shown = make::facts(&shows.shown.certificate).unwrap();
                assert!(shown.expires > now);
            }
            seen.push(issuer(&stored));
            assert!(authorities(&stored).len() <= 2);
        }
        seen.dedup();
        assert!((3..=5).contains(&seen.len()), "{}", seen.len());
    }
}
