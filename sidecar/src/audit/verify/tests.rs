use proptest::prelude::*;

use super::super::chain::Chain;
use super::super::record::{Around, Event, append};
use super::*;
use crate::audit::Naming;
use crate::audit::record::{Canceller, Upstream};
use bulkhead_crds::kinds::{AuditFailure, UserIds};

fn key() -> Key {
    Key::of(&[7; 32])
}

fn began(seal: &Seal, torn: Option<Torn>) -> Event {
    Event::TrailBegan {
        version: "1",
        user_ids: UserIds::Plain,
        on_failure: AuditFailure::Refuse,
        key: seal.key_id().map(str::to_owned),
        torn,
        unreadable: None,
    }
}

fn event(at: u64) -> Event {
    Event::Cancelled {
        protocol: "postgresql",
        upstream: Upstream("main".into()),
        by: Canceller::Client,
        user: Some(Naming::default().name_text(&format!("user {at}"))),
    }
}

struct Trail {
    chain: Chain,
    lines: Vec<u8>,
}

impl Trail {
    fn new(id: &str, seal: Seal) -> Self {
        let mut trail = Self {
            chain: Chain::new(id.to_owned(), seal),
            lines: Vec::new(),
        };
        let began = began(trail.chain.seal(), None);
        trail.append(&began);
        trail
    }

    fn append(&mut self, event: &Event) {
        let around = Around {
            pod: "chat-0".to_owned(),
            namespace: "staging".to_owned(),
            policy: "chat".to_owned(),
            revision: "r1".into(),
        };
        append(&mut self.chain, &around, "now", event, &mut self.lines);
    }

    fn of(records: u64, seal: Seal) -> Self {
        let mut trail = Self::new("c", seal);
        (1..records).for_each(|at| trail.append(&event(at)));
        trail
    }

    fn head(&self) -> Anchor {
        Anchor {
            sequence: self.chain.sequence,
            hash: self.chain.head,
        }
    }
}

fn run(mut verifier: Verifier, bytes: &[u8]) -> Result<Report, (u64, Fault)> {
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let whole = line.strip_suffix(b"\n");
        verifier.take(whole.unwrap_or(line), whole.is_some());
    }
    verifier.finish()
}

fn verified(bytes: &[u8]) -> Result<Report, (u64, Fault)> {
    run(Verifier::new(Vec::new()), bytes)
}

fn split_lines(bytes: &[u8]) -> Vec<Vec<u8>> {
    bytes
        .split_inclusive(|byte| *byte == b'\n')
        .map(<[u8]>::to_vec)
        .collect()
}

#[test]
fn a_whole_chain_holds_and_says_its_head() {
    let trail = Trail::of(5, Seal::Hash);
    let report = verified(&trail.lines).unwrap();
    assert_eq!(
        (report.first, report.head, report.dropped),
        (1, trail.head(), 0)
    );
    assert_eq!(report.key, None);
    let parsed: Anchor = report.head.to_string().parse().unwrap();
    assert_eq!(parsed, report.head);
    assert_eq!(verified(b""), Err((0, Fault::Nothing)));
}

#[test]
fn lines_taken_out_moved_repeated_or_put_in_are_found() {
    let trail = Trail::of(6, Seal::Hash);
    let lines = split_lines(&trail.lines);
    let with = |order: &[usize]| {
        let bytes: Vec<u8> = order.iter().flat_map(|at| lines[*at].clone()).collect();
        verified(&bytes)
    };
    assert!(with(&[0, 1, 2, 3, 4, 5]).is_ok());
    let gap = Fault::Gap { from: 3, to: 4 };
    assert_eq!(with(&[0, 1, 4, 5]), Err((3, gap)));
    assert_eq!(with(&[0, 2, 1, 3, 4, 5]), Err((2, Fault::Moved(2))));
    assert_eq!(with(&[0, 1, 1, 2]), Err((3, Fault::Again(2))));
    assert_eq!(with(&[2, 3]), Err((1, Fault::NoBeginning(3))));
    let other = Trail::new("d", Seal::Hash);
    let bytes = [trail.lines.clone(), other.lines].concat();
    assert_eq!(
        verified(&bytes),
        Err((7, Fault::OtherChain("d".to_owned())))
    );
    let stranger = [lines[0].clone(), b"hello\n".to_vec(), lines[1].clone()].concat();
    assert_eq!(verified(&stranger), Err((3, Fault::NoRecord)));
}

