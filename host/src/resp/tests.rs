//! The decoder against pieces, garbage and limits.

use super::{Decoder, Input, LINE_BYTES_MAX, Limits, ProtocolError, WORDS_MAX};

const LIMITS: Limits = Limits { bulk_bytes: 64 * 1024 * 1024, request_bytes: 256 * 1024 * 1024 };

/// What came out of some bytes: the requests, each a list of words, and how it ended.
type Outcome = (Vec<Vec<Vec<u8>>>, Result<(), ProtocolError>);

struct Reader {
    input: Input,
    decoder: Decoder,
    requests: Vec<Vec<Vec<u8>>>,
}

impl Reader {
    fn new(limits: Limits) -> Self {
        Self { input: Input::new(), decoder: Decoder::new(limits), requests: Vec::new() }
    }

    fn arrive(&mut self, bytes: &[u8]) -> Result<(), ProtocolError> {
        self.input.extend(bytes);
        while let Some(length) = self.decoder.decode(self.input.unread_mut())? {
            let bytes = self.input.unread();
            let word = |word: &std::ops::Range<u32>| bytes[word.start as usize..word.end as usize].to_vec();
            let words: Vec<_> = self.decoder.words().iter().map(word).collect();
            if !words.is_empty() {
                self.requests.push(words);
            }
            self.input.consume(length);
        }
        Ok(())
    }
}

fn decode(pieces: &[&[u8]], limits: Limits) -> Outcome {
    let mut reader = Reader::new(limits);
    let end = pieces.iter().try_for_each(|piece| reader.arrive(piece));
    (reader.requests, end)
}

fn fails_with(bytes: &[u8], error: ProtocolError) {
    assert_eq!(decode(&[bytes], LIMITS).1, Err(error), "{}", bytes[..bytes.len().min(80)].escape_ascii());
}

/// A small generator; the tests need variety, not quality.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }
}

#[expect(clippy::print_stdout, reason = "the seed is printed so that a failure can be repeated")]
fn seed() -> u64 {
    let given = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
    let clock = || {
        std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(1, |now| now.as_nanos() as u64)
    };
    let seed = given.unwrap_or_else(clock) | 1;
    println!("SEED={seed}");
    seed
}

const PIPELINE: &[u8] =
    b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$4\r\na\r\nb\r\nPING\r\n\r\n \t\r\n*0\r\n*-1\r\n*1\r\n$0\r\n\r\n\
    SET \"a b\\x41\" 'it\\'s'\n*2\r\n$3\r\nGET\r\n$12\r\n*1\r\n$4\r\nPING\r\n*1\r\n$4\r\nQUIT\r\n";

#[test]
fn a_pipeline_yields_its_requests() {
    let (requests, end) = decode(&[PIPELINE], LIMITS);
    let expected: &[&[&[u8]]] = &[
        &[b"SET", b"k", b"a\r\nb"],
        &[b"PING"],
        &[b""],
        &[b"SET", b"a bA", b"it's"],
        &[b"GET", b"*1\r\n$4\r\nPING"],
        &[b"QUIT"],
    ];
    assert_eq!(end, Ok(()));
    assert_eq!(requests, expected);
}

#[test]
fn a_request_is_seen_ahead_as_it_will_be_decoded() {
    let mut decoder = Decoder::new(LIMITS);
    let pipeline =
        b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n*3\r\n$8\r\nGETRANGE\r\n$0\r\n\r\n$2\r\n-1\r\nPING\r\n".to_vec();
    let (length, mut rest) = (decoder.decode(&mut pipeline.clone()).unwrap().unwrap(), pipeline);
    rest.drain(..length);
    let whole = decoder.peek(&rest).unwrap();
    let seen = decoder.peeked().to_vec();
    assert!((0..whole).all(|end| decoder.peek(&rest[..end]).is_none()), "a part is no request");
    assert_eq!((decoder.decode(&mut rest), decoder.words()), (Ok(Some(whole)), &seen[..]));
    assert_eq!(decoder.peek(&rest[whole..]), None, "an inline request is left to its turn");
    let many = [&b"*9\r\n"[..], &b"$1\r\nx\r\n".repeat(9)].concat();
    assert_eq!(decoder.peek(&many), None, "and so is one of many words");
}

