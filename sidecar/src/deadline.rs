//! A lazy timer: the deadline of one session, moved often and fired seldom.
//!
//! A transaction sets a deadline and lifts it a millisecond later, thousands of times before one fires. The timer
//! therefore touches the runtime's timer wheel only when a deadline comes *before* the moment for which it is armed; a
//! later one is noticed when the armed moment comes, and re-armed then.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::time::{Instant, Sleep};

/// One deadline at a time, of one task: whoever polls it first is who is woken.
#[derive(Debug, Default)]
pub struct LazyTimer {
    sleep: Option<Pin<Box<Sleep>>>,
    wanted: Option<Instant>,
}

impl LazyTimer {
    /// Sets or lifts the deadline.
    pub const fn set(&mut self, deadline: Option<Instant>) {
        self.wanted = deadline;
    }

    /// Ready once the deadline has passed; it is lifted then. Pending for ever without one.
    ///
    /// Cancel safe. Precision: a millisecond, the runtime's.
    pub fn poll_fired(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(wanted) = self.wanted else {
            return Poll::Pending;
        };
        let sleep = match &mut self.sleep {
            // Its waker has been entered when it was armed.
            Some(sleep) if sleep.deadline() <= wanted && !sleep.is_elapsed() => {
                return Poll::Pending;
            }
            Some(sleep) => {
                if sleep.deadline() > wanted {
                    sleep.as_mut().reset(wanted);
                }
                sleep
            }
            None => self
                .sleep
                .insert(Box::pin(tokio::time::sleep_until(wanted))),
        };
        while sleep.as_mut().poll(cx).is_ready() {
            if Instant::now() >= wanted {
                self.wanted = None;
                self.sleep = None;
                return Poll::Ready(());
            }
            sleep.as_mut().reset(wanted);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_deadline_that_is_moved_back_fires_at_the_later_moment() {
        let start = Instant::now();
        let mut timer = LazyTimer::default();
        timer.set(Some(start + Duration::from_secs(1)));
        let first = std::future::poll_fn(|cx| Poll::Ready(timer.poll_fired(cx))).await;
        assert!(first.is_pending());
        timer.set(Some(start + Duration::from_secs(5)));
        std::future::poll_fn(|cx| timer.poll_fired(cx)).await;
        assert!(start.elapsed() >= Duration::from_secs(5));
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_that_is_moved_forward_fires_at_the_earlier_moment() {
        let start = Instant::now();
        let mut timer = LazyTimer::default();
        timer.set(Some(start + Duration::from_secs(50)));
        let first = std::future::poll_fn(|cx| Poll::Ready(timer.poll_fired(cx))).await;
        assert!(first.is_pending());
        timer.set(Some(start + Duration::from_secs(2)));
        std::future::poll_fn(|cx| timer.poll_fired(cx)).await;
        assert!(start.elapsed() < Duration::from_secs(3));
    }

    #[tokio::test(start_paused = true)]
    async fn a_lifted_deadline_never_fires() {
        let mut timer = LazyTimer::default();
        timer.set(Some(Instant::now() + Duration::from_secs(1)));
        timer.set(None);
        tokio::select! {
            () = std::future::poll_fn(|cx| timer.poll_fired(cx)) => panic!("it fired"),
            () = tokio::time::sleep(Duration::from_secs(10)) => {}
        }
    }
}
