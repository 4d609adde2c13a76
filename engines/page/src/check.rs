//! Bytes from a disk that claim to be a page, and the checksum that says they are what was written.
//!
//! Promises: `open` reads no byte that is not there, and takes time in proportion to the page. Called on every page
//! that comes from a device, and by `verify`.

use crate::PageId;
use crate::edit::Page;
use crate::layout::*;
use crate::view::PageRef;

/// What is wrong with bytes that should be a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Damage {
    /// Where in the page, in bytes.
    pub position: usize,
    /// What is wrong there.
    pub what: &'static str,
}

fn damage<T>(position: usize, what: &'static str) -> Result<T, Damage> {
    Err(Damage { position, what })
}

/// Writes the checksum into the bytes of a page: they may go to a device now. Returns it.
pub fn seal(bytes: &mut [u8]) -> u32 {
    let checksum = crc32fast::hash(&bytes[MAGIC..]);
    put_u32(bytes, CHECKSUM, checksum);
    checksum
}

/// What the first bytes of a page say of it. None of it is known to be true.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Beginning {
    /// What the page holds.
    pub kind: Kind,
    /// What other pages call it.
    pub id: PageId,
    /// Its length in bytes, one that a page may have.
    pub length: usize,
    /// The version of the tree that it was last changed in.
    pub version: u64,
}

impl Beginning {
    /// Reads the first bytes of a page; `None` if no page begins like this.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        if bytes.len() < HEADER_BYTES || bytes[MAGIC..MAGIC + 2] != MAGIC_BYTES {
            return None;
        }
        let (kind, length) = (Kind::from_byte(bytes[KIND])?, u32_at(bytes, LENGTH) as usize);
        let beginning = Self { kind, id: u32_at(bytes, ID), length, version: u64_at(bytes, VERSION) };
        (length > 0 && is_length(length, kind)).then_some(beginning)
    }
}

/// Whether a page of this kind may be so long.
fn is_length(bytes: usize, kind: Kind) -> bool {
    let longest = if kind == Kind::Value { VALUE_PAGE_BYTES_MAX } else { PAGE_BYTES_MAX };
    bytes.is_multiple_of(BLOCK_BYTES) && bytes <= longest
}

impl Page {
    /// Writes the checksum: the bytes may go to a device now. Returns it.
    pub fn seal(&mut self) -> u32 {
        seal(&mut self.bytes)
    }

    /// Takes bytes from a device, if they are a page as it was sealed.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn from_bytes(bytes: Box<[u8]>) -> Result<Self, Damage> {
        let page = PageRef::open(&bytes)?;
        match page.kind() {
            Kind::Value => Ok(Self { bytes: bytes.into() }),
            _ => Ok(page.to_page()),
        }
    }
}