#[test]
fn a_record_that_was_made_anew_does_not_fit_its_successor() {
    let trail = Trail::of(4, Seal::Hash);
    let mut forged = Trail::new("c", Seal::Hash);
    forged.append(&event(77));
    let (lines, forged) = (split_lines(&trail.lines), split_lines(&forged.lines));
    let bytes = [lines[0].clone(), forged[1].clone(), lines[2].clone()].concat();
    assert_eq!(verified(&bytes), Err((3, Fault::Unlinked(3))));
}

#[test]
fn an_end_that_was_cut_off_is_found_by_what_was_noted() {
    let trail = Trail::of(5, Seal::Hash);
    let lines = split_lines(&trail.lines);
    let cut = lines[..3].concat();
    assert!(verified(&cut).is_ok(), "by itself it cannot be told");
    let expecting = |anchor| Verifier::new(Vec::new()).expecting(vec![anchor]);
    assert_eq!(
        run(expecting(trail.head()), &cut),
        Err((3, Fault::NotThere(5)))
    );
    assert!(run(expecting(trail.head()), &trail.lines).is_ok());
    // The whole of it made anew.
    let mut anew = Trail::new("c", Seal::Hash);
    (10..15).for_each(|at| anew.append(&event(at)));
    assert!(verified(&anew.lines).is_ok(), "by itself it cannot be told");
    assert_eq!(
        run(expecting(trail.head()), &anew.lines),
        Err((5, Fault::OtherRecord(5)))
    );
}

#[test]
fn verifying_goes_on_after_a_known_record() {
    let trail = Trail::of(6, Seal::Hash);
    let lines = split_lines(&trail.lines);
    let known = verified(&lines[..3].concat()).unwrap().head;
    let after = |anchor| Verifier::new(Vec::new()).after(Some(anchor));
    for from in [0, 2, 3] {
        let report = run(after(known), &lines[from..].concat()).unwrap();
        assert_eq!((report.first, report.head), (4, trail.head()), "{from}");
    }
    let gap = Fault::Gap { from: 4, to: 4 };
    assert_eq!(run(after(known), &lines[4..].concat()), Err((1, gap)));
    let wrong = Anchor {
        hash: Link::NONE,
        ..known
    };
    assert_eq!(
        run(after(wrong), &trail.lines),
        Err((3, Fault::OtherRecord(3)))
    );
    assert_eq!(
        run(after(wrong), &lines[3..].concat()),
        Err((1, Fault::Unlinked(4)))
    );
}

#[test]
fn a_keyed_chain_is_verified_and_forged_with_its_key_alone() {
    let trail = Trail::of(4, Seal::keyed(key()));
    let keyed = || Verifier::new(vec![Key::of(&[1; 32]), key()]);
    assert_eq!(
        run(keyed(), &trail.lines).unwrap().key.as_deref(),
        Some(key().id())
    );
    let unknown = Fault::UnknownKey {
        sequence: 1,
        key: key().id().to_owned(),
    };
    assert_eq!(verified(&trail.lines), Err((1, unknown)));
    // Whoever has the file and not the key goes on without one, or begins anew.
    let mut forged = Trail {
        chain: Chain::going_on("c".to_owned(), 4, trail.chain.head, Seal::Hash),
        lines: trail.lines.clone(),
    };
    forged.append(&event(4));
    assert_eq!(run(keyed(), &forged.lines), Err((5, Fault::Changed(5))));
    let mut forged = Trail {
        chain: Chain::going_on("c".to_owned(), 4, trail.chain.head, Seal::Hash),
        lines: trail.lines.clone(),
    };
    forged.append(&began(&Seal::Hash, None));
    assert_eq!(run(keyed(), &forged.lines), Err((5, Fault::Unkeyed(5))));
    let plain = Trail::of(3, Seal::Hash);
    assert_eq!(run(keyed(), &plain.lines), Err((1, Fault::Unkeyed(1))));
    // From the middle on, the key is found.
    let lines = split_lines(&trail.lines);
    let known = run(keyed(), &lines[..2].concat()).unwrap().head;
    assert!(run(keyed().after(Some(known)), &lines[2..].concat()).is_ok());
}

#[test]
fn a_key_may_change_where_a_sidecar_begins() {
    let mut trail = Trail::of(3, Seal::keyed(Key::of(&[1; 32])));
    let chain = Chain::going_on("c".to_owned(), 3, trail.chain.head, Seal::keyed(key()));
    trail.chain = chain;
    let began = began(trail.chain.seal(), None);
    trail.append(&began);
    trail.append(&event(9));
    let both = Verifier::new(vec![Key::of(&[1; 32]), key()]);
    assert_eq!(run(both, &trail.lines).unwrap().head, trail.head());
}

