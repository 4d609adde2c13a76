//! The compression that Redis uses in RDB files and in what DUMP gives.
//!
//! ```text
//! 000nnnnn                     n + 1 bytes follow as they are
//! nnnooooo [more] oooooooo     n + 2 bytes (n + more + 2 if n is 7) from o + 1 bytes back
//! ```

/// How many bytes a reference adds to its length.
const REFERENCE_BYTES_MIN: usize = 2;

/// The bytes behind `packed`; `None` if it is damaged or they are not exactly `length` bytes. The memory
/// grows with what is unpacked, whatever `length` says.
pub fn unpack(packed: &[u8], length: usize) -> Option<Vec<u8>> {
    let mut unpacked = Vec::new();
    let mut rest = packed;
    while let [control, behind @ ..] = rest {
        let control = usize::from(*control);
        if control < 1 << 5 {
            let (literal, behind) = behind.split_at_checked(control + 1)?;
            unpacked.extend_from_slice(literal);
            rest = behind;
        } else {
            let (more, behind) = if control >> 5 == 7 { behind.split_first()? } else { (&0, behind) };
            let (low, behind) = behind.split_first()?;
            let back = (control & 0x1f) << 8 | usize::from(*low);
            let count = (control >> 5) + usize::from(*more) + REFERENCE_BYTES_MIN;
            let start = unpacked.len().checked_sub(back + 1)?;
            // What is copied may reach into what this adds.
            (start..start + count).for_each(|place| unpacked.push(unpacked[place]));
            rest = behind;
        }
        if unpacked.len() > length {
            return None;
        }
    }
    (unpacked.len() == length).then_some(unpacked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_and_references_are_unpacked() {
        assert_eq!(unpack(b"\x02abc", 3), Some(b"abc".to_vec()));
        // Three bytes from one back: a run.
        assert_eq!(unpack(b"\x00a\x20\x00", 4), Some(b"aaaa".to_vec()));
        assert_eq!(unpack(b"\x01ab\xe0\x03\x01", 14), Some(b"ab".repeat(7)));
        assert_eq!(unpack(b"", 0), Some(Vec::new()));
    }

    #[test]
    fn damage_is_found_and_no_length_is_trusted() {
        for (packed, length) in [
            (&b"\x02ab"[..], 3),
            (b"\x20\x00", 3),
            (b"\x00a\x20", 4),
            (b"\x00a\xe0\x01", 4),
            (b"\x00a\x20\x01", 4),
            (b"\x02abc", 2),
            (b"\x02abc", usize::MAX),
        ] {
            assert_eq!(unpack(packed, length), None, "{packed:?}");
        }
    }
}
