//! What must hold when everything that happens by itself has happened, and when everybody has gone; and how a world looks.

use std::fmt::Write as _;

use bulkhead_crds::kinds::Tier;

use super::world::{Act, Way, World};

impl World {
    /// What must hold whenever everything that runs by itself has run.
    pub(super) fn hold(&self) {
        let entry = &self.stage.entry;
        let open = self
            .servers
            .iter()
            .filter(|server| server.socket.is_some())
            .count();
        let in_use = entry.limiter.in_use();
        self.must(in_use >= open, || {
            format!("{open} connections have {in_use} permits")
        });
        let most = self.setup.most as usize;
        self.must(in_use <= most, || format!("{in_use} permits of {most}"));
        if self.setup.tier != Tier::Reset {
            let crossed = entry.metrics.cross_user_handoffs.get();
            self.must(crossed == 0, || format!("{crossed} hand-overs"));
        }
    }

    /// Everybody goes and everything comes to its end: then nothing may be left.
    pub(super) async fn wind_up(mut self) {
        for client in &mut self.clients {
            client.socket = None;
        }
        self.pump().await;
        loop {
            let ends = |act: &Act| {
                matches!(
                    act,
                    Act::Greet(_) | Act::Answer(_) | Act::Deliver(_) | Act::DeliverLate(_)
                )
            };
            let Some(act) = self.acts().into_iter().find(ends) else {
                break;
            };
            self.happen(act).await;
        }
        let (worker, entry) = (&self.stage.worker, &self.stage.entry);
        self.must(worker.sessions() == 0, || "a session is left".to_owned());
        self.must(worker.errands.are_done(), || "an errand is left".to_owned());
        self.must(!entry.limiter.has_waiters(), || {
            "somebody waits still".to_owned()
        });
        for factory in worker.factories_of("main") {
            while let Some(owned) = factory.take_longest_idle() {
                drop(owned);
            }
            worker.release_factory(entry, &factory);
        }
        while entry.lanes().iter().any(|lane| lane.close_spare()) {}
        let left = (entry.limiter.in_use(), worker.factories_of("main").len());
        self.must(left == (0, 0), || {
            format!("(permits, factories) left: {left:?}")
        });
        self.pump().await;
        for server in &self.servers {
            self.must(server.socket.is_none(), || {
                format!("{server:?} is connected still")
            });
        }
    }

    /// The world as it looks from outside, with what the pool says of itself: two worlds that look the same are taken to be the same.
    pub(super) fn look(&self) -> String {
        let mut look = String::new();
        for client in &self.clients {
            let wants = client
                .owed
                .is_some_and(|number| client.cancelled.contains(&number));
            let (there, owed) = (client.socket.is_some(), client.owed.is_some());
            let _ = write!(look, "{there}{owed}{wants}{};", client.status);
        }
        let request_of = |at: usize| {
            self.requests
                .iter()
                .filter(move |request| request.server == at)
        };
        for (at, server) in self.servers.iter().enumerate() {
            let open = request_of(at).filter(|request| request.is_open()).count();
            if server.socket.is_none() && open == 0 {
                continue;
            }
            let running = server.running.as_ref();
            let running =
                running.map(|one| (one.by.map(|by| by.0), one.cancelled, one.text.len() > 8));
            let mut lost: Vec<_> = request_of(at)
                .filter(|request| request.is_lost())
                .map(|request| request.client)
                .collect();
            lost.sort_unstable();
            let late = request_of(at).any(|request| matches!(request.way, Way::Late));
            let _ = write!(
                look,
                "{}{running:?}{}{:?}{lost:?}{late}{open};",
                server.greeted, server.status, server.holds
            );
        }
        let limiter = &self.stage.entry.limiter;
        let (in_use, waiters) = (limiter.in_use(), limiter.has_waiters());
        let _ = write!(look, "{in_use}{waiters}{}", self.waits);
        let mut factories: Vec<_> = self
            .stage
            .worker
            .factories_of("main")
            .iter()
            .map(|factory| {
                (
                    factory.key.owner.label().to_owned(),
                    factory.idle(),
                    factory.open(),
                    factory.waiting(),
                )
            })
            .collect();
        factories.sort();
        let _ = write!(look, "{factories:?}");
        look
    }

    pub(super) fn must(&self, holds: bool, what: impl FnOnce() -> String) {
        assert!(
            holds,
            "{}\nin {:?} after {:#?}",
            what(),
            self.setup,
            self.story
        );
    }
}
