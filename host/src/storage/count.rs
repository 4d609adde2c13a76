//! How many keys a database has.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::ControlFlow;

use adapter_api::{Capabilities, Direction, EngineError, KeyRange};

use super::{Storage, keyspace};

/// How many entries outside a database are looked at before the database itself is walked instead.
const OUTSIDE_MAX: u64 = 1024;

/// The entries outside a database: how many, and a digest of their keys.
#[derive(PartialEq, Eq)]
struct Outside {
    entries: u64,
    keys: u64,
}

impl Storage {
    /// How many keys the database has, exactly. Quick if the engine keeps a count and little lies outside
    /// the database, else a walk over all of its keys. May wait for a device.
    ///
    /// # Errors
    /// What the engine says.
    pub fn count(&self, database: u8) -> Result<u64, EngineError> {
        if let Some(count) = self.count_from_total(database)? {
            return Ok(count);
        }
        let mut count = 0;
        self.walk(database, &keyspace::database, Direction::Forward, &mut |_| {
            count += 1;
            ControlFlow::Continue(())
        })?;
        Ok(count)
    }

    /// About how many keys the database has: the engine's estimate if it makes any, else the exact count.
    ///
    /// # Errors
    /// What the engine says.
    pub fn count_about(&self, database: u8) -> Result<u64, EngineError> {
        let bounds = keyspace::database(self.databases().slot(database));
        if self.is_vacant(bounds.as_range())? {
            return Ok(0);
        }
        if let Some(count) = self.count_from_total(database)? {
            return Ok(count);
        }
        match self.has(Capabilities::ESTIMATE) {
            // A database that is not vacant has a key, whatever the estimate says.
            true => Ok(self.estimate(bounds.as_range())?.entries.max(1)),
            false => self.count(database),
        }
    }

    /// The engine's exact total less what lies outside the database; `None` if it keeps none, if that is
    /// much, or if it changed while the total was taken.
    fn count_from_total(&self, database: u8) -> Result<Option<u64>, EngineError> {
        if !self.has(Capabilities::EXACT_COUNT | Capabilities::ESTIMATE) {
            return Ok(None);
        }
        self.in_slot(database, |slot| {
            let bounds = keyspace::database(slot);
            let Some(before) = self.outside(bounds.as_range())? else { return Ok(None) };
            let total = self.estimate(KeyRange::all())?;
            let unchanged = self.outside(bounds.as_range())?.is_some_and(|after| after == before);
            let usable = total.exact && unchanged;
            Ok(if usable { total.entries.checked_sub(before.entries) } else { None })
        })
    }

    /// What lies outside the range, unless that is much.
    fn outside(&self, inside: KeyRange<'_>) -> Result<Option<Outside>, EngineError> {
        let (mut entries, mut keys) = (0, DefaultHasher::new());
        for range in
            [KeyRange::new(&[], inside.start()), KeyRange::from_start(inside.end().unwrap_or_default())]
        {
            self.scan(range, Direction::Forward, &mut |entry| {
                entries += 1;
                entry.key.hash(&mut keys);
                if entries > OUTSIDE_MAX { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })?;
        }
        Ok((entries <= OUTSIDE_MAX).then(|| Outside { entries, keys: keys.finish() }))
    }

    fn is_vacant(&self, range: KeyRange<'_>) -> Result<bool, EngineError> {
        let mut vacant = true;
        self.scan(range, Direction::Forward, &mut |_| {
            vacant = false;
            ControlFlow::Break(())
        })?;
        Ok(vacant)
    }
}

#[cfg(test)]
mod tests {
    use super::keyspace::data_key;
    use super::*;
    use crate::storage::test_engine::{TestEngine, opened};
    use adapter_api::BatchBuilder;

    fn filled(engine: TestEngine, elsewhere: u64) -> Storage {
        let storage = opened(engine);
        let databases = storage.databases();
        let mut batch = BatchBuilder::new();
        for number in 0..10 {
            batch.put(&data_key(databases.slot(3), &[number]), b"\0").unwrap();
        }
        batch.put(&keyspace::meta_key("clock"), b"12345678").unwrap();
        for number in 0..elsewhere {
            batch.put(&data_key(databases.slot(9), &number.to_be_bytes()), b"\0").unwrap();
        }
        storage.apply(batch.as_batch()).unwrap();
        storage
    }

    #[test]
    fn keys_are_counted_the_same_from_the_total_and_by_walking() {
        for elsewhere in [0, 5, 2 * OUTSIDE_MAX] {
            for engine in [TestEngine::new(), TestEngine::counting()] {
                let storage = filled(engine, elsewhere);
                for (database, expected) in [(0, 0), (3, 10), (9, elsewhere), (15, 0)] {
                    assert_eq!(storage.count(database).unwrap(), expected, "database {database}");
                    assert_eq!(storage.count_about(database).unwrap(), expected, "database {database}");
                }
            }
        }
    }

    #[test]
    fn a_count_from_the_total_walks_no_more_than_its_bound_outside() {
        let storage = filled(TestEngine::counting(), 2 * OUTSIDE_MAX);
        assert_eq!(storage.count_from_total(3).unwrap(), None);
        assert_eq!(storage.count_from_total(9).unwrap(), Some(2 * OUTSIDE_MAX));
    }
}