#[test]
fn what_an_interrupted_writer_left_is_told_of_by_who_went_on() {
    let mut trail = Trail::of(3, Seal::Hash);
    let whole = trail.lines.len();
    trail.append(&event(3));
    let half = trail.lines[whole..whole + 40].to_vec();
    let head = verified(&trail.lines[..whole]).unwrap().head;
    trail.lines.truncate(whole + 40);
    assert_eq!(verified(&trail.lines), Err((4, Fault::TornEnd(40))));
    trail.chain = Chain::going_on("c".to_owned(), head.sequence, head.hash, Seal::Hash);
    trail.lines.push(b'\n');
    let begin = trail.lines.len();
    let began = began(&Seal::Hash, Some(torn(&half)));
    trail.append(&began);
    trail.append(&event(4));
    assert_eq!(verified(&trail.lines).unwrap().head, trail.head());
    // What was torn is not to be changed or taken out either.
    let mut changed = trail.lines.clone();
    changed[whole + 20] ^= 1;
    assert_eq!(verified(&changed), Err((5, Fault::NoRecord)));
    let mut without = trail.lines.clone();
    without.drain(whole..begin);
    assert_eq!(verified(&without), Err((4, Fault::NoRecord)));
}

#[test]
fn a_log_s_lines_and_other_chains_are_passed_over_where_that_is_asked() {
    let (trail, other) = (Trail::of(2, Seal::Hash), Trail::new("d", Seal::Hash));
    let lines = split_lines(&trail.lines);
    let log = b"{\"level\":\"INFO\",\"message\":\"serving\"}\n".to_vec();
    let bytes = [
        log.clone(),
        lines[0].clone(),
        log,
        other.lines,
        lines[1].clone(),
    ]
    .concat();
    let mixed = Verifier::new(Vec::new())
        .mixed(true)
        .only(Some("c".to_owned()));
    let report = run(mixed, &bytes).unwrap();
    assert_eq!((report.head, report.passed_over), (trail.head(), 3));
    let strict = Verifier::new(Vec::new()).only(Some("c".to_owned()));
    assert!(run(strict, &bytes).is_err());
}

#[test]
fn what_was_dropped_is_summed_up() {
    let mut trail = Trail::of(2, Seal::Hash);
    trail.append(&Event::RecordsDropped { count: 3 });
    trail.append(&Event::RecordsDropped { count: 4 });
    assert_eq!(verified(&trail.lines).unwrap().dropped, 7);
}

#[test]
fn each_bit_of_each_byte_counts() {
    for seal in [Seal::Hash, Seal::keyed(key())] {
        let trail = Trail::of(3, seal.clone());
        let keys = || match &seal {
            Seal::Hash => Vec::new(),
            Seal::Keyed(key) => vec![Key::clone(key)],
        };
        assert!(run(Verifier::new(keys()), &trail.lines).is_ok());
        for at in 0..trail.lines.len() {
            for bit in 0..8 {
                let mut changed = trail.lines.clone();
                changed[at] ^= 1 << bit;
                let found = run(Verifier::new(keys()), &changed);
                assert!(found.is_err(), "byte {at}, bit {bit}");
            }
        }
    }
}

proptest! {
    #[test]
    fn no_edit_between_the_first_record_and_the_noted_head_goes_unseen(
        records in 2u64..12,
        edit in 0usize..4,
        one in any::<prop::sample::Index>(),
        other in any::<prop::sample::Index>(),
        bytes in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let trail = Trail::of(records, Seal::Hash);
        let lines = split_lines(&trail.lines);
        let changed = match edit {
            // Bytes put in the place of others.
            0 => {
                let mut changed = trail.lines.clone();
                let from = one.index(changed.len());
                let to = (from + other.index(60)).min(changed.len());
                changed.splice(from..to, bytes);
                changed
            }
            // A line taken out.
            1 => {
                let mut lines = lines;
                lines.remove(one.index(lines.len()));
                lines.concat()
            }
            // Two lines in each other's place.
            2 => {
                let mut lines = lines;
                let (one, other) = (one.index(lines.len()), other.index(lines.len()));
                lines.swap(one, other);
                lines.concat()
            }
            // The end cut off.
            _ => trail.lines[..one.index(trail.lines.len())].to_vec(),
        };
        let verifier = Verifier::new(Vec::new()).expecting(vec![trail.head()]);
        let found = run(verifier, &changed);
        prop_assert_eq!(found.is_ok(), changed == trail.lines);
    }
}
