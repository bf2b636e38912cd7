//! Numbers that keep things from happening all at once. Not for secrets.

use std::cell::Cell;
use std::time::Duration;

/// A small generator (xorshift, Marsaglia 2003) of one thread.
#[derive(Debug)]
pub struct Jitter(Cell<u64>);

impl Jitter {
    /// A generator whose numbers are its own: seeds may be neighbours.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mixed = seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Self(Cell::new(mixed | 1))
    }

    fn next(&self) -> u64 {
        let mut x = self.0.get();
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        self.0.set(x);
        x
    }

    /// A number.
    pub fn number(&self) -> u32 {
        (self.next() >> 32) as u32
    }

    /// Some part of a span: from nothing to all of it.
    pub fn part_of(&self, span: Duration) -> Duration {
        span.mul_f64((self.next() % 1000) as f64 / 1000.0)
    }

    /// Takes up to a tenth off an age, so that what began together does not all end together.
    pub fn shorten(&self, age: Duration) -> Duration {
        age - self.part_of(age / 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_loses_a_tenth_at_the_most_and_not_always_the_same() {
        let age = Duration::from_secs(1000);
        let jitter = Jitter::new(0);
        let ages: Vec<_> = (0..100).map(|_| jitter.shorten(age)).collect();
        assert!(ages.iter().all(|it| (age - age / 10..=age).contains(it)));
        assert!(ages.iter().any(|it| *it != ages[0]));
    }

    #[test]
    fn neighbouring_seeds_give_other_numbers() {
        let numbers = |seed| {
            let jitter = Jitter::new(seed);
            [jitter.number(), jitter.number()]
        };
        assert_ne!(numbers(0), numbers(1));
    }
}