impl<'a> PageRef<'a> {
    /// Takes bytes from a device, if they are a page as it was sealed.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn open(bytes: &'a [u8]) -> Result<Self, Damage> {
        if bytes.len() < HEADER_BYTES || u32_at(bytes, LENGTH) as usize != bytes.len() {
            return damage(LENGTH, "the page is not as long as it says");
        }
        if u32_at(bytes, CHECKSUM) != crc32fast::hash(&bytes[MAGIC..]) {
            return damage(CHECKSUM, "the checksum of the page does not hold");
        }
        let page = Self { bytes };
        page.check()?;
        Ok(page)
    }

    /// The checksum that the page was sealed with.
    pub fn checksum(&self) -> u32 {
        u32_at(self.bytes, CHECKSUM)
    }

    /// Looks at everything but the checksum.
    ///
    /// # Errors
    /// What is wrong.
    pub fn check(&self) -> Result<(), Damage> {
        let bytes = self.bytes;
        if bytes[MAGIC..MAGIC + 2] != MAGIC_BYTES {
            return damage(MAGIC, "this is no page");
        }
        let Some(kind) = Kind::from_byte(bytes[KIND]) else { return damage(KIND, "no such kind of page") };
        if !is_length(bytes.len(), kind) {
            return damage(LENGTH, "a page has no such length");
        }
        if (kind == Kind::Branch) != (self.level() > 0) {
            return damage(LEVEL, "a page of this kind is on no such level");
        }
        let value = u32_at(bytes, VALUE_LENGTH) as usize;
        if kind == Kind::Value {
            return match value <= bytes.len() - HEADER_BYTES
                && bytes[COUNT..VALUE_LENGTH] == self.of_a_value()
            {
                true => Ok(()),
                false => {
                    damage(VALUE_LENGTH, "the value is longer than its page, or there is something else")
                }
            };
        }
        if value > 0 {
            return damage(VALUE_LENGTH, "there is a value where none can be");
        }
        let heap = self.check_fences()?;
        let used = self.check_cells(kind, heap)?;
        let lowest = u32_at(bytes, HEAP) as usize;
        match heap - lowest == used + u32_at(bytes, GARBAGE) as usize {
            true => self.check_order(),
            false => damage(GARBAGE, "the cells do not add up"),
        }
    }

    /// The fields from `COUNT` up to the length of the value, as every value page of this length has them.
    fn of_a_value(&self) -> [u8; VALUE_LENGTH - COUNT] {
        let mut fields = [0; VALUE_LENGTH - COUNT];
        put_u32(&mut fields, HEAP - COUNT, self.bytes.len() as u32);
        fields
    }

    /// Checks fences and prefix; returns where they begin.
    fn check_fences(&self) -> Result<usize, Damage> {
        let bytes = self.bytes;
        let (lower, upper) = (u16_at(bytes, LOWER), u16_at(bytes, UPPER));
        let Some(fences) = bytes.len().checked_sub(lower + upper).filter(|at| *at >= HEADER_BYTES) else {
            return damage(LOWER, "the fences are longer than the page");
        };
        let is_bounded = bytes[BOUNDED] == 1;
        if bytes[BOUNDED] > 1 || !is_bounded && upper > 0 {
            return damage(BOUNDED, "a fence is there and not there");
        }
        let prefix = self.upper().map_or(0, |upper| common_prefix(self.lower(), upper));
        if prefix != u16_at(bytes, PREFIX) {
            return damage(PREFIX, "the prefix is not that of the fences");
        }
        if self.upper().is_some_and(|upper| upper <= self.lower()) {
            return damage(UPPER, "no key fits between the fences");
        }
        Ok(fences)
    }

    /// Checks that every cell lies between slots and fences, apart from the others; returns the bytes of all.
    fn check_cells(&self, kind: Kind, fences: usize) -> Result<usize, Damage> {
        let (bytes, count) = (self.bytes, self.count());
        let lowest = u32_at(bytes, HEAP) as usize;
        if lowest > fences || lowest < HEADER_BYTES + ENTRY_BYTES * count {
            return damage(HEAP, "the cells reach into the slots");
        }
        if kind == Kind::Branch && count == 0 {
            return damage(COUNT, "a branch has no child");
        }
        let (mut used, mut cells) = (0, Vec::with_capacity(count));
        for index in 0..count {
            let at = HEADER_BYTES + 4 * (count + index);
            let slot = u32_at(bytes, at) as usize;
            let fixed = fences.checked_sub(CELL_BYTES).is_some_and(|last| slot >= lowest && slot <= last);
            if !fixed {
                return damage(at, "a slot points to no cell");
            }
            let word = u32_at(bytes, slot + 2);
            let payload = match kind {
                Kind::Branch => 0,
                _ if word & AWAY != 0 => 4,
                _ => word as usize,
            };
            let cell = CELL_BYTES + u16_at(bytes, slot) + payload;
            if cell > fences - slot {
                return damage(slot, "a cell reaches into the fences");
            }
            used += cell;
            cells.push((slot, slot + cell));
            if self.suffix(index).len() + self.prefix().len() > usize::from(u16::MAX) {
                return damage(slot, "a key is too long");
            }
        }
        // One that is replaced in place would change the other.
        cells.sort_unstable();
        match cells.windows(2).find(|two| two[0].1 > two[1].0) {
            Some(two) => damage(two[1].0, "two cells share bytes"),
            None => Ok(used),
        }
    }

    /// Checks that keys ascend between the fences, and that heads are theirs.
    fn check_order(&self) -> Result<(), Damage> {
        let prefix = self.prefix().len();
        let (lower, upper) = (&self.lower()[prefix..], self.upper().map(|upper| &upper[prefix..]));
        for index in 0..self.count() {
            let (slot, suffix) = (self.slot(index), self.suffix(index));
            if u32_at(self.bytes, HEADER_BYTES + 4 * index) != head_of(suffix) {
                return damage(HEADER_BYTES + 4 * index, "a head is not that of its key");
            }
            let ascends = match index {
                0 if self.level() > 0 => suffix == lower,
                0 => suffix >= lower,
                _ => suffix > self.suffix(index - 1),
            };
            if !ascends || upper.is_some_and(|upper| suffix >= upper) {
                return damage(slot, "the keys do not ascend between the fences");
            }
        }
        Ok(())
    }

    /// Whether a page that came from a device is the one that was asked for.
    pub fn is(&self, id: PageId, checksum: u32) -> bool {
        (self.id() == id || self.id() == crate::UNNAMED) && self.checksum() == checksum
    }
}
