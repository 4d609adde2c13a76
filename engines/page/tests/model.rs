//! A row of pages beside a map: random changes, splits, merges and redistributions; every page is looked at after each.

#![allow(clippy::print_stdout, reason = "a random test prints its seed")]

use std::collections::BTreeMap;

use page::{BLOCK_BYTES, Head, Page, PageRef, Payload};

/// Random numbers that a seed repeats.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 8) % sides
    }

    fn bytes(&mut self, len: u64, letters: u64) -> Vec<u8> {
        (0..len).map(|_| self.roll(letters) as u8).collect()
    }

    /// Short keys of few letters, so that prefixes, ties and zeros abound; some with a long common beginning.
    fn key(&mut self) -> Vec<u8> {
        match self.roll(20) {
            0..9 => {
                let len = 1 + self.roll(6);
                self.bytes(len, 3)
            }
            9..18 => [b"user:session:".to_vec(), self.roll(300).to_string().into_bytes()].concat(),
            18 => {
                let (len, letters) = (1 + self.roll(12), 256);
                self.bytes(len, letters)
            }
            _ => [vec![2; 1000], self.roll(9).to_string().into_bytes()].concat(),
        }
    }
}

/// Neighbouring leaves, and what they should hold.
struct Row {
    pages: Vec<Page>,
    model: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Row {
    fn at(&self, key: &[u8]) -> usize {
        self.pages.partition_point(|page| page.view().upper().is_some_and(|upper| upper <= key))
    }

    fn put(&mut self, key: &[u8], value: &[u8]) {
        self.model.insert(key.to_vec(), value.to_vec());
        loop {
            let at = self.at(key);
            let page = &mut self.pages[at];
            let fits = match page.view().find(key) {
                Ok(index) => page.replace(index, Payload::Here(value)),
                Err(index) => page.insert(index, key, Payload::Here(value)),
            };
            if fits {
                return;
            }
            let index = page.view().rank(key);
            match page.view().split(index, key, page.view().id() + 1, BLOCK_BYTES) {
                Some(split) => drop(self.pages.splice(at..=at, [split.left, split.right])),
                None => *page = page.view().resized(page.view().bytes().len() + BLOCK_BYTES),
            }
        }
    }

    fn delete(&mut self, key: &[u8]) {
        let at = self.at(key);
        let found = self.pages[at].view().find(key);
        assert_eq!(found.is_ok(), self.model.remove(key).is_some());
        if let Ok(index) = found {
            self.pages[at].remove(index);
        }
    }

    fn balance(&mut self, at: usize) {
        let Some([left, right]) = self.pages.get(at..at + 2) else { return };
        let (left, right) = (left.view(), right.view());
        if left.merged_bytes(right) <= BLOCK_BYTES {
            let merged = left.merged(right, BLOCK_BYTES);
            assert_eq!(merged.view().used_bytes(), left.merged_bytes(right));
            self.pages.splice(at..at + 2, [merged]);
        } else if let Some(split) = left.redistributed(right, BLOCK_BYTES) {
            self.pages.splice(at..at + 2, [split.left, split.right]);
        }
    }

    fn check(&self) {
        let (mut key, mut lower) = (Vec::new(), Some(Vec::new()));
        let mut expected = self.model.iter();
        for page in self.pages.iter().map(Page::view) {
            page.check().unwrap();
            assert_eq!(Some(page.lower()), lower.as_deref());
            lower = page.upper().map(<[u8]>::to_vec);
            for index in 0..page.count() {
                page.key_into(index, &mut key);
                let (known, value) = expected.next().unwrap();
                assert_eq!((&key, page.payload(index)), (known, Payload::Here(value)));
                assert_eq!((page.find(&key), page.find_inside(&key)), (Ok(index), Ok(index)));
                // The key behind it is not there, or is the next one.
                key.push(0);
                assert!(!page.is_between_fences(&key) || page.find(&key) == page.find_inside(&key));
            }
        }
        assert!(lower.is_none() && expected.next().is_none());
    }
}

fn live(seed: u64, rounds: usize) {
    println!("seed {seed}");
    let mut dice = Dice(seed);
    let mut row = Row { pages: vec![Page::empty(1, BLOCK_BYTES)], model: BTreeMap::new() };
    for round in 0..rounds {
        let key = dice.key();
        // Whole stretches of growth and of decay.
        let puts = if round / 150 % 2 == 0 { 7 } else { 2 };
        match dice.roll(10) {
            roll if roll < puts => {
                let len = [0, 5, 40, 150, 900][dice.roll(5) as usize];
                row.put(&key, &dice.bytes(len, 256));
            }
            9 => {
                let at = dice.roll(row.pages.len() as u64) as usize;
                row.balance(at);
            }
            _ => row.delete(&key),
        }
        let at = row.at(&key);
        row.pages[at].view().check().unwrap();
        if round % 50 == 0 {
            row.check();
        }
    }
    row.check();
}

#[test]
fn pages_hold_what_a_map_holds() {
    let (seeds, rounds) = if cfg!(miri) { (1, 40) } else { (60, 2_000) };
    (0..seeds).for_each(|seed| live(seed, rounds));
}

#[test]
fn a_branch_sends_every_key_to_the_child_whose_fences_hold_it() {
    let fences: Vec<Vec<u8>> =
        [&b""[..], b"a", b"ab", b"ab\0", b"abc", b"b", b"b\0\0\0\0", b"b\0\0\0\0\0", b"c"]
            .map(<[u8]>::to_vec)
            .into();
    let cells = fences.iter().zip(10..).map(|(fence, id)| page::Cell::new(fence, Payload::Child(id)));
    let branch = Page::build(Head { id: 1, level: 1, lower: b"", upper: None }, cells, BLOCK_BYTES);
    branch.view().check().unwrap();
    let mut dice = Dice(3);
    for _ in 0..if cfg!(miri) { 100 } else { 3_000 } {
        let len = dice.roll(8);
        let key: Vec<u8> = dice.bytes(len, 4).iter().map(|it| b"\0abc"[usize::from(*it)]).collect();
        let expected = fences.iter().rposition(|fence| *fence <= key).unwrap();
        assert_eq!(branch.view().child_for(&key), 10 + expected as u32, "{key:?}");
    }
}

#[test]
fn the_largest_keys_fit_and_split() {
    let common = if cfg!(miri) { 1_500 } else { 65_534 };
    let key = |last: u8| [vec![7; common], vec![last]].concat();
    let mut row = Row { pages: vec![Page::empty(1, BLOCK_BYTES)], model: BTreeMap::new() };
    for last in [9, 1, 5, 3, 7, 8, 2] {
        row.put(&key(last), &[last; 1000]);
        row.check();
    }
    assert!(row.pages.len() > 2);
    // Between two large fences the prefix is stored once.
    let inner = row.pages.iter().find(|page| page.view().prefix().len() == common).unwrap();
    assert!(inner.view().bytes().len() < 2 * common + 3 * BLOCK_BYTES);
    (0..row.pages.len()).for_each(|_| row.balance(0));
    row.check();
}

#[test]
fn keys_that_ascend_leave_full_pages_behind() {
    let mut row = Row { pages: vec![Page::empty(1, BLOCK_BYTES)], model: BTreeMap::new() };
    let keys = if cfg!(miri) { 80 } else { 2_000_u32 };
    (0..keys).for_each(|key| row.put(&key.to_be_bytes(), &[1; 100]));
    row.check();
    let full =
        row.pages[..row.pages.len() - 1].iter().all(|page| page.view().used_bytes() > BLOCK_BYTES * 9 / 10);
    assert!(full, "{:?}", row.pages.iter().map(|page| page.view().used_bytes()).collect::<Vec<_>>());
}

/// A leaf with all that a leaf may have.
fn sample() -> Page {
    let head = Head { id: 9, level: 0, lower: b"key:10", upper: Some(b"key:20") };
    let long = [b"key:15".to_vec(), vec![b'x'; 300]].concat();
    let mut page = Page::build(head, std::iter::empty(), BLOCK_BYTES);
    assert!(page.insert(0, b"key:11", Payload::Here(b"value")));
    assert!(page.insert(1, &long, Payload::Away { id: 77, bytes: 100_000 }));
    assert!(page.insert(1, b"key:12", Payload::Here(b"")));
    assert!(page.insert(3, b"key:19", Payload::Here(b"to be removed")));
    page.remove(3);
    page.set_version(5);
    page
}

#[test]
fn a_page_that_was_built_is_zeros_between_slots_and_cells() {
    let page = sample().view().resized(BLOCK_BYTES);
    let (view, gap) = (page.view(), page.view().gap());
    assert!(gap.len() == BLOCK_BYTES - view.used_bytes() && gap.len() > 1_000);
    assert!(view.bytes()[gap].iter().all(|byte| *byte == 0));
}

#[test]
fn what_was_sealed_is_opened_and_every_flipped_bit_is_refused() {
    for mut page in [sample(), Page::of_value(3, b"key", &[5; 5000])] {
        let checksum = page.seal();
        let bytes = page.view().bytes().to_vec();
        assert!(PageRef::open(&bytes).unwrap().is(page.view().id(), checksum));
        for bit in (0..bytes.len() * 8).step_by(if cfg!(miri) { 8009 } else { 1 }) {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(PageRef::open(&flipped).is_err(), "bit {bit}");
        }
        for cut in [0, 1, 63, 64, 4095] {
            assert!(PageRef::open(&bytes[..cut]).is_err());
        }
    }
}

/// A leaf of two cells, the second of which lies in the value of the first. Where it was is garbage.
fn two_cells_in_one() -> Vec<u8> {
    let mut page = Page::empty(1, BLOCK_BYTES);
    let inner = [&b"\x01\x00"[..], &3_u32.to_le_bytes(), b"bxyz"].concat();
    assert!(page.insert(0, b"a", Payload::Here(&inner)));
    assert!(page.insert(1, b"b", Payload::Here(b"12345")));
    let mut bytes = page.view().bytes().to_vec();
    let number = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    // Behind head and key of the first cell; the two heads and its slot come before the second slot.
    let inside = number(64 + 8) + 6 + 1;
    bytes[64 + 12..][..4].copy_from_slice(&inside.to_le_bytes());
    bytes[40..44].copy_from_slice(&2_u32.to_le_bytes());
    page::seal(&mut bytes);
    bytes
}

#[test]
fn cells_that_share_bytes_are_refused() {
    let damage = PageRef::open(&two_cells_in_one()).unwrap_err();
    assert_eq!(damage.what, "two cells share bytes");
}

/// Whatever the bytes are: if they are accepted, nothing panics.
fn read_everything(bytes: &[u8], dice: &mut Dice) {
    let Ok(page) = PageRef::open(bytes) else { return };
    let mut key = Vec::new();
    for index in 0..page.count() {
        page.key_into(index, &mut key);
        assert!(!matches!(page.payload(index), Payload::Here(value) if value.len() > bytes.len()));
        assert_eq!(page.find(&key), Ok(index));
    }
    let _ = (bytes[page.gap()].len(), page.value().len(), page.rank(&dice.key()), format!("{page:?}"));
    if page.kind() != page::Kind::Value {
        let page = Page::from_bytes(bytes.into()).unwrap();
        page.view().resized(BLOCK_BYTES).view().check().unwrap();
    }
}

#[test]
fn bytes_with_a_right_checksum_and_wrong_contents_never_panic() {
    println!("seed 1");
    let mut dice = Dice(1);
    let mut accepted = 0;
    for round in 0..if cfg!(miri) { 10 } else { 200_000 } {
        let mut bytes = sample().view().bytes().to_vec();
        for _ in 0..1 + dice.roll(3) {
            // Mostly where the numbers are.
            let at = if dice.roll(4) > 0 { 4 + dice.roll(100) } else { dice.roll(4096) } as usize;
            bytes[at] = if dice.roll(2) == 0 { dice.roll(256) as u8 } else { bytes[at].wrapping_add(1) };
        }
        let checksum = crc32fast::hash(&bytes[4..]).to_le_bytes();
        bytes[..4].copy_from_slice(&checksum);
        accepted += usize::from(PageRef::open(&bytes).is_ok());
        read_everything(&bytes, &mut dice);
        assert!(round < 1000 || accepted > 0, "the test reaches behind the checks");
    }
}
