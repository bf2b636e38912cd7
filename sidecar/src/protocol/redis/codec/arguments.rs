//! The arguments of one command, in the bytes that they came in.

/// Where an argument stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Its first byte.
    pub start: usize,
    /// How many bytes it has.
    pub len: usize,
}

/// The arguments of one command, its name among them; all of them, or as many as have come.
#[derive(Clone, Copy, Debug)]
pub struct Arguments<'a> {
    bytes: &'a [u8],
    spans: &'a [Span],
    total: usize,
    raw: Option<usize>,
}

impl<'a> Arguments<'a> {
    /// Arguments that stand in `bytes`, `total` of which there will be. `raw` is where the header of the first argument begins, where
    /// `bytes` are an array of bulk strings as it came.
    #[must_use]
    pub(super) const fn new(
        bytes: &'a [u8],
        spans: &'a [Span],
        total: usize,
        raw: Option<usize>,
    ) -> Self {
        Self {
            bytes,
            spans,
            total,
            raw,
        }
    }

    /// The argument at `index`, where 0 is the command's name; none where it has not come whole, or is not to come.
    #[inline]
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&'a [u8]> {
        let span = self.spans.get(index)?;
        self.bytes.get(span.start..span.start + span.len)
    }

    /// How many have come whole.
    #[inline]
    #[must_use]
    pub const fn there(&self) -> usize {
        self.spans.len()
    }

    /// How many the command has, the name included.
    #[inline]
    #[must_use]
    pub const fn total(&self) -> usize {
        self.total
    }

    /// Whether all have come whole.
    #[inline]
    #[must_use]
    pub const fn complete(&self) -> bool {
        self.spans.len() == self.total
    }

    /// The name, and the others in turn: those that have come whole.
    pub fn iter(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let (bytes, spans) = (self.bytes, self.spans);
        spans
            .iter()
            .filter_map(move |span| bytes.get(span.start..span.start + span.len))
    }

    /// Where each argument stands in [`raw`](Self::raw).
    #[must_use]
    pub(in super::super) const fn spans(&self) -> &'a [Span] {
        self.spans
    }

    /// The bytes that the command came in, and where in them the header of its first argument begins; none for an inline command.
    #[must_use]
    pub(in super::super) fn raw(&self) -> Option<(&'a [u8], usize)> {
        Some((self.bytes, self.raw?))
    }
}
