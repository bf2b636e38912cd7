//! Every PostgreSQL decoder against bytes that nobody meant: noise, and good messages with bytes changed, cut and added.
//!
//! What must hold is in `fuzz/targets.rs`, which cargo-fuzz runs for as long as one likes; here it is run for as long as a
//! test may take.

#[path = "../fuzz/targets.rs"]
mod targets;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// Cases for each decoder.
const CASES: u32 = 4096;

const FRONTEND: &[&[u8]] = &[
    b"SELECT 1\0",
    b"s1\0SELECT $1\0\0\x01\0\0\0\x17",
    b"p\0s1\0\0\0\0\x01\0\0\0\x0242\0\0",
    b"Ss1\0",
    b"P\0",
    b"c1\0\0\0\0\x64",
    b"SCRAM-SHA-256\0\0\0\0\x0an,,n=,r=ab",
    b"SCRAM-SHA-256\0\xff\xff\xff\xff",
];

const BACKEND: &[&[u8]] = &[
    b"TimeZone\0UTC\0",
    b"INSERT 0 1\0",
    b"\0\x03\0\0\0\0\0\x01_pq_.x\0",
    b"\0\0\0\x07abcd",
    b"SERROR\0VERROR\0C42P01\0Mgone\0\0",
    b"I",
    b"\0\0\0\x07jobs\0hello\0",
];

const STREAMS: &[&[u8]] = &[
    b"Q\0\0\0\x0dSELECT 1\0",
    b"P\0\0\0\x08\0\0\0\0B\0\0\0\x0c\0\0\0\0\0\0\0\0D\0\0\0\x06P\0E\0\0\0\x09\0\0\0\0\0S\0\0\0\x04",
    b"1\0\0\0\x042\0\0\0\x04n\0\0\0\x04C\0\0\0\x0aBEGIN\0Z\0\0\0\x05I",
];

const START_UP: &[&[u8]] = &[
    b"\0\x03\0\0user\0chat\0database\0shop\0options\0-c bulkhead.user=alice --TimeZone=UTC\0\0",
    b"\0\x03\x27\x0fuser\0chat+alice\0_pq_.x\x001\0replication\0database\0\0",
    b"\0\x03\0\x02user\0chat\0bulkhead.context\0eyJ\0a.b\0c\0\0",
    b"\x04\xd2\x16\x2f",
    b"\x04\xd2\x16\x30",
    b"\x04\xd2\x16\x2e\0\0\0\x07abcdefgh",
];

const OPTIONS: &[&[u8]] = &[
    b"-c a.b=1 --search-path=x,\\ y -cd=\\\\",
    b"-c bulkhead.user=alice",
    b"  -c\ta=1\n",
];

const SCRAM: &[&[u8]] = &[
    b"n,,n=user,r=abc\0c=biws,r=abcnonce,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
    b"p=tls-server-end-point,,n=,r=abc\0c=cD10bHMtc2VydmVyLWVuZC1wb2ludCwsY2VydGlmaWNhdGU=,r=abcnonce,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
    b"y,,n=,r=abc\0c=eSws,r=abcnonce,p=",
];

const STATEMENTS: &[&[u8]] = &[
    b"SELECT 1",
    b"SET SESSION app.user_id = 'o''brien', \"B\" ; ",
    b"SET TIME ZONE -7",
    b"/* a /* b */ */ SET x TO DEFAULT -- c",
    b"BEGIN ISOLATION LEVEL SERIALIZABLE, READ ONLY",
    b"ROLLBACK WORK TO SAVEPOINT \"s 1\";",
    b"COMMIT AND NO CHAIN",
    b"DEALLOCATE PREPARE \"S\"\"1\"",
    b"CREATE TEMP TABLE t (a int) ON COMMIT DROP AS SELECT $$;$$, E'\\';', $x$;$x$",
    b"WITH a AS (SELECT set_config('a','b',false)) SELECT 1 INTO TEMP b",
    b"DO $$ BEGIN PERFORM pg_advisory_lock(1); END $$; LISTEN a",
];

/// A seed with bytes changed, its end cut off, and something added.
fn mutated(seeds: &'static [&'static [u8]]) -> impl Strategy<Value = Vec<u8>> {
    let edits = vec((any::<Index>(), any::<u8>()), 0..6);
    let added = prop_oneof![4 => Just(Vec::new()), 1 => vec(any::<u8>(), 0..24)];
    let cut = prop_oneof![3 => Just(None), 1 => any::<Index>().prop_map(Some)];
    (select(seeds), edits, cut, added).prop_map(|(seed, edits, cut, added)| {
        let mut bytes = seed.to_vec();
        for (place, byte) in edits {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len() + 1));
        }
        bytes.extend(added);
        bytes
    })
}

/// Mostly mutated seeds, and some noise.
fn bytes(seeds: &'static [&'static [u8]]) -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![3 => mutated(seeds), 1 => vec(any::<u8>(), 0..64)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES))]

    #[test]
    fn headers(data in bytes(STREAMS)) {
        targets::codec(&data);
    }

    #[test]
    fn messages_of_clients(data in bytes(FRONTEND)) {
        targets::frontend_messages(&data);
    }

    #[test]
    fn messages_of_servers(data in bytes(BACKEND)) {
        targets::backend_messages(&data);
    }

    #[test]
    fn start_up_packets(data in bytes(START_UP)) {
        targets::start_up(&data);
    }

    #[test]
    fn options(data in bytes(OPTIONS)) {
        targets::options(&data);
    }

    #[test]
    fn scram_exchanges(data in bytes(SCRAM)) {
        targets::scram(&data);
    }

    #[test]
    fn statements(data in bytes(STATEMENTS)) {
        targets::statement_text(&data);
    }
}

#[test]
fn every_decoder_bears_every_seed() {
    for seeds in [
        STREAMS, FRONTEND, BACKEND, START_UP, OPTIONS, SCRAM, STATEMENTS,
    ] {
        for seed in seeds {
            targets::codec(seed);
            targets::frontend_messages(seed);
            targets::backend_messages(seed);
            targets::start_up(seed);
            targets::options(seed);
            targets::scram(seed);
            targets::statement_text(seed);
        }
    }
}
