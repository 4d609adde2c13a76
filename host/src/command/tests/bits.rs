//! Values as rows of bits, against plain models of them.

use super::*;

/// A value as its bits, without an end.
#[derive(Clone, Default)]
struct Model {
    bits: Vec<bool>,
}

impl Model {
    fn of(value: &[u8]) -> Self {
        Self {
            bits: value.iter().flat_map(|byte| (0..8).map(move |bit| byte >> (7 - bit) & 1 == 1)).collect(),
        }
    }

    fn bytes(&self) -> Vec<u8> {
        self.bits.chunks(8).map(|byte| byte.iter().fold(0, |byte, bit| byte << 1 | u8::from(*bit))).collect()
    }

    fn get(&self, place: usize) -> bool {
        self.bits.get(place).copied().unwrap_or(false)
    }

    fn grow(&mut self, last: usize) {
        let bits = (last / 8 + 1) * 8;
        self.bits.resize(self.bits.len().max(bits), false);
    }

    fn integer(&self, place: usize, bits: u32, signed: bool) -> i128 {
        let number =
            (0..bits as usize).fold(0, |number, bit| number << 1 | i128::from(self.get(place + bit)));
        if signed && self.get(place) { number - (1 << bits) } else { number }
    }

    fn set_integer(&mut self, place: usize, bits: u32, number: i128) {
        for bit in 0..bits {
            self.bits[place + bit as usize] = number >> (bits - 1 - bit) & 1 == 1;
        }
    }

    /// The places that two indexes mean in `length` ones, as Redis works them out.
    fn range(start: i64, end: i64, length: i64) -> Range<usize> {
        let from_start = |place: i64| if place < 0 { (length + place).max(0) } else { place };
        let (first, last) = (from_start(start), from_start(end).min(length - 1));
        if first > last { 0..0 } else { first as usize..last as usize + 1 }
    }

    fn bit_range(&self, start: i64, end: i64, in_bits: bool) -> Range<usize> {
        let unit = if in_bits { 1 } else { 8 };
        let range = Self::range(start, end, (self.bits.len() / unit) as i64);
        range.start * unit..range.end * unit
    }
}

fn set(bench: &mut Bench, key: &[u8], value: &[u8]) {
    assert_eq!(bench.run_words([b"SET", key, value]), "+OK");
}

fn stored(bench: &mut Bench, key: &str) -> String {
    bench.run(&format!("GET {key}"))
}

fn shown(value: &[u8]) -> String {
    format!("\"{}\"", value.escape_ascii())
}

#[test]
fn single_bits_are_those_of_the_model() {
    let mut random = Random::new("single bits");
    let mut bench = Bench::new();
    let mut model = Model::default();
    for _ in 0..500 {
        let (place, bit) = (random.below(200) as usize, random.below(2) == 1);
        assert_eq!(bench.run(&format!("GETBIT k {place}")), format!(":{}", u8::from(model.get(place))));
        let before = model.get(place);
        model.grow(place);
        model.bits[place] = bit;
        let answer = bench.run(&format!("SETBIT k {place} {}", u8::from(bit)));
        assert_eq!(answer, format!(":{}", u8::from(before)));
        assert_eq!(stored(&mut bench, "k"), shown(&model.bytes()));
    }
}

#[test]
fn bits_are_counted_and_found_as_in_the_model() {
    let mut random = Random::new("counted bits");
    let mut bench = Bench::new();
    for _ in 0..2000 {
        let length = random.below(20);
        // Runs of equal bytes, as long values have them.
        let value: Vec<u8> =
            (0..length).flat_map(|_| [[0, 255, 7, 128][random.below(4) as usize]; 3]).collect();
        set(&mut bench, b"k", &value);
        let model = Model::of(&value);
        let in_bits = random.below(2) == 1;
        let index = |random: &mut Random| random.below(600) as i64 - 300;
        let (start, end) = (index(&mut random), index(&mut random));
        let unit = if in_bits { "BIT" } else { "BYTE" };
        let range = model.bit_range(start, end, in_bits);
        let backwards = start < 0 && end < 0 && start > end;
        let counted = if backwards { 0..0 } else { range.clone() };
        let count = counted.filter(|place| model.get(*place)).count();
        assert_eq!(bench.run(&format!("BITCOUNT k {start} {end} {unit}")), format!(":{count}"));
        for bit in [false, true] {
            let found = range.clone().find(|place| model.get(*place) == bit).map_or(-1, |place| place as i64);
            let request = format!("BITPOS k {} {start} {end} {unit}", u8::from(bit));
            assert_eq!(bench.run(&request), format!(":{found}"), "{request} {value:?}");
        }
        let open = model.bit_range(start, -1, false);
        let clear = open.clone().find(|place| !model.get(*place));
        let clear = clear.or((!open.is_empty()).then_some(open.end)).map_or(-1, |place| place as i64);
        assert_eq!(bench.run(&format!("BITPOS k 0 {start}")), format!(":{clear}"), "{value:?}");
    }
}

