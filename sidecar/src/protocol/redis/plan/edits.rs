//! What is changed in a command: prefixes go before some arguments, and some arguments go behind the last.

use super::super::codec::{Arguments, Span, push_array_header, push_bulk, push_bulk_header};
use super::super::prefix::{ChannelKind, place_in_channel, place_in_pattern};

/// More ranges than any command has.
const MOST: usize = 3;

/// The changes to one command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Edits {
    /// In the order of the arguments, and none within another.
    ranges: [Range; MOST],
    count: u8,
    behind: Behind,
}

/// Arguments that get the prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    /// The first.
    pub(super) first: u32,
    /// Behind the last.
    pub(super) end: u32,
    /// Every so many.
    pub(super) step: u32,
    /// What they are.
    pub(super) what: What,
}

/// What an argument that gets the prefix is, by which is told where in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// A key, or a pattern of keys.
    Key,
    /// A channel.
    Channel,
    /// A pattern of channels.
    ChannelPattern,
}

/// What goes behind the last argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Behind {
    /// Nothing.
    Nothing,
    /// `MATCH prefix*`.
    Match,
    /// `prefix*`.
    Pattern,
    /// `server`.
    Server,
}

impl Edits {
    pub(super) const NONE: Self = Self {
        ranges: [Range {
            first: 0,
            end: 0,
            step: 1,
            what: What::Key,
        }; MOST],
        count: 0,
        behind: Behind::Nothing,
    };

    pub(super) const fn any(&self) -> bool {
        self.count > 0 || !matches!(self.behind, Behind::Nothing)
    }

    /// The prefix before one key.
    #[inline]
    pub(super) const fn one_key(index: u32) -> Self {
        let mut edits = Self::NONE;
        edits.ranges[0].first = index;
        edits.ranges[0].end = index + 1;
        edits.count = 1;
        edits
    }

    /// Adds a range. False where there is no room, or it does not stand behind those that were added before.
    #[must_use]
    pub(super) fn add(&mut self, range: Range) -> bool {
        if range.first >= range.end {
            return true;
        }
        let after = self.ranges().last().map_or(0, |last| last.end);
        let Some(free) = self.ranges.get_mut(usize::from(self.count)) else {
            return false;
        };
        *free = range;
        self.count += 1;
        range.first >= after && range.step > 0
    }

    pub(super) const fn append(mut self, behind: Behind) -> Self {
        self.behind = behind;
        self
    }

    #[inline]
    fn ranges(&self) -> impl Iterator<Item = &Range> {
        self.ranges.iter().take(usize::from(self.count))
    }

    /// What an argument is, if it gets the prefix.
    fn what(&self, index: usize) -> Option<What> {
        self.ranges()
            .find(|range| range.indices(usize::MAX).contains(&index) && range.meets(index))
            .map(|range| range.what)
    }

    #[inline]
    pub(super) fn write(&self, arguments: &Arguments<'_>, prefix: &[u8], out: &mut Vec<u8>) {
        if let Some((bytes, first)) = arguments.raw()
            && let Some(index) = self.alone()
            && let Some((before, span, end)) = around(arguments.spans(), index, first)
        {
            // Nearly every command.
            out.reserve(end + prefix.len() + 24);
            out.extend_from_slice(bytes.get(..before).unwrap_or_default());
            push_bulk_header(out, (span.len + prefix.len()) as u64);
            out.extend_from_slice(prefix);
            out.extend_from_slice(bytes.get(span.start..end).unwrap_or_default());
            return;
        }
        match arguments.raw() {
            Some((bytes, first)) => self.write_raw(bytes, first, arguments, prefix, out),
            None => self.write_each(arguments, prefix, out),
        }
        match self.behind {
            Behind::Nothing => {}
            Behind::Match => {
                push_bulk(out, b"MATCH");
                push_everything(prefix, out);
            }
            Behind::Pattern => push_everything(prefix, out),
            Behind::Server => push_bulk(out, b"server"),
        }
    }

    /// The argument that gets the prefix, where it is a key and the only one.
    #[inline]
    const fn alone(&self) -> Option<usize> {
        let only = &self.ranges[0];
        let alone = self.count == 1
            && only.end == only.first + 1
            && matches!(only.what, What::Key)
            && matches!(self.behind, Behind::Nothing);
        if alone {
            Some(only.first as usize)
        } else {
            None
        }
    }

