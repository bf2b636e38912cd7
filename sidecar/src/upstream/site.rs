//! Where connections lead, so that those to a place that is no longer the right one are closed before they are used again.
//!
//! Each connection keeps a [`Standing`]: its site, and the era of that site in which it was made. Whoever learns that a site
//! is not what it was (its address has left DNS, its server shuts down, or takes no writes any more) ends the era, and every
//! connection of before is known by one comparison of two numbers. May not live here: who closes them, and when.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::dial::Address;
use crate::telemetry::RetirementReason;

/// Two connections that end one after the other within this time end because their server does; one alone may have been ended
/// by an administrator, who says so with the same SQLSTATE.
const TOGETHER: Duration = Duration::from_secs(1);

/// How long a server that has ended connections, or has said that it is starting, may be away before it counts as gone.
const RESTART: Duration = Duration::from_secs(10);

/// Sites that are kept although no connection leads there.
const UNUSED: usize = 64;

/// The sites of one upstream, shared by all threads and by the revisions that dial the same servers.
#[derive(Debug, Default)]
pub struct Sites(Mutex<HashMap<Key, Arc<Site>>>);

type Key = (Arc<str>, Address);

#[derive(Debug, Default)]
struct Site {
    era: AtomicU64,
    /// Why the last era ended: an index into [`RetirementReason::ALL`].
    why: AtomicU8,
    /// When a connection last said that its server ends it.
    goodbye: Mutex<Option<Instant>>,
}

/// What a connection knows of the place it leads to.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    site: Arc<Site>,
    era: u64,
}

impl Sites {
    /// The standing of a connection that is made now, to `address` of `host`.
    #[must_use]
    pub fn standing(&self, host: &Arc<str>, address: &Address) -> Standing {
        let mut sites = self.lock();
        if sites.len() > UNUSED {
            sites.retain(|_, site| Arc::strong_count(site) > 1);
        }
        let key = (Arc::clone(host), address.clone());
        let site = Arc::clone(sites.entry(key).or_default());
        let era = site.era.load(Ordering::Acquire);
        Standing { site, era }
    }

