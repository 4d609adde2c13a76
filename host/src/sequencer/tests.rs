//! The sequencer over a scripted engine, mostly without its thread: each test says when a group is taken.

mod cold;

use std::iter::once;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use adapter_api::{Batch, Buffer, KeyRange, Mutation};

use super::*;
use crate::storage::test_engine::{State, TestClock, TestDisk, TestEngine, opened, opened_at};

/// Far longer than anything takes; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// One request of a `Script`.
#[derive(Clone)]
enum Op {
    Put(&'static [u8], Vec<u8>),
    Delete(&'static [u8]),
    DeleteAll,
    /// Adds one to a number and answers it.
    Increment(&'static [u8]),
    Get(&'static [u8]),
    Length(&'static [u8]),
    /// Writes a key and then fails.
    WriteAndFail(&'static [u8]),
    WriteAndPanic(&'static [u8]),
    Now,
    /// Answers so many bytes without reading any.
    Say(usize),
}

fn put(key: &'static [u8], value: &str) -> Op {
    Op::Put(key, value.as_bytes().to_vec())
}

/// A submission that answers with texts, one a request.
struct Script {
    ops: Vec<Op>,
    bytes: usize,
    answers: Vec<String>,
    done: Sender<Vec<String>>,
}

impl Script {
    fn answer(op: &Op, overlay: &mut Overlay<'_>) -> String {
        let mut value = Buffer::new();
        match op {
            Op::Put(key, value) => overlay.put(key, once(&value[..])).map(|()| "ok".to_string()).unwrap(),
            Op::Delete(key) => overlay.delete(key).map(|()| "ok".to_string()).unwrap(),
            Op::DeleteAll => overlay.delete_range(KeyRange::all()).map(|()| "ok".to_string()).unwrap(),
            Op::Increment(key) => {
                let there = overlay.get(key, &mut value).unwrap();
                let number = if there { std::str::from_utf8(&value).unwrap().parse().unwrap() } else { 0 };
                let next = (number + 1_u64).to_string();
                overlay.put(key, once(next.as_bytes())).unwrap();
                next
            }
            Op::Get(key) => match overlay.get(key, &mut value).unwrap() {
                true => String::from_utf8_lossy(&value).into_owned(),
                false => "none".to_string(),
            },
            Op::Length(key) => {
                overlay.get(key, &mut value).unwrap();
                value.len().to_string()
            }
            Op::WriteAndFail(key) => {
                overlay.put(key, once(&b"half"[..])).unwrap();
                overlay.undo();
                "failed".to_string()
            }
            Op::WriteAndPanic(key) => {
                overlay.put(key, once(&b"half"[..])).unwrap();
                panic!("planted");
            }
            Op::Say(bytes) => "x".repeat(*bytes),
            Op::Now => overlay.now().as_millis().to_string(),
        }
    }
}

impl Submission for Script {
    fn requests(&self) -> usize {
        self.ops.len()
    }
    fn bytes(&self) -> usize {
        self.bytes
    }
    fn reads(&self, visit: &mut dyn FnMut(&[u8])) {
        for op in &self.ops {
            if let Op::Get(key) | Op::Increment(key) = op {
                visit(key);
            }
        }
    }
    fn evaluate(&mut self, request: usize, overlay: &mut Overlay<'_>) {
        assert_eq!(self.answers.len(), request, "requests are evaluated in order");
        let op = self.ops[request].clone();
        self.answers.push("unfinished".to_string());
        self.answers[request] = Self::answer(&op, overlay);
    }
    fn discard(&mut self, request: usize) {
        self.answers.truncate(request);
    }
    fn refuse(&mut self, request: usize, error: &EngineError) {
        assert_eq!(self.answers.len(), request, "a refused request was discarded before");
        let kind = match error {
            EngineError::Rejected { .. } => "rejected",
            EngineError::Full { .. } => "full",
            EngineError::Failed { .. } => "unknown",
            _ => "other",
        };
        self.answers.push(kind.to_string());
    }
    fn answer_bytes(&self) -> usize {
        self.answers.iter().map(String::len).sum()
    }
    fn complete(self: Box<Self>) {
        self.done.send(self.answers).unwrap();
    }
}

struct Bench {
    sequencer: Sequencer,
    engine: Arc<State>,
}

impl Bench {
    fn new(engine: TestEngine, limits: Limits) -> Self {
        let state = engine.state();
        let storage = Arc::new(opened(engine));
        Self { sequencer: Sequencer::without_thread(storage, limits).unwrap(), engine: state }
    }

    fn small() -> Self {
        Self::new(TestEngine::new(), Limits::default())
    }

    fn submit(&self, ops: Vec<Op>) -> Receiver<Vec<String>> {
        self.submit_sized(ops, 1)
    }

    fn submit_sized(&self, ops: Vec<Op>, bytes: usize) -> Receiver<Vec<String>> {
        let (done, answers) = channel();
        self.sequencer.submit(Box::new(Script { ops, bytes, answers: Vec::new(), done }));
        answers
    }

    fn run_all(&self) {
        while self.sequencer.shared.run_once() {}
    }

    fn stored(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.engine.map().get(key).cloned()
    }
}

/// How many mutations of a batch are on keys outside the host's own space.
fn user_mutations(batch: Batch<'_>) -> usize {
    batch.iter().filter(|mutation| !matches!(mutation, Mutation::Put { key: [0, ..], .. })).count()
}

fn puts(batch: Batch<'_>, wanted: &[u8]) -> bool {
    batch.iter().any(|mutation| matches!(mutation, Mutation::Put { key, .. } if key == wanted))
}

#[test]
fn requests_that_queue_are_one_batch() {
    let bench = Bench::small();
    let sizes = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&sizes);
    bench.engine.script(move |batch| {
        seen.lock().unwrap().push(user_mutations(batch));
        Ok(())
    });
    let answers: Vec<_> = (0..10).map(|_| bench.submit(vec![Op::Increment(b"n")])).collect();
    bench.run_all();
    let numbers: Vec<_> = answers.iter().map(|answer| answer.recv().unwrap().remove(0)).collect();
    assert_eq!(numbers, (1..=10).map(|n| n.to_string()).collect::<Vec<_>>());
    assert_eq!(*sizes.lock().unwrap(), [10]);
    assert_eq!(bench.stored(b"n"), Some(b"10".to_vec()));
}

#[test]
fn a_group_forms_while_an_apply_runs() {
    let engine = TestEngine::new();
    let state = engine.state();
    let sequencer = Sequencer::start(Arc::new(opened(engine)), Limits::default()).unwrap();
    let bench = Bench { sequencer, engine: state };
    let (begun, go_on) = bench.engine.gate();
    let first = bench.submit(vec![put(b"a", "1")]);
    begun.recv().unwrap();
    let later: Vec<_> = (0..5).map(|_| bench.submit(vec![Op::Increment(b"n")])).collect();
    assert!(first.try_recv().is_err(), "nobody is answered before the apply returns");
    go_on.send(()).unwrap();
    assert_eq!(first.recv().unwrap(), ["ok"]);
    later.iter().for_each(|answers| drop(answers.recv().unwrap()));
    assert_eq!(bench.sequencer.groups(), 2);
    assert_eq!(bench.engine.applied().len(), 2);
}

#[test]
fn reads_in_a_group_see_what_was_written_before_them_and_nothing_later() {
    let bench = Bench::small();
    let before = bench.submit(vec![Op::Get(b"k"), put(b"k", "1"), Op::Get(b"k")]);
    let after = bench.submit(vec![Op::Get(b"k"), Op::DeleteAll, Op::Get(b"k"), put(b"k", "2")]);
    bench.run_all();
    assert_eq!(before.recv().unwrap(), ["none", "ok", "1"]);
    assert_eq!(after.recv().unwrap(), ["1", "ok", "none", "ok"]);
    assert_eq!(bench.stored(b"k"), Some(b"2".to_vec()));
}

#[test]
fn keys_that_will_be_read_are_fetched_together() {
    let bench = Bench::small();
    let seeded = bench.submit(vec![put(b"a", "1"), put(b"b", "2")]);
    bench.run_all();
    seeded.recv().unwrap();
    let answers = bench.submit(vec![Op::Get(b"a"), Op::Get(b"b"), Op::Get(b"a"), Op::Get(b"c")]);
    bench.run_all();
    assert_eq!(answers.recv().unwrap(), ["1", "2", "1", "none"]);
    assert_eq!(*bench.engine.read_together.lock().unwrap(), [3]);
}

#[test]
fn a_group_without_writes_is_not_applied() {
    let bench = Bench::small();
    let answers = bench.submit(vec![Op::Get(b"k")]);
    bench.run_all();
    assert_eq!(answers.recv().unwrap(), ["none"]);
    assert!(bench.engine.applied().is_empty());
}

#[test]
fn a_request_that_fails_half_way_leaves_no_write_behind() {
    let bench = Bench::small();
    let answers =
        bench.submit(vec![put(b"a", "1"), Op::WriteAndFail(b"a"), Op::Get(b"a"), Op::WriteAndFail(b"b")]);
    bench.run_all();
    assert_eq!(answers.recv().unwrap(), ["ok", "failed", "1", "failed"]);
    assert_eq!((bench.stored(b"a"), bench.stored(b"b")), (Some(b"1".to_vec()), None));
}

#[test]
fn a_request_that_panics_fails_alone() {
    let bench = Bench::small();
    let other = bench.submit(vec![put(b"a", "1")]);
    let answers = bench.submit(vec![put(b"b", "1"), Op::WriteAndPanic(b"c"), Op::Increment(b"b")]);
    bench.run_all();
    assert_eq!(other.recv().unwrap(), ["ok"]);
    assert_eq!(answers.recv().unwrap(), ["ok", "rejected", "2"]);
    assert_eq!((bench.stored(b"a"), bench.stored(b"c")), (Some(b"1".to_vec()), None));
    let next = bench.submit(vec![Op::Get(b"b")]);
    bench.run_all();
    assert_eq!(next.recv().unwrap(), ["2"]);
}

#[test]
fn a_rejected_write_fails_alone() {
    let bench = Bench::small();
    bench.engine.script(|batch| match puts(batch, b"bad") {
        true => Err(EngineError::rejected("planted")),
        false => Ok(()),
    });
    let before = bench.submit(vec![Op::Increment(b"n"), Op::Increment(b"n")]);
    let bad = bench.submit(vec![Op::Increment(b"n"), put(b"bad", "x"), Op::Get(b"bad"), Op::Increment(b"n")]);
    let after = bench.submit(vec![Op::Increment(b"n")]);
    bench.run_all();
    assert_eq!(before.recv().unwrap(), ["1", "2"]);
    assert_eq!(bad.recv().unwrap(), ["3", "rejected", "none", "4"]);
    assert_eq!(after.recv().unwrap(), ["5"]);
    assert_eq!(bench.stored(b"n"), Some(b"5".to_vec()));
}

#[test]
fn a_write_larger_than_the_engine_takes_fails_alone_and_groups_are_cut_below_it() {
    let bench = Bench::new(TestEngine::new().batches_up_to(300), Limits::default());
    let large = "x".repeat(400);
    let half = "y".repeat(200);
    let answers = bench.submit(vec![
        put(b"a", &half),
        put(b"b", &half),
        Op::Get(b"a"),
        put(b"c", &large),
        Op::Get(b"c"),
        put(b"d", &half),
        Op::Get(b"d"),
    ]);
    let other = bench.submit(vec![put(b"e", &half), Op::Delete(b"a")]);
    bench.run_all();
    let half_shown = half.as_str();
    assert_eq!(bench.engine.applied(), [2, 1, 1, 2], "the first with a mark of the clock");
    assert_eq!(answers.recv().unwrap(), ["ok", "ok", half_shown, "rejected", "none", "ok", half_shown]);
    assert_eq!(other.recv().unwrap(), ["ok", "ok"]);
    for (key, there) in [(b"a", false), (b"b", true), (b"c", false), (b"d", true), (b"e", true)] {
        assert_eq!(bench.stored(key).is_some(), there, "{}", key.escape_ascii());
    }
}

#[test]
fn on_a_full_disk_deletes_pass_and_nothing_rides_on_them() {
    let bench = Bench::small();
    // Behind the sequencer's back, so that a mark of the clock is due with the next write.
    bench.engine.map().insert(b"old".to_vec(), b"1".to_vec());
    bench.engine.script(|batch| {
        let grows = batch.iter().any(|mutation| matches!(mutation, Mutation::Put { .. }));
        if grows { Err(EngineError::full("planted")) } else { Ok(()) }
    });
    let answers = bench.submit(vec![put(b"new", "1"), Op::Delete(b"old"), Op::Get(b"old"), Op::Get(b"new")]);
    let lone = bench.submit(vec![Op::Delete(b"old")]);
    bench.run_all();
    assert_eq!(answers.recv().unwrap(), ["full", "ok", "none", "none"]);
    assert_eq!(lone.recv().unwrap(), ["ok"]);
    assert_eq!((bench.stored(b"old"), bench.stored(b"new")), (None, None));
}

#[test]
fn below_the_disk_reserve_only_what_puts_is_refused_and_all_resumes_by_itself() {
    let (disk, clock) = (Arc::new(TestDisk::default()), Arc::new(TestClock::default()));
    let bench = |engine: TestEngine| {
        let engine_state = engine.state();
        let storage = opened_at(engine, Arc::clone(&clock) as _);
        let storage = storage.with_disk_reserve(Arc::clone(&disk) as _, 1000);
        let sequencer = Sequencer::without_thread(Arc::new(storage), Limits::default()).unwrap();
        Bench { sequencer, engine: engine_state }
    };
    let durable = bench(TestEngine::new().durable());
    let run = |bench: &Bench, ops: &[Op]| {
        let answers = bench.submit(ops.to_vec());
        bench.run_all();
        answers.recv().unwrap()
    };
    disk.free.store(1000, SeqCst);
    assert_eq!(run(&durable, &[put(b"a", "1"), put(b"b", "1")]), ["ok", "ok"]);
    disk.free.store(999, SeqCst);
    assert_eq!(run(&durable, &[put(b"a", "2")]), ["ok"], "the answer of just before counts");
    assert_eq!(disk.asked.load(SeqCst), 1);
    // A mark of the clock is due here, and must not keep the deletes from passing.
    clock.set(5000);
    let mixed = [put(b"c", "1"), Op::Get(b"a"), Op::Delete(b"a"), Op::Increment(b"n"), Op::Get(b"a")];
    assert_eq!(run(&durable, &mixed), ["full", "2", "ok", "full", "none"]);
    assert_eq!(disk.asked.load(SeqCst), 2);
    assert_eq!(run(&durable, &[Op::DeleteAll, Op::Get(b"b")]), ["ok", "none"]);
    assert_eq!(run(&durable, &[put(b"c", "1")]), ["full"]);
    disk.free.store(1000, SeqCst);
    clock.set(5100);
    assert_eq!(run(&durable, &[put(b"c", "1"), Op::Get(b"c")]), ["ok", "1"]);

    disk.free.store(0, SeqCst);
    assert_eq!(run(&bench(TestEngine::new()), &[put(b"a", "1")]), ["ok"], "it takes no room on the disk");
}

#[test]
fn after_an_unknown_outcome_writes_are_refused_and_reads_answered() {
    let bench = Bench::small();
    let seeded = bench.submit(vec![put(b"k", "1")]);
    bench.run_all();
    seeded.recv().unwrap();
    bench.engine.script(|_| Err(EngineError::failed("planted")));
    let failed = bench.submit(vec![put(b"k", "2"), Op::Get(b"k")]);
    let same_group = bench.submit(vec![Op::Increment(b"n")]);
    bench.run_all();
    assert_eq!(failed.recv().unwrap(), ["unknown", "unknown"]);
    assert_eq!(same_group.recv().unwrap(), ["unknown"]);
    assert!(
        bench.sequencer.shared.storage.write_refusal().is_some_and(|failure| failure.contains("planted"))
    );
    // The engine would take writes again; nobody may try before it is reopened.
    bench.engine.script(|_| Ok(()));
    let later = bench.submit(vec![Op::Get(b"k"), put(b"k", "3"), Op::Get(b"k"), Op::Increment(b"k")]);
    bench.run_all();
    assert_eq!(later.recv().unwrap(), ["1", "rejected", "1", "rejected"]);
    assert_eq!(bench.stored(b"k"), Some(b"1".to_vec()));
}

#[test]
fn groups_are_bounded_in_bytes_and_requests_and_an_oversized_one_goes_alone() {
    let limits = Limits { queued_bytes: 1000, group_bytes: 100, group_requests: 4 };
    let bench = Bench::new(TestEngine::new(), limits);
    let groups = |sizes: &[(usize, usize)]| {
        let before = bench.sequencer.groups();
        for (bytes, requests) in sizes {
            drop(bench.submit_sized(vec![Op::Get(b"k"); *requests], *bytes));
        }
        let answered = bench.sequencer.groups();
        while bench.sequencer.shared.run_once() {}
        assert_eq!(answered, before);
        bench.sequencer.groups() - before
    };
    // The answers of dropped receivers cannot be sent; that must not stop the groups behind them.
    assert_eq!(groups(&[(50, 1), (50, 1), (1, 1)]), 2);
    assert_eq!(groups(&[(1, 2), (1, 2), (1, 1)]), 2);
    assert_eq!(groups(&[(1, 1), (500, 1), (1, 1)]), 3);
    assert_eq!(groups(&[(1, 9), (1, 1)]), 2);
}

#[test]
fn a_batch_ends_when_its_requests_have_written_read_or_answered_much() {
    const MIB: usize = 1 << 20;
    let limits = Limits { group_bytes: 2 * MIB, ..Limits::default() };
    let bench = Bench::new(TestEngine::new(), limits);
    let mib = "x".repeat(MIB);
    let run = |ops: Vec<Op>| {
        let before = bench.engine.applied().len();
        let (count, answers) = (ops.len(), bench.submit(ops));
        bench.run_all();
        assert_eq!(answers.recv().unwrap().len(), count);
        bench.engine.applied()[before..].to_vec()
    };
    assert_eq!(run(vec![put(b"big", &mib), put(b"a", "")]), [3], "the first with a mark of the clock");
    assert_eq!(run(vec![put(b"a", &mib), put(b"b", &mib), put(b"c", &mib), put(b"d", "")]), [2, 2]);
    let around = |op: Op| [vec![put(b"a", "")], vec![op; 6], vec![put(b"b", "")]].concat();
    assert_eq!(run(around(Op::Length(b"big"))), [1, 1]);
    assert_eq!(run(around(Op::Say(MIB))), [1, 1]);
    assert_eq!(run(around(Op::Say(1))), [2]);
}

#[test]
fn values_that_are_fetched_together_are_bounded() {
    let bench = Bench::small();
    let value = "x".repeat(3 << 20);
    let seeded = bench.submit(vec![put(b"a", &value), put(b"b", &value), put(b"c", &value)]);
    bench.run_all();
    seeded.recv().unwrap();
    let answers = bench.submit(vec![Op::Get(b"a"), Op::Get(b"b"), Op::Get(b"c"), Op::Get(b"d")]);
    bench.run_all();
    assert!(answers.recv().unwrap() == [&*value, &*value, &*value, "none"]);
    let held = bench.engine.held_max.load(SeqCst);
    assert!((3 << 20..=4 << 20).contains(&held), "{held} bytes at once");
}

#[test]
fn completions_are_announced_once_and_only_if_there_are_any() {
    let bench = Bench::small();
    bench.engine.script(|_| Err(EngineError::failed("planted")));
    let announced = Arc::new(AtomicUsize::new(0));
    let heard = Arc::clone(&announced);
    bench.sequencer.on_completions(move || {
        heard.fetch_add(1, SeqCst);
    });
    drop(bench.submit(vec![put(b"k", "1"), put(b"k", "2")]));
    bench.run_all();
    assert_eq!(announced.swap(0, SeqCst), 1);
    // From here on every request goes on its own.
    let answers = bench.submit(vec![Op::Get(b"k"); 9]);
    bench.run_all();
    assert_eq!(answers.recv().unwrap().len(), 9);
    assert_eq!(announced.load(SeqCst), 1);
}

/// Tells, when it is completed, whether the queue has room.
struct RoomProbe {
    shared: Arc<Shared>,
    heard: Sender<bool>,
}

impl Submission for RoomProbe {
    fn requests(&self) -> usize {
        1
    }
    fn bytes(&self) -> usize {
        60
    }
    fn evaluate(&mut self, _: usize, _: &mut Overlay<'_>) {}
    fn discard(&mut self, _: usize) {}
    fn refuse(&mut self, _: usize, _: &EngineError) {}
    fn complete(self: Box<Self>) {
        self.heard.send(self.shared.queue.has_room()).unwrap();
    }
}

#[test]
fn there_is_room_again_when_the_first_answer_is_heard() {
    let bench = Bench::new(TestEngine::new(), Limits { queued_bytes: 100, ..Limits::default() });
    let (heard, room) = channel();
    let probe = || Box::new(RoomProbe { shared: Arc::clone(&bench.sequencer.shared), heard: heard.clone() });
    bench.sequencer.submit(probe());
    assert!(bench.sequencer.has_room());
    bench.sequencer.submit(probe());
    assert!(!bench.sequencer.has_room());
    bench.run_all();
    assert_eq!(room.try_iter().collect::<Vec<_>>(), [true, true]);
}

#[test]
fn shutdown_decides_everything_submitted_and_refuses_what_comes_later() {
    let engine = TestEngine::new();
    let state = engine.state();
    let sequencer = Sequencer::start(Arc::new(opened(engine)), Limits::default()).unwrap();
    let bench = Bench { sequencer, engine: state };
    let (begun, go_on) = bench.engine.gate();
    let answers: Vec<_> = (0..50).map(|_| bench.submit(vec![Op::Increment(b"n")])).collect();
    begun.recv().unwrap();
    go_on.send(()).unwrap();
    assert!(bench.sequencer.shutdown());
    let numbers: Vec<_> = answers.iter().map(|answers| answers.try_recv().unwrap().remove(0)).collect();
    assert_eq!(numbers, (1..=50).map(|n| n.to_string()).collect::<Vec<_>>());
    let late = bench.submit(vec![Op::Increment(b"n")]);
    assert_eq!(late.try_recv().unwrap(), ["rejected"]);
    assert_eq!(bench.stored(b"n"), Some(b"50".to_vec()));
}

/// Panics where no command of ours does.
struct Defect {
    _heard: Sender<()>,
}

impl Submission for Defect {
    fn requests(&self) -> usize {
        1
    }
    fn bytes(&self) -> usize {
        1
    }
    fn reads(&self, _: &mut dyn FnMut(&[u8])) {
        panic!("planted");
    }
    fn evaluate(&mut self, _: usize, _: &mut Overlay<'_>) {}
    fn discard(&mut self, _: usize) {}
    fn refuse(&mut self, _: usize, _: &EngineError) {}
    fn complete(self: Box<Self>) {}
}

#[test]
fn nobody_waits_for_a_commit_thread_that_ended_by_a_defect() {
    let engine = TestEngine::new();
    let state = engine.state();
    let sequencer = Sequencer::start(Arc::new(opened(engine)), Limits::default()).unwrap();
    let bench = Bench { sequencer, engine: state };
    let (failed, hears_failure) = channel();
    bench.sequencer.on_failure(move || failed.send(()).unwrap());
    let (begun, go_on) = bench.engine.gate();
    let first = bench.submit(vec![put(b"a", "1")]);
    begun.recv().unwrap();
    let (heard, hears) = channel();
    bench.sequencer.submit(Box::new(Defect { _heard: heard }));
    let behind = bench.submit_sized(vec![put(b"b", "1")], Limits::default().group_bytes);
    go_on.send(()).unwrap();
    assert_eq!(first.recv().unwrap(), ["ok"]);
    assert_eq!(hears.recv_timeout(PATIENCE), Err(RecvTimeoutError::Disconnected));
    assert_eq!(behind.recv_timeout(PATIENCE), Err(RecvTimeoutError::Disconnected));
    hears_failure.recv_timeout(PATIENCE).unwrap();
    assert!(bench.sequencer.has_room());
    assert_eq!(bench.submit(vec![put(b"c", "1")]).recv().unwrap(), ["rejected"]);
    assert!(!bench.sequencer.shutdown());
}

#[test]
fn the_instant_never_goes_back_not_even_over_a_restart() {
    let clock = Arc::new(TestClock::default());
    let engine = TestEngine::new();
    let state = engine.state();
    let storage = Arc::new(opened_at(engine, Arc::clone(&clock) as _));
    let sequencer = Sequencer::without_thread(Arc::clone(&storage), Limits::default()).unwrap();
    let bench = Bench { sequencer, engine: Arc::clone(&state) };
    let at = |bench: &Bench, millis| {
        clock.set(millis);
        let answers = bench.submit(vec![Op::Now, put(b"k", "v")]);
        bench.run_all();
        answers.recv().unwrap().remove(0)
    };
    assert_eq!(at(&bench, 5_000), "5000");
    assert_eq!(at(&bench, 4_000), "5000");
    assert_eq!(at(&bench, 5_999), "5999");
    assert_eq!(at(&bench, 6_000), "6000");
    // Two writes of each batch where a mark went along: at once, and when a second had passed.
    assert_eq!(state.applied(), [2, 1, 1, 2]);
    let restarted = Sequencer::without_thread(storage, Limits::default()).unwrap();
    let bench = Bench { sequencer: restarted, engine: state };
    assert_eq!(at(&bench, 1_000), "6000");
}
