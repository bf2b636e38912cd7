use proptest::prelude::*;

use super::*;

const LIMITS: EffectiveBreaker = EffectiveBreaker {
    failures: 3,
    window: Duration::from_secs(10),
    open: Duration::from_secs(5),
    half_open_probes: 2,
};

fn at(start: Instant, seconds: u64) -> Instant {
    start + Duration::from_secs(seconds)
}

/// A breaker that has opened at `start`.
fn opened(start: Instant) -> Breaker {
    let mut breaker = Breaker::default();
    for _ in 0..LIMITS.failures {
        breaker.failed(&LIMITS, Pass::Free, start);
    }
    assert_eq!(breaker.state(), BreakerState::Open);
    breaker
}

#[test]
fn it_opens_at_so_many_failures_within_the_window_and_not_before() {
    let start = Instant::now();
    // When each failure comes, and whether it is open after the last of them.
    let rows: [(&[u64], bool); 6] = [
        (&[], false),
        (&[0, 0], false),
        (&[0, 0, 0], true),
        (&[0, 5, 9], true),
        (&[0, 5, 10], false),
        (&[0, 9, 18, 18], true),
    ];
    for (failures, open) in rows {
        let mut breaker = Breaker::default();
        for seconds in failures {
            breaker.failed(&LIMITS, Pass::Free, at(start, *seconds));
        }
        assert_eq!(breaker.state() == BreakerState::Open, open, "{failures:?}");
    }
}

#[test]
fn while_open_it_says_when_to_try_again() {
    let start = Instant::now();
    let mut breaker = opened(start);
    for (now, left) in [(0, 5), (2, 3), (4, 1)] {
        let refused = breaker.admit(&LIMITS, at(start, now)).unwrap_err();
        assert_eq!(refused.after, Duration::from_secs(left));
    }
    assert!(breaker.look(&LIMITS, at(start, 5)).is_ok());
    assert_eq!(breaker.state(), BreakerState::HalfOpen);
}

#[test]
fn half_open_it_lets_probes_pass_and_nobody_beside_them() {
    let (start, now) = (Instant::now(), at(Instant::now(), 6));
    let mut breaker = opened(start);
    let first = breaker.admit(&LIMITS, now).unwrap();
    let second = breaker.admit(&LIMITS, now).unwrap();
    assert_eq!(breaker.admit(&LIMITS, now).unwrap_err().after, WHILE_PROBED);
    // One that gives up makes room for another.
    breaker.abandoned(first);
    let third = breaker.admit(&LIMITS, now).unwrap();
    breaker.succeeded(&LIMITS, second);
    assert_eq!(breaker.state(), BreakerState::HalfOpen);
    breaker.succeeded(&LIMITS, third);
    assert_eq!(breaker.state(), BreakerState::Closed);
    assert!(breaker.is_quiet());
}

#[test]
fn a_probe_that_fails_opens_it_again_and_one_of_before_says_nothing() {
    let (start, now) = (Instant::now(), at(Instant::now(), 6));
    let mut breaker = opened(start);
    let (bad, late) = (
        breaker.admit(&LIMITS, now).unwrap(),
        breaker.admit(&LIMITS, now).unwrap(),
    );
    breaker.failed(&LIMITS, bad, now);
    assert_eq!(breaker.open_for(now), Some(LIMITS.open));
    let again = now + LIMITS.open;
    let present = breaker.admit(&LIMITS, again).unwrap();
    breaker.failed(&LIMITS, late, again);
    breaker.failed(&LIMITS, Pass::Free, again);
    assert_eq!(
        breaker.state(),
        BreakerState::HalfOpen,
        "of before it opened"
    );
    breaker.succeeded(&LIMITS, present);
    breaker.succeeded(&LIMITS, present);
    assert_eq!(breaker.state(), BreakerState::Closed);
}

#[test]
fn one_that_nobody_tries_begins_anew() {
    let start = Instant::now();
    let mut breaker = opened(start);
    breaker.pass_time(&LIMITS, at(start, 5));
    breaker.pass_time(&LIMITS, at(start, 14));
    assert_eq!(breaker.state(), BreakerState::HalfOpen);
    breaker.pass_time(&LIMITS, at(start, 15));
    assert!(breaker.is_quiet());
}

#[test]
fn seconds_are_whole_and_never_none() {
    for (millis, whole) in [(0, 1), (1, 1), (1000, 1), (1001, 2), (14_500, 15)] {
        assert_eq!(seconds(Duration::from_millis(millis)), whole);
    }
}

#[derive(Clone, Debug)]
enum Step {
    Wait(u64),
    Admit,
    End(usize, u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0u64..7000).prop_map(Step::Wait),
        Just(Step::Admit),
        (any::<usize>(), 0u8..3).prop_map(|(which, how)| Step::End(which, how)),
    ];
    proptest::collection::vec(step, 1..200)
}

proptest! {
    /// Whatever happens: no more probes than allowed, open never longer than `open`, and work passes again in the end.
    #[test]
    fn no_traffic_wedges_it(steps in steps(), failures in 1u32..5, probes in 1u32..4) {
        let limits = EffectiveBreaker { failures, half_open_probes: probes, ..LIMITS };
        let mut now = Instant::now();
        let mut breaker = Breaker::default();
        let mut under_way: Vec<Pass> = Vec::new();
        for step in steps {
            match step {
                Step::Wait(millis) => now += Duration::from_millis(millis),
                Step::Admit => match breaker.admit(&limits, now) {
                    Ok(pass) => {
                        under_way.push(pass);
                        if let Pass::Probe(round) = pass {
                            let same = under_way.iter().filter(|one| **one == Pass::Probe(round));
                            prop_assert!(same.count() <= probes as usize);
                        }
                    }
                    Err(refused) => {
                        prop_assert!(breaker.state() != BreakerState::Closed);
                        prop_assert!(refused.after <= limits.open.max(WHILE_PROBED));
                    }
                },
                Step::End(which, how) if !under_way.is_empty() => {
                    let pass = under_way.swap_remove(which % under_way.len());
                    match how {
                        0 => breaker.succeeded(&limits, pass),
                        1 => breaker.failed(&limits, pass, now),
                        _ => breaker.abandoned(pass),
                    }
                }
                Step::End(..) => {}
            }
            prop_assert!(breaker.failures() < failures as usize);
        }
        for pass in under_way {
            breaker.abandoned(pass);
        }
        now += limits.open;
        for _ in 0..probes {
            if let Ok(pass) = breaker.admit(&limits, now) {
                breaker.succeeded(&limits, pass);
            }
        }
        prop_assert_eq!(breaker.state(), BreakerState::Closed);
        prop_assert_eq!(breaker.admit(&limits, now), Ok(Pass::Free));
    }
}
