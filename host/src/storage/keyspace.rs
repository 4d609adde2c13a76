//! The stored form: how what clients store lies in the engine's one ordered map.
//!
//! Promises: the user's keys of one database lie together, in their own order; what the host itself stores
//! lies in spaces of its own, so no client can reach it. Called by commands (keys, values, ranges), by the
//! sequencer (its mark in the meta space) and by `Storage::count`. Which slot a database has says
//! `storage::databases`.
//!
//! ```text
//! engine key   [space][slot][user key]              space: 0 meta · 1 data · 2 expiry · 3 index
//! value        [flags][deadline][bytes]             data space only
//!                │       └─ u64 little-endian, milliseconds since 1970, there if flag 1 is set
//!                └─ 1: has a deadline; every other bit is 0
//! ```

use adapter_api::{EngineError, KeyRange};

/// How many databases there are.
pub const DATABASES: u8 = 16;
/// The longest key that a client may use, in bytes.
pub const USER_KEY_BYTES_MAX: usize = 60 * 1024;
/// How many bytes an engine key has before the user's key.
pub const PREFIX_BYTES: usize = 2;
/// How many bytes a stored value has at most before the user's bytes.
pub const VALUE_HEADER_BYTES_MAX: usize = 9;

const META: u8 = 0;
const DATA: u8 = 1;
const HAS_DEADLINE: u8 = 1;

/// Where the keys of one database lie. Not the number of the database, which SWAPDB gives to another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot(u8);

impl Slot {
    pub(super) const fn new(number: u8) -> Self {
        debug_assert!(number < DATABASES);
        Self(number)
    }

    pub(super) const fn number(self) -> u8 {
        self.0
    }
}

/// The engine's key of a user's key.
pub fn data_key(slot: Slot, user_key: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(PREFIX_BYTES + user_key.len());
    write_data_key(slot, user_key, &mut key);
    key
}

/// Replaces what is in `key` by the engine's key of a user's key.
pub fn write_data_key(slot: Slot, user_key: &[u8], key: &mut Vec<u8>) {
    key.clear();
    append_data_key(slot, user_key, key);
}

/// Appends the engine's key of a user's key.
pub fn append_data_key(slot: Slot, user_key: &[u8], keys: &mut Vec<u8>) {
    keys.extend_from_slice(&[DATA, slot.0]);
    keys.extend_from_slice(user_key);
}

/// The key of something that the host stores for itself.
pub fn meta_key(name: &str) -> Vec<u8> {
    [&[META, 0], name.as_bytes()].concat()
}

/// The user's key in an engine key of the data space.
pub fn user_key(engine_key: &[u8]) -> &[u8] {
    engine_key.get(PREFIX_BYTES..).unwrap_or_default()
}

/// The bounds of a run of engine keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bounds {
    /// The first key of the run.
    pub start: Vec<u8>,
    /// The first key behind it.
    pub end: Vec<u8>,
}

impl Bounds {
    /// The run as a range.
    pub fn as_range(&self) -> KeyRange<'_> {
        KeyRange::new(&self.start, &self.end)
    }
}

/// Every key of the database in this slot.
pub fn database(slot: Slot) -> Bounds {
    Bounds { start: vec![DATA, slot.0], end: vec![DATA, slot.0 + 1] }
}

/// Every key of every database.
pub fn all_databases() -> Bounds {
    Bounds { start: vec![DATA], end: vec![DATA + 1] }
}

/// The user's keys from `start` on and before `end`; without an `end`, to the last of the database.
pub fn user_range(slot: Slot, start: &[u8], end: Option<&[u8]>) -> Bounds {
    Bounds {
        start: data_key(slot, start),
        end: end.map_or_else(|| database(slot).end, |end| data_key(slot, end)),
    }
}

/// The first key behind all keys that begin with `prefix`; `None` if there is none behind them.
pub fn prefix_successor(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte != u8::MAX)?;
    let mut successor = prefix[..=last].to_vec();
    successor[last] += 1;
    Some(successor)
}

