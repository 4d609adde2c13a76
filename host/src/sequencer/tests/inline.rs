//! Which writes are decided on the thread that submits them, and that no other waits for ever behind them.

use std::thread::{Scope, ScopedJoinHandle};

use super::*;

impl Bench {
    /// Believes that groups are short.
    fn quick(self) -> Self {
        (0..100).for_each(|_| self.sequencer.shared.pace.took(Duration::ZERO));
        self
    }

    /// Returns once the commit thread waits for work.
    fn settle(&self) {
        while !self.sequencer.shared.queue.is_at_rest() {
            thread::yield_now();
        }
    }

    /// Submits these, each of one byte and by itself, inline if that is possible: whether it was, and the answers.
    fn inline(&self, runs: Vec<Vec<Op>>) -> (bool, Vec<Receiver<Vec<String>>>) {
        let (mut submissions, answers) = runs.into_iter().map(|ops| Script::boxed(ops, 1)).unzip();
        (self.sequencer.submit_all_inline(&mut submissions), answers)
    }

    fn inline_beside<'s>(&'s self, scope: &'s Scope<'s, '_>, ops: Vec<Op>) -> ScopedJoinHandle<'s, bool> {
        scope.spawn(move || {
            let (is_inline, answers) = self.inline(vec![ops]);
            assert_eq!(answers[0].recv().unwrap(), ["ok"]);
            is_inline
        })
    }
}

#[test]
fn a_few_lone_writes_are_decided_before_they_have_been_submitted() {
    let bench = Bench::running(Limits::default()).quick();
    let applied_by = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&applied_by);
    bench.engine.script(move |_| {
        seen.lock().unwrap().push(thread::current().id());
        Ok(())
    });
    bench.settle();
    let (is_inline, answers) = bench.inline((0..50).map(|_| vec![put(b"a", "1")]).collect());
    assert!(is_inline);
    assert!(answers.iter().all(|answers| answers.try_recv().unwrap() == ["ok"]));
    assert_eq!(*applied_by.lock().unwrap(), [thread::current().id()], "one group");
    assert!(!bench.inline(Vec::new()).0, "there is nothing to decide");
}

#[test]
fn what_may_take_long_is_handed_over() {
    let bench = Bench::running(Limits::default()).quick();
    let is_inline = |runs: Vec<Vec<Op>>| {
        bench.settle();
        let (is_inline, answers) = bench.inline(runs);
        answers.iter().for_each(|answers| drop(answers.recv_timeout(PATIENCE).unwrap()));
        is_inline
    };
    let lone = vec![put(b"a", "1")];
    assert!(is_inline(vec![lone.clone()]));
    assert!(!is_inline(vec![lone.clone(), vec![Op::Increment(b"n")]]), "a read may wait for a device");
    assert!(!is_inline(vec![vec![put(b"a", "1"), put(b"b", "1")]]), "a pipeline goes on");
    for (bytes, expected) in [(64 << 10, true), ((64 << 10) + 1, false)] {
        bench.settle();
        let (submission, answers) = Script::boxed(lone.clone(), bytes);
        assert_eq!(bench.sequencer.submit_all_inline(&mut vec![submission]), expected, "{bytes} bytes");
        assert_eq!(answers.recv_timeout(PATIENCE).unwrap(), ["ok"]);
    }
    // One slow group is an accident, several are a slow disk.
    bench.sequencer.shared.pace.took(Duration::from_millis(5));
    assert!(is_inline(vec![lone.clone()]));
    (0..8).for_each(|_| bench.sequencer.shared.pace.took(Duration::from_millis(5)));
    assert!(!is_inline(vec![lone.clone()]));
    assert!(!Bench::running(Limits::default()).inline(vec![lone]).0, "nothing is known of the disk at first");
}

#[test]
fn nothing_is_decided_inline_while_a_group_is_under_way() {
    let bench = Bench::running(Limits::default()).quick();
    let (begun, go_on) = bench.engine.gate();
    let first = bench.submit(vec![put(b"a", "1")]);
    begun.recv().unwrap();
    let (is_inline, answers) = bench.inline(vec![vec![put(b"a", "2")]]);
    assert!(!is_inline && answers[0].try_recv().is_err());
    go_on.send(()).unwrap();
    assert_eq!((first.recv().unwrap(), answers[0].recv().unwrap()), (vec!["ok".into()], vec!["ok".into()]));
    assert_eq!(bench.stored(b"a"), Some(b"2".to_vec()));
}

#[test]
fn what_others_submit_beside_an_inline_group_is_decided_behind_it() {
    let bench = Bench::running(Limits::default()).quick();
    bench.settle();
    let (begun, go_on) = bench.engine.gate();
    thread::scope(|scope| {
        let inline = bench.inline_beside(scope, vec![put(b"a", "1")]);
        begun.recv().unwrap();
        let handed_over = bench.submit(vec![put(b"a", "2")]);
        let other_loop = bench.inline_beside(scope, vec![put(b"b", "1")]);
        assert_eq!(handed_over.try_recv().ok(), None);
        go_on.send(()).unwrap();
        assert_eq!(handed_over.recv_timeout(PATIENCE).unwrap(), ["ok"]);
        assert!(inline.join().unwrap());
        other_loop.join().unwrap();
    });
    assert_eq!(bench.stored(b"a"), Some(b"2".to_vec()));
}

#[test]
fn what_a_group_has_no_room_for_is_handed_over_behind_it() {
    let bench = Bench::running(Limits { group_requests: 4, ..Limits::default() }).quick();
    bench.settle();
    let (is_inline, answers) = bench.inline((0..9).map(|_| vec![put(b"a", "1")]).collect());
    assert!(is_inline);
    answers.iter().for_each(|answers| assert_eq!(answers.recv_timeout(PATIENCE).unwrap(), ["ok"]));
    assert_eq!(bench.sequencer.groups(), 3);
}

#[test]
fn after_a_shutdown_nothing_is_decided_inline() {
    let bench = Bench::running(Limits::default()).quick();
    bench.settle();
    assert!(bench.sequencer.shutdown());
    let (is_inline, answers) = bench.inline(vec![vec![put(b"a", "1")]]);
    assert!(!is_inline);
    assert_eq!(answers[0].try_recv().unwrap(), ["rejected"]);
}
