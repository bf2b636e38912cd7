//! Commands that came after the server of the table, and those of modules.

use super::super::effect::{Effect, Kept, Timeout, Unit};
use super::{KEYS, PASSES, Row, Shape, Why, kept, refused};

#[rustfmt::skip]
pub(super) const ROWS: &[Row] = &[
    (&["client|setinfo"], kept(Kept::SetInfo)),
    (&["client|no-touch", "client|capa"], PASSES.with(Effect::Pins)),
    (&["client|import-source"], refused(Why::Server).with(Effect::Pins)),
    (&["waitaof"], PASSES.waits(Timeout::At(3, Unit::Milliseconds))),
    (&["cluster|myshardid"], PASSES),
    (&["cluster|slot-stats"], refused(Why::OthersCounts)),
    (&["cluster|migration", "cluster|cancelslotmigrations", "cluster|getslotmigrations", "cluster|migrateslots"], refused(Why::Cluster)),
    (&["cluster|flushslot"], refused(Why::OthersData)),
    (&["clusterscan"], refused(Why::OthersKeys)),
    (&["script|show"], refused(Why::SharedCode)),
    (&["commandlog|get", "commandlog|len", "commandlog|reset"], refused(Why::OthersActivity)),
    (&["commandlog|help"], PASSES),
    (&["commandlog"], refused(Why::Unknown).with(Effect::Pins)),
    (&["hexpire", "hexpireat", "hexpiretime", "hpersist", "hpexpire", "hpexpireat", "hpexpiretime", "hpttl", "httl", "hgetex", "hsetex", "hgetdel",
       "delex", "delifeq", "digest", "msetex",
       "vadd", "vcard", "vdim", "vemb", "vgetattr", "vinfo", "vismember", "vlinks", "vrandmember", "vrem", "vsetattr", "vsim",
       "json.arrappend", "json.arrindex", "json.arrinsert", "json.arrlen", "json.arrpop", "json.arrtrim", "json.clear", "json.del", "json.forget",
       "json.get", "json.merge", "json.mget", "json.mset", "json.numincrby", "json.nummultby", "json.objkeys", "json.objlen", "json.resp", "json.set",
       "json.strappend", "json.strlen", "json.toggle", "json.type",
       "bf.add", "bf.card", "bf.exists", "bf.info", "bf.insert", "bf.madd", "bf.mexists", "bf.reserve",
       "cf.add", "cf.addnx", "cf.count", "cf.del", "cf.exists", "cf.info", "cf.insert", "cf.insertnx", "cf.mexists", "cf.reserve",
       "cms.incrby", "cms.info", "cms.initbydim", "cms.initbyprob", "cms.merge", "cms.query",
       "topk.add", "topk.incrby", "topk.info", "topk.list", "topk.query", "topk.reserve",
       "tdigest.add", "tdigest.byrank", "tdigest.byrevrank", "tdigest.cdf", "tdigest.create", "tdigest.info", "tdigest.max", "tdigest.merge",
       "tdigest.min", "tdigest.quantile", "tdigest.rank", "tdigest.reset", "tdigest.revrank", "tdigest.trimmed_mean"], KEYS),
    (&["xackdel", "xdelex"], KEYS.replies(Shape::Errors)),
    (&["ft.search", "ft.aggregate", "ft.create", "ts.mget", "ts.mrange", "ts.queryindex"], refused(Why::Index)),
];
