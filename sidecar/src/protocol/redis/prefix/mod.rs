//! One user's keys apart from another's: the prefix, and what is done with it in patterns, channels and replies. Pure.
//!
//! - [`PrefixTemplate`]: what the policy says, and whether it keeps users apart.
//! - [`encode_user`]: user ids as they stand in a prefix.
//! - [`channel`](place_in_channel): where the prefix stands in a channel.
//! - [`reply`](Unprefixer): replies without it.
//! - [`acl`](acl_user): the Redis user of an end user.

mod acl;
mod channel;
mod reply;

pub use acl::{acl_commands, acl_reach, acl_user};
pub use bulkhead_crds::names::key_prefix::{KeyPrefix, PrefixTemplate, TemplateError, encode_user};
pub use channel::{ChannelKind, place_in_channel, place_in_pattern};
pub use reply::{Unprefixed, Unprefixer};
