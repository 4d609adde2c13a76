//! Groups that read what is not in memory.

use super::*;

/// One request for each of the numbers.
fn numbered(numbers: std::ops::Range<usize>, op: impl Fn(&'static [u8]) -> Op) -> Vec<Op> {
    numbers.map(|number| op(format!("{number:03}").leak().as_bytes())).collect()
}

#[test]
fn keys_that_are_not_in_memory_are_fetched_together_once_one_has_told_how_long_they_are() {
    let bench = Bench::new(TestEngine::cold(), Limits::default());
    let run = |ops: Vec<Op>| {
        bench.engine.waited_for.lock().unwrap().clear();
        let answers = bench.submit(ops);
        bench.run_all();
        (answers.recv().unwrap(), bench.engine.waited_for.lock().unwrap().clone())
    };
    assert_eq!(run(numbered(0..100, |key| put(key, "7"))).1, [0; 0]);
    let (answers, waited_for) = run(numbered(0..101, Op::Increment));
    assert!(answers[..100].iter().all(|answer| answer == "8") && answers[100] == "1", "{answers:?}");
    assert_eq!(waited_for, [1, 64, 36]);

    // Where they are long only as many are read together as the bound has room for.
    let long = "x".repeat(1 << 20);
    run(numbered(0..6, |key| put(key, &long)));
    let (answers, waited_for) = run(numbered(0..6, Op::Get));
    assert!(answers.iter().all(|answer| *answer == long));
    assert_eq!(waited_for, [1, 3, 1, 1]);
}

#[test]
fn what_cannot_be_fetched_together_is_read_alone() {
    let bench = Bench::new(TestEngine::plain(), Limits::default());
    bench.engine.waited_for.lock().unwrap().clear();
    let answers = bench.submit(numbered(0..3, Op::Increment));
    bench.run_all();
    assert_eq!(answers.recv().unwrap(), ["1", "1", "1"]);
    assert_eq!(*bench.engine.waited_for.lock().unwrap(), [1, 1, 1]);
}
