//! Entries in order, from either end, between any bounds.

use std::ops::ControlFlow;

use adapter_api::{Direction, Entry, KeyRange, StorageEngine};
use crash::workload::Dice;

use crate::badge::Badge::ViewsAndScans;
use crate::case::Case;
use crate::model::Edit;
use crate::outcome::{Verdict, ensure, failed};
use crate::store::Store;
use crate::trial::Trial;

pub const CASES: &[Case] = &[
    Case::new(ViewsAndScans, "a_scan_shows_every_key_once_and_in_order", a_scan_shows_every_key_once)
        .for_every_engine(),
    Case::new(ViewsAndScans, "keys_are_ordered_as_unsigned_bytes", keys_are_ordered_as_bytes)
        .for_every_engine(),
    Case::new(ViewsAndScans, "bounds_of_scans_are_half_open_in_both_directions", bounds_are_half_open)
        .for_every_engine(),
    Case::new(ViewsAndScans, "a_scan_stops_when_its_visitor_does", a_scan_stops).for_every_engine(),
];

fn a_scan_shows_every_key_once(trial: &Trial) -> Verdict {
    let mut store = trial.open()?;
    store.expect_everything()?;
    let edits: Vec<_> =
        (0..5_000).map(|n| Edit::put(format!("{:05}", n * 7_919 % 5_000), vec![b'v'; n % 300])).collect();
    store.apply(&edits)?;
    store.expect_everything()?;
    let gaps: Vec<_> = (0..5_000).step_by(2).map(|n| Edit::delete(format!("{n:05}"))).collect();
    store.apply(&gaps)?;
    store.apply(&[Edit::delete_range("01000", Some(b"03000"))])?;
    store.expect_everything()?;
    Ok(String::new())
}

fn keys_are_ordered_as_bytes(trial: &Trial) -> Verdict {
    let mut store = trial.open()?;
    let mut edits: Vec<_> = (0..=255_u8)
        .flat_map(|byte| [vec![byte], vec![byte, 0], vec![byte, 0xff], vec![b'm', byte]])
        .collect();
    edits.extend((1..300).map(|len| vec![b'p'; len]));
    store.apply(&edits.into_iter().map(|key| Edit::put(key, "")).collect::<Vec<_>>())?;
    store.expect_everything()?;
    Ok(format!("{} keys", store.model.0.len()))
}

/// Keys that are close to each other.
fn key(dice: &mut Dice) -> Vec<u8> {
    let mut key = vec![b'a' + dice.roll(3) as u8; 1 + dice.roll(3) as usize];
    key.push([0, 1, b'a', 0x7f, 0x80, 0xff][dice.roll(6) as usize]);
    key
}

fn bounds_are_half_open(trial: &Trial) -> Verdict {
    const RANGES: u32 = 2_000;
    let mut dice = Dice::new(trial.seed());
    let mut store = trial.open()?;
    let edits: Vec<_> = (0..60).map(|n| Edit::put(key(&mut dice), vec![n; 5])).collect();
    store.apply(&edits)?;
    for round in 0..RANGES {
        let (start, end) = (key(&mut dice), key(&mut dice));
        let range = match round % 8 {
            0 => KeyRange::from_start(&start),
            1 => KeyRange::with_end(&[], Some(&end)),
            2 => KeyRange::new(&start, &start),
            _ => KeyRange::new(&start, &end),
        };
        let both = [Direction::Forward, Direction::Reverse];
        both.into_iter().try_for_each(|direction| scan(&store, range, direction, trial.seed()))?;
    }
    Ok(format!("{RANGES} ranges"))
}

fn scan(store: &Store, range: KeyRange<'_>, direction: Direction, seed: u64) -> Result<(), String> {
    store.expect_scan(range, direction).map_err(|wrong| {
        let end = range.end().map_or("no end".to_string(), |end| end.escape_ascii().to_string());
        format!("{wrong}, in the range from {} to {end} (seed {seed})", range.start().escape_ascii())
    })
}

fn a_scan_stops(trial: &Trial) -> Verdict {
    let mut store = trial.open()?;
    store.apply(&(0..2_000).map(|n| Edit::put(format!("{n:05}"), "v")).collect::<Vec<_>>())?;
    for (direction, wanted) in [(Direction::Forward, "00002"), (Direction::Reverse, "01997")] {
        let mut seen = Vec::new();
        let mut visit = |entry: Entry<'_>| {
            seen.push(entry.key.to_vec());
            if seen.len() == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        store.engine().scan(KeyRange::all(), direction, &mut visit).map_err(failed("scan"))?;
        ensure(seen.len() == 3 && seen[2] == wanted.as_bytes(), || {
            format!("a scan ({direction:?}) whose visitor stops at the third entry visits {}", seen.len())
        })?;
    }
    Ok(String::new())
}
