//! A token bucket: so many messages a second, and as many at once as a second has. Pure.

use std::time::Duration;

use tokio::time::Instant;

/// How full it is. A bucket that nobody has taken from is full.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bucket {
    /// When it would have been empty with all that was taken since: it is full where that lies a second back or more.
    emptied: Option<Instant>,
}

/// Wide enough for what a second's worth at the highest rate (1,000,000) leaves of each message: 1 µs.
const BURST: Duration = Duration::from_secs(1);

impl Bucket {
    /// Takes one message's worth, if it is there.
    ///
    /// # Errors
    /// When it will be.
    pub fn take(&mut self, rate: u32, now: Instant) -> Result<(), Instant> {
        let worth = BURST / rate.max(1);
        let full = now.checked_sub(BURST).unwrap_or(now);
        let since = self.emptied.map_or(full, |emptied| emptied.max(full));
        let after = since + worth;
        if after > now {
            return Err(after);
        }
        self.emptied = Some(after);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_s_worth_goes_at_once_and_then_one_at_a_time() {
        let start = Instant::now() + Duration::from_secs(100);
        let mut bucket = Bucket::default();
        for _ in 0..50 {
            assert_eq!(bucket.take(50, start), Ok(()));
        }
        let next = bucket.take(50, start).unwrap_err();
        assert_eq!(next, start + Duration::from_millis(20));
        assert_eq!(bucket.take(50, next), Ok(()));
        assert!(bucket.take(50, next).is_err());
    }

    #[test]
    fn what_is_not_taken_does_not_add_up_beyond_a_second() {
        let start = Instant::now() + Duration::from_secs(100);
        let mut bucket = Bucket::default();
        assert_eq!(bucket.take(2, start), Ok(()));
        let later = start + Duration::from_secs(3600);
        let taken = (0..10).filter(|_| bucket.take(2, later).is_ok()).count();
        assert_eq!(taken, 2);
    }
}
