//! How many error replies were given, by their code: INFO errorstats.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Error replies since the start or since `CONFIG RESETSTAT`.
#[derive(Debug, Default)]
pub struct ErrorReplies {
    by_code: Mutex<BTreeMap<String, u64>>,
}

impl ErrorReplies {
    /// Counts an error reply; its code is the first word of `text`. Codes are the server's own words, so that there
    /// are few.
    pub fn add(&self, text: &str) {
        let code = text.split(' ').next().unwrap_or_default();
        let mut by_code = self.lock();
        match by_code.get_mut(code) {
            Some(count) => *count += 1,
            None => drop(by_code.insert(code.to_string(), 1)),
        }
    }

    /// How many there were.
    pub fn total(&self) -> u64 {
        self.lock().values().sum()
    }

    /// How many there were of each code, in the order of the codes.
    pub fn by_code(&self) -> Vec<(String, u64)> {
        self.lock().iter().map(|(code, count)| (code.clone(), *count)).collect()
    }

    /// Starts again at nothing.
    pub fn reset(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, u64>> {
        self.by_code.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_replies_are_counted_by_their_first_word() {
        let errors = ErrorReplies::default();
        for text in ["ERR a", "FULL b", "ERR c", "ERR"] {
            errors.add(text);
        }
        assert_eq!(errors.by_code(), [("ERR".to_string(), 3), ("FULL".to_string(), 1)]);
        assert_eq!(errors.total(), 4);
        errors.reset();
        assert_eq!((errors.total(), errors.by_code().len()), (0, 0));
    }
}
