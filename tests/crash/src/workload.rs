//! What a store is asked to do: operations, their written form, and how a seed makes a sequence of them.
//!
//! Promises: an operation means the same whatever comes before it, so a sequence can lose any of its parts; the
//! written form is read back as it was. `life` does operations, `shrink` takes them away.

use std::fmt;
use std::str::FromStr;

use crate::image::mix;

/// One change of a batch. Keys are numbers, see [`key`]; a value is its length and a tag, see [`value`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edit {
    /// A put.
    Put {
        /// The key.
        key: u16,
        /// The length of the value, in bytes.
        len: u32,
        /// What the bytes of the value are made from.
        tag: u32,
    },
    /// A delete.
    Delete {
        /// The key.
        key: u16,
    },
    /// A delete of every key from one up to before another.
    DeleteRange {
        /// The first key.
        from: u16,
        /// The first key behind.
        to: u16,
    },
}

/// One thing that a store is asked to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Apply a batch.
    Apply(Vec<Edit>),
    /// Ingest `count` entries from key `first` on.
    Ingest {
        /// The first key.
        first: u16,
        /// How many.
        count: u16,
        /// The length of each value, in bytes.
        len: u32,
        /// What the bytes of the values are made from.
        tag: u32,
    },
    /// Take one more view and hold it.
    View,
    /// Compare every view that is held with the map as it was then, and let them go.
    Views,
    /// Compare everything the store shows with the map.
    Read,
    /// Copy the store, cut the power on the copy's disk, and open it.
    Backup,
    /// Compact everything.
    Compact,
    /// Verify; there must be no finding.
    Verify,
    /// One step of a lane, if it has work.
    Lane(u8),
    /// Steps of all lanes until none has work.
    Settle,
    /// Let so many milliseconds pass.
    Wait(u32),
    /// Set the clock on the wall by hours.
    Jump(i8),
    /// Close in order, and open again.
    Reopen,
    /// Close in order; the life is over.
    Close,
}

/// The bytes of a key. Keys have the order of their numbers.
pub fn key(number: u16) -> Vec<u8> {
    let mut key = format!("k{number:04}").into_bytes();
    match number % 16 {
        5 => key.extend([b'x'; 300]),
        9 => key.extend([0, 0xff, 0x80, b'\n', b'"']),
        _ => {}
    }
    key
}

/// The bytes of a value.
pub fn value(len: u32, tag: u32) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(len as usize + 8);
    let mut word = mix(u64::from(tag) << 32 | u64::from(len));
    while bytes.len() < len as usize {
        word = mix(word);
        bytes.extend(word.to_le_bytes().map(|byte| b' ' + byte % 96));
    }
    bytes.truncate(len as usize);
    // Some values are text, some are not.
    if tag.is_multiple_of(4) {
        bytes.iter_mut().step_by(7).for_each(|byte| *byte |= 0x80);
    }
    bytes
}

/// How many keys batches use unless told otherwise.
pub const KEYS: u64 = 24;
/// The first key of ingests. Those of batches come before it.
const INGESTED: u16 = 100;

/// Numbers from a seed.
pub struct Dice {
    word: u64,
    keys: u64,
}

impl Dice {
    /// Dice that roll the same for the same seed.
    pub fn new(seed: u64) -> Self {
        Self { word: mix(seed), keys: KEYS }
    }

    /// The same dice for operations on more keys, up to 100: batches and range deletes are larger by as much. An engine
    /// whose pages hold two dozen keys has to split and to merge them then.
    pub fn with_keys(self, keys: u64) -> Self {
        Self { keys: keys.clamp(KEYS, u64::from(INGESTED)), ..self }
    }

    /// A number below `sides`.
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.word = mix(self.word);
        (self.word >> 11) % sides
    }

    fn len(&mut self) -> u32 {
        let len = match self.roll(24) {
            0 | 1 => 0,
            2..12 => 1 + self.roll(60),
            12..19 => 60 + self.roll(900),
            19..22 => 3_000 + self.roll(3_000),
            22 => 12_000 + self.roll(10_000),
            _ if self.roll(6) == 0 => 70_000 + self.roll(40_000),
            _ => self.roll(300),
        };
        len as u32
    }

    fn edit(&mut self) -> Edit {
        let key = self.roll(self.keys) as u16;
        match self.roll(10) {
            0 | 1 => Edit::Delete { key },
            2 => Edit::DeleteRange { from: key, to: key + self.roll(self.keys / 4) as u16 },
            _ => Edit::Put { key, len: self.len(), tag: self.roll(1 << 20) as u32 },
        }
    }

    /// One batch.
    pub fn batch(&mut self) -> Operation {
        let count = if self.roll(3) == 0 { 2 + self.roll(self.keys / KEYS * 5) } else { 1 };
        Operation::Apply((0..count).map(|_| self.edit()).collect())
    }

    fn operation(&mut self) -> Operation {
        match self.roll(40) {
            0..17 => self.batch(),
            17..26 => Operation::Lane(self.roll(4) as u8),
            26 | 27 => Operation::Settle,
            28 => Operation::Ingest {
                first: INGESTED + self.roll(60) as u16,
                count: 1 + [self.roll(8), self.roll(40)][self.roll(2) as usize] as u16,
                len: [self.roll(200), 300 + self.roll(600), 2_000 + self.roll(3_000)][self.roll(3) as usize]
                    as u32,
                tag: self.roll(1 << 20) as u32,
            },
            // Room for the next ingest.
            29 => Operation::Apply(vec![Edit::DeleteRange { from: INGESTED, to: 2 * INGESTED }]),
            30 | 31 => Operation::View,
            32 => Operation::Views,
            33 => Operation::Read,
            34 => Operation::Backup,
            35 => Operation::Compact,
            36 => Operation::Verify,
            37 => Operation::Wait(self.roll(3_000) as u32),
            38 => Operation::Jump(if self.roll(2) == 0 { 1 } else { -1 }),
            _ => Operation::Reopen,
        }
    }

    /// A sequence of operations.
    pub fn operations(&mut self, count: usize) -> Vec<Operation> {
        (0..count).map(|_| self.operation()).collect()
    }
}

