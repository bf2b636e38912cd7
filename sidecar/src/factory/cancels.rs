//! Cancel requests under way for one server connection.
//!
//! A cancel request travels on a connection of its own. Until that has closed, a late one could hit the next statement,
//! whoever's that is: the server connection is not reused before.

use std::cell::Cell;
use std::rc::Rc;

use tokio::sync::Notify;

/// How many are under way; shared by the connection and the requests.
#[derive(Clone, Debug, Default)]
pub struct Cancels(Rc<InFlight>);

#[derive(Debug, Default)]
struct InFlight {
    count: Cell<u32>,
    lost: Cell<bool>,
    done: Notify,
}

/// One cancel request under way; dropping it ends it.
#[derive(Debug)]
pub struct Flight(Cancels);

impl Cancels {
    /// Whether none is under way, and none can be.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.count.get() == 0 && !self.0.lost.get()
    }

    /// Whether one has been lost track of: it may still be on its way, and the connection must not be reused.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.0.lost.get()
    }

    /// One more.
    #[must_use]
    pub fn begin(&self) -> Flight {
        self.0.count.set(self.0.count.get() + 1);
        Flight(self.clone())
    }

    /// Waits until each has ended or is lost. Cancel safe.
    pub async fn settled(&self) {
        while self.0.count.get() > 0 {
            self.0.done.notified().await;
        }
    }
}

impl Flight {
    /// The request failed or took too long: it may still arrive.
    pub fn lose(self) {
        self.0.0.lost.set(true);
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        let flights = &self.0.0;
        flights.count.set(flights.count.get().saturating_sub(1));
        flights.done.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::fixtures::within;

    #[tokio::test]
    async fn a_connection_waits_until_each_request_has_ended() {
        let cancels = Cancels::default();
        let (first, second) = (cancels.begin(), cancels.begin());
        drop(first);
        assert!(!cancels.is_empty());
        let mut settled = Box::pin(cancels.settled());
        tokio::select! {
            biased;
            () = &mut settled => panic!("one is under way"),
            () = std::future::ready(()) => {}
        }
        drop(second);
        within(settled).await;
        assert!(cancels.is_empty());
    }

    #[tokio::test]
    async fn a_request_that_is_lost_is_not_waited_for_and_never_forgotten() {
        let cancels = Cancels::default();
        cancels.begin().lose();
        within(cancels.settled()).await;
        assert!(!cancels.is_empty());
    }
}
