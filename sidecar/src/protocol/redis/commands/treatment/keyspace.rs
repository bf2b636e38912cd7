//! Commands on keys of any type, and transactions over them.

use super::super::effect::{Timeout, Transaction, Unit};
use super::{Form, KEYS, PASSES, Row, Shape, Why, form, refused};

#[rustfmt::skip]
pub(super) const ROWS: &[Row] = &[
    // COPY and MOVE may go to another database; the prefix holds there too.
    (&["copy", "del", "dump", "exists", "expire", "expireat", "expiretime", "move", "persist", "pexpire", "pexpireat", "pexpiretime", "pttl", "rename",
       "renamenx", "touch", "ttl", "type", "unlink", "object|encoding", "object|freq", "object|idletime", "object|refcount", "memory|usage"], KEYS),
    (&["object|help"], PASSES),
    (&["keys"], form(Form::KeyPattern).replies(Shape::Keys).not_per_user(Why::OpenToScripts)),
    (&["scan"], form(Form::Scan).replies(Shape::Scan).not_per_user(Why::OpenToScripts)),
    (&["sort", "sort_ro"], form(Form::Sort)),
    (&["wait"], PASSES.waits(Timeout::At(2, Unit::Milliseconds))),
    (&["randomkey"], refused(Why::OthersKeys)),
    (&["dbsize"], refused(Why::OthersCounts)),
    (&["flushall", "flushdb", "swapdb"], refused(Why::OthersData)),
    // The payload's checks are off by default (sanitize-dump-payload no).
    (&["restore", "restore-asking"], refused(Why::Payload)),
    (&["migrate"], refused(Why::Elsewhere)),
    (&["multi"], PASSES.transaction(Transaction::Multi)),
    (&["exec"], PASSES.transaction(Transaction::Exec)),
    (&["discard"], PASSES.transaction(Transaction::Discard)),
    (&["watch"], KEYS.transaction(Transaction::Watch)),
    (&["unwatch"], PASSES.transaction(Transaction::Unwatch)),
];
