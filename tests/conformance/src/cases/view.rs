//! Points in time.

use adapter_api::host::View;
use adapter_api::{Buffer, Cursor, Direction, EngineError, KeyRange, ReadView, Values};
use crash::workload::Dice;

use crate::badge::Badge::ViewsAndScans;
use crate::case::Case;
use crate::model::{Edit, Model};
use crate::outcome::{Verdict, ensure, failed, shown};
use crate::store::Store;
use crate::trial::Trial;

pub const CASES: &[Case] = &[
    Case::new(ViewsAndScans, "a_view_stays_as_it_was_when_it_was_taken", a_view_stays_as_it_was),
    Case::new(ViewsAndScans, "views_of_many_moments_are_each_as_of_theirs", views_of_many_moments),
    Case::new(ViewsAndScans, "a_cursor_walks_its_view_while_the_map_changes", a_cursor_walks_its_view),
    Case::new(ViewsAndScans, "a_seek_finds_the_first_key_at_or_behind_it", a_seek_finds_the_first_key),
    Case::new(
        ViewsAndScans,
        "a_view_held_for_long_answers_as_it_was_or_that_it_is_too_old",
        a_view_held_for_long,
    )
    .share(1),
];

/// The store that a view is held of for long, and of which every key is overwritten again and again.
const HELD_KEYS: u8 = 32;
const HELD_VALUE_BYTES: usize = 64 << 10;
/// What an engine keeps of each of them comes to twice what is taken for growth, however slow the machine is.
const OVERWRITES_LEAST: u64 = 2 * GROWTH_BYTES / (HELD_KEYS as u64 * HELD_VALUE_BYTES as u64);
/// Memory that has not grown in so many rounds does not grow.
const STEADY_ROUNDS: u64 = 128;
/// The memory that writes beside one view may cost, in bytes: twice the bound of the map in `adapter_api`, and what else an
/// engine may want.
const HELD_MEMORY_MAX: u64 = 768 << 20;
/// Less memory than this may be anything.
const GROWTH_BYTES: u64 = HELD_MEMORY_MAX / 8;

/// What is wrong with a view.
enum Wrong {
    /// It has ended: no fault in itself.
    TooOld,
    Otherwise(String),
}

impl From<String> for Wrong {
    fn from(message: String) -> Self {
        Self::Otherwise(message)
    }
}

/// Says what was being done when a view answered an error.
fn ended(doing: &str) -> impl FnOnce(EngineError) -> Wrong {
    let doing = failed(doing);
    move |error| match error {
        EngineError::ViewTooOld => Wrong::TooOld,
        error => Wrong::Otherwise(doing(error)),
    }
}

/// Compares everything that a view shows; it must still be there.
pub fn expect_view(view: &View, model: &Model, absent: &[&[u8]]) -> Result<(), String> {
    compare_view(view, model, absent).map_err(|wrong| match wrong {
        Wrong::TooOld => "a view has ended that is not old".to_string(),
        Wrong::Otherwise(message) => message,
    })
}

fn compare_view(view: &View, model: &Model, absent: &[&[u8]]) -> Result<(), Wrong> {
    let keys: Vec<_> = model.0.keys().map(Vec::as_slice).chain(absent.iter().copied()).collect();
    let mut values = Values::new();
    view.multi_get(&keys, &mut values).map_err(ended("multi_get of a view"))?;
    for (key, value) in keys.iter().zip(values.iter()) {
        let mut buffer = Buffer::new();
        let found = view.get(key, &mut buffer).map_err(ended("get of a view"))?;
        let expected = model.get(key);
        let shows = found.then_some(&buffer[..]);
        ensure(shows == expected && value == expected, || {
            format!("a view shows {} otherwise than it was when the view was taken", shown(key))
        })?;
    }
    for direction in [Direction::Forward, Direction::Reverse] {
        let mut cursor = view.cursor(KeyRange::all(), direction).map_err(ended("cursor of a view"))?;
        for expected in model.range(KeyRange::all(), direction) {
            expect_next(&mut *cursor, expected)?;
        }
        let rest = cursor.next().map_err(ended("next of a cursor"))?;
        ensure(rest.is_none(), || format!("a cursor ({direction:?}) goes on behind the last entry"))?;
    }
    Ok(())
}

