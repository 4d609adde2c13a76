//! SLOWLOG: the newest requests that took long.
//!
//! Promises: bounded in entries, each bounded in bytes; nothing here is on the path of a request that was quick.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The words of a request that an entry keeps, the note of how many are left out included.
const WORDS_MAX: usize = 32;

/// The bytes of a word that an entry keeps.
const WORD_BYTES_MAX: usize = 128;

/// One slow request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlowRequest {
    /// Its number, from 0 since the server started.
    pub id: u64,
    /// When it ended, since 1970.
    pub time: Duration,
    /// How long it was worked on.
    pub took: Duration,
    /// Its words, shortened.
    pub words: Vec<Vec<u8>>,
    /// Where its client is; empty if that is gone.
    pub address: String,
    /// The name of its client.
    pub name: String,
}

/// The newest slow requests.
#[derive(Debug, Default)]
pub struct Slowlog {
    entries: Mutex<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    next_id: u64,
    newest_first: VecDeque<SlowRequest>,
}

impl Slowlog {
    /// Adds a request, whose number is given here, and keeps the newest `len_max`.
    pub fn add(&self, mut request: SlowRequest, len_max: usize) {
        let mut entries = self.lock();
        request.id = entries.next_id;
        entries.next_id += 1;
        entries.newest_first.push_front(request);
        entries.newest_first.truncate(len_max);
    }

    /// The newest requests, at most `count`.
    pub fn newest(&self, count: usize) -> Vec<SlowRequest> {
        self.lock().newest_first.iter().take(count).cloned().collect()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.lock().newest_first.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets all; numbers go on.
    pub fn reset(&self) {
        self.lock().newest_first = VecDeque::new();
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The words as an entry keeps them, with notes of what is left out as Redis writes them.
pub fn shortened<'a>(words: impl ExactSizeIterator<Item = &'a [u8]>) -> Vec<Vec<u8>> {
    let count = words.len();
    let shown = if count > WORDS_MAX { WORDS_MAX - 1 } else { count };
    let mut kept: Vec<Vec<u8>> = words.take(shown).map(shortened_word).collect();
    if shown < count {
        kept.push(format!("... ({} more arguments)", count - shown).into_bytes());
    }
    kept
}

fn shortened_word(word: &[u8]) -> Vec<u8> {
    let Some(more) = word.len().checked_sub(WORD_BYTES_MAX).filter(|more| *more > 0) else {
        return word.to_vec();
    };
    let mut kept = word[..WORD_BYTES_MAX].to_vec();
    kept.extend_from_slice(format!("... ({more} more bytes)").as_bytes());
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(word: &str) -> SlowRequest {
        SlowRequest {
            id: 0,
            time: Duration::ZERO,
            took: Duration::ZERO,
            words: shortened([word.as_bytes()].into_iter()),
            address: String::new(),
            name: String::new(),
        }
    }

    #[test]
    fn the_newest_are_kept_and_numbers_go_on() {
        let slowlog = Slowlog::default();
        (0..5).for_each(|n| slowlog.add(request(&n.to_string()), 3));
        let ids: Vec<_> = slowlog.newest(2).iter().map(|request| request.id).collect();
        assert_eq!((ids, slowlog.len()), (vec![4, 3], 3));
        slowlog.reset();
        slowlog.add(request("x"), 3);
        assert_eq!(slowlog.newest(9)[0].id, 5);
        slowlog.add(request("y"), 0);
        assert!(slowlog.is_empty());
    }

    #[test]
    fn long_requests_are_shortened_as_in_redis() {
        let long = vec![b'a'; 208];
        let words: Vec<&[u8]> = std::iter::once(long.as_slice()).chain([&b"x"[..]; 36]).collect();
        let kept = shortened(words.into_iter());
        assert_eq!(kept.len(), 32);
        assert_eq!(kept[0], [&[b'a'; 128][..], b"... (80 more bytes)"].concat());
        assert_eq!(kept[31], b"... (6 more arguments)");
        assert_eq!(shortened([&b"a"[..]; 32].into_iter()).len(), 32);
    }
}
