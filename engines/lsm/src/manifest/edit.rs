//! The bytes of an edit, and the tables that edits add up to.
//!
//! ```text
//! size  field          integers little-endian
//!    1  known          1: a position follows · 2: a next number follows · 3: both
//!  8 8  position, next number
//!    4  removed        how many; then their numbers u64
//!    4  added          how many; then
//!          level u8 │ run u64 │ number u64 │ bytes u64 │ entries u64 │ tombstones u64 │ data bytes u64
//!          bounded u8 │ lower length u32 │ upper length u32 │ lower │ upper         bounded 0: no upper bound
//!          blob files u32; then file u64 │ bytes u64
//! ```
//!
//! Promises: `decode` allocates nothing by what a number claims. What is added up is checked: a table that is
//! removed was there, one that is added was not, and has a place that there is. Called by `manifest`.

use std::collections::{BTreeMap, BTreeSet};

use wal::Lsn;

use crate::version::{Edit, LEVELS_MAX, Place, TableInfo};

const HAS_POSITION: u8 = 1;
const HAS_NEXT_ID: u8 = 2;

/// What the edits of a manifest add up to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// By number.
    pub(crate) tables: BTreeMap<u64, (Place, TableInfo)>,
    /// The tables have everything up to this record of the log.
    pub(crate) position: Lsn,
    /// Every file that is made from now on has this number or a higher one.
    pub(crate) next_id: u64,
}

impl Found {
    /// Why the edit cannot be the next one, if so.
    pub(crate) fn check(&self, edit: &Edit) -> Result<(), String> {
        if edit.position.is_some_and(|position| position < self.position)
            || edit.next_id.is_some_and(|next_id| next_id < self.next_id)
        {
            return Err("goes back in the log or in the numbers of files".to_string());
        }
        let (mut removed, mut added) = (BTreeSet::new(), BTreeSet::new());
        for id in &edit.removed {
            if !removed.insert(*id) || !self.tables.contains_key(id) {
                return Err(format!("removes table {id}, which is not there"));
            }
        }
        for (place, info) in &edit.added {
            if usize::from(place.level) >= LEVELS_MAX || info.range().is_empty() {
                return Err(format!("puts table {} where no table can be", info.id));
            }
            if !added.insert(info.id) || self.tables.contains_key(&info.id) && !removed.contains(&info.id) {
                return Err(format!("adds table {}, which is there", info.id));
            }
        }
        Ok(())
    }

    /// Adds an edit that was checked.
    pub(crate) fn apply(&mut self, edit: &Edit) {
        self.position = edit.position.unwrap_or(self.position);
        self.next_id = edit.next_id.unwrap_or(self.next_id);
        edit.removed.iter().for_each(|id| drop(self.tables.remove(id)));
        self.tables.extend(edit.added.iter().map(|added| (added.1.id, added.clone())));
    }

    /// One edit that says all of it.
    pub(crate) fn snapshot(&self) -> Edit {
        Edit {
            removed: Vec::new(),
            added: self.tables.values().cloned().collect(),
            position: Some(self.position),
            next_id: Some(self.next_id),
        }
    }
}

/// Appends the encoding of an edit.
pub(crate) fn encode(edit: &Edit, out: &mut Vec<u8>) {
    let known =
        u8::from(edit.position.is_some()) * HAS_POSITION + u8::from(edit.next_id.is_some()) * HAS_NEXT_ID;
    out.push(known);
    edit.position.iter().chain(&edit.next_id).for_each(|number| out.extend_from_slice(&number.to_le_bytes()));
    out.extend_from_slice(&(edit.removed.len() as u32).to_le_bytes());
    edit.removed.iter().for_each(|id| out.extend_from_slice(&id.to_le_bytes()));
    out.extend_from_slice(&(edit.added.len() as u32).to_le_bytes());
    for (place, info) in &edit.added {
        let TableInfo { id, bytes, lower, upper, entries, tombstones, data_bytes, blobs } = info;
        out.push(place.level);
        for number in [place.run, *id, *bytes, *entries, *tombstones, *data_bytes] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        let end = upper.as_deref().unwrap_or_default();
        out.push(u8::from(upper.is_some()));
        out.extend_from_slice(&(lower.len() as u32).to_le_bytes());
        out.extend_from_slice(&(end.len() as u32).to_le_bytes());
        out.extend_from_slice(lower);
        out.extend_from_slice(end);
        out.extend_from_slice(&(blobs.len() as u32).to_le_bytes());
        for (file, live) in blobs {
            out.extend_from_slice(&file.to_le_bytes());
            out.extend_from_slice(&live.to_le_bytes());
        }
    }
}

