//! Points in time.

use adapter_api::host::View;
use adapter_api::{Buffer, Cursor, Direction, KeyRange, ReadView, Values};
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
];

/// Compares everything that a view shows.
pub fn expect_view(view: &View, model: &Model, absent: &[&[u8]]) -> Result<(), String> {
    let keys: Vec<_> = model.0.keys().map(Vec::as_slice).chain(absent.iter().copied()).collect();
    let mut values = Values::new();
    view.multi_get(&keys, &mut values).map_err(failed("multi_get of a view"))?;
    for (key, value) in keys.iter().zip(values.iter()) {
        let mut buffer = Buffer::new();
        let found = view.get(key, &mut buffer).map_err(failed("get of a view"))?;
        let expected = model.get(key);
        let shows = found.then_some(&buffer[..]);
        ensure(shows == expected && value == expected, || {
            format!("a view shows {} otherwise than it was when the view was taken", shown(key))
        })?;
    }
    for direction in [Direction::Forward, Direction::Reverse] {
        let mut cursor = view.cursor(KeyRange::all(), direction).map_err(failed("cursor of a view"))?;
        for expected in model.range(KeyRange::all(), direction) {
            let entry = cursor.next().map_err(failed("next of a cursor"))?;
            ensure(entry.is_some_and(|entry| (entry.key, entry.value) == expected), || {
                let showed = entry.map_or("the end".to_string(), |entry| shown(entry.key));
                format!("a cursor ({direction:?}) of a view shows {showed} in place of {}", shown(expected.0))
            })?;
        }
        let rest = cursor.next().map_err(failed("next of a cursor"))?;
        ensure(rest.is_none(), || format!("a cursor ({direction:?}) goes on behind the last entry"))?;
    }
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