    const fn more(&self) -> usize {
        match self.behind {
            Behind::Nothing => 0,
            Behind::Match => 2,
            Behind::Pattern | Behind::Server => 1,
        }
    }

    /// Copies what came, but for the headers of what gets the prefix.
    fn write_raw(
        &self,
        bytes: &[u8],
        first: usize,
        arguments: &Arguments<'_>,
        prefix: &[u8],
        out: &mut Vec<u8>,
    ) {
        let spans = arguments.spans();
        let mut copied = 0;
        if self.more() > 0 {
            push_array_header(out, arguments.total() + self.more());
            copied = first;
        }
        for range in self.ranges() {
            for index in range.indices(spans.len()).step_by(range.step as usize) {
                let Some(span) = spans.get(index) else { break };
                let text = bytes.get(span.start..span.start + span.len);
                let Some(place) = range.what.place(text.unwrap_or_default()) else {
                    continue;
                };
                let header = header(spans, index, first);
                out.extend_from_slice(bytes.get(copied..header).unwrap_or_default());
                push_bulk_header(out, (span.len + prefix.len()) as u64);
                copied = span.start + place;
                out.extend_from_slice(bytes.get(span.start..copied).unwrap_or_default());
                out.extend_from_slice(prefix);
            }
        }
        let last = spans.last().map_or(first, end);
        out.extend_from_slice(bytes.get(copied..last).unwrap_or_default());
    }

    /// Writes an inline command as an array.
    fn write_each(&self, arguments: &Arguments<'_>, prefix: &[u8], out: &mut Vec<u8>) {
        push_array_header(out, arguments.total() + self.more());
        for (index, argument) in arguments.iter().enumerate() {
            let place = self.what(index).and_then(|what| what.place(argument));
            let Some((before, behind)) = place.and_then(|place| argument.split_at_checked(place))
            else {
                push_bulk(out, argument);
                continue;
            };
            push_bulk_header(out, (argument.len() + prefix.len()) as u64);
            out.extend_from_slice(before);
            out.extend_from_slice(prefix);
            out.extend_from_slice(behind);
            out.extend_from_slice(b"\r\n");
        }
    }

    pub(super) fn write_header(&self, index: usize, length: u64, prefix: &[u8], out: &mut Vec<u8>) {
        if self.what(index) == Some(What::Key) {
            push_bulk_header(out, length + prefix.len() as u64);
            out.extend_from_slice(prefix);
        } else {
            push_bulk_header(out, length);
        }
    }
}

impl Range {
    /// From the first to the last, of those below `there`.
    #[inline]
    fn indices(&self, there: usize) -> std::ops::Range<usize> {
        self.first as usize..(self.end as usize).min(there)
    }

    /// Whether its steps meet this index.
    const fn meets(&self, index: usize) -> bool {
        (index - self.first as usize).is_multiple_of(self.step as usize)
    }
}

impl What {
    /// Where in an argument the prefix goes; none where it needs none.
    #[inline]
    fn place(self, argument: &[u8]) -> Option<usize> {
        let kind = match self {
            Self::Key => return Some(0),
            Self::Channel => place_in_channel(argument),
            Self::ChannelPattern => place_in_pattern(argument).unwrap_or(ChannelKind::Own(0)),
        };
        match kind {
            ChannelKind::Own(place) => Some(place),
            ChannelKind::KeyEvent => None,
        }
    }
}

/// Where the header of an argument begins, where that of the first one does at `first`.
#[inline]
fn header(spans: &[Span], index: usize, first: usize) -> usize {
    index
        .checked_sub(1)
        .and_then(|before| spans.get(before))
        .map_or(first, end)
}

/// Where an argument ends, its CR LF included.
#[inline]
const fn end(span: &Span) -> usize {
    span.start + span.len + 2
}

/// Where the header of an argument begins, the argument, and where the last one ends; none where it has not come.
#[inline]
fn around(spans: &[Span], index: usize, first: usize) -> Option<(usize, Span, usize)> {
    let span = spans.get(index)?;
    Some((header(spans, index, first), *span, end(spans.last()?)))
}

/// The pattern of everything under the prefix.
fn push_everything(prefix: &[u8], out: &mut Vec<u8>) {
    push_bulk_header(out, prefix.len() as u64 + 1);
    out.extend_from_slice(prefix);
    out.extend_from_slice(b"*\r\n");
}
