//! A new revision of the policy comes into force.

use std::rc::Rc;
use std::sync::Arc;

use super::{Entry, Worker};
use crate::factory::seats;
use crate::force::{DatabaseForce, Force};

impl Worker {
    /// Puts a new revision in force. Entries that the policy no longer has keep serving who is connected: their listener is
    /// closed by the next restart, which the policy's watcher asks for.
    pub fn take_over(&self, force: &Force) {
        for entry in self.entries() {
            let name = Arc::clone(&entry.force().name);
            if let Some(database) = force.database(&name) {
                self.take_over_entry(&entry, database);
            }
        }
        for entry in self.socket_entries() {
            let name = Arc::clone(&entry.force_now().name);
            if let Some(web_socket) = force.web_socket(&name) {
                entry.set_force(Arc::clone(web_socket));
            }
        }
    }

    /// Limits hold for new work at once. Work under way keeps its connection; what is above a lower limit is closed where it is
    /// idle, and else when it is given back.
    fn take_over_entry(&self, entry: &Rc<Entry>, database: &Arc<DatabaseForce>) {
        let pool = &database.settings.pool;
        entry.limiter.set_capacity(pool.max_connections as usize);
        entry.set_force(Arc::clone(database));
        for factory in self.factories_of(&database.name) {
            factory.set_max(seats::limit_of(&factory.key.owner, pool).0);
            self.release_factory(entry, &factory);
        }
        self.trim(entry);
    }
}

#[cfg(test)]
mod tests {
    use crate::factory::pool::Factory;
    use crate::factory::server::Owned;
    use crate::worker::fixtures::{Peer, Stage};
    use crate::worker::mailbox::Letter;
    use bulkhead_crds::effective::EffectivePool;
    use tokio::time::Instant;

    fn connections(stage: &Stage, factory: &Factory, count: usize) -> (Vec<Owned>, Vec<Peer>) {
        (0..count).map(|_| stage.owned(factory)).unzip()
    }

    fn change(stage: &mut Stage, change: impl FnOnce(&mut EffectivePool)) {
        let force = stage.next_force(|database| change(&mut database.pool));
        stage.worker.take_over_entry(&stage.entry, &force);
        deliver(stage);
    }

    /// Lets the one worker read its letters, until none is left.
    fn deliver(stage: &mut Stage) {
        while let Ok(letter) = stage.mailboxes[0].try_recv() {
            match letter {
                Letter::Reclaim(reclaim) => stage.worker.answer_reclaim(reclaim),
                other => panic!("{other:?}"),
            }
        }
    }

    #[tokio::test]
    async fn idle_connections_above_a_users_lowered_limit_are_closed_at_once() {
        let mut stage = Stage::new(|policy| policy.databases[0].pool.per_user_max = 4);
        let alice = stage.factory("alice");
        let (all, _peers) = connections(&stage, &alice, 4);
        for owned in all {
            alice.park(owned, Instant::now());
        }
        change(&mut stage, |pool| pool.per_user_max = 1);
        assert_eq!((alice.open(), alice.idle()), (1, 1));
        assert!(alice.try_seat().is_none());
    }

    #[tokio::test]
    async fn a_seat_above_a_lowered_limit_goes_to_nobody() {
        let mut stage = Stage::new(|policy| policy.databases[0].pool.per_user_max = 2);
        let alice = stage.factory("alice");
        let (mut busy, _peers) = connections(&stage, &alice, 2);
        let mut waits = alice.wait();
        change(&mut stage, |pool| pool.per_user_max = 1);
        assert!(alice.exceeds_max());
        drop(busy.pop());
        assert!(
            waits.try_recv().is_err(),
            "one is the limit, and one exists"
        );
        drop(busy.pop());
        assert!(waits.try_recv().is_ok());
    }

    #[tokio::test]
    async fn who_waits_is_served_when_the_limit_is_raised() {
        let mut stage = Stage::new(|policy| policy.databases[0].pool.per_user_max = 1);
        let alice = stage.factory("alice");
        let (_busy, _peers) = connections(&stage, &alice, 1);
        let (mut first, mut second) = (alice.wait(), alice.wait());
        change(&mut stage, |pool| pool.per_user_max = 2);
        let _seat = first.try_recv().unwrap();
        assert!(second.try_recv().is_err());
    }

    #[tokio::test]
    async fn idle_connections_above_the_upstreams_lowered_limit_go_from_who_has_most() {
        let mut stage = Stage::new(|policy| policy.databases[0].pool.max_connections = 8);
        let (alice, bob) = (stage.factory("alice"), stage.factory("bob"));
        let (alices, _alices_peers) = connections(&stage, &alice, 4);
        let (bobs, _bobs_peers) = connections(&stage, &bob, 1);
        for owned in alices {
            alice.park(owned, Instant::now());
        }
        for owned in bobs {
            bob.park(owned, Instant::now());
        }
        // Neither has left: what those who have left keep idle goes first.
        alice.client_joins();
        bob.client_joins();
        change(&mut stage, |pool| pool.max_connections = 2);
        assert_eq!((alice.idle(), bob.idle()), (1, 1));
        assert!(!stage.entry.limiter.is_over());
    }

    #[tokio::test]
    async fn busy_connections_above_the_upstreams_lowered_limit_are_left_alone() {
        let mut stage = Stage::new(|policy| policy.databases[0].pool.max_connections = 2);
        let alice = stage.factory("alice");
        let (mut busy, _peers) = connections(&stage, &alice, 2);
        change(&mut stage, |pool| pool.max_connections = 1);
        assert_eq!(stage.entry.limiter.in_use(), 2);
        assert!(
            stage.entry.limiter.is_over(),
            "the next one given back is closed"
        );
        drop(busy.pop());
        assert!(!stage.entry.limiter.is_over());
    }
}
