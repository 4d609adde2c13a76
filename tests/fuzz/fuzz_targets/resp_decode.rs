//! Requests of strangers: whole and byte by byte they are taken for the same words.
#![no_main]

use enginebay::resp::{Decoder, Limits};
use libfuzzer_sys::fuzz_target;

/// The words of every request, and whether an error ended them. `piece` bytes arrive at a time.
fn decode(input: &[u8], piece: usize) -> (Vec<Vec<Vec<u8>>>, bool) {
    let mut decoder = Decoder::new(Limits { bulk_bytes: 1 << 20, request_bytes: 1 << 20 });
    let (mut arrived, mut requests) = (Vec::new(), Vec::new());
    for piece in input.chunks(piece) {
        arrived.extend_from_slice(piece);
        loop {
            match decoder.decode(&mut arrived) {
                Ok(None) => break,
                Err(_) => return (requests, true),
                Ok(Some(length)) => {
                    assert!(length > 0 && length <= arrived.len());
                    let word = |range: &std::ops::Range<u32>| {
                        arrived[range.start as usize..range.end as usize].to_vec()
                    };
                    requests.push(decoder.words().iter().map(word).collect());
                    arrived.drain(..length);
                }
            }
        }
    }
    (requests, false)
}

fuzz_target!(|input: &[u8]| {
    if !input.is_empty() {
        assert_eq!(decode(input, input.len()), decode(input, 1));
    }
});
