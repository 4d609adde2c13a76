//! The cursors of SCAN: numbers given out, and the key that each one goes on from.
//!
//! Promises: a cursor goes on from exactly where it was given out, as often as it is used, until it is
//! forgotten; one that is not known is refused, never taken for another. The oldest are forgotten first when
//! there are too many, or when their keys take too much memory. Cursors do not outlive the server.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Clients keep cursors in floating-point numbers, which hold whole numbers below this.
const NUMBER_END: u64 = 1 << 53;
/// How many cursors are remembered.
const CURSORS_MAX: usize = 16_384;
/// How many bytes of keys are remembered.
const KEY_BYTES_MAX: usize = 64 << 20;

/// The cursors given out.
#[derive(Default)]
pub(super) struct Cursors {
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    reached: HashMap<u64, Reached>,
    /// From the oldest to the newest.
    order: VecDeque<u64>,
    key_bytes: usize,
}

/// The last key that a walk of a database has seen.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Reached {
    database: u8,
    key: Vec<u8>,
}

impl Cursors {
    /// A new cursor for a walk of the database that has seen all keys up to `key`. Never 0.
    pub(super) fn give_out(&self, database: u8, key: &[u8]) -> u64 {
        let mut known = self.lock();
        // Random, so that a cursor from before a restart is not taken for one of now.
        let number = loop {
            let number = RandomState::new().build_hasher().finish() % NUMBER_END;
            if number != 0 && !known.reached.contains_key(&number) {
                break number;
            }
        };
        known.key_bytes += key.len();
        known.reached.insert(number, Reached { database, key: key.to_vec() });
        known.order.push_back(number);
        known.forget_the_oldest();
        number
    }

    /// The key that the walk behind a cursor has reached; `None` if no such cursor of this database is known.
    pub(super) fn reached(&self, number: u64, database: u8) -> Option<Vec<u8>> {
        let known = self.lock();
        known.reached.get(&number).filter(|reached| reached.database == database).map(|at| at.key.clone())
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn forget_the_oldest(&mut self) {
        while self.order.len() > CURSORS_MAX || self.key_bytes > KEY_BYTES_MAX {
            let Some(oldest) = self.order.pop_front() else { return };
            self.key_bytes -= self.reached.remove(&oldest).map_or(0, |reached| reached.key.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_goes_on_from_its_key_in_its_database_alone() {
        let cursors = Cursors::default();
        let number = cursors.give_out(3, b"key");
        assert!((1..NUMBER_END).contains(&number));
        for _ in 0..2 {
            assert_eq!(cursors.reached(number, 3), Some(b"key".to_vec()));
        }
        assert_eq!(cursors.reached(number, 4), None);
        assert_eq!(cursors.reached(number ^ 1, 3), None);
    }

    #[test]
    fn the_oldest_cursors_are_forgotten_first() {
        let cursors = Cursors::default();
        let first = cursors.give_out(0, b"a");
        let second = cursors.give_out(0, b"b");
        for _ in 0..CURSORS_MAX - 1 {
            cursors.give_out(0, b"c");
        }
        assert_eq!(cursors.reached(first, 0), None);
        assert_eq!(cursors.reached(second, 0), Some(b"b".to_vec()));
    }

    #[test]
    fn the_memory_of_cursors_is_bounded() {
        let cursors = Cursors::default();
        let key = vec![7; 1 << 20];
        let numbers: Vec<_> = (0..100).map(|_| cursors.give_out(0, &key)).collect();
        let known = numbers.iter().filter(|number| cursors.reached(**number, 0).is_some()).count();
        assert_eq!(known, KEY_BYTES_MAX >> 20);
    }
}
