//! Text messages are UTF-8 (RFC 6455, section 8.1), wherever frames and reads may have cut them.

use std::str::from_utf8;

use super::Violation;
use super::mask::apply_mask;

/// Bytes that are unmasked at a time: they are looked at on the stack, since what passes stays masked.
const BLOCK: usize = 512;

/// The most bytes of a character.
const MOST: usize = 4;

/// Checks one text message as it comes.
///
/// What is wrong is known at the first byte that no character can have there, not at the end of the message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Utf8 {
    /// The bytes so far of a character that is not whole.
    begun: [u8; MOST],
    /// How many: at most three.
    count: u8,
}

impl Utf8 {
    /// Looks at the next bytes of the message.
    ///
    /// # Errors
    /// They cannot stand there in UTF-8.
    pub fn check(&mut self, mut bytes: &[u8]) -> Result<(), Violation> {
        while self.count > 0 {
            let Some((next, rest)) = bytes.split_first() else {
                return Ok(());
            };
            bytes = rest;
            self.complete(*next)?;
        }
        let Err(error) = from_utf8(bytes) else {
            return Ok(());
        };
        if error.error_len().is_some() {
            return Err(Violation::Utf8);
        }
        for byte in bytes.get(error.valid_up_to()..).unwrap_or_default() {
            self.begin(*byte);
        }
        Ok(())
    }

    /// The same for bytes under a mask, which is turned to the first of them. They are left as they are.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub fn check_masked(&mut self, bytes: &[u8], mask: [u8; 4]) -> Result<(), Violation> {
        let mut block = [0; BLOCK];
        for masked in bytes.chunks(BLOCK) {
            let block = &mut block[..masked.len()];
            block.copy_from_slice(masked);
            // A block is a multiple of the mask's length, so that each begins as the first.
            apply_mask(block, mask, 0);
            self.check(block)?;
        }
        Ok(())
    }

    /// Whether the message may end here. The next one begins anew.
    ///
    /// # Errors
    /// Its last character is not whole.
    pub const fn end(&self) -> Result<(), Violation> {
        if self.count > 0 {
            return Err(Violation::Utf8);
        }
        Ok(())
    }

    fn begin(&mut self, byte: u8) {
        if let Some(place) = self.begun.get_mut(usize::from(self.count)) {
            *place = byte;
            self.count += 1;
        }
    }

    /// Adds a byte to the character that is not whole.
    fn complete(&mut self, byte: u8) -> Result<(), Violation> {
        self.begin(byte);
        let character = self.begun.get(..usize::from(self.count));
        match from_utf8(character.unwrap_or_default()) {
            Ok(_) => self.count = 0,
            Err(error) if error.error_len().is_some() => return Err(Violation::Utf8),
            Err(_) => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::Index;

    use super::*;

    /// Checks `bytes` in parts, and says how many parts were taken before it was refused, if it was.
    fn checked<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Result<(), usize> {
        let mut utf8 = Utf8::default();
        let mut taken = 0;
        for part in parts {
            utf8.check(part).map_err(|_| taken)?;
            taken += 1;
        }
        utf8.end().map_err(|_| taken)
    }

    /// How many bytes of it are taken before it is refused, one at a time.
    fn refused_at(bytes: &[u8]) -> Option<usize> {
        checked(bytes.chunks(1)).err()
    }

    #[test]
    fn what_is_wrong_is_known_at_the_first_byte_that_cannot_stand_there() {
        let rows: [(&[u8], Option<usize>); 16] = [
            (b"", None),
            ("κόσμε".as_bytes(), None),
            (
                "\u{0}\u{7F}\u{80}\u{7FF}\u{800}\u{FFFF}\u{10000}\u{10FFFF}".as_bytes(),
                None,
            ),
            // Continuation bytes alone, and a first byte without one.
            (b"a\x80", Some(1)),
            (b"\xC3a", Some(1)),
            (b"\xE2\x82a", Some(2)),
            (b"\xF0\x9F\x98a", Some(3)),
            // Too long for what they say.
            (b"\xC0\xAF", Some(0)),
            (b"\xE0\x80\xAF", Some(1)),
            (b"\xF0\x80\x80\xAF", Some(1)),
            // Surrogates, and above U+10FFFF.
            (b"\xED\xA0\x80", Some(1)),
            (b"\xF4\x90\x80\x80", Some(1)),
            (b"\xF5\x80\x80\x80", Some(0)),
            (b"\xFF", Some(0)),
            // Not whole at the end.
            (b"a\xC3", Some(2)),
            (b"\xF0\x9F\x98", Some(3)),
        ];
        for (bytes, expected) in rows {
            assert_eq!(refused_at(bytes), expected, "{bytes:x?}");
        }
    }

    #[test]
    fn a_message_ends_with_a_whole_character_and_the_next_begins_anew() {
        let mut utf8 = Utf8::default();
        for _ in 0..2 {
            utf8.check(b"\xE2\x82").unwrap();
            utf8.check(b"\xAC").unwrap();
            assert_eq!(utf8.end(), Ok(()));
        }
        utf8.check(b"\xE2\x82").unwrap();
        assert_eq!(utf8.end(), Err(Violation::Utf8));
    }

    /// Mostly characters, with some bytes that may be none.
    fn text() -> impl Strategy<Value = Vec<u8>> {
        let character = any::<char>().prop_map(|character| character.to_string().into_bytes());
        let part = prop_oneof![40 => character, 1 => vec(any::<u8>(), 1..3)];
        vec(part, 0..60).prop_map(|parts| parts.concat())
    }

    proptest! {
        #[test]
        fn cuts_change_nothing(bytes in text(), cuts in vec(any::<Index>(), 0..20)) {
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let parts = cuts.windows(2).map(|cut| &bytes[cut[0]..cut[1]]);
            prop_assert_eq!(checked(parts).is_ok(), from_utf8(&bytes).is_ok());
        }

        #[test]
        fn it_is_refused_no_later_than_anybody_could(bytes in text()) {
            let expected = from_utf8(&bytes).err().map(|error| {
                // The first byte that no longer is the beginning of something right.
                let start = error.valid_up_to();
                (start + 1..=bytes.len())
                    .find(|end| from_utf8(&bytes[start..*end]).is_err_and(|it| it.error_len().is_some()))
                    .map_or(bytes.len(), |end| end - 1)
            });
            prop_assert_eq!(refused_at(&bytes), expected);
        }

        #[test]
        fn a_mask_is_seen_through(text in text(), again in 1usize..40, mask: [u8; 4], cut: Index) {
            let bytes = text.repeat(again);
            let mut masked = bytes.clone();
            apply_mask(&mut masked, mask, 0);
            let cut = cut.index(bytes.len() + 1);
            let (first, second) = masked.split_at(cut);
            let mut utf8 = Utf8::default();
            let result = utf8
                .check_masked(first, mask)
                .and_then(|()| utf8.check_masked(second, super::super::mask::turn(mask, cut)))
                .and_then(|()| utf8.end());
            prop_assert_eq!(result.is_ok(), from_utf8(&bytes).is_ok());
        }
    }
}
