//! Several mutations at once, and range deletes.

use adapter_api::KeyRange;

use crate::badge::Badge::Semantics;
use crate::case::Case;
use crate::model::Edit;
use crate::outcome::Verdict;
use crate::store::Store;
use crate::trial::Trial;

pub const CASES: &[Case] = &[
    Case::new(Semantics, "the_mutations_of_a_batch_happen_in_order", the_mutations_happen_in_order),
    Case::new(Semantics, "an_empty_batch_changes_nothing", an_empty_batch_changes_nothing),
    Case::new(Semantics, "a_batch_of_many_mutations_is_applied_whole", a_batch_of_many_mutations),
    Case::new(Semantics, "a_range_delete_takes_its_start_and_spares_its_end", a_range_delete_is_half_open),
    Case::new(Semantics, "an_empty_or_inverted_range_deletes_nothing", an_empty_range_deletes_nothing),
    Case::new(Semantics, "a_range_without_end_is_deleted_to_the_last_key", a_range_without_end),
];

fn the_mutations_happen_in_order(trial: &Trial) -> Verdict {
    let mut store = trial.open()?;
    let all = |edits: &[Edit], store: &mut Store| store.apply(edits).and_then(|()| expect(store));
    all(&[Edit::put("a", "1"), Edit::put("a", "2"), Edit::put("b", "1")], &mut store)?;
    all(&[Edit::delete("a"), Edit::put("a", "3"), Edit::delete("b")], &mut store)?;
    all(&[Edit::put("c", "1"), Edit::delete_range("a", Some(b"d")), Edit::put("b", "2")], &mut store)?;
    all(&[Edit::delete_range("", None), Edit::put("d", "1"), Edit::delete("d")], &mut store)?;
    Ok(String::new())
}

/// The few keys of these cases, present or not.
const KEYS: [&str; 12] = ["a", "a\0", "ab", "b", "b\0", "ba", "c", "c\0", "d", "e", "\0", "zz"];

fn expect(store: &Store) -> Result<(), String> {
    KEYS.iter().try_for_each(|key| store.expect_key(key.as_bytes()))
}

fn an_empty_batch_changes_nothing(trial: &Trial) -> Verdict {
    let mut store = trial.open()?;
    store.apply(&[])?;
    store.put("a", "1")?;
    store.apply(&[])?;
    expect(&store)?;
    Ok(String::new())
}

fn a_batch_of_many_mutations(trial: &Trial) -> Verdict {
    const MANY: u32 = 20_000;
    let mut store = trial.open()?;
    // In an order that is not that of the keys.
    let number = |n: u32| n.wrapping_mul(0x9e37_79b1) % MANY;
    let puts: Vec<_> = (0..MANY).map(|n| Edit::put(format!("{:08}", number(n)), n.to_le_bytes())).collect();
    store.apply(&puts)?;
    store.expect_keys()?;
    let deletes: Vec<_> = (0..MANY).step_by(3).map(|n| Edit::delete(format!("{n:08}"))).collect();
    store.apply(&deletes)?;
    store.expect_keys()?;
    (0..MANY).step_by(3).try_for_each(|n| store.expect_key(format!("{n:08}").as_bytes()))?;
    Ok(format!("{MANY} mutations"))
}

fn filled(trial: &Trial) -> Result<Store, String> {
    let mut store = trial.open()?;
    let edits: Vec<_> = KEYS.iter().map(|key| Edit::put(key, *key)).collect();
    store.apply(&edits)?;
    Ok(store)
}

fn a_range_delete_is_half_open(trial: &Trial) -> Verdict {
    let mut store = filled(trial)?;
    for (start, end) in [("a", "b"), ("b\0", "c"), ("bb", "d"), ("x", "y")] {
        store.apply(&[Edit::delete_range(start, Some(end.as_bytes()))])?;
        expect(&store)?;
    }
    // What comes back in the range after it stays.
    store.apply(&[Edit::delete_range("a", Some(b"z")), Edit::put("b", "new")])?;
    expect(&store)?;
    Ok(String::new())
}

fn an_empty_range_deletes_nothing(trial: &Trial) -> Verdict {
    let mut store = filled(trial)?;
    for (start, end) in [("a", "a"), ("c", "a"), ("zz", ""), ("", "")] {
        assert!(KeyRange::new(start.as_bytes(), end.as_bytes()).is_empty());
        store.apply(&[Edit::delete_range(start, Some(end.as_bytes()))])?;
        expect(&store)?;
    }
    Ok(String::new())
}

fn a_range_without_end(trial: &Trial) -> Verdict {
    let mut store = filled(trial)?;
    store.put([0xff; 300], "last")?;
    store.apply(&[Edit::delete_range("c", None)])?;
    expect(&store)?;
    store.expect_key(&[0xff; 300])?;
    store.apply(&[Edit::delete_range("", None)])?;
    expect(&store)?;
    Ok(String::new())
}
