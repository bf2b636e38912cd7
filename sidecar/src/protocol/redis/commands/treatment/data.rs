//! Commands on one type of data: all have keys that the server itself tells, but for three old ones with options that name more.

use super::super::effect::{Timeout, Unit};
use super::{Form, KEYS, PASSES, Row, Shape, form};

const SECONDS_LAST: Timeout = Timeout::Last(Unit::Seconds);
const SECONDS_FIRST: Timeout = Timeout::At(1, Unit::Seconds);

#[rustfmt::skip]
pub(super) const ROWS: &[Row] = &[
    // Strings and bits.
    (&["append", "decr", "decrby", "get", "getdel", "getex", "getrange", "getset", "incr", "incrby", "incrbyfloat", "lcs", "mget", "mset", "msetnx",
       "psetex", "set", "setex", "setnx", "setrange", "strlen", "substr",
       "bitcount", "bitfield", "bitfield_ro", "bitop", "bitpos", "getbit", "setbit", "pfadd", "pfcount", "pfmerge"], KEYS),
    // Lists.
    (&["lindex", "linsert", "llen", "lmove", "lpop", "lpos", "lpush", "lpushx", "lrange", "lrem", "lset", "ltrim", "rpop", "rpoplpush", "rpush", "rpushx"], KEYS),
    (&["lmpop"], KEYS.replies(Shape::FirstKey)),
    (&["blpop", "brpop"], KEYS.waits(SECONDS_LAST).replies(Shape::FirstKey)),
    (&["blmpop"], KEYS.waits(SECONDS_FIRST).replies(Shape::FirstKey)),
    (&["blmove", "brpoplpush"], KEYS.waits(SECONDS_LAST)),
    // Sets.
    (&["sadd", "scard", "sdiff", "sdiffstore", "sinter", "sintercard", "sinterstore", "sismember", "smembers", "smismember", "smove", "spop",
       "srandmember", "srem", "sscan", "sunion", "sunionstore"], KEYS),
    // Sorted sets, and places, which are kept in them.
    (&["zadd", "zcard", "zcount", "zdiff", "zdiffstore", "zincrby", "zinter", "zintercard", "zinterstore", "zlexcount", "zmscore", "zpopmax", "zpopmin",
       "zrandmember", "zrange", "zrangebylex", "zrangebyscore", "zrangestore", "zrank", "zrem", "zremrangebylex", "zremrangebyrank", "zremrangebyscore",
       "zrevrange", "zrevrangebylex", "zrevrangebyscore", "zrevrank", "zscan", "zscore", "zunion", "zunionstore",
       "geoadd", "geodist", "geohash", "geopos", "georadius_ro", "georadiusbymember_ro", "geosearch", "geosearchstore"], KEYS),
    (&["zmpop"], KEYS.replies(Shape::FirstKey)),
    (&["bzpopmin", "bzpopmax"], KEYS.waits(SECONDS_LAST).replies(Shape::FirstKey)),
    (&["bzmpop"], KEYS.waits(SECONDS_FIRST).replies(Shape::FirstKey)),
    (&["georadius"], form(Form::GeoRadius(6))),
    (&["georadiusbymember"], form(Form::GeoRadius(5))),
    // Hashes.
    (&["hdel", "hexists", "hget", "hgetall", "hincrby", "hincrbyfloat", "hkeys", "hlen", "hmget", "hmset", "hrandfield", "hscan", "hset", "hsetnx",
       "hstrlen", "hvals"], KEYS),
    // Streams. Their errors quote keys.
    (&["xack", "xadd", "xautoclaim", "xclaim", "xdel", "xgroup|create", "xgroup|createconsumer", "xgroup|delconsumer", "xgroup|destroy", "xgroup|setid",
       "xinfo|consumers", "xinfo|groups", "xinfo|stream", "xlen", "xpending", "xrange", "xrevrange", "xsetid", "xtrim"], KEYS.replies(Shape::Errors)),
    (&["xread", "xreadgroup"], form(Form::Streams).waits(Timeout::Block).replies(Shape::Streams)),
    (&["xgroup|help", "xinfo|help"], PASSES),
];
