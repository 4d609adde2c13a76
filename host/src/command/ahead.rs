//! Values that are read before the requests that ask for them are run, so that the engine looks for all keys of a
//! pipeline at once: side by side they take the time of a few.
//!
//! Promises: a request finds here what was stored under its key at an instant between its arrival and its reply, or
//! nothing, and then it reads for itself; so no reply tells whether there was something. Holds at most
//! [`KEYS_MAX`] keys and [`BYTES_MAX`] bytes of values. The server adds the requests that a connection has sent, up
//! to the first that is no read of one key; `access` takes the values.

use adapter_api::Values;

use super::table::Class;
use super::{Arguments, Context, lookup};
use crate::storage::keyspace;

/// So many keys are read at once.
const KEYS_MAX: usize = 16;

/// So many bytes of values at most; whoever asks for more gets on better without a copy.
const BYTES_MAX: usize = 64 << 10;

/// Requests with longer keys are left to themselves.
const KEY_BYTES_MAX: usize = 1 << 10;

/// What the next requests of one connection will ask for.
#[derive(Default)]
pub struct Ahead {
    /// The keys of the requests that were added, one behind the other, and where each ends.
    keys: Vec<u8>,
    ends: Vec<usize>,
    /// What is stored under the first of them.
    values: Values,
    /// Which of these requests runs now.
    at: usize,
    engine_keys: Vec<u8>,
}

impl Ahead {
    /// Forgets everything: another connection has its turn.
    pub fn clear(&mut self) {
        self.keys.clear();
        self.ends.clear();
        self.values.clear();
        self.at = 0;
    }

    /// The next read runs now. Answers whether it was not added before: then it may be, and those behind it.
    pub fn advance(&mut self) -> bool {
        self.at += 1;
        let is_new = self.at >= self.ends.len();
        if is_new {
            self.clear();
        }
        is_new
    }

    /// Adds a request; answers whether the one behind it is welcome too.
    pub fn add(&mut self, request: Arguments<'_>) -> bool {
        let row = lookup::find(request.word(0)).filter(|row| row.class == Class::Read);
        let Some(row) = row.filter(|row| row.takes(request.len())) else { return false };
        let mut places = row.key_places(request.len());
        let (Some(place), None) = (places.next(), places.next()) else { return false };
        let key = request.word(place);
        if key.len() > KEY_BYTES_MAX {
            return false;
        }
        self.keys.extend_from_slice(key);
        self.ends.push(self.keys.len());
        self.ends.len() < KEYS_MAX
    }

    /// Reads what is stored under the keys that were added, as far as it is in memory.
    pub fn read(&mut self, database: u8, context: &Context) {
        let Self { keys, ends, values, engine_keys, .. } = self;
        if ends.len() < 2 {
            return;
        }
        let read = context.storage.in_slot(database, |slot| {
            engine_keys.clear();
            values.clear();
            (0..ends.len())
                .for_each(|at| keyspace::append_data_key(slot, key_at(keys, ends, at), engine_keys));
            let (mut places, mut rest) = ([&[][..]; KEYS_MAX], &engine_keys[..]);
            for (at, place) in places[..ends.len()].iter_mut().enumerate() {
                (*place, rest) = rest.split_at(keyspace::PREFIX_BYTES + key_at(keys, ends, at).len());
            }
            context.storage.multi_get_resident(&places[..ends.len()], BYTES_MAX, values)
        });
        // A request that reads for itself comes upon the same error, and tells its client.
        if read.is_err() {
            values.clear();
        }
    }

    /// Where the value lies that was read for the request that runs now, if this is its key.
    pub(super) fn find(&self, key: &[u8]) -> Option<usize> {
        let is_read = self.at < self.values.len() && key_at(&self.keys, &self.ends, self.at) == key;
        is_read.then_some(self.at)
    }

    /// What was stored, if anything was.
    pub(super) fn value(&self, place: usize) -> Option<&[u8]> {
        self.values.get(place)
    }
}

/// The key at `at` of those that lie one behind the other.
fn key_at<'a>(keys: &'a [u8], ends: &[usize], at: usize) -> &'a [u8] {
    let start = at.checked_sub(1).map_or(0, |before| ends[before]);
    &keys[start..ends[at]]
}