#[test]
fn every_split_yields_the_same_requests() {
    let whole = decode(&[PIPELINE], LIMITS);
    for first in 0..=PIPELINE.len() {
        for second in first..=PIPELINE.len() {
            let pieces = [&PIPELINE[..first], &PIPELINE[first..second], &PIPELINE[second..]];
            assert_eq!(decode(&pieces, LIMITS), whole, "split at {first} and {second}");
        }
    }
    let bytes: Vec<&[u8]> = PIPELINE.chunks(1).collect();
    assert_eq!(decode(&bytes, LIMITS), whole);
}

#[test]
fn every_split_yields_the_same_error() {
    let long = [b"*1\r\n$".as_slice(), &[b'1'; LINE_BYTES_MAX]].concat();
    let bad: [&[u8]; 8] = [
        b"PING\r\n*x\r\n",
        b"*1\r\n$-1\r\n",
        b"*2\r\n$1\r\na\r\nb\r\n",
        b"*1\r\n$1\r\nabc",
        b"*1\rx$1\r\n",
        b"*1\r\n$1\rx",
        b"a 'b\r\n",
        &long,
    ];
    for bytes in bad {
        let whole = decode(&[bytes], LIMITS);
        assert!(whole.1.is_err());
        for split in (0..bytes.len()).take(40) {
            assert_eq!(
                decode(&[&bytes[..split], &bytes[split..]], LIMITS),
                whole,
                "{}",
                bytes[..split].escape_ascii()
            );
        }
    }
}

#[test]
fn lengths_that_are_no_lengths_are_refused() {
    for count in [
        "",
        "x",
        "1x",
        " 1",
        "+1",
        "01",
        "-0",
        "1048577",
        "3000000000",
        "99999999999999999999999",
        "9223372036854775808",
    ] {
        fails_with(format!("*{count}\r\n").as_bytes(), ProtocolError::InvalidMultibulkLength);
    }
    for length in
        ["", "x", "1x", "+1", "01", "-0", "-1", "-10", "67108865", "2000000000", "18446744073709551616"]
    {
        fails_with(format!("*1\r\n${length}\r\n").as_bytes(), ProtocolError::InvalidBulkLength);
    }
    fails_with(b"*1\r\nfoo\r\n", ProtocolError::ExpectedBulk(b'f'));
}

#[test]
fn negative_counts_are_skipped() {
    assert_eq!(
        decode(&[b"*-9223372036854775808\r\n*0\r\nPING\r\n"], LIMITS),
        (vec![vec![b"PING".to_vec()]], Ok(()))
    );
}

#[test]
fn lines_have_a_longest_length() {
    let line = |first: &[u8], fill: u8, len: usize| [first, &vec![fill; len]].concat();
    let fits = [&line(b"", b'a', LINE_BYTES_MAX)[..], b"\n"].concat();
    assert_eq!(decode(&[&fits], LIMITS).0.len(), 1);
    fails_with(&line(b"", b'a', LINE_BYTES_MAX + 1), ProtocolError::TooBigInline);
    fails_with(&[&line(b"", b'a', LINE_BYTES_MAX + 1)[..], b"\n"].concat(), ProtocolError::TooBigInline);
    fails_with(&line(b"*", b'1', LINE_BYTES_MAX), ProtocolError::TooBigMultibulkCount);
    fails_with(&line(b"*1\r\n$", b'1', LINE_BYTES_MAX), ProtocolError::TooBigBulkCount);
    assert_eq!(decode(&[&line(b"*", b'1', LINE_BYTES_MAX - 1)], LIMITS).1, Ok(()));
}

