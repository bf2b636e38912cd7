//! Commands about the server, its cluster, and what it knows of itself.

use super::super::effect::Effect;
use super::{Form, PASSES, Row, Why, form, never, refused};

#[rustfmt::skip]
pub(super) const ROWS: &[Row] = &[
    (&["command", "command|count", "command|docs", "command|getkeys", "command|getkeysandflags", "command|help", "command|info", "command|list",
       "time", "lolwut", "role", "lastsave", "acl|cat", "acl|genpass", "acl|help", "acl|whoami", "config|help", "latency|help", "memory|help", "module|help",
       "slowlog|help"], PASSES),
    (&["info"], form(Form::Info).not_per_user(Why::OpenToScripts)),
    (&["acl|deluser", "acl|dryrun", "acl|getuser", "acl|list", "acl|load", "acl|log", "acl|save", "acl|setuser", "acl|users"], refused(Why::Server)),
    (&["bgrewriteaof", "bgsave", "save", "shutdown", "failover", "replicaof", "slaveof", "debug", "pfdebug", "pfselftest",
       "config|get", "config|resetstat", "config|rewrite", "config|set", "module|list", "module|load", "module|loadex", "module|unload"], refused(Why::Server)),
    (&["latency|doctor", "latency|graph", "latency|histogram", "latency|history", "latency|latest", "latency|reset",
       "slowlog|get", "slowlog|len", "slowlog|reset"], refused(Why::OthersActivity)),
    (&["memory|doctor", "memory|malloc-stats", "memory|stats"], refused(Why::OthersCounts)),
    (&["memory|purge"], refused(Why::Server)),
    (&["sync", "psync", "replconf"], never(Why::Replication)),
    (&["post", "host:"], never(Why::Http)),
    // What a cluster is, and where a key of it lives.
    (&["cluster|help", "cluster|info", "cluster|links", "cluster|myid", "cluster|nodes", "cluster|replicas", "cluster|shards", "cluster|slaves",
       "cluster|slots"], PASSES),
    (&["cluster|keyslot"], form(Form::SecondIsKey)),
    (&["cluster|getkeysinslot"], refused(Why::OthersKeys)),
    (&["cluster|countkeysinslot"], refused(Why::OthersCounts)),
    (&["cluster|addslots", "cluster|addslotsrange", "cluster|bumpepoch", "cluster|count-failure-reports", "cluster|delslots", "cluster|delslotsrange",
       "cluster|failover", "cluster|flushslots", "cluster|forget", "cluster|meet", "cluster|replicate", "cluster|reset", "cluster|saveconfig",
       "cluster|set-config-epoch", "cluster|setslot"], refused(Why::Cluster)),
    // A command whose subcommands have rows of their own; alone, or with one that nobody knows, it tells nothing.
    (&["acl", "client", "cluster", "config", "function", "latency", "memory", "module", "object", "pubsub", "script", "slowlog", "xgroup",
       "xinfo"], refused(Why::Unknown).with(Effect::Pins)),
];
