//! One key at a time.

use adapter_api::{Buffer, Capabilities, Resident, StorageEngine, Values};

use crate::badge::Badge::Semantics;
use crate::case::Case;
use crate::model::Edit;
use crate::outcome::{Verdict, ensure, failed, shown};
use crate::trial::Trial;

pub const CASES: &[Case] = &[
    Case::new(Semantics, "a_missing_key_is_absent", a_missing_key_is_absent),
    Case::new(Semantics, "a_put_is_read_back_and_overwritten", a_put_is_read_back_and_overwritten),
    Case::new(
        Semantics,
        "a_delete_takes_a_key_away_and_one_of_a_missing_key_is_no_error",
        a_delete_takes_a_key_away,
    ),
    Case::new(Semantics, "an_empty_value_is_not_an_absent_one", an_empty_value_is_not_an_absent_one),
    Case::new(Semantics, "get_appends_behind_what_the_buffer_holds", get_appends),
    Case::new(Semantics, "get_resident_agrees_with_get", get_resident_agrees_with_get)
        .needs(Capabilities::RESIDENT),
    Case::new(Semantics, "multi_get_answers_in_the_order_of_its_keys", multi_get_answers_in_order)
        .needs(Capabilities::READ_VIEW),
    Case::new(Semantics, "multi_get_resident_agrees_as_far_as_it_goes", multi_get_resident_agrees),
];

fn a_missing_key_is_absent(trial: &Trial) -> Verdict {
    let mut store = trial.open()?;
    store.expect_key(b"missing")?;
    store.put("neighbour", "1")?;
    for key in ["missing", "neighbou", "neighbour\0", "neighbours", "\0", "\u{7f}"] {
        store.expect_key(key.as_bytes())?;
    }
    Ok(String::new())
}

fn a_put_is_read_back_and_overwritten(trial: &Trial) -> Verdict {
    let mut store = trial.open()?;
    for value in ["one", "a longer value than the one before", "", "two"] {
        store.put("key", value)?;
        store.expect_key(b"key")?;
    }
    Ok(String::new())
}

fn a_delete_takes_a_key_away(trial: &Trial) -> Verdict {
    let mut store = trial.open()?;
    store.apply(&[Edit::delete("missing")])?;
    store.put("key", "value")?;
    store.apply(&[Edit::delete("key")])?;
    store.expect_key(b"key")?;
    store.apply(&[Edit::delete("key")])?;
    store.put("key", "again")?;
    store.expect_key(b"key")?;
    Ok(String::new())
}

fn an_empty_value_is_not_an_absent_one(trial: &Trial) -> Verdict {
    let mut store = trial.open()?;
    store.put("empty", "")?;
    store.expect_key(b"empty")?;
    store.expect_key(b"absent")?;
    Ok(String::new())
}

fn get_appends(trial: &Trial) -> Verdict {
    let mut store = trial.open()?;
    store.put("key", "value")?;
    let mut buffer = Buffer::from(&b"before "[..]);
    for (key, expected) in
        [("key", "before value"), ("missing", "before value"), ("key", "before valuevalue")]
    {
        store.engine().get(key.as_bytes(), &mut buffer).map_err(failed("get"))?;
        ensure(buffer.as_slice() == expected.as_bytes(), || {
            format!("after get {key:?} the buffer holds {}, not {expected:?}", shown(&buffer))
        })?;
    }
    Ok(String::new())
}

/// Lengths on both sides of what engines treat in different ways: inline, large, on a page of its own.
const LENGTHS: [usize; 9] = [0, 1, 255, 256, 4_095, 4_096, 5_000, 65_536, 300_000];

fn get_resident_agrees_with_get(trial: &Trial) -> Verdict {
    let mut store = trial.open()?;
    for len in LENGTHS {
        store.put(format!("key {len}"), vec![b'v'; len])?;
    }
    store.apply(&[Edit::delete("key 255")])?;
    let mut hits = 0;
    let keys = LENGTHS.iter().map(|len| format!("key {len}")).chain(["missing".to_string()]);
    for key in keys {
        let mut value = Buffer::new();
        let found =
            store.engine().get_resident(key.as_bytes(), &mut value).map_err(failed("get_resident"))?;
        let expected = store.model.get(key.as_bytes());
        let agrees = match found {
            Resident::Hit => expected == Some(&value[..]),
            Resident::Absent => expected.is_none(),
            Resident::WouldBlock => true,
        };
        hits += u32::from(found != Resident::WouldBlock);
        ensure(agrees, || format!("get_resident answers {found:?} for {key:?}, and get does not"))?;
    }
    Ok(format!("{hits} answered from memory"))
}

fn multi_get_answers_in_order(trial: &Trial) -> Verdict {
    let mut store = trial.open()?;
    let edits: Vec<_> = (0..200).step_by(2).map(|n| Edit::put(format!("{n:04}"), format!("v{n}"))).collect();
    store.apply(&edits)?;
    // Backwards, with absent ones, with one twice; fewer and more than fit a small table.
    for count in [0, 1, 33, 200] {
        let mut keys: Vec<_> = (0..count).rev().map(|n| format!("{n:04}").into_bytes()).collect();
        keys.extend(keys.first().cloned());
        let asked: Vec<_> = keys.iter().map(Vec::as_slice).collect();
        let mut values = Values::new();
        store.engine().multi_get(&asked, &mut values).map_err(failed("multi_get"))?;
        ensure(values.len() == keys.len(), || format!("{} keys, {} answers", keys.len(), values.len()))?;
        for (key, value) in asked.iter().zip(values.iter()) {
            ensure(value == store.model.get(key), || format!("multi_get is wrong on {}", shown(key)))?;
        }
    }
    Ok(String::new())
}

fn multi_get_resident_agrees(trial: &Trial) -> Verdict {
    let mut store = trial.open()?;
    let edits: Vec<_> = (0..40).step_by(2).map(|n| Edit::put(format!("{n:04}"), "v".repeat(n))).collect();
    store.apply(&edits)?;
    let keys: Vec<_> = (0..40).map(|n| format!("{n:04}").into_bytes()).collect();
    let asked: Vec<_> = keys.iter().map(Vec::as_slice).collect();
    let mut answers = 0;
    for bytes_max in [0, 1, 100, usize::MAX] {
        let mut values = Values::new();
        let read = store.engine().multi_get_resident(&asked, bytes_max, &mut values);
        read.map_err(failed("multi_get_resident"))?;
        ensure(values.len() <= keys.len() && values.bytes() <= bytes_max, || {
            format!("{} values of {} bytes, at most {bytes_max} were asked for", values.len(), values.bytes())
        })?;
        for (key, value) in asked.iter().zip(values.iter()) {
            ensure(value == store.model.get(key), || {
                format!("multi_get_resident is wrong on {}", shown(key))
            })?;
        }
        answers = values.len();
    }
    Ok(format!("{answers} of {} answered from memory", keys.len()))
}
