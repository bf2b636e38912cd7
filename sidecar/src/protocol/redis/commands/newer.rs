//! Commands that came after the server of [`SERVER`](super::server::SERVER): Redis 7.2 to 8.4, its modules that 8.0 took in, and Valkey.
//! Written by hand after their documentation; flags and categories only as far as the table says something by them.

use super::facts::Begin::Index;
use super::facts::Find::{Count, Range};
use super::facts::{Facts, KeySpec, facts, keys};

/// One key, the first argument.
const FIRST: &[KeySpec] = &[keys(Index(1), Range(0, 1, 0), "")];
/// A key first, and as many more from the third argument on as that says.
const FIRST_AND_COUNT: &[KeySpec] = &[
    keys(Index(1), Range(0, 1, 0), ""),
    keys(Index(2), Count(0, 1, 1), ""),
];

/// Commands of the server that newer ones give more arguments, none of them a key, and their arity there.
pub(super) const WIDER: &[(&str, i16)] = &[
    // WITHSCORE, Redis 7.2.
    ("zrank", -3),
    ("zrevrank", -3),
];

#[rustfmt::skip]
pub(super) const NEWER: &[Facts] = &[
    // Redis 7.2.
    facts("client|no-touch", 3, "loading noscript stale", "connection slow", "connection", "7.2.0", &[]),
    facts("client|setinfo", 4, "loading noscript stale", "connection slow", "connection", "7.2.0", &[]),
    facts("cluster|myshardid", 2, "loading stale", "slow", "cluster", "7.2.0", &[]),
    facts("waitaof", 4, "blocking", "blocking connection slow", "generic", "7.2.0", &[]),
    // Redis 7.4; Valkey 9.0 has the same.
    facts("hexpire", -6, "denyoom fast write", "fast hash write", "hash", "7.4.0", FIRST),
    facts("hexpireat", -6, "denyoom fast write", "fast hash write", "hash", "7.4.0", FIRST),
    facts("hexpiretime", -5, "fast readonly", "fast hash read", "hash", "7.4.0", FIRST),
    facts("hpersist", -5, "fast write", "fast hash write", "hash", "7.4.0", FIRST),
    facts("hpexpire", -6, "denyoom fast write", "fast hash write", "hash", "7.4.0", FIRST),
    facts("hpexpireat", -6, "denyoom fast write", "fast hash write", "hash", "7.4.0", FIRST),
    facts("hpexpiretime", -5, "fast readonly", "fast hash read", "hash", "7.4.0", FIRST),
    facts("hpttl", -5, "fast readonly", "fast hash read", "hash", "7.4.0", FIRST),
    facts("httl", -5, "fast readonly", "fast hash read", "hash", "7.4.0", FIRST),
    // Redis 8.0; Valkey 9.0 has the first two and 9.1 the third.
    facts("hgetex", -5, "fast write", "fast hash write", "hash", "8.0.0", FIRST),
    facts("hsetex", -6, "denyoom fast write", "fast hash write", "hash", "8.0.0", FIRST),
    facts("hgetdel", -5, "fast write", "fast hash write", "hash", "8.0.0", FIRST),
    // Redis 8.2.
    facts("cluster|slot-stats", -4, "loading stale", "slow", "cluster", "8.2.0, Valkey 8.0", &[]),
    facts("xackdel", -6, "fast write", "fast stream write", "stream", "8.2.0", FIRST),
    facts("xdelex", -5, "fast write", "fast stream write", "stream", "8.2.0", FIRST),
    // Redis 8.4.
    facts("cluster|migration", -4, "admin stale", "admin dangerous slow", "cluster", "8.4.0", &[]),
    facts("delex", -2, "fast write", "fast string write", "string", "8.4.0", FIRST),
    facts("digest", 2, "fast readonly", "fast read string", "string", "8.4.0", FIRST),
    facts("msetex", -4, "denyoom movablekeys write", "slow string write", "string", "8.4.0, Valkey 9.1", &[keys(Index(1), Count(0, 1, 2), "")]),
    // Valkey.
    facts("script|show", 3, "noscript", "scripting slow", "scripting", "Valkey 8.0", &[]),
    facts("client|capa", -3, "loading noscript stale", "connection slow", "connection", "Valkey 8.0", &[]),
    facts("client|import-source", 3, "loading noscript stale", "connection slow", "connection", "Valkey 8.1", &[]),
    facts("commandlog", -2, "", "slow", "server", "Valkey 8.1", &[]),
    facts("commandlog|get", -4, "admin loading stale", "admin dangerous slow", "server", "Valkey 8.1", &[]),
    facts("commandlog|help", 2, "loading stale", "slow", "server", "Valkey 8.1", &[]),
    facts("commandlog|len", 3, "admin loading stale", "admin dangerous slow", "server", "Valkey 8.1", &[]),
    facts("commandlog|reset", 3, "admin loading stale", "admin dangerous slow", "server", "Valkey 8.1", &[]),
    facts("delifeq", 3, "fast write", "fast string write", "string", "Valkey 9.0", FIRST),
    facts("cluster|cancelslotmigrations", 2, "admin stale", "admin dangerous slow", "cluster", "Valkey 9.0", &[]),
    facts("cluster|flushslot", -3, "write", "dangerous keyspace slow write", "cluster", "Valkey 9.0", &[]),
    facts("cluster|getslotmigrations", 2, "admin stale", "admin dangerous slow", "cluster", "Valkey 9.0", &[]),
    facts("cluster|migrateslots", -7, "admin stale", "admin dangerous slow", "cluster", "Valkey 9.0", &[]),
    facts("clusterscan", -2, "readonly", "keyspace read slow", "generic", "Valkey 9.1", &[]),
    // Vector sets, Redis 8.0.
    facts("vadd", -5, "denyoom write", "slow vectorset write", "vector set", "8.0.0", FIRST),
    facts("vcard", 2, "fast readonly", "fast read vectorset", "vector set", "8.0.0", FIRST),
    facts("vdim", 2, "fast readonly", "fast read vectorset", "vector set", "8.0.0", FIRST),
    facts("vemb", -3, "fast readonly", "fast read vectorset", "vector set", "8.0.0", FIRST),
    facts("vgetattr", 3, "fast readonly", "fast read vectorset", "vector set", "8.0.0", FIRST),
    facts("vinfo", 2, "fast readonly", "fast read vectorset", "vector set", "8.0.0", FIRST),
    facts("vismember", 3, "fast readonly", "fast read vectorset", "vector set", "8.0.0", FIRST),
    facts("vlinks", -3, "fast readonly", "fast read vectorset", "vector set", "8.0.0", FIRST),
    facts("vrandmember", -2, "readonly", "read slow vectorset", "vector set", "8.0.0", FIRST),
    facts("vrem", 3, "write", "slow vectorset write", "vector set", "8.0.0", FIRST),
    facts("vsetattr", 4, "fast write", "fast vectorset write", "vector set", "8.0.0", FIRST),
    facts("vsim", -4, "readonly", "read slow vectorset", "vector set", "8.0.0", FIRST),
    // JSON, once a module.
    facts("json.arrappend", -4, "write", "json slow write", "json", "8.0.0, module", FIRST),
    facts("json.arrindex", -4, "readonly", "json read slow", "json", "8.0.0, module", FIRST),
    facts("json.arrinsert", -5, "write", "json slow write", "json", "8.0.0, module", FIRST),
    facts("json.arrlen", -2, "readonly", "json read slow", "json", "8.0.0, module", FIRST),
    facts("json.arrpop", -2, "write", "json slow write", "json", "8.0.0, module", FIRST),
    facts("json.arrtrim", 5, "write", "json slow write", "json", "8.0.0, module", FIRST),
    facts("json.clear", -2, "write", "json slow write", "json", "8.0.0, module", FIRST),
    facts("json.del", -2, "write", "json slow write", "json", "8.0.0, module", FIRST),
    facts("json.forget", -2, "write", "json slow write", "json", "8.0.0, module", FIRST),
    facts("json.get", -2, "readonly", "json read slow", "json", "8.0.0, module", FIRST),
    facts("json.merge", 4, "write", "json slow write", "json", "8.0.0, module", FIRST),
    facts("json.mget", -3, "readonly", "json read slow", "json", "8.0.0, module", &[keys(Index(1), Range(-2, 1, 0), "")]),
    facts("json.mset", -4, "write", "json slow write", "json", "8.0.0, module", &[keys(Index(1), Range(-1, 3, 0), "")]),
    facts("json.numincrby", 4, "write", "json slow write", "json", "8.0.0, module", FIRST),
    facts("json.nummultby", 4, "write", "json slow write", "json", "8.0.0, module", FIRST),
    facts("json.objkeys", -2, "readonly", "json read slow", "json", "8.0.0, module", FIRST),
    facts("json.objlen", -2, "readonly", "json read slow", "json", "8.0.0, module", FIRST),
    facts("json.resp", -2, "readonly", "json read slow", "json", "8.0.0, module", FIRST),
    facts("json.set", -4, "write", "json slow write", "json", "8.0.0, module", FIRST),
    facts("json.strappend", -3, "write", "json slow write", "json", "8.0.0, module", FIRST),
    facts("json.strlen", -2, "readonly", "json read slow", "json", "8.0.0, module", FIRST),
    facts("json.toggle", 3, "write", "json slow write", "json", "8.0.0, module", FIRST),
    facts("json.type", -2, "readonly", "json read slow", "json", "8.0.0, module", FIRST),
    // Sketches, once a module.
    facts("bf.add", 3, "write", "bloom slow write", "bloom filter", "8.0.0, module", FIRST),
    facts("bf.card", 2, "readonly", "bloom read slow", "bloom filter", "8.0.0, module", FIRST),
    facts("bf.exists", 3, "readonly", "bloom read slow", "bloom filter", "8.0.0, module", FIRST),
    facts("bf.info", -2, "readonly", "bloom read slow", "bloom filter", "8.0.0, module", FIRST),
    facts("bf.insert", -4, "write", "bloom slow write", "bloom filter", "8.0.0, module", FIRST),
    facts("bf.madd", -3, "write", "bloom slow write", "bloom filter", "8.0.0, module", FIRST),
    facts("bf.mexists", -3, "readonly", "bloom read slow", "bloom filter", "8.0.0, module", FIRST),
    facts("bf.reserve", -4, "write", "bloom slow write", "bloom filter", "8.0.0, module", FIRST),
    facts("cf.add", 3, "write", "cuckoo slow write", "cuckoo filter", "8.0.0, module", FIRST),
    facts("cf.addnx", 3, "write", "cuckoo slow write", "cuckoo filter", "8.0.0, module", FIRST),
    facts("cf.count", 3, "readonly", "cuckoo read slow", "cuckoo filter", "8.0.0, module", FIRST),
    facts("cf.del", 3, "write", "cuckoo slow write", "cuckoo filter", "8.0.0, module", FIRST),
    facts("cf.exists", 3, "readonly", "cuckoo read slow", "cuckoo filter", "8.0.0, module", FIRST),
    facts("cf.info", 2, "readonly", "cuckoo read slow", "cuckoo filter", "8.0.0, module", FIRST),
    facts("cf.insert", -4, "write", "cuckoo slow write", "cuckoo filter", "8.0.0, module", FIRST),
    facts("cf.insertnx", -4, "write", "cuckoo slow write", "cuckoo filter", "8.0.0, module", FIRST),
    facts("cf.mexists", -3, "readonly", "cuckoo read slow", "cuckoo filter", "8.0.0, module", FIRST),
    facts("cf.reserve", -3, "write", "cuckoo slow write", "cuckoo filter", "8.0.0, module", FIRST),
    facts("cms.incrby", -4, "write", "cms slow write", "count-min sketch", "8.0.0, module", FIRST),
    facts("cms.info", 2, "readonly", "cms read slow", "count-min sketch", "8.0.0, module", FIRST),
    facts("cms.initbydim", 4, "write", "cms slow write", "count-min sketch", "8.0.0, module", FIRST),
    facts("cms.initbyprob", 4, "write", "cms slow write", "count-min sketch", "8.0.0, module", FIRST),
    facts("cms.merge", -4, "write", "cms slow write", "count-min sketch", "8.0.0, module", FIRST_AND_COUNT),
    facts("cms.query", -3, "readonly", "cms read slow", "count-min sketch", "8.0.0, module", FIRST),
    facts("topk.add", -3, "write", "slow topk write", "top-k", "8.0.0, module", FIRST),
    facts("topk.incrby", -4, "write", "slow topk write", "top-k", "8.0.0, module", FIRST),
    facts("topk.info", 2, "readonly", "read slow topk", "top-k", "8.0.0, module", FIRST),
    facts("topk.list", -2, "readonly", "read slow topk", "top-k", "8.0.0, module", FIRST),
    facts("topk.query", -3, "readonly", "read slow topk", "top-k", "8.0.0, module", FIRST),
    facts("topk.reserve", -3, "write", "slow topk write", "top-k", "8.0.0, module", FIRST),
    facts("tdigest.add", -3, "write", "slow tdigest write", "t-digest", "8.0.0, module", FIRST),
    facts("tdigest.byrank", -3, "readonly", "read slow tdigest", "t-digest", "8.0.0, module", FIRST),
    facts("tdigest.byrevrank", -3, "readonly", "read slow tdigest", "t-digest", "8.0.0, module", FIRST),
    facts("tdigest.cdf", -3, "readonly", "read slow tdigest", "t-digest", "8.0.0, module", FIRST),
    facts("tdigest.create", -2, "write", "slow tdigest write", "t-digest", "8.0.0, module", FIRST),
    facts("tdigest.info", 2, "readonly", "read slow tdigest", "t-digest", "8.0.0, module", FIRST),
    facts("tdigest.max", 2, "readonly", "read slow tdigest", "t-digest", "8.0.0, module", FIRST),
    facts("tdigest.merge", -4, "write", "slow tdigest write", "t-digest", "8.0.0, module", FIRST_AND_COUNT),
    facts("tdigest.min", 2, "readonly", "read slow tdigest", "t-digest", "8.0.0, module", FIRST),
    facts("tdigest.quantile", -3, "readonly", "read slow tdigest", "t-digest", "8.0.0, module", FIRST),
    facts("tdigest.rank", -3, "readonly", "read slow tdigest", "t-digest", "8.0.0, module", FIRST),
    facts("tdigest.reset", 2, "write", "slow tdigest write", "t-digest", "8.0.0, module", FIRST),
    facts("tdigest.revrank", -3, "readonly", "read slow tdigest", "t-digest", "8.0.0, module", FIRST),
    facts("tdigest.trimmed_mean", 4, "readonly", "read slow tdigest", "t-digest", "8.0.0, module", FIRST),
    // Indexes and time series search over keys that no argument names.
    facts("ft.search", -3, "readonly", "read search slow", "search", "8.0.0, module", &[]),
    facts("ft.aggregate", -3, "readonly", "read search slow", "search", "8.0.0, module", &[]),
    facts("ft.create", -5, "write", "search slow write", "search", "8.0.0, module", &[]),
    facts("ts.mget", -3, "readonly", "read slow timeseries", "time series", "8.0.0, module", &[]),
    facts("ts.mrange", -4, "readonly", "read slow timeseries", "time series", "8.0.0, module", &[]),
    facts("ts.queryindex", -2, "readonly", "read slow timeseries", "time series", "8.0.0, module", &[]),
    // Not commands: the server ends a connection on which a browser was made to say such a thing, and so does the sidecar.
    facts("post", -1, "", "", "server", "3.2.7", &[]),
    facts("host:", -1, "", "", "server", "3.2.7", &[]),
];