    /// The IP addresses of `host` to which connections lead.
    #[must_use]
    pub fn in_use(&self, host: &str) -> Vec<IpAddr> {
        let sites = self.lock();
        let used = sites
            .iter()
            .filter(|((of, _), site)| **of == *host && Arc::strong_count(site) > 1);
        let mut found: Vec<IpAddr> = used.filter_map(|((_, address), _)| address.ip()).collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Whether a server of this name has said goodbye a moment ago: that nobody answers there now may be its restart.
    #[must_use]
    pub fn may_come_back(&self, host: &str, now: Instant) -> bool {
        let sites = self.lock();
        let mut of_host = sites.iter().filter(|((of, _), _)| **of == *host);
        of_host.any(|(_, site)| {
            let last = *site.last_goodbye();
            last.is_some_and(|last| now.saturating_duration_since(last) < RESTART)
        })
    }

    /// Retires every connection to these addresses of `host`.
    pub fn retire(&self, host: &str, gone: &[IpAddr], why: RetirementReason) {
        for ((of, address), site) in self.lock().iter() {
            if **of == *host && address.ip().is_some_and(|ip| gone.contains(&ip)) {
                site.end_era(site.era.load(Ordering::Acquire), why);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Arc<Site>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Site {
    fn last_goodbye(&self) -> MutexGuard<'_, Option<Instant>> {
        self.goodbye.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the era, unless it has ended: what a connection of an older one has heard says nothing of those that came after.
    fn end_era(&self, era: u64, why: RetirementReason) {
        // Ahead of the era, so that whoever sees its end sees the reason.
        self.why.store(why as u8, Ordering::Release);
        let next = era.wrapping_add(1);
        let _ = self
            .era
            .compare_exchange(era, next, Ordering::AcqRel, Ordering::Acquire);
    }
}

impl Standing {
    /// Why the connection is not to be used again, where it is not.
    #[must_use]
    pub fn retired(&self) -> Option<RetirementReason> {
        let now = self.site.era.load(Ordering::Acquire);
        (now != self.era).then(|| {
            let why = usize::from(self.site.why.load(Ordering::Acquire));
            let known = RetirementReason::ALL.get(why).copied();
            known.unwrap_or(RetirementReason::Failover)
        })
    }

    /// Retires this connection, and every other that was made to the same place before now.
    pub fn retire(&self, why: RetirementReason) {
        self.site.end_era(self.era, why);
    }

    /// The server does not let anybody in for now.
    pub fn turned_away(&self, now: Instant) {
        *self.site.last_goodbye() = Some(now);
        self.retire(RetirementReason::Failover);
    }

    /// The server has ended the connection by an administrator's command: one that shuts all of it down, if another
    /// connection to it has been ended so in the same second.
    pub fn goodbye(&self, now: Instant) {
        let mut last = self.site.last_goodbye();
        let together = last.is_some_and(|last| now.saturating_duration_since(last) < TOGETHER);
        *last = Some(now);
        drop(last);
        if together {
            self.retire(RetirementReason::Failover);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    fn at(last: u8) -> Address {
        Address::Tcp(SocketAddr::from(([10, 0, 0, last], 5432)))
    }

    #[test]
    fn what_was_made_before_is_retired_and_what_comes_after_is_not() {
        let (sites, host) = (Sites::default(), Arc::from("db"));
        let before = sites.standing(&host, &at(1));
        let elsewhere = sites.standing(&host, &at(2));
        before.retire(RetirementReason::ReadOnly);
        assert_eq!(before.retired(), Some(RetirementReason::ReadOnly));
        assert_eq!(elsewhere.retired(), None);
        let after = sites.standing(&host, &at(1));
        assert_eq!(after.retired(), None);
        // One of before that hears the news late does not retire those of after.
        before.retire(RetirementReason::Failover);
        assert_eq!(after.retired(), None);
    }

    #[test]
    fn an_address_that_has_left_the_name_takes_its_connections_with_it() {
        let (sites, host) = (Sites::default(), Arc::from("db"));
        let (one, two) = (sites.standing(&host, &at(1)), sites.standing(&host, &at(2)));
        let other = sites.standing(&Arc::from("other"), &at(1));
        assert_eq!(sites.in_use("db").len(), 2);
        sites.retire("db", &[IpAddr::from([10, 0, 0, 1])], RetirementReason::Dns);
        assert_eq!(one.retired(), Some(RetirementReason::Dns));
        assert_eq!((two.retired(), other.retired()), (None, None));
        drop((one, two));
        assert_eq!(sites.in_use("db"), Vec::<IpAddr>::new());
    }

    #[test]
    fn one_goodbye_is_an_administrators_and_two_at_once_are_the_servers() {
        let (sites, host) = (Sites::default(), Arc::from("db"));
        let (one, two) = (sites.standing(&host, &at(1)), sites.standing(&host, &at(1)));
        let now = Instant::now();
        one.goodbye(now);
        assert_eq!(two.retired(), None);
        one.goodbye(now + TOGETHER);
        assert_eq!(two.retired(), None, "a second later is not at once");
        two.goodbye(now + TOGETHER);
        assert_eq!(one.retired(), Some(RetirementReason::Failover));
    }

    #[test]
    fn a_server_that_has_just_said_goodbye_may_come_back() {
        let (sites, host) = (Sites::default(), Arc::from("db"));
        let now = Instant::now();
        let one = sites.standing(&host, &at(1));
        assert!(!sites.may_come_back("db", now), "nothing has been heard");
        one.goodbye(now);
        assert!(sites.may_come_back("db", now) && !sites.may_come_back("other", now));
        assert!(!sites.may_come_back("db", now + RESTART));
        let later = now + 2 * RESTART;
        sites.standing(&host, &at(2)).turned_away(later);
        assert!(sites.may_come_back("db", later));
    }

    #[test]
    fn places_that_nothing_leads_to_are_forgotten() {
        let (sites, host) = (Sites::default(), Arc::from("db"));
        let kept = sites.standing(&host, &at(0));
        for _ in 0..3 {
            for last in 1..=255 {
                drop(sites.standing(&host, &at(last)));
            }
        }
        assert!(sites.lock().len() <= UNUSED + 2);
        kept.retire(RetirementReason::Dns);
        assert!(kept.retired().is_some());
        assert_eq!(sites.standing(&host, &at(0)).retired(), None);
    }
}
