//! Masks (RFC 6455, section 5.3): what a client sends is XORed with four bytes that it has chosen for the frame.

/// Masks or unmasks, which is the same, bytes that stand `offset` bytes into the payload of their frame.
///
/// Eight bytes at a time, which the compiler makes sixteen or more of.
pub fn apply_mask(bytes: &mut [u8], mask: [u8; 4], offset: usize) {
    let turned = turn(mask, offset);
    let half = u64::from(u32::from_ne_bytes(turned));
    let wide = half << 32 | half;
    let (chunks, rest) = bytes.as_chunks_mut::<8>();
    for chunk in chunks {
        *chunk = (u64::from_ne_bytes(*chunk) ^ wide).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(turned.iter().cycle()) {
        *byte ^= key;
    }
}

/// The mask as it applies from `offset` bytes into the payload on.
#[inline]
#[must_use]
pub(super) const fn turn(mask: [u8; 4], offset: usize) -> [u8; 4] {
    u32::from_be_bytes(mask)
        .rotate_left((offset % 4) as u32 * 8)
        .to_be_bytes()
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// Byte by byte, as section 5.3 has it.
    fn naive(bytes: &mut [u8], mask: [u8; 4], offset: usize) {
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte ^= mask[(at + offset % 4) % 4];
        }
    }

    #[test]
    fn a_masked_hello_is_that_of_section_5_7() {
        let mut payload = [0x7f, 0x9f, 0x4d, 0x51, 0x58];
        apply_mask(&mut payload, [0x37, 0xfa, 0x21, 0x3d], 0);
        assert_eq!(payload, *b"Hello");
    }

    #[test]
    fn a_mask_goes_on_from_any_offset() {
        let mask = [0xA1, 0xB2, 0xC3, 0xD4];
        let plain: Vec<u8> = (0..100).collect();
        let mut whole = plain.clone();
        naive(&mut whole, mask, 0);
        for cut in 0..plain.len() {
            let (mut first, mut second) = (plain[..cut].to_vec(), plain[cut..].to_vec());
            apply_mask(&mut first, mask, 0);
            apply_mask(&mut second, mask, cut);
            assert_eq!([first, second].concat(), whole, "{cut}");
        }
    }

    proptest! {
        #[test]
        fn it_does_what_one_byte_at_a_time_would(
            bytes in vec(any::<u8>(), 0..300),
            skipped in 0usize..16,
            mask: [u8; 4],
            offset: usize,
        ) {
            // Slices that begin anywhere: nothing may depend on how the memory is aligned.
            let skipped = skipped.min(bytes.len());
            let (mut fast, mut slow) = (bytes.clone(), bytes);
            apply_mask(&mut fast[skipped..], mask, offset);
            naive(&mut slow[skipped..], mask, offset);
            prop_assert_eq!(&fast, &slow);
        }
    }
}
