//! Looks for values at given places of a JSON document (RFC 8259), of which only the beginning may be there.
//!
//! Only the members that lead to a place that is asked for are gone into, so that the depth of a document costs nothing. It is no judge of
//! documents: for one that is JSON it finds what a full parser would, of two members of one name the first; one that is not is no event.

use super::Verdict;

/// A value that is looked for.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    /// Where it is looked for: names of members, or positions in arrays.
    pub(super) path: Vec<String>,
    /// What a string there says, or a number, `true`, `false` or `null` as it is written.
    pub(super) value: String,
    /// The number of the event.
    pub(super) number: usize,
}

/// Why looking ends before the document does.
enum Stop {
    /// There is no more to look at.
    Short,
    /// It is no JSON.
    Broken,
    /// Every place has been looked at, or cannot be there.
    Settled,
    /// This one is it.
    Found(usize),
}

/// A set of the values that are looked for, a bit for each: a policy names at most 64.
type Set = u64;

/// Looks for the first of `wanted` in `head`, the beginning of a document, or all of it.
pub(super) fn find(head: &[u8], is_whole: bool, wanted: &[Wanted]) -> Verdict {
    let open = wanted.iter().zip(0..Set::BITS);
    let mut cursor = Cursor {
        bytes: head,
        at: 0,
        is_whole,
        wanted,
        open: open.fold(0, |set, (_, bit)| set | 1 << bit),
    };
    match cursor.value(cursor.open, 0) {
        Err(Stop::Found(number)) => Verdict::Event(number),
        Err(Stop::Short) if !is_whole && cursor.open != 0 => Verdict::Unscanned,
        _ => Verdict::Ordinary,
    }
}

/// The text of a string, a number or a literal that is a member of the document itself, as it is written.
pub(super) fn member<'a>(head: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut cursor = Cursor {
        bytes: head,
        at: 0,
        is_whole: false,
        wanted: &[],
        open: 0,
    };
    cursor.member(name).ok().flatten()
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    is_whole: bool,
    wanted: &'a [Wanted],
    /// Those whose place has not been seen.
    open: Set,
}

impl<'a> Cursor<'a> {
    /// Reads a value to which the first `depth` steps of those in `set` lead.
    fn value(&mut self, set: Set, depth: usize) -> Result<(), Stop> {
        if self.open == 0 {
            return Err(Stop::Settled);
        }
        let goes_on = self.members(set).any(|it| it.path.len() > depth);
        match self.peek()? {
            b'{' if goes_on => self.object(set, depth)?,
            b'[' if goes_on => self.array(set, depth)?,
            b'{' | b'[' => self.pass_over()?,
            // No place is the document itself.
            _ if depth == 0 => return Err(Stop::Settled),
            b'"' => {
                let raw = self.string()?;
                self.compare(set, depth, |value| says(raw, value))?;
            }
            b'-' | b'0'..=b'9' | b't' | b'f' | b'n' => {
                let raw = self.literal()?;
                self.compare(set, depth, |value| raw == value)?;
            }
            _ => return Err(Stop::Broken),
        }
        // Their places have been seen, or lie in what has been passed over.
        self.open &= !set;
        if self.open == 0 {
            return Err(Stop::Settled);
        }
        Ok(())
    }

    fn object(&mut self, set: Set, depth: usize) -> Result<(), Stop> {
        self.at += 1;
        if self.peek()? == b'}' {
            self.at += 1;
            return Ok(());
        }
        loop {
            if self.peek()? != b'"' {
                return Err(Stop::Broken);
            }
            let name = self.string()?;
            if self.peek()? != b':' {
                return Err(Stop::Broken);
            }
            self.at += 1;
            let inner = self.led_on(set, depth, |step| says(name, step));
            self.step_into(inner, depth)?;
            if self.ends(b'}')? {
                return Ok(());
            }
        }
    }

