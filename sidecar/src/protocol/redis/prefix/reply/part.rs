//! Which elements of a reply are keys.

use super::super::super::commands::Shape;

/// What a value in a reply is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Nothing in it is changed.
    Plain,
    /// Nothing in it is changed, unless it is an error.
    Errors,
    /// A key.
    Key,
    /// A channel.
    Channel,
    /// An array of keys.
    Keys,
    /// An array of channels.
    Channels,
    /// A cursor, and an array of keys.
    Scan,
    /// An array that begins with a key.
    FirstKey,
    /// An array of those, or a map of keys.
    Streams,
    /// A channel, and something about it, and so on.
    ChannelPairs,
    /// A confirmation or a message.
    Messages,
    /// The replies of queued commands.
    Exec,
}

impl Part {
    pub(super) const fn of(shape: Shape) -> Self {
        match shape {
            Shape::Plain => Self::Plain,
            Shape::Errors => Self::Errors,
            Shape::Keys => Self::Keys,
            Shape::Scan => Self::Scan,
            Shape::FirstKey => Self::FirstKey,
            Shape::Streams => Self::Streams,
            Shape::ChannelPairs => Self::ChannelPairs,
            Shape::Channels => Self::Channels,
            Shape::Messages => Self::Messages,
        }
    }
}

/// An aggregate under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    part: Part,
    map: bool,
    left: u64,
    index: u64,
}

impl Frame {
    pub(super) const fn new(part: Part, map: bool, count: u64) -> Self {
        Self {
            part,
            map,
            left: if map { count * 2 } else { count },
            index: 0,
        }
    }

    /// What the next element is.
    pub(super) fn element(&self, queued: &[Shape]) -> Part {
        match self.part {
            Part::Keys => Part::Key,
            Part::Channels => Part::Channel,
            Part::Scan if self.index == 1 => Part::Keys,
            Part::FirstKey if self.index == 0 => Part::Key,
            Part::Streams if !self.map => Part::FirstKey,
            Part::Streams if self.index.is_multiple_of(2) => Part::Key,
            Part::ChannelPairs if self.index.is_multiple_of(2) => Part::Channel,
            Part::Exec => usize::try_from(self.index)
                .ok()
                .and_then(|index| queued.get(index))
                .map_or(Part::Plain, |shape| Part::of(*shape)),
            _ => Part::Plain,
        }
    }

    /// Turns to the element behind.
    pub(super) const fn advance(&mut self) {
        self.left = self.left.saturating_sub(1);
        self.index += 1;
    }

    /// Whether no element is to come.
    pub(super) const fn is_over(&self) -> bool {
        self.left == 0
    }
}
