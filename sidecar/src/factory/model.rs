//! No interleaving of checkout, hand-over, cancel and close gives one user's connection, cancel or result to another: a model
//! that runs the real thing.
//!
//! ```text
//! clients of the model ⇄ Session, Checkout, Factory, Lane, Limiter, handover, Cancels, restore ⇄ servers of the model
//! ```
//!
//! [`world`] says what can happen, [`between`] what follows from it by itself, [`rules`] what must hold; here is who chooses. [`search`] tries everything up to a depth, and goes on from
//! each situation that looks new, shortest stories first; [`wander`] throws dice for long stories, which proptest shortens when one fails.
//! Of deadlines it has what cancels by itself: a statement whose time is over, and a server that does not come back.
//!
//! What must hold, after each step:
//! 1. a server runs statements of one user alone: in tier `Dedicated` for ever, in tier `Reset` until it has been cleaned;
//! 2. a cancel hits a statement whose client wants its end, and nothing is sent to a server while one is on its way to it; one that was
//!    lost sight of can hit nobody but the client that it was for;
//! 3. a client is told what its own statement has come to, and is told of a cancel or a loss only where there was one;
//! 4. permits cover connections, are never more than the limit, and when everybody has gone none is left, nor a session, a factory or a socket.

mod between;
mod rules;
mod server;
mod world;

use std::collections::HashSet;

use bulkhead_crds::kinds::{PoolMode, Tier};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use tokio::runtime::Builder;
use tokio::task::LocalSet;

use world::{Act, Setup, World};

/// Two clients of one user and one of another, and one connection for all of them.
const ONE_FOR_ALL: Setup = Setup {
    tier: Tier::Dedicated,
    mode: PoolMode::Transaction,
    most: 1,
    users: &["alice", "alice", "bob"],
};

/// The same with two connections.
const TWO_FOR_ALL: Setup = Setup {
    most: 2,
    ..ONE_FOR_ALL
};

/// A connection of its own for each client, as mode Session has it.
const ONE_FOR_EACH_CLIENT: Setup = Setup {
    mode: PoolMode::Session,
    most: 3,
    ..ONE_FOR_ALL
};

/// Acts of a story that is tried out in full, how many stories dice tell, and which dice: the suite's fall the same way in each run.
/// `BULKHEAD_MODEL_DEPTH`, `BULKHEAD_MODEL_WALKS` and `BULKHEAD_MODEL_SEED` say otherwise, and `make model` throws others each time.
const DEPTH: usize = 4;
const WALKS: u32 = 24;
const SEED: u64 = 1;

fn asked(name: &str) -> Option<usize> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().expect("a number"))
}

fn play<T>(story: impl Future<Output = T>) -> T {
    let mut builder = Builder::new_current_thread();
    // Sockets are looked at in each turn, so that few turns are enough for everything to have happened.
    let runtime = builder.enable_all().event_interval(1).build().unwrap();
    LocalSet::new().block_on(&runtime, story)
}

/// Plays a story: how the world looks at its end and what could happen next; none where it has looked so before. Then everybody
/// goes.
fn play_out(setup: Setup, story: &[Act], seen: &mut HashSet<String>) -> Option<Vec<Act>> {
    play(async {
        let mut world = World::new(setup).await;
        for act in story {
            world.happen(*act).await;
        }
        if !seen.insert(world.look()) {
            return None;
        }
        let acts = world.acts();
        world.wind_up().await;
        Some(acts)
    })
}

/// Every story of so many acts whose world has not looked the same before. How many there were.
fn search(setup: Setup, depth: usize) -> usize {
    let mut seen = HashSet::new();
    let acts = play_out(setup, &[], &mut seen).unwrap();
    let mut stories = vec![(Vec::new(), acts)];
    for _ in 0..depth {
        let mut longer = Vec::new();
        for (story, acts) in &stories {
            for act in acts {
                let story: Vec<Act> = story.iter().copied().chain([*act]).collect();
                if let Some(acts) = play_out(setup, &story, &mut seen) {
                    longer.push((story, acts));
                }
            }
        }
        stories = longer;
    }
    seen.len()
}

/// One long story, as dice have it: each number chooses among what can happen.
fn wander(setup: Setup, dice: &[u16]) {
    play(async {
        let mut world = World::new(setup).await;
        for number in dice {
            let Some(act) = choose(world.acts(), usize::from(*number)) else {
                break;
            };
            world.happen(act).await;
        }
        world.wind_up().await;
    });
}

/// An act; an end of somebody's is rare, so that there are long stories.
fn choose(mut acts: Vec<Act>, number: usize) -> Option<Act> {
    let (number, rarely) = (number / 16, number % 16);
    if rarely > 0 {
        acts.retain(|act| !matches!(act, Act::Vanish(_) | Act::Die(_) | Act::Wait));
    }
    (!acts.is_empty()).then(|| acts[number % acts.len()])
}

fn depth() -> usize {
    asked("BULKHEAD_MODEL_DEPTH").unwrap_or(DEPTH)
}

#[test]
fn every_short_story_in_tier_dedicated_keeps_users_apart() {
    let looks = search(ONE_FOR_ALL, depth());
    assert!(looks > 50, "{looks}");
}

#[test]
fn every_short_story_in_tier_reset_keeps_users_apart() {
    let setup = Setup {
        tier: Tier::Reset,
        ..ONE_FOR_ALL
    };
    let looks = search(setup, depth());
    assert!(looks > 50, "{looks}");
}

/// Dice seldom let so much time pass just then.
#[test]
fn a_connection_whose_cancel_is_given_up_serves_nobody_else() {
    for tier in [Tier::Dedicated, Tier::Reset] {
        play(async {
            let setup = Setup {
                tier,
                ..ONE_FOR_ALL
            };
            let mut world = World::new(setup).await;
            for act in [
                Act::Say(0, "SELECT"),
                Act::Cancel(0),
                Act::Answer(0),
                Act::Say(1, "SELECT"),
                Act::Wait,
            ] {
                world.happen(act).await;
            }
            assert!(world.servers[0].socket.is_none(), "{tier:?}");
            world.wind_up().await;
        });
    }
}

fn setups() -> impl Strategy<Value = Setup> {
    let tiers = prop_oneof![Just(Tier::Dedicated), Just(Tier::Reset)];
    let sidecars = prop_oneof![
        Just(ONE_FOR_ALL),
        Just(TWO_FOR_ALL),
        Just(ONE_FOR_EACH_CLIENT)
    ];
    (tiers, sidecars).prop_map(|(tier, setup)| Setup { tier, ..setup })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: asked("BULKHEAD_MODEL_WALKS").map_or(WALKS, |walks| u32::try_from(walks).unwrap()),
        rng_seed: RngSeed::Fixed(asked("BULKHEAD_MODEL_SEED").map_or(SEED, |seed| seed as u64)),
        ..ProptestConfig::default()
    })]

    #[test]
    fn long_stories_keep_users_apart(setup in setups(), dice in prop::collection::vec(any::<u16>(), 1..60)) {
        wander(setup, &dice);
    }
}
