//! Finds the row of a command by its name, in any case.
//!
//! Promises: a name that no row has is told so after a few comparisons of numbers, however long it is. Called with the
//! first words of every request.

use super::table::{Row, TABLE};

/// The longest name of a command, with its subcommand.
const NAME_BYTES_MAX: usize = 32;

/// The row of a command, by its name in any case. A subcommand is found by `find_subcommand` alone.
pub(super) fn find(name: &[u8]) -> Option<&'static Row> {
    TABLE.get(place_of(name)?).filter(|row| !row.is_subcommand())
}

/// The row of a command's subcommand, by the subcommand's name in any case.
pub(super) fn find_subcommand(row: &Row, name: &[u8]) -> Option<&'static Row> {
    let mut whole = [b'|'; NAME_BYTES_MAX];
    let len = row.name.len() + 1 + name.len();
    let whole = whole.get_mut(..len).filter(|_| !name.is_empty())?;
    whole[..row.name.len()].copy_from_slice(row.name.as_bytes());
    whole[row.name.len() + 1..].copy_from_slice(name);
    TABLE.get(place_of(whole)?)
}

/// The row that COMMAND INFO and its like call by `name`: `config`, or `config|get`.
pub(super) fn find_named(name: &[u8]) -> Option<&'static Row> {
    TABLE.get(place_of(name)?)
}

/// The place of a name in the table.
pub(super) fn place_of(name: &[u8]) -> Option<usize> {
    let head = head(name);
    let mut place = HEADS.partition_point(|other| *other < head);
    while HEADS.get(place) == Some(&head) {
        if TABLE[place].name.as_bytes().eq_ignore_ascii_case(name) {
            return Some(place);
        }
        place += 1;
    }
    None
}

/// The beginnings of the names in the order of the table: whoever looks for a name compares numbers.
static HEADS: [u64; TABLE.len()] = {
    let mut heads = [0; TABLE.len()];
    let mut place = 0;
    while place < heads.len() {
        heads[place] = head(TABLE[place].name.as_bytes());
        place += 1;
    }
    heads
};

/// The first eight bytes of a name in small letters, as a number that sorts as they do.
const fn head(name: &[u8]) -> u64 {
    let mut bytes = [0; 8];
    let mut place = 0;
    while place < name.len() && place < bytes.len() {
        bytes[place] = name[place].to_ascii_lowercase();
        place += 1;
    }
    u64::from_be_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::super::table::IN_SEQUENCER;
    use super::*;

    #[test]
    fn every_command_is_found_by_its_name_in_any_case() {
        assert!(TABLE.is_sorted_by(|a, b| a.name < b.name));
        for row in &TABLE {
            let found = |name: &str| match name.split_once(['|']) {
                None => find(name.as_bytes()).map(|found| found.name),
                Some((command, name)) => {
                    find_subcommand(find(command.as_bytes())?, name.as_bytes()).map(|found| found.name)
                }
            };
            assert_eq!(found(row.name), Some(row.name));
            assert_eq!(found(&row.name.to_uppercase()), Some(row.name));
            assert_eq!(row.is_subcommand(), find(row.name.as_bytes()).is_none());
            assert_eq!(TABLE[row.place()].name, row.name);
            assert!(!row.summary.is_empty() && row.name.len() <= NAME_BYTES_MAX);
            let followed = TABLE.iter().any(|other| other.name.starts_with(&format!("{}|", row.name)));
            assert_eq!(row.has_subcommands, followed, "{}", row.name);
        }
        assert!(IN_SEQUENCER.iter().all(|row| TABLE[row.place()].name == row.name));
        let config = find(b"config").unwrap();
        assert!(find_subcommand(config, b"").is_none() && find_subcommand(config, &[b'x'; 40]).is_none());
        let names: Vec<_> = config.subcommands().map(|row| row.name).collect();
        assert_eq!(names, ["config|get", "config|help", "config|resetstat", "config|rewrite", "config|set"]);
        for name in [&b""[..], b"ge", b"gett", b"a name that is far too long for any command"] {
            assert!(find(name).is_none());
        }
    }

    #[test]
    fn places_of_keys_are_those_of_redis() {
        let places = |name: &str, words| find(name.as_bytes()).unwrap().key_places(words).collect::<Vec<_>>();
        assert_eq!(places("get", 2), [1]);
        assert_eq!(places("mget", 4), [1, 2, 3]);
        assert_eq!(places("mset", 5), [1, 3]);
        assert_eq!(places("ping", 2), [0; 0]);
        assert_eq!(places("get", 1), [0; 0]);
    }
}
