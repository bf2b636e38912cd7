//! Channels, which share the users' prefix with keys.

use super::super::effect::SubscribesTo::{Channels, Patterns, ShardChannels};
use super::{Form, PASSES, Row, Shape, Why, form, refused};

#[rustfmt::skip]
pub(super) const ROWS: &[Row] = &[
    (&["subscribe"], form(Form::Channels).subscribes(Channels, true)),
    (&["unsubscribe"], form(Form::Channels).subscribes(Channels, false)),
    (&["psubscribe"], form(Form::ChannelPatterns).subscribes(Patterns, true)),
    (&["punsubscribe"], form(Form::ChannelPatterns).subscribes(Patterns, false)),
    (&["ssubscribe"], form(Form::Channels).subscribes(ShardChannels, true)),
    (&["sunsubscribe"], form(Form::Channels).subscribes(ShardChannels, false)),
    (&["publish", "spublish"], form(Form::Publish)),
    (&["pubsub|channels", "pubsub|shardchannels"], form(Form::ListChannels).replies(Shape::Channels).not_per_user(Why::OpenToScripts)),
    (&["pubsub|numsub", "pubsub|shardnumsub"], form(Form::CountSubscribers).replies(Shape::ChannelPairs).not_per_user(Why::OpenToScripts)),
    (&["pubsub|numpat"], refused(Why::OthersCounts)),
    (&["pubsub|help"], PASSES),
];
