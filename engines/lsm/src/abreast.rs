//! Many keys at once: while memory comes for one of them, the others go on.
//!
//! ```text
//! keys         a   b   c   d
//! memtables    │ ◀ says    │         the newest first: what it says of a key is the answer
//! filters      │       │   │         run by run: the first one whose filter leaves it open has the block to look into
//! blocks       │       │   │         slots, blocks and entries, each fetched for all keys before it is looked at
//! answers      a   b   c   d         in order, each with all that its key needs; where a filter was wrong, it goes on alone
//! ```
//!
//! Promises: each key gets the answer that it would get alone, as of one moment for all; blocks that are not in memory are read
//! one by one, or end the call that may not wait. Called by the engine and its views.

use adapter_api::{Resident, Result, Values};

use crate::item::Item;
use crate::sources::Moment;
use crate::table::{Answer, Candidate, Sought, Table};

/// So many keys go side by side: a thread holds as many blocks at once for nothing (`arc_swap`), and the processor does not
/// fetch more at a time.
const ABREAST: usize = 8;

/// What is known of a key on its way through the sources.
enum Known<'a> {
    /// Those that were asked say nothing of it.
    Nothing,
    /// The newest that knows it says this, or that it is not there.
    Said(Option<Item<'a>>),
    /// The run with this place among all may have it here.
    Perhaps(usize, Candidate<'a>),
}

impl Known<'_> {
    fn is_open(&self) -> bool {
        matches!(self, Self::Nothing)
    }
}

/// Appends the values of keys in their order, absent ones as absent.
///
/// # Errors
/// Those of reading.
pub(crate) fn multi_get(moment: &Moment, keys: &[&[u8]], values: &mut Values) -> Result<()> {
    find_each(moment, keys, true, |key, item| {
        let read = |item, value: &mut _| moment.sources.read(key, item, true, value);
        match item {
            Some(item) => values.push_with(|value| Ok(read(item, value)? == Resident::Hit))?,
            None => values.push_absent(),
        }
        Ok(true)
    })
}

/// Appends the values of the first keys, as many as memory alone knows of, and at most so many bytes of them.
///
/// # Errors
/// If what is in memory is not what was written.
pub(crate) fn multi_get_here(
    moment: &Moment,
    keys: &[&[u8]],
    mut bytes_max: usize,
    values: &mut Values,
) -> Result<()> {
    find_each(moment, keys, false, |_, item| {
        match item {
            None | Some(Item::Tombstone) => values.push_absent(),
            Some(Item::Value(value)) => match bytes_max.checked_sub(value.len()) {
                Some(left) => {
                    bytes_max = left;
                    values.push(value);
                }
                None => return Ok(false),
            },
            Some(Item::Blob(_)) => return Ok(false),
        }
        Ok(true)
    })
}

/// Hands on, for each key in order, what the newest source that knows it says; until that answers that it was enough, or until
/// the search would have to wait and may not.
fn find_each(
    moment: &Moment,
    keys: &[&[u8]],
    may_wait: bool,
    mut found: impl FnMut(&[u8], Option<Item<'_>>) -> Result<bool>,
) -> Result<()> {
    if let [key] = keys {
        let with = |item: Item<'_>| found(key, Some(item));
        return match moment.sources.find_as_of(moment.active, key, may_wait, with)? {
            Answer::Nothing => found(key, None).map(drop),
            Answer::Says(_) | Answer::WouldBlock => Ok(()),
        };
    }
    for keys in keys.chunks(ABREAST) {
        let sought =
            std::array::from_fn(|at| Sought::new(keys.get(at).copied().unwrap_or_default(), may_wait));
        for (sought, known) in sought.iter().zip(look(moment, keys, &sought)).take(keys.len()) {
            let goes_on = match known {
                Known::Nothing => found(sought.key, None)?,
                Known::Said(item) => found(sought.key, item)?,
                Known::Perhaps(run, candidate) => {
                    match find_from(moment, run, candidate, sought, |item| found(sought.key, Some(item)))? {
                        Answer::Says(goes_on) => goes_on,
                        Answer::Nothing => found(sought.key, None)?,
                        Answer::WouldBlock => false,
                    }
                }
            };
            if !goes_on {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// What is known of each of a few keys before the first block is searched; what that will need is on its way.
fn look<'a>(moment: &'a Moment, keys: &[&[u8]], sought: &[Sought<'_>; ABREAST]) -> [Known<'a>; ABREAST] {
    let mut known = [const { Known::Nothing }; ABREAST];
    ask_memtables(moment, keys, &mut known);
    ask_filters(moment, &sought[..keys.len()], &mut known);
    for known in &known {
        if let Known::Perhaps(_, candidate) = known {
            candidate.prefetch();
        }
    }
    for (known, sought) in known.iter_mut().zip(sought) {
        if let Known::Perhaps(_, candidate) = known {
            candidate.prefetch_entry(sought.key);
        }
    }
    known
}

fn ask_memtables<'a>(moment: &'a Moment, keys: &[&[u8]], known: &mut [Known<'a>; ABREAST]) {
    for (memtable, snapshot) in moment.sources.memtables_as_of(moment.active) {
        let (mut open, mut places, mut count) = ([&[][..]; ABREAST], [0; ABREAST], 0);
        for (at, key) in keys.iter().enumerate().filter(|(at, _)| known[*at].is_open()) {
            (open[count], places[count]) = (key, at);
            count += 1;
        }
        memtable.find_each(&open[..count], snapshot, |at, item| {
            if item.is_some() || memtable.ranges().covers(open[at]) {
                known[places[at]] = Known::Said(item);
            }
        });
    }
}

fn ask_filters<'a>(moment: &'a Moment, sought: &[Sought<'_>], known: &mut [Known<'a>; ABREAST]) {
    for (place, (_, run)) in moment.sources.version.runs().enumerate() {
        let mut tables: [Option<&Table>; ABREAST] = [None; ABREAST];
        for ((table, known), sought) in tables.iter_mut().zip(&*known).zip(sought) {
            *table = if known.is_open() { run.table_for(sought.key).map(|table| &**table) } else { None };
        }
        // No branch hangs on what a filter says, so all of them come out of memory side by side.
        let mut may_have = [false; ABREAST];
        for ((may_have, table), sought) in may_have.iter_mut().zip(tables).zip(sought) {
            *may_have = table.is_some_and(|table| table.may_have(sought));
        }
        for (((known, table), may_have), sought) in known.iter_mut().zip(tables).zip(may_have).zip(sought) {
            let candidate = table.filter(|_| may_have).and_then(|table| table.candidate(sought.key));
            match candidate {
                Some(candidate) => *known = Known::Perhaps(place, candidate),
                None if known.is_open() && run.covers(sought.key) => *known = Known::Said(None),
                None => {}
            }
        }
    }
}

/// Searches the block that may have the key, and the runs behind it if it has not.
fn find_from(
    moment: &Moment,
    run: usize,
    candidate: Candidate<'_>,
    sought: &Sought<'_>,
    mut with: impl FnMut(Item<'_>) -> Result<bool>,
) -> Result<Answer<bool>> {
    let found = candidate.find(sought, &mut with)?;
    let is_covered = || moment.sources.version.runs().nth(run).is_some_and(|(_, run)| run.covers(sought.key));
    match found {
        Answer::Nothing if !is_covered() => moment.sources.find_in_runs(run + 1, sought, with),
        answer => Ok(answer),
    }
}