#[test]
fn values_are_combined_bit_by_bit() {
    let mut random = Random::new("combined bits");
    let mut bench = Bench::new();
    for _ in 0..300 {
        let mut values = Vec::new();
        for key in [b"a", b"b", b"c"] {
            let length = random.below(12);
            let value = random.bytes(length);
            set(&mut bench, key, &value);
            values.push(value);
        }
        let longest = values.iter().map(Vec::len).max().unwrap();
        for (name, combine) in
            [("AND", (|a, b| a & b) as fn(u8, u8) -> u8), ("or", |a, b| a | b), ("Xor", |a, b| a ^ b)]
        {
            let byte = |place: usize| {
                let bytes = values.iter().map(|value| value.get(place).copied().unwrap_or(0));
                bytes.reduce(combine).unwrap()
            };
            let expected: Vec<u8> = (0..longest).map(byte).collect();
            assert_eq!(bench.run(&format!("BITOP {name} to a b c")), format!(":{longest}"));
            let there = if longest == 0 { "nil".to_string() } else { shown(&expected) };
            assert_eq!(stored(&mut bench, "to"), there);
        }
        let inverted: Vec<u8> = values[0].iter().map(|byte| !byte).collect();
        assert_eq!(bench.run("BITOP NOT a a"), format!(":{}", inverted.len()));
        assert_eq!(
            stored(&mut bench, "a"),
            if inverted.is_empty() { "nil".to_string() } else { shown(&inverted) }
        );
    }
}

#[test]
fn integers_of_any_width_are_those_of_the_model() {
    let mut random = Random::new("integers");
    let mut bench = Bench::new();
    let mut model = Model::default();
    for _ in 0..5000 {
        let signed = random.below(2) == 1;
        let bits = 1 + random.below(if signed { 64 } else { 63 }) as u32;
        let place = random.below(100) as usize;
        let overflow = ["WRAP", "SAT", "FAIL"][random.below(3) as usize];
        // Small ones, and those of every size.
        let operand = (random.below(u64::MAX) as i64) >> random.below(64);
        let (lowest, highest) = match signed {
            true => (-(1_i128 << (bits - 1)), (1_i128 << (bits - 1)) - 1),
            false => (0, (1_i128 << bits) - 1),
        };
        let add = random.below(2) == 1;
        let before = model.integer(place, bits, signed);
        // An unsigned integer is set to what the operand is without its sign.
        let base = if signed { i128::from(operand) } else { i128::from(operand as u64) };
        let exact = if add { before + i128::from(operand) } else { base };
        // Redis saturates what is set far below the lowest limit at the highest, and adds that up too.
        let quirk = !add && signed && bits < 64 && i128::from(operand) < highest - i128::from(i64::MAX);
        let after = match exact {
            exact if (lowest..=highest).contains(&exact) => Some(exact),
            _ if overflow == "FAIL" => None,
            exact if overflow == "SAT" => Some(if exact > highest || quirk { highest } else { lowest }),
            exact => {
                let wrapped = exact.rem_euclid(1 << bits);
                Some(if wrapped > highest { wrapped - (1 << bits) } else { wrapped })
            }
        };
        model.grow(place + bits as usize - 1);
        if let Some(after) = after {
            model.set_integer(place, bits, after);
        }
        let kind = if signed { "i" } else { "u" };
        let name = if add { "INCRBY" } else { "SET" };
        let request = format!("BITFIELD k OVERFLOW {overflow} {name} {kind}{bits} {place} {operand}");
        let told = after.map_or("nil".to_string(), |after| format!(":{}", if add { after } else { before }));
        assert_eq!(bench.run(&request), format!("[1 {told}"), "{request}");
        assert_eq!(stored(&mut bench, "k"), shown(&model.bytes()), "{request}");
        let read = model.integer(place, bits, signed);
        assert_eq!(bench.run(&format!("BITFIELD_RO k GET {kind}{bits} {place}")), format!("[1 :{read}"));
    }
}

