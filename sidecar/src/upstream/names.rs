//! What a name's answers say over time: which addresses connections should leave. Pure.
//!
//! An address that is not in an answer has left the name, and connections to it are retired. But some names answer with a few
//! of their addresses at a time, in turns: there an address that was missed comes back soon. A name that has been seen to do
//! that is believed only when an address has been missing for long. May not live here: asking.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// An address that comes back within this time had not left.
const TURN: Duration = Duration::from_secs(300);

/// How long a name that takes turns is remembered as one.
const REMEMBERED: Duration = Duration::from_secs(3600);

/// What is known of one name.
#[derive(Debug, Default)]
pub(super) struct Name {
    seen: HashMap<IpAddr, Instant>,
    left: HashMap<IpAddr, Instant>,
    takes_turns: Option<Instant>,
}

impl Name {
    /// Takes an answer in. `used`: the addresses to which connections lead. Gives back those of them that have left the name.
    pub(super) fn answered(
        &mut self,
        answer: &[IpAddr],
        used: &[IpAddr],
        now: Instant,
    ) -> Vec<IpAddr> {
        let since = |then: Instant| now.saturating_duration_since(then);
        self.left.retain(|_, then| since(*then) < TURN);
        for address in answer {
            self.seen.insert(*address, now);
            if self.left.remove(address).is_some() {
                self.takes_turns = Some(now);
            }
        }
        self.seen.retain(|_, then| since(*then) < TURN);
        let patient = self
            .takes_turns
            .is_some_and(|then| since(then) < REMEMBERED);
        // An answer without any address of a family may only lack the answer to that question.
        let told = |it: &IpAddr| answer.iter().any(|other| other.is_ipv4() == it.is_ipv4());
        let missing = used.iter().filter(|it| told(it) && !answer.contains(it));
        let gone: Vec<IpAddr> = missing
            .filter(|it| !patient || !self.seen.contains_key(it))
            .copied()
            .collect();
        for address in &gone {
            self.left.insert(*address, now);
        }
        gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: [IpAddr; 0] = [];

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    #[test]
    fn what_is_not_in_the_answer_has_left() {
        let (mut name, now) = (Name::default(), Instant::now());
        assert_eq!(name.answered(&[ip(1), ip(2)], &[ip(1)], now), NONE);
        assert_eq!(name.answered(&[ip(2)], &[ip(1), ip(2)], now), [ip(1)]);
        // Once its connections are gone, there is nothing to say of it.
        assert_eq!(name.answered(&[ip(2)], &[ip(2)], now), NONE);
    }

    #[test]
    fn an_answer_that_lacks_a_whole_family_says_nothing_of_it() {
        let (mut name, now) = (Name::default(), Instant::now());
        let v6 = IpAddr::from([0, 0, 0, 0, 0, 0, 0, 9]);
        assert_eq!(name.answered(&[ip(1)], &[v6], now), NONE);
        assert_eq!(name.answered(&[], &[ip(1)], now), NONE);
    }

    #[test]
    fn a_name_that_answers_in_turns_is_believed_only_after_long() {
        let (mut name, mut now) = (Name::default(), Instant::now());
        let second = Duration::from_secs(1);
        assert_eq!(name.answered(&[ip(1)], &[ip(1)], now), NONE);
        now += second;
        assert_eq!(name.answered(&[ip(2)], &[ip(1)], now), [ip(1)]);
        now += second;
        // It is back: from here on the name takes turns.
        assert_eq!(name.answered(&[ip(1)], &[ip(2)], now), NONE);
        for turn in 0..20 {
            now += second;
            let answer = [ip(1 + turn % 2)];
            assert_eq!(name.answered(&answer, &[ip(1), ip(2)], now), NONE);
        }
        now += TURN;
        assert_eq!(name.answered(&[ip(3)], &[ip(1), ip(3)], now), [ip(1)]);
    }

    #[test]
    fn one_that_comes_back_after_long_had_left() {
        let (mut name, mut now) = (Name::default(), Instant::now());
        name.answered(&[ip(1)], &[ip(1)], now);
        now += Duration::from_secs(1);
        assert_eq!(name.answered(&[ip(2)], &[ip(1)], now), [ip(1)]);
        now += TURN;
        name.answered(&[ip(1)], &[ip(2)], now);
        assert_eq!(name.takes_turns, None);
    }
}
