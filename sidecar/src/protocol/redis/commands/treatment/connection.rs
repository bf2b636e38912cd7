//! Commands about the client's own connection, and those of others.

use super::super::effect::{Effect, Kept};
use super::{PASSES, Row, Why, kept, never, refused};

#[rustfmt::skip]
pub(super) const ROWS: &[Row] = &[
    (&["ping", "echo"], PASSES),
    (&["auth"], kept(Kept::Auth)),
    (&["hello"], kept(Kept::Hello)),
    (&["quit"], kept(Kept::Quit)),
    (&["reset"], kept(Kept::Reset)),
    (&["select"], kept(Kept::Select)),
    (&["client|setname"], kept(Kept::SetName)),
    (&["client|getname"], kept(Kept::GetName)),
    (&["client|id"], kept(Kept::ClientId)),
    (&["client|info"], kept(Kept::ClientInfo)),
    (&["client|reply"], kept(Kept::Reply)),
    (&["client|help"], PASSES),
    (&["client|caching", "client|tracking"], refused(Why::Invalidations).with(Effect::Pins)),
    (&["client|trackinginfo", "client|getredir"], PASSES),
    (&["client|list"], refused(Why::OthersActivity)),
    (&["client|kill", "client|unblock"], never(Why::ConnectionNumbers)),
    (&["client|pause", "client|unpause"], refused(Why::Server)),
    (&["client|no-evict"], refused(Why::Server).with(Effect::Pins)),
    // What holds for one cluster connection alone.
    (&["asking", "readonly", "readwrite"], PASSES.with(Effect::Pins)),
    (&["monitor"], refused(Why::OthersActivity).with(Effect::Pins)),
];
