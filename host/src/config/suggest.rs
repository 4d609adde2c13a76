//! The nearest name to a misspelt one, for messages that say "did you mean …?".
//!
//! Promises: a suggestion is close enough to be worth reading, or there is none. Called by `config`, by the
//! registry of plugins and by the check of engine options.

/// The candidate nearest to `word`, if one is close: at most a third of its letters, and at least two, may
/// differ. Swapped neighbours count as one difference.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let distance =
        |candidate: &str| strsim::damerau_levenshtein(&word.to_lowercase(), &candidate.to_lowercase());
    pick(word, candidates.into_iter().map(|candidate| (distance(candidate), candidate)))
}

/// Like [`nearest`], for dotted names: a right key in a wrong table is near too.
pub fn nearest_dotted<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let last = |dotted: &str| dotted.rsplit('.').next().unwrap_or_default().to_lowercase();
    let distance = |candidate: &str| {
        let whole = strsim::damerau_levenshtein(&name.to_lowercase(), &candidate.to_lowercase());
        let key = strsim::damerau_levenshtein(&last(name), &last(candidate));
        whole.min(key + 1)
    };
    pick(&last(name), candidates.into_iter().map(|candidate| (distance(candidate), candidate)))
}

fn pick<'a>(word: &str, scored: impl Iterator<Item = (usize, &'a str)>) -> Option<&'a str> {
    let (distance, candidate) = scored.min_by_key(|(distance, _)| *distance)?;
    let bound = (word.chars().count() / 3).max(2);
    (distance <= bound && distance < candidate.chars().count()).then_some(candidate)
}

/// `; did you mean NAME?`, or `otherwise` if nothing is near.
pub fn hint(nearest: Option<&str>, otherwise: &str) -> String {
    nearest.map_or_else(|| otherwise.to_string(), |name| format!("; did you mean {name}?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_word_is_near_and_another_word_is_not() {
        assert_eq!(nearest("snapshto", ["memory", "snapshot"]), Some("snapshot"));
        assert_eq!(nearest("rocksdb", ["memory", "snapshot"]), None);
        assert_eq!(nearest("x", ["lsm", "a"]), None);
    }

    #[test]
    fn a_right_key_in_a_wrong_table_is_near() {
        let names = ["server.listen", "storage.dir", "limits.value_bytes_max"];
        assert_eq!(nearest_dotted("listen", names), Some("server.listen"));
        assert_eq!(nearest_dotted("server.lisen", names), Some("server.listen"));
        assert_eq!(nearest_dotted("storage.value_bytes_mx", names), Some("limits.value_bytes_max"));
        assert_eq!(nearest_dotted("server.tls", names), None);
    }
}