    fn member(&mut self, wanted: &[u8]) -> Result<Option<&'a [u8]>, Stop> {
        if self.peek()? != b'{' {
            return Ok(None);
        }
        loop {
            self.at += 1;
            if self.peek()? != b'"' {
                return Ok(None);
            }
            let name = self.string()?;
            if self.peek()? != b':' {
                return Err(Stop::Broken);
            }
            self.at += 1;
            let first = self.peek()?;
            if says(name, wanted) {
                return match first {
                    b'"' => self.string().map(Some),
                    b'{' | b'[' => Ok(None),
                    _ => self.literal().map(Some),
                };
            }
            self.pass_over()?;
            if self.peek()? != b',' {
                return Ok(None);
            }
        }
    }

    fn array(&mut self, set: Set, depth: usize) -> Result<(), Stop> {
        self.at += 1;
        if self.peek()? == b']' {
            self.at += 1;
            return Ok(());
        }
        let mut position = 0;
        loop {
            let inner = self.led_on(set, depth, |step| is_position(step, position));
            self.step_into(inner, depth)?;
            if self.ends(b']')? {
                return Ok(());
            }
            position += 1;
        }
    }

    /// Reads a value inside of another one, or passes over it where nobody is led on to it.
    fn step_into(&mut self, inner: Set, depth: usize) -> Result<(), Stop> {
        if inner != 0 {
            return self.value(inner, depth + 1);
        }
        self.peek()?;
        self.pass_over()
    }

    /// Whether the object or array ends here, and is not gone on with by a comma.
    fn ends(&mut self, end: u8) -> Result<bool, Stop> {
        let next = self.peek()?;
        self.at += 1;
        match next {
            b',' => Ok(false),
            next if next == end => Ok(true),
            _ => Err(Stop::Broken),
        }
    }

    /// Those of `set` that are not settled and whose step at `depth` is taken.
    fn led_on(&self, set: Set, depth: usize, takes: impl Fn(&[u8]) -> bool) -> Set {
        let mut led = 0;
        for (bit, wanted) in self.wanted.iter().enumerate() {
            let step = wanted.path.get(depth);
            if (set & self.open) >> bit & 1 == 1 && step.is_some_and(|step| takes(step.as_bytes()))
            {
                led |= 1 << bit;
            }
        }
        led
    }

    fn members(&self, set: Set) -> impl Iterator<Item = &'a Wanted> {
        let numbered = self.wanted.iter().enumerate();
        numbered.filter_map(move |(bit, wanted)| (set >> bit & 1 == 1).then_some(wanted))
    }

    fn compare(&self, set: Set, depth: usize, is: impl Fn(&[u8]) -> bool) -> Result<(), Stop> {
        let mut here = self.members(set).filter(|it| it.path.len() == depth);
        match here.find(|it| is(it.value.as_bytes())) {
            Some(found) => Err(Stop::Found(found.number)),
            None => Ok(()),
        }
    }

    /// The next byte that is no white space; it stays the next one.
    fn peek(&mut self) -> Result<u8, Stop> {
        while let Some(&byte) = self.bytes.get(self.at) {
            if !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
                return Ok(byte);
            }
            self.at += 1;
        }
        Err(Stop::Short)
    }

    /// The string that begins here, as it is written between its quotes.
    fn string(&mut self) -> Result<&'a [u8], Stop> {
        let start = self.at + 1;
        let mut at = start;
        loop {
            match self.bytes.get(at) {
                None => return Err(Stop::Short),
                Some(b'"') => break,
                Some(b'\\') => at += 2,
                Some(_) => at += 1,
            }
        }
        self.at = at + 1;
        Ok(self.bytes.get(start..at).unwrap_or_default())
    }

    /// The number, `true`, `false` or `null` that begins here.
    fn literal(&mut self) -> Result<&'a [u8], Stop> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let end = rest.iter().position(
            |byte| !matches!(byte, b'-' | b'+' | b'.' | b'0'..=b'9' | b'a'..=b'z' | b'E'),
        );
        let length = match end {
            Some(0) => return Err(Stop::Broken),
            Some(end) => end,
            None if self.is_whole => rest.len(),
            None => return Err(Stop::Short),
        };
        self.at += length;
        Ok(rest.get(..length).unwrap_or_default())
    }

    /// Passes over the value that begins here.
    fn pass_over(&mut self) -> Result<(), Stop> {
        let mut depth = 0_usize;
        loop {
            match self.peek()? {
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' if depth == 0 => return Err(Stop::Broken),
                b'}' | b']' => {
                    depth -= 1;
                    self.at += 1;
                }
                b',' | b':' if depth > 0 => {
                    self.at += 1;
                    continue;
                }
                b'"' => {
                    self.string()?;
                }
                _ => {
                    self.literal()?;
                }
            }
            if depth == 0 {
                return Ok(());
            }
        }
    }
}

/// Whether a step of a path is this position in an array (RFC 6901, section 4: without leading zeros).
fn is_position(step: &[u8], position: usize) -> bool {
    let Ok(text) = std::str::from_utf8(step) else {
        return false;
    };
    let plain = text == "0" || !text.starts_with(['0', '+']);
    plain && text.parse() == Ok(position)
}

/// Whether a string says this, as it is written between its quotes.
pub(super) fn says(raw: &[u8], expected: &[u8]) -> bool {
    let Some(first) = raw.iter().position(|byte| *byte == b'\\') else {
        return raw == expected;
    };
    let (plain, mut escaped) = raw.split_at(first);
    let Some(mut left) = expected.strip_prefix(plain) else {
        return false;
    };
    let mut encoded = [0; 4];
    while let Some((&byte, rest)) = escaped.split_first() {
        escaped = rest;
        let said: &[u8] = if byte == b'\\' {
            let Some((character, rest)) = escape(escaped) else {
                return false;
            };
            escaped = rest;
            character.encode_utf8(&mut encoded).as_bytes()
        } else {
            &[byte]
        };
        let Some(after) = left.strip_prefix(said) else {
            return false;
        };
        left = after;
    }
    left.is_empty()
}

/// The character that an escape stands for, whose backslash has been read, and what comes behind it (RFC 8259, section 7).
fn escape(bytes: &[u8]) -> Option<(char, &[u8])> {
    let (&kind, rest) = bytes.split_first()?;
    let character = match kind {
        b'"' | b'\\' | b'/' => char::from(kind),
        b'b' => '\u{8}',
        b'f' => '\u{C}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => return code_point(rest),
        _ => return None,
    };
    Some((character, rest))
}

fn code_point(bytes: &[u8]) -> Option<(char, &[u8])> {
    let (first, rest) = unit(bytes)?;
    if !(0xD800..0xDC00).contains(&first) {
        return Some((char::from_u32(first)?, rest));
    }
    let (second, rest) = unit(rest.strip_prefix(b"\\u")?)?;
    if !(0xDC00..0xE000).contains(&second) {
        return None;
    }
    let code = 0x1_0000 + ((first - 0xD800) << 10 | (second - 0xDC00));
    Some((char::from_u32(code)?, rest))
}

/// Four hexadecimal digits.
fn unit(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (digits, rest) = bytes.split_first_chunk::<4>()?;
    let mut code = 0;
    for digit in digits {
        code = code << 4 | char::from(*digit).to_digit(16)?;
    }
    Some((code, rest))
}