/// Reads an encoding; `None` if it is none.
pub(crate) fn decode(bytes: &[u8]) -> Option<Edit> {
    let mut rest = Rest(bytes);
    let known = rest.u8().filter(|known| *known <= HAS_POSITION + HAS_NEXT_ID)?;
    let mut edit = Edit::default();
    if known & HAS_POSITION != 0 {
        edit.position = Some(rest.u64()?);
    }
    if known & HAS_NEXT_ID != 0 {
        edit.next_id = Some(rest.u64()?);
    }
    for _ in 0..rest.u32()? {
        edit.removed.push(rest.u64()?);
    }
    for _ in 0..rest.u32()? {
        edit.added.push(rest.table()?);
    }
    rest.0.is_empty().then_some(edit)
}

/// What has yet to be read.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take().map(u8::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    fn bytes(&mut self, length: u32) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length as usize)?;
        self.0 = rest;
        Some(taken)
    }

    fn table(&mut self) -> Option<(Place, TableInfo)> {
        let place = Place { level: self.u8()?, run: self.u64()? };
        let (id, bytes, entries) = (self.u64()?, self.u64()?, self.u64()?);
        let (tombstones, data_bytes) = (self.u64()?, self.u64()?);
        let bounded = self.u8()?;
        let (lower, upper) = (self.u32()?, self.u32()?);
        let (lower, upper) = (self.bytes(lower)?.into(), self.bytes(upper)?);
        let upper = match (bounded, upper) {
            (0, []) => None,
            (1, upper) => Some(upper.into()),
            _ => return None,
        };
        let mut blobs = Vec::new();
        for _ in 0..self.u32()? {
            blobs.push((self.u64()?, self.u64()?));
        }
        Some((place, TableInfo { id, bytes, lower, upper, entries, tombstones, data_bytes, blobs }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(id: u64, upper: Option<&[u8]>) -> (Place, TableInfo) {
        let info = TableInfo {
            id,
            bytes: 4096,
            lower: b"a"[..].into(),
            upper: upper.map(Into::into),
            entries: 9,
            tombstones: 1,
            data_bytes: 77,
            blobs: vec![(3, 5), (4, 1 << 40)],
        };
        (Place { level: 2, run: 8 }, info)
    }

    fn edit() -> Edit {
        let added = vec![table(6, Some(b"b")), table(7, None)];
        Edit { removed: vec![1, 2], added, position: Some(12), next_id: None }
    }

    #[test]
    fn what_was_encoded_is_decoded_and_every_cut_is_refused() {
        for edit in [edit(), Edit::default(), Edit { next_id: Some(1), ..Edit::default() }] {
            let mut bytes = Vec::new();
            encode(&edit, &mut bytes);
            assert_eq!(decode(&bytes).as_ref(), Some(&edit));
            assert!((0..bytes.len()).all(|cut| decode(&bytes[..cut]).is_none()));
            bytes.push(0);
            assert_eq!(decode(&bytes), None);
        }
    }

    #[test]
    fn edits_add_up_and_those_that_do_not_fit_are_refused() {
        let first = Edit { added: vec![table(1, None), table(2, None)], ..Edit::default() };
        let after = |found: &Found, edit: &Edit| {
            let mut found = found.clone();
            found.check(edit).map(|()| found.apply(edit)).map(|()| found)
        };
        let found = after(&after(&Found::default(), &first).unwrap(), &edit()).unwrap();
        assert_eq!((found.tables.keys().copied().collect::<Vec<_>>(), found.position), (vec![6, 7], 12));
        assert_eq!(after(&Found::default(), &found.snapshot()), Ok(found.clone()));
        let moved = Edit { removed: vec![6], added: vec![table(6, None)], ..Edit::default() };
        assert_eq!(after(&found, &moved).unwrap().tables[&6], table(6, None));
        let mut nowhere = table(9, None);
        nowhere.0.level = LEVELS_MAX as u8;
        for wrong in [
            Edit { removed: vec![5], ..Edit::default() },
            Edit { removed: vec![6, 6], ..Edit::default() },
            Edit { added: vec![table(7, None)], ..Edit::default() },
            Edit { added: vec![table(9, Some(b"a"))], ..Edit::default() },
            Edit { added: vec![nowhere], ..Edit::default() },
            Edit { position: Some(11), ..Edit::default() },
        ] {
            assert!(found.check(&wrong).is_err(), "{wrong:?}");
        }
    }
}
