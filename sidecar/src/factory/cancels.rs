//! Cancel requests under way for one server connection.
//!
//! A cancel request travels on a connection of its own. Until that has closed, a late one could hit the next statement,
//! whoever's that is: the server connection is not reused before, and its client's next message waits.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Waker};

use tokio::sync::Notify;

use crate::worker::mailbox::Canceller;

/// How many are under way; shared by the connection and the requests.
#[derive(Clone, Debug, Default)]
pub struct Cancels(Rc<InFlight>);

#[derive(Debug, Default)]
struct InFlight {
    count: Cell<u32>,
    lost: Cell<bool>,
    done: Notify,
    waker: RefCell<Option<Waker>>,
}

/// One cancel request under way, and who waits for its end; dropping it ends it.
#[derive(Debug)]
pub struct Flight {
    cancels: Cancels,
    _cancellers: Vec<Canceller>,
}

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

    /// Whether one is under way.
    #[must_use]
    pub fn is_under_way(&self) -> bool {
        self.0.count.get() > 0
    }

    /// Has the task of `cx` woken at the end of each that is under way.
    pub fn wake_at_end(&self, cx: &Context<'_>) {
        *self.0.waker.borrow_mut() = Some(cx.waker().clone());
    }

    /// One more, for which `cancellers` wait.
    #[must_use]
    pub fn begin(&self, cancellers: Vec<Canceller>) -> Flight {
        self.0.count.set(self.0.count.get() + 1);
        Flight {
            cancels: self.clone(),
            _cancellers: cancellers,
        }
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
        self.cancels.0.lost.set(true);
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        let flights = &self.cancels.0;
        flights.count.set(flights.count.get().saturating_sub(1));
        flights.done.notify_one();
        if let Some(waker) = flights.waker.take() {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::fixtures::within;

    #[tokio::test]
    async fn a_connection_waits_until_each_request_has_ended() {
        let cancels = Cancels::default();
        let (first, second) = (cancels.begin(Vec::new()), cancels.begin(Vec::new()));
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
        cancels.begin(Vec::new()).lose();
        within(cancels.settled()).await;
        assert!(!cancels.is_empty());
    }
}