/// Compares the entry that a cursor of a view shows next.
fn expect_next(cursor: &mut dyn Cursor, expected: (&[u8], &[u8])) -> Result<(), Wrong> {
    let entry = cursor.next().map_err(ended("next of a cursor"))?;
    ensure(entry.is_some_and(|entry| (entry.key, entry.value) == expected), || {
        let showed = entry.map_or("the end".to_string(), |entry| shown(entry.key));
        format!("a cursor of a view shows {showed} in place of {}", shown(expected.0))
    })?;
    Ok(())
}

fn take(store: &Store) -> Result<(View, Model), String> {
    Ok((store.engine().view().map_err(failed("read_view"))?, store.model.clone()))
}

fn a_view_stays_as_it_was(trial: &Trial) -> Verdict {
    let mut store = trial.open()?;
    let (empty, nothing) = take(&store)?;
    let edits: Vec<_> = (0..500).map(|n| Edit::put(format!("{n:04}"), vec![n as u8; n % 700])).collect();
    store.apply(&edits)?;
    let (view, then) = take(&store)?;
    store.apply(&[Edit::put("0001", "changed"), Edit::delete("0002"), Edit::put("new", "1")])?;
    store.apply(&[Edit::delete_range("0100", Some(b"0300"))])?;
    expect_view(&view, &then, &[b"new"])?;
    store.apply(&[Edit::delete_range("", None)])?;
    expect_view(&view, &then, &[b"new"])?;
    expect_view(&empty, &nothing, &[b"0001", b"new"])?;
    store.expect_everything()?;
    Ok(String::new())
}

fn views_of_many_moments(trial: &Trial) -> Verdict {
    let mut dice = Dice::new(trial.seed());
    let mut store = trial.open()?;
    let mut views = Vec::new();
    for round in 0..60_u8 {
        let key = || format!("{:02}", dice.roll(40)).into_bytes();
        let keys: Vec<_> = std::iter::repeat_with(key).take(4).collect();
        store.apply(&[
            Edit::put(&keys[0], [round]),
            Edit::put(&keys[1], vec![round; 400]),
            Edit::delete(&keys[2]),
            Edit::delete_range(&keys[3], Some(&[&keys[3][..], b"\0"].concat())),
        ])?;
        views.push(take(&store)?);
    }
    let count = views.len();
    // Neither in the order in which they were taken nor against it.
    for turn in 0..count {
        let (view, then) = &views[turn * 7 % count];
        expect_view(view, then, &[b"absent"]).map_err(|wrong| format!("{wrong} (seed {})", trial.seed()))?;
    }
    Ok(format!("{count} views"))
}

fn a_cursor_walks_its_view(trial: &Trial) -> Verdict {
    let mut store = trial.open()?;
    let edits: Vec<_> = (0..300).map(|n| Edit::put(format!("{n:04}"), n.to_string())).collect();
    store.apply(&edits)?;
    let (view, then) = take(&store)?;
    for direction in [Direction::Forward, Direction::Reverse] {
        let mut cursor = view.owned_cursor(KeyRange::all(), direction).map_err(failed("cursor"))?;
        for (number, expected) in then.range(KeyRange::all(), direction).into_iter().enumerate() {
            // Right before it, on it and right behind it.
            store.apply(&[
                Edit::put([expected.0, b"!"].concat(), "new"),
                Edit::put(expected.0, "changed"),
                Edit::delete(format!("{:04}", (number * 7) % 300)),
            ])?;
            let entry = cursor.next().map_err(failed("next of a cursor"))?;
            ensure(entry.is_some_and(|entry| (entry.key, entry.value) == expected), || {
                format!("while the map changes a cursor ({direction:?}) misses {}", shown(expected.0))
            })?;
        }
    }
    Ok(String::new())
}