#[test]
fn bitfield_checks_everything_before_it_writes_anything() {
    let mut bench = Bench::new();
    let bad_type =
        "-ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.";
    let bad_offset = "-ERR bit offset is not an integer or out of range";
    bench.check(&[
        ("BITFIELD k", "[0"),
        ("BITFIELD k SET u8 0 1 GET u64 0", bad_type),
        ("BITFIELD k SET u8 0 1 SET i65 0 1", bad_type),
        ("BITFIELD k SET u8 0 1 SET U8 0 1", bad_type),
        ("BITFIELD k SET u8 -1 1", bad_offset),
        ("BITFIELD k SET u8 4294967296 1", bad_offset),
        ("BITFIELD k SET u8 800000 1", bad_offset),
        ("BITFIELD k SET u8 0", "-ERR syntax error"),
        ("BITFIELD k OVERFLOW foo", "-ERR Invalid OVERFLOW type specified"),
        ("BITFIELD k SET u8 0 x", "-ERR value is not an integer or out of range"),
        ("BITFIELD_RO k SET u8 0 1", "-ERR BITFIELD_RO only supports the GET subcommand"),
        ("EXISTS k", ":0"),
        ("BITFIELD k GET u8 #7 GET i64 100", "[2 :0 :0"),
        ("EXISTS k", ":0"),
        ("BITFIELD k OVERFLOW FAIL SET u2 20 7", "[1 nil"),
        ("STRLEN k", ":3"),
        ("BITFIELD k SET u8 #1 255 GET u4 10 INCRBY i8 #1 1", "[3 :0 :15 :0"),
        ("BITFIELD k OVERFLOW SAT SET i8 0 -9223372036854775808 GET i8 0", "[2 :0 :127"),
        ("BITFIELD k SET u8 799992 1", "[1 :0"),
        ("STRLEN k", ":100000"),
    ]);
}

#[test]
fn places_of_bits_are_checked_as_in_redis() {
    let mut bench = Bench::new();
    let bad_offset = "-ERR bit offset is not an integer or out of range";
    let bad_bit = "-ERR bit is not an integer or out of range";
    bench.check(&[
        ("SETBIT k -1 2", bad_offset),
        ("SETBIT k 4294967296 1", bad_offset),
        ("SETBIT k #1 1", bad_offset),
        ("SETBIT k 1 2", bad_bit),
        ("SETBIT k 1 x", bad_bit),
        ("SETBIT k 800000 1", bad_offset),
        ("GETBIT k 4294967296", bad_offset),
        ("GETBIT k 4294967295", ":0"),
        ("EXISTS k", ":0"),
        ("SETBIT k 799999 0", ":0"),
        ("STRLEN k", ":100000"),
    ]);
}

#[test]
fn ranges_of_bits_are_checked_as_in_redis() {
    let mut bench = Bench::new();
    let not_an_integer = "-ERR value is not an integer or out of range";
    bench.check(&[
        ("BITCOUNT none x", ":0"),
        ("BITPOS none 0 x", ":0"),
        ("BITPOS none 1 x", ":-1"),
        ("BITPOS none 2", "-ERR The bit argument must be 1 or 0."),
        ("SET k foobar", "+OK"),
        ("BITCOUNT k", ":26"),
        ("BITCOUNT k x", "-ERR syntax error"),
        ("BITCOUNT k x 1", not_an_integer),
        ("BITCOUNT k -1 -3 foo", ":0"),
        ("BITCOUNT k 5 2 foo", "-ERR syntax error"),
        ("BITCOUNT k 1 1 bit x", "-ERR syntax error"),
        ("BITPOS k 1 1 y foo", "-ERR syntax error"),
        ("BITPOS k 1 x y foo", not_an_integer),
        ("BITPOS k 1 -8 -9", ":1"),
        ("BITOP foo a b", "-ERR syntax error"),
        ("BITOP NOT a b c", "-ERR BITOP NOT must be called with a single source key."),
    ]);
}

#[test]
fn a_long_value_is_counted_on_a_reader_thread() {
    let facts = ServerFacts { value_bytes_max: 2 << 20, ..ServerFacts::default() };
    let mut bench = Bench::with(TestEngine::new(), facts);
    set(&mut bench, b"k", &vec![0xff; 1 << 20]);
    for (request, answer) in [("BITCOUNT k", ":8388608"), ("BITPOS k 0", ":8388608")] {
        let words = Words::of(request.split(' '));
        let mut replies = Recorder::default();
        let row = lookup::find(words.arguments().word(0)).unwrap();
        let caller = bench.session.caller();
        let outcome =
            run_read(row, words.arguments(), caller, &bench.context, &Ahead::default(), &mut replies);
        assert_eq!((outcome, replies.position()), (ReadOutcome::WouldBlock, 0), "{request}");
        assert_eq!(bench.run(request), answer);
    }
    let hits = bench.context.observe.counters.keyspace_hits.get();
    assert_eq!(hits, 2, "a read that was handed over counts once");
}