#[test]
fn a_request_has_a_longest_length() {
    let limits = Limits { bulk_bytes: 100, request_bytes: 120 };
    let request = |len: usize| format!("*2\r\n$3\r\nGET\r\n$50\r\n{}\r\n*1\r\n${len}\r\n", "x".repeat(50));
    assert_eq!(decode(&[request(100).as_bytes()], limits).1, Ok(()));
    assert_eq!(decode(&[request(101).as_bytes()], limits).1, Err(ProtocolError::InvalidBulkLength));
    let request = format!("*2\r\n$60\r\n{}\r\n$60\r\n", "x".repeat(60));
    assert_eq!(decode(&[request.as_bytes()], limits).1, Err(ProtocolError::TooBigRequest(120)));
}

#[test]
fn a_million_empty_words_are_a_request() {
    let bytes = [format!("*{WORDS_MAX}\r\n").as_bytes(), &b"$0\r\n\r\n".repeat(WORDS_MAX)].concat();
    let mut reader = Reader::new(LIMITS);
    for piece in bytes.chunks(1000) {
        reader.arrive(piece).expect("a legal request");
    }
    assert_eq!(reader.requests.len(), 1);
    assert_eq!(reader.requests[0].len(), WORDS_MAX);
    assert!(reader.decoder.capacity() <= WORDS_MAX * 2);
}

#[test]
fn claimed_counts_and_lengths_take_no_memory() {
    let mut reader = Reader::new(LIMITS);
    reader.arrive(b"*1048576\r\n$67108864\r\nabc").expect("a legal beginning");
    assert!(reader.decoder.capacity() < 100);
    assert!(reader.input.capacity() < 1000);
}

#[test]
fn memory_of_a_large_request_is_given_back() {
    let mut reader = Reader::new(LIMITS);
    reader
        .arrive(format!("*1\r\n$1000000\r\n{}\r\n", "x".repeat(1_000_000)).as_bytes())
        .expect("a legal request");
    reader
        .arrive(format!("*100000\r\n{}", "$0\r\n\r\n".repeat(100_000)).as_bytes())
        .expect("a legal request");
    reader.arrive(b"PING\r\n").expect("a legal request");
    assert_eq!(reader.requests.len(), 3);
    assert!(reader.input.capacity() < 100_000);
    assert!(reader.decoder.capacity() < 10_000);
}

#[test]
fn garbage_never_panics_and_does_not_depend_on_its_split() {
    let mut random = Random(seed());
    let alphabet = b"*$\r\n\r\n0123-9\"' ax\\\x00\xff";
    for _ in 0..20_000 {
        let mut bytes: Vec<u8> = if random.below(2) == 0 { PIPELINE.to_vec() } else { Vec::new() };
        for _ in 0..random.below(60) {
            let byte = alphabet[random.below(alphabet.len())];
            let place = random.below(bytes.len() + 1);
            bytes.insert(place, byte);
        }
        let split = random.below(bytes.len() + 1);
        let whole = decode(&[&bytes], LIMITS);
        let pieces = decode(&[&bytes[..split], &bytes[split..]], LIMITS);
        assert_eq!(whole, pieces, "{} split at {split}", bytes.escape_ascii());
    }
}

#[test]
fn a_stranger_may_send_little() {
    let ends = |bytes: &[u8]| {
        let mut reader = Reader::new(LIMITS);
        reader.decoder.set_stranger(true);
        (reader.arrive(bytes), reader.requests.len())
    };
    let word = |length: usize| format!("${length}\r\n{}\r\n", "x".repeat(length));
    let largest = format!("*10\r\n{}", word(16 * 1024).repeat(10));
    assert_eq!(ends(largest.as_bytes()), (Ok(()), 1));
    assert_eq!(ends(b"*11\r\n").0, Err(ProtocolError::StrangersMultibulkLength));
    assert_eq!(ends(b"*1\r\n$16385\r\n").0, Err(ProtocolError::StrangersBulkLength));
    assert_eq!(ends(b"*1048577\r\n").0, Err(ProtocolError::InvalidMultibulkLength));
    assert_eq!(decode(&[b"*11\r\n$16385\r\n"], LIMITS).1, Ok(()), "a friend may send more");
}