fn a_seek_finds_the_first_key(trial: &Trial) -> Verdict {
    let mut store = trial.open()?;
    let edits: Vec<_> = (0..200).step_by(2).map(|n| Edit::put(format!("{n:04}"), n.to_string())).collect();
    store.apply(&edits)?;
    let (view, then) = take(&store)?;
    let (start, end) = (b"0050", b"0151");
    let range = KeyRange::new(start, end);
    for direction in [Direction::Forward, Direction::Reverse] {
        let mut cursor = view.owned_cursor(range, direction).map_err(failed("cursor"))?;
        for target in (0..200).step_by(7).chain([199, 0, 100, 100]).map(|n| format!("{n:04}")) {
            cursor.seek(target.as_bytes()).map_err(failed("seek"))?;
            let mut inside = then.range(range, direction);
            inside.retain(|(key, _)| match direction {
                Direction::Forward => *key >= target.as_bytes(),
                Direction::Reverse => *key <= target.as_bytes(),
            });
            for expected in [inside.first(), inside.get(1)].into_iter().flatten() {
                let entry = cursor.next().map_err(failed("next of a cursor"))?;
                ensure(entry.is_some_and(|entry| (entry.key, entry.value) == *expected), || {
                    let showed = entry.map_or("the end".to_string(), |entry| shown(entry.key));
                    format!(
                        "after seek {target} ({direction:?}) the cursor shows {showed}, not {}",
                        shown(expected.0)
                    )
                })?;
            }
            if inside.is_empty() {
                let entry = cursor.next().map_err(failed("next of a cursor"))?;
                ensure(entry.is_none(), || format!("after seek {target} ({direction:?}) there is an entry"))?;
            }
        }
    }
    Ok(String::new())
}

fn a_view_held_for_long(trial: &Trial) -> Verdict {
    let mut store = trial.open()?;
    let overwrite = |round: u64| -> Vec<Edit> {
        let value = |key: u8| vec![key.wrapping_add(round as u8); HELD_VALUE_BYTES];
        (0..HELD_KEYS).map(|key| Edit::put([key], value(key))).collect()
    };
    store.apply(&overwrite(0))?;
    let (view, then) = take(&store)?;
    let mut cursor = view.owned_cursor(KeyRange::all(), Direction::Forward).map_err(failed("cursor"))?;
    let mut expected = then.range(KeyRange::all(), Direction::Forward).into_iter();
    let before = memory_bytes()?;
    let (mut round, mut more, mut peak, mut peaked_in) = (0, 0, 0, 0);
    // What grows is followed to its end, whatever the time.
    let is_growing = |more, round, peaked_in| more > GROWTH_BYTES && round - peaked_in < STEADY_ROUNDS;
    while round < OVERWRITES_LEAST || !trial.time_left().is_zero() || is_growing(more, round, peaked_in) {
        round += 1;
        store.apply(&overwrite(round))?;
        let next = expected.next().map_or(Ok(()), |expected| expect_next(&mut cursor, expected));
        let looks = [next, compare_view(&view, &then, &[b"absent"])];
        let has_ended = matches!(looks[1], Err(Wrong::TooOld));
        for look in looks {
            if let Err(Wrong::Otherwise(message)) = look {
                Err(format!("after {round} overwrites of everything {message}"))?;
            }
        }
        if has_ended {
            break;
        }
        more = memory_bytes()?.saturating_sub(before);
        if more > peak {
            (peak, peaked_in) = (more + more / 64, round);
        }
        ensure(more <= HELD_MEMORY_MAX, || {
            let (held, more) = ((then.0.len() * HELD_VALUE_BYTES) >> 20, more >> 20);
            format!(
                "a view of {held} MiB that is held costs {more} MiB after {round} overwrites, and has not ended"
            )
        })?;
    }
    // Whatever became of the view, the store is as it should be.
    store.expect_everything()?;
    Ok(format!("{round} overwrites of everything"))
}

/// How much memory of its own this process has in use, in bytes.
fn memory_bytes() -> Result<u64, String> {
    let status = std::fs::read_to_string("/proc/self/status");
    let status = status.map_err(|error| format!("/proc/self/status cannot be read: {error}"))?;
    let number = |line: &str| line.strip_prefix("RssAnon:")?.split_whitespace().next()?.parse::<u64>().ok();
    status.lines().find_map(number).map(|kib| kib << 10).ok_or("/proc/self/status lacks RssAnon".to_string())
}
