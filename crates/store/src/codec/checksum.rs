//! A checksum against damage, not against malice: it tells a torn part of a record from a whole one
//! without parsing it.

/// Odd, with bits all over: the fraction of the golden ratio in 64 bits.
const FACTOR: u64 = 0x9E37_79B9_7F4A_7C15;

/// The checksum of the concatenated `parts`, sensitive to where one ends and the next begins. It is
/// part of the record's format: the bytes are taken as little-endian words, the last padded with
/// zeros.
pub(super) fn of<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> u64 {
    let mut sum = FACTOR;
    for part in parts {
        sum = mix(sum, part.len() as u64);
        let mut words = part.chunks_exact(8);
        for word in &mut words {
            sum = mix(sum, little_endian(word));
        }
        sum = mix(sum, little_endian(words.remainder()));
    }
    sum ^ (sum >> 32)
}

fn mix(sum: u64, word: u64) -> u64 {
    (sum.rotate_left(23) ^ word).wrapping_mul(FACTOR)
}

fn little_endian(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    word[..bytes.len()].copy_from_slice(bytes);
    u64::from_le_bytes(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_never_changes() {
        assert_eq!(of([]), FACTOR ^ (FACTOR >> 32));
        let text: &[u8] = b"The format of a record is for ever";
        assert_eq!(format!("{:016x}", of([text])), "8bdf30dacc22bd4e");
    }

    #[test]
    fn every_bit_and_every_boundary_counts() {
        let text = b"{\"ociVersion\":\"1.2\"}".to_vec();
        let whole = of([&text[..]]);
        for index in 0..text.len() {
            for bit in 0..8 {
                let mut changed = text.clone();
                changed[index] ^= 1 << bit;
                assert_ne!(of([&changed[..]]), whole);
            }
            assert_ne!(of([&text[..index]]), whole);
            assert_ne!(of([&text[..index], &text[index..]]), whole);
        }
    }
}