/// A value of the data space, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored<'a> {
    /// When it ends to exist, in milliseconds since 1970.
    pub deadline: Option<u64>,
    /// What the client stored.
    pub bytes: &'a [u8],
}

/// Takes a value of the data space apart.
///
/// # Errors
/// `Corrupt` if it is not in the form drawn above.
pub fn decode(value: &[u8]) -> Result<Stored<'_>, EngineError> {
    match value.split_first() {
        Some((0, bytes)) => Ok(Stored { deadline: None, bytes }),
        Some((&HAS_DEADLINE, rest)) => match rest.split_first_chunk::<8>() {
            Some((deadline, bytes)) => Ok(Stored { deadline: Some(u64::from_le_bytes(*deadline)), bytes }),
            None => Err(malformed("it ends inside its deadline")),
        },
        Some((flags, _)) => {
            Err(malformed(&format!("its flags are {flags:#04x}, this version knows 0x00 and 0x01")))
        }
        None => Err(malformed("it has no flags")),
    }
}

fn malformed(what: &str) -> EngineError {
    EngineError::corrupt("(a stored value)", 0, what)
}

/// The head of a stored value, in `room`; the client's bytes follow it.
pub fn encode_head(deadline: Option<u64>, room: &mut [u8; VALUE_HEADER_BYTES_MAX]) -> &[u8] {
    let [flags, rest @ ..] = room;
    match deadline {
        None => {
            *flags = 0;
            &room[..1]
        }
        Some(deadline) => {
            *flags = HAS_DEADLINE;
            *rest = deadline.to_le_bytes();
            room
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(deadline: Option<u64>, bytes: &[u8]) -> Vec<u8> {
        [encode_head(deadline, &mut [0; VALUE_HEADER_BYTES_MAX]), bytes].concat()
    }

    #[test]
    fn a_value_comes_back_with_and_without_a_deadline() {
        assert_eq!(&stored(None, b"v")[..], b"\0v");
        assert_eq!(decode(&stored(None, b"")).unwrap(), Stored { deadline: None, bytes: b"" });
        assert_eq!(decode(&stored(Some(258), b"v")).unwrap(), Stored { deadline: Some(258), bytes: b"v" });
    }

    #[test]
    fn a_value_in_another_form_is_refused() {
        for value in [&b""[..], b"\x01\0\0", b"\x02v", b"\xffv"] {
            assert!(matches!(decode(value), Err(EngineError::Corrupt { .. })), "{value:?}");
        }
    }

    #[test]
    fn databases_share_no_key_and_keep_the_order_of_user_keys() {
        for user_key in [&b""[..], b"a", b"\xff\xff\xff"] {
            for number in 0..DATABASES {
                let key = data_key(Slot(number), user_key);
                let holders = (0..DATABASES).filter(|other| database(Slot(*other)).as_range().contains(&key));
                assert_eq!(holders.collect::<Vec<_>>(), [number]);
                assert!(all_databases().as_range().contains(&key));
                assert_eq!(super::user_key(&key), user_key);
            }
        }
        assert!(
            data_key(Slot(3), b"a") < data_key(Slot(3), b"a\0")
                && data_key(Slot(3), b"") < data_key(Slot(3), b"\0")
        );
        assert!(!all_databases().as_range().contains(&meta_key("clock")));
    }

    #[test]
    fn the_successor_of_a_prefix_is_the_first_key_behind_it() {
        assert_eq!(prefix_successor(b"ab"), Some(b"ac".to_vec()));
        assert_eq!(prefix_successor(b"a\xff\xff"), Some(b"b".to_vec()));
        assert_eq!(prefix_successor(b"\xff"), None);
        assert_eq!(prefix_successor(b""), None);
    }

    #[test]
    fn a_user_range_without_an_end_reaches_the_last_key_of_its_database() {
        let range = user_range(Slot(2), b"m", None);
        assert!(
            range.as_range().contains(&data_key(Slot(2), b"\xff\xff"))
                && !range.as_range().contains(&data_key(Slot(3), b""))
        );
        assert!(!user_range(Slot(2), b"m", Some(b"n")).as_range().contains(&data_key(Slot(2), b"n")));
    }
}