impl fmt::Display for Edit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Put { key, len, tag } => write!(f, "put {key} {len} {tag}"),
            Self::Delete { key } => write!(f, "delete {key}"),
            Self::DeleteRange { from, to } => write!(f, "range {from} {to}"),
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Apply(edits) => {
                let edits: Vec<_> = edits.iter().map(ToString::to_string).collect();
                write!(f, "apply {}", edits.join("; "))
            }
            Self::Ingest { first, count, len, tag } => write!(f, "ingest {first} {count} {len} {tag}"),
            Self::View => write!(f, "view"),
            Self::Views => write!(f, "views"),
            Self::Read => write!(f, "read"),
            Self::Backup => write!(f, "backup"),
            Self::Compact => write!(f, "compact"),
            Self::Verify => write!(f, "verify"),
            Self::Lane(lane) => write!(f, "lane {lane}"),
            Self::Settle => write!(f, "settle"),
            Self::Wait(millis) => write!(f, "wait {millis}"),
            Self::Jump(hours) => write!(f, "jump {hours}"),
            Self::Reopen => write!(f, "reopen"),
            Self::Close => write!(f, "close"),
        }
    }
}

/// Splits a word and the numbers behind it.
fn words(text: &str) -> Option<(&str, Vec<i64>)> {
    let mut words = text.split_whitespace();
    let first = words.next()?;
    let numbers: Result<Vec<i64>, _> = words.map(str::parse).collect();
    Some((first, numbers.ok()?))
}

impl FromStr for Edit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match words(text).as_ref().map(|(word, numbers)| (*word, &numbers[..])) {
            Some(("put", &[key, len, tag])) => {
                Ok(Self::Put { key: key as u16, len: len as u32, tag: tag as u32 })
            }
            Some(("delete", &[key])) => Ok(Self::Delete { key: key as u16 }),
            Some(("range", &[from, to])) => Ok(Self::DeleteRange { from: from as u16, to: to as u16 }),
            _ => Err(format!("{text:?} is no edit: put KEY LENGTH TAG, delete KEY or range FROM TO")),
        }
    }
}

impl FromStr for Operation {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(edits) = text.strip_prefix("apply ") {
            return Ok(Self::Apply(edits.split(';').map(str::parse).collect::<Result<_, _>>()?));
        }
        match words(text).as_ref().map(|(word, numbers)| (*word, &numbers[..])) {
            Some(("ingest", &[first, count, len, tag])) => Ok(Self::Ingest {
                first: first as u16,
                count: count as u16,
                len: len as u32,
                tag: tag as u32,
            }),
            Some(("view", [])) => Ok(Self::View),
            Some(("views", [])) => Ok(Self::Views),
            Some(("read", [])) => Ok(Self::Read),
            Some(("backup", [])) => Ok(Self::Backup),
            Some(("compact", [])) => Ok(Self::Compact),
            Some(("verify", [])) => Ok(Self::Verify),
            Some(("lane", &[lane])) => Ok(Self::Lane(lane as u8)),
            Some(("settle", [])) => Ok(Self::Settle),
            Some(("wait", &[millis])) => Ok(Self::Wait(millis as u32)),
            Some(("jump", &[hours])) => Ok(Self::Jump(hours as i8)),
            Some(("reopen", [])) => Ok(Self::Reopen),
            Some(("close", [])) => Ok(Self::Close),
            _ => Err(format!("{text:?} is no operation")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_read_back_as_they_are_written() {
        let operations = Dice::new(5).operations(2_000);
        for operation in &operations {
            assert_eq!(operation.to_string().parse::<Operation>().as_ref(), Ok(operation));
        }
        assert!("apply put 1".parse::<Operation>().is_err() && "sleep".parse::<Operation>().is_err());
    }

    #[test]
    fn more_keys_are_all_used_and_stay_before_those_of_ingests() {
        let mut used = std::collections::BTreeSet::new();
        for operation in Dice::new(6).with_keys(1_000).operations(2_000) {
            let Operation::Apply(edits) = operation else { continue };
            used.extend(edits.into_iter().filter_map(|edit| match edit {
                Edit::Put { key, .. } => Some(key),
                Edit::Delete { .. } | Edit::DeleteRange { .. } => None,
            }));
        }
        assert!(used.into_iter().eq(0..INGESTED));
    }

    #[test]
    fn keys_have_the_order_of_their_numbers() {
        let keys: Vec<_> = (0..300).map(key).collect();
        assert!(keys.is_sorted());
    }
}
