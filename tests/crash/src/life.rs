//! One life of a store: it is opened, does operations, and ends. What it shows is compared all along.
//!
//! Promises: the same disk, clock and operations give the same life, call for call. Only a life that was given
//! a fault may refuse a write; what it showed before stays readable, and a refused write is never seen.

use std::sync::Arc;
use std::time::Duration;

use adapter_api::environment::Clock;
use adapter_api::environment::fault::{Fault, FaultPlan};
use adapter_api::host::{StorageAdapter, View};
use adapter_api::{
    BatchBuilder, Capabilities, Cursor, Durability, EngineError, Entry, KeyRange, StorageEngine,
};

use crate::environment::{Disk, Lie, SimulatedClock, SimulatedLanes};
use crate::findings::Findings;
use crate::oracle::{Bounds, Found, History, Version, check_view, keys_of, read_all};
use crate::power_cut::Crash;
use crate::subject::{Subject, close};
use crate::workload::{Edit, Operation, key, value};

/// How the border names an error behind which there was a panic.
const PANIC: &str = "panic in ";

/// Whether the engine panicked. No failing call and no damage excuses that.
pub fn is_panic(error: &EngineError) -> bool {
    matches!(error, EngineError::Failed { message, .. } if message.starts_with(PANIC))
}

/// How many steps of lanes make up an operation at most: a lane that never rests is a bug too.
const STEPS_MAX: usize = 4_000;

/// A call that fails in a life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LifeFault {
    /// The n-th sync fails and leaves what it should have written marked clean.
    Sync(u64),
    /// The n-th call that changes something fails; all later ones too, if `lasting`.
    Call {
        /// How it fails.
        fault: Fault,
        /// Which one, from 1.
        at: u64,
        /// Whether all later ones fail too.
        lasting: bool,
    },
}

/// A store that is open on a simulated disk.
pub struct Life<'a> {
    subject: &'a Subject,
    disk: Disk,
    clock: Arc<SimulatedClock>,
    lanes: Arc<SimulatedLanes>,
    plan: Option<Arc<FaultPlan>>,
    has_fault: bool,
    engine: Option<StorageAdapter>,
    history: History,
    views: Vec<(View, usize)>,
    /// When the last write of each version was acknowledged, in the class `interval`.
    acknowledged_at: Vec<Duration>,
    /// The counters of the subject as they were last; of none before it was opened.
    counts: Vec<f64>,
    /// A write had an unknown outcome.
    has_failed: bool,
    /// A write was acknowledged although no call changed the disk.
    pub wrote_elsewhere: bool,
    /// What the store did wrong without any crash, where that is not judged. The life ended there.
    pub stray: Option<Complaint>,
}

/// What a life shows that it must not.
pub type Complaint = String;

impl<'a> Life<'a> {
    /// Opens the store. What it shows must be a version that the history admits. Answers the life, or `None` if the
    /// fault that it was given kept it from opening, and a digest of what it showed.
    pub fn begin(
        subject: &'a Subject,
        disk: Disk,
        history: History,
        hours: i32,
        fault: Option<LifeFault>,
    ) -> Result<(Option<Self>, u64), Complaint> {
        let plan = match fault {
            Some(LifeFault::Call { fault, at, lasting: false }) => Some(FaultPlan::once(fault, at)),
            Some(LifeFault::Call { fault, at, lasting: true }) => Some(FaultPlan::from(fault, at)),
            Some(LifeFault::Sync(at)) => {
                disk.fail_sync(at);
                None
            }
            None => None,
        };
        let mut life = Self {
            subject,
            disk,
            clock: Arc::new(SimulatedClock::new(hours)),
            lanes: Arc::default(),
            plan,
            has_fault: fault.is_some(),
            engine: None,
            history: history.with_scope(subject.scope),
            views: Vec::new(),
            acknowledged_at: Vec::new(),
            counts: Vec::new(),
            has_failed: false,
            wrote_elsewhere: false,
            stray: None,
        };
        life.disk.set_history(&life.history);
        Ok(match life.open()? {
            Some(found) => (Some(life), found.digest()),
            None => (None, 0),
        })
    }

    fn open(&mut self) -> Result<Option<Found>, Complaint> {
        self.disk.note_growth(std::iter::empty());
        self.counts.clear();
        let opened = self.subject.open(&self.disk, self.plan.as_ref(), &self.clock, &self.lanes);
        let engine = match opened {
            Ok(engine) => engine,
            Err(error) if self.excuses(&error) => return Ok(None),
            Err(error) => return Err(format!("the store does not open: {error}")),
        };
        let found = read_all(&engine, keys_of(&self.history))?;
        let at = self.history.find(found.digest()).or_else(|| self.history.adopt(&found));
        let Some(at) = at else {
            return Err(self.history.complaint(found.digest(), Some(&found)));
        };
        self.history.cut(at);
        self.engine = Some(engine);
        self.note_growth();
        // What a store has shown must stay.
        self.bind(at, true);
        Ok(Some(found))
    }

    /// What may be found after a crash now.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// The disk of this life.
    pub fn disk(&self) -> &Disk {
        &self.disk
    }

    fn engine(&self) -> Option<&StorageAdapter> {
        self.engine.as_ref()
    }

    fn set_bounds(&mut self, bounds: Bounds) {
        self.history.bounds = bounds;
        self.disk.set_history(&self.history);
    }

    /// Everything up to a version is acknowledged, and durable if `for_good` or if the class says so.
    fn bind(&mut self, version: usize, for_good: bool) {
        let for_good = for_good || self.subject.durability == Durability::Always;
        let for_good = for_good && !self.subject.scope.takes_older();
        let durable = if for_good { version } else { self.history.bounds.durable };
        self.acknowledged_at.resize(version + 1, self.clock.monotonic());
        let Bounds { acknowledged, before, .. } = self.history.bounds;
        let before = if version > acknowledged { acknowledged } else { before.min(version) };
        self.set_bounds(Bounds { durable, acknowledged: version, last: version, before });
    }

    /// Does operations, one after the other.
    pub fn run(&mut self, operations: &[Operation]) -> Result<(), Complaint> {
        let scope = self.subject.scope;
        for operation in operations.iter().filter(|operation| scope.has(operation)) {
            match self.run_next(operation) {
                Err(complaint) if !scope.counts_strays() => {
                    self.stray = Some(complaint);
                    break;
                }
                done => done?,
            }
            if self.engine.is_none() {
                break;
            }
        }
        Ok(())
    }

    /// Whether the failing calls of this life make up for an error: for every one but a panic.
    fn excuses(&self, error: &EngineError) -> bool {
        self.has_fault && !is_panic(error)
    }

    fn run_next(&mut self, operation: &Operation) -> Result<(), Complaint> {
        self.run_one(operation).map_err(|complaint| format!("`{operation}`: {complaint}"))?;
        self.note_growth();
        let mut failures = self.lanes.take_failures().into_iter();
        let unexcused = failures.find(|failure| !self.has_fault || failure.contains(PANIC));
        unexcused.map_or(Ok(()), Err)
    }

    /// Notes down which counters of the engine grew in the last call.
    fn note_growth(&mut self) {
        let counted = &self.subject.counted;
        let Some(engine) = self.engine.as_ref().filter(|_| !counted.is_empty() && self.disk.is_recording())
        else {
            return;
        };
        let metrics = engine.metrics();
        let sum = |name: &str| {
            let some = metrics.iter().filter(|metric| metric.name == name);
            some.map(|metric| metric.value).sum::<f64>()
        };
        let counts: Vec<f64> = counted.iter().map(|name| sum(name)).collect();
        let before = self.counts.iter().copied().chain(std::iter::repeat(0.0));
        let grown = counted.iter().zip(counts.iter().zip(before)).filter(|(_, (now, before))| *now > before);
        self.disk.note_growth(grown.map(|(name, _)| Arc::clone(name)));
        self.counts = counts;
    }

    fn run_one(&mut self, operation: &Operation) -> Result<(), Complaint> {
        match operation {
            Operation::Apply(edits) => self.apply(edits),
            Operation::Ingest { first, count, len, tag } => self.ingest(*first, *count, *len, *tag),
            Operation::View => self.view(),
            Operation::Views => self.check_views(),
            Operation::Read => self.read(),
            Operation::Backup => self.backup(),
            Operation::Compact => self.compact(),
            Operation::Verify => self.verify(),
            Operation::Lane(lane) => self.lane(*lane),
            Operation::Settle => self.settle(),
            Operation::Wait(millis) => {
                self.clock.advance(Duration::from_millis(u64::from(*millis)));
                self.settle()
            }
            Operation::Jump(hours) => {
                self.clock.jump(i32::from(*hours));
                Ok(())
            }
            Operation::Reopen => self.reopen(),
            Operation::Close => self.close(),
        }
    }

    fn apply(&mut self, edits: &[Edit]) -> Result<(), Complaint> {
        let mut batch = BatchBuilder::new();
        for edit in edits {
            let built = match *edit {
                Edit::Put { key: number, len, tag } => batch.put(&key(number), &value(len, tag)),
                Edit::Delete { key: number } => batch.delete(&key(number)),
                Edit::DeleteRange { from, to } => batch.delete_range(KeyRange::new(&key(from), &key(to))),
            };
            built.map_err(|error| error.to_string())?;
        }
        let visible = self.history.visible();
        let first = if self.subject.scope.takes_halves() { 1 } else { edits.len() };
        let steps = (first..=edits.len()).map(|count| visible.with(&edits[..count])).collect();
        self.write(steps, |engine| engine.apply(batch.as_batch()))
    }

    fn ingest(&mut self, first: u16, count: u16, len: u32, tag: u32) -> Result<(), Complaint> {
        if !self.subject.can(Capabilities::INGEST) || count == 0 {
            return Ok(());
        }
        let edits: Vec<_> = (first..first + count).map(|key| Edit::Put { key, len, tag }).collect();
        let version = self.history.visible();
        let mut entries =
            Sorted { keys: (first..first + count).map(key).collect(), value: value(len, tag), at: 0 };
        if version.is_free(first, first + count - 1) {
            let next = version.with(&edits);
            return self.write(vec![next], |engine| engine.ingest(&mut entries));
        }
        match self.engine().map(|engine| engine.ingest(&mut entries)) {
            None | Some(Err(EngineError::Rejected { .. })) => Ok(()),
            Some(Err(error)) if self.excuses(&error) => Ok(()),
            Some(Err(error)) => Err(error.to_string()),
            Some(Ok(())) => Err("an ingest into a range that is not empty was answered OK".to_string()),
        }
    }

    /// A write that makes one more version by some steps, and what its answer means.
    fn write(
        &mut self,
        steps: Vec<Version>,
        write: impl FnOnce(&StorageAdapter) -> Result<(), EngineError>,
    ) -> Result<(), Complaint> {
        let Some(engine) = self.engine.clone() else { return Ok(()) };
        let before = self.history.bounds;
        if !self.has_failed {
            self.history.begin(steps);
            self.disk.set_history(&self.history);
        }
        let changes = self.disk.changes();
        match write(&engine) {
            Ok(()) if self.has_failed => {
                Err("a write was answered OK after one that had an unknown outcome".to_string())
            }
            Ok(()) => {
                self.wrote_elsewhere |= changes == self.disk.changes();
                self.bind(self.history.bounds.last, false);
                Ok(())
            }
            Err(error) if !self.excuses(&error) => Err(error.to_string()),
            Err(_) if self.has_failed => Ok(()),
            Err(error) if error.changed_nothing() => {
                self.history.cut(before.last);
                self.disk.set_history(&self.history);
                self.read()
            }
            Err(_) => {
                self.has_failed = true;
                self.read()
            }
        }
    }

    fn view(&mut self) -> Result<(), Complaint> {
        let Some(engine) = self.engine().filter(|_| self.subject.can(Capabilities::READ_VIEW)) else {
            return Ok(());
        };
        let view = engine.view().map_err(|error| error.to_string())?;
        self.views.push((view, self.history.bounds.acknowledged));
        Ok(())
    }

    fn check_views(&mut self) -> Result<(), Complaint> {
        let views = std::mem::take(&mut self.views);
        views.iter().try_for_each(|(view, at)| check_view(view, self.history.version(*at)))
    }

    fn read(&self) -> Result<(), Complaint> {
        let Some(engine) = self.engine() else { return Ok(()) };
        let found = read_all(engine, keys_of(&self.history))?;
        match found.digest() == self.history.visible().digest() {
            true => Ok(()),
            false => Err(self.history.complaint(found.digest(), Some(&found))),
        }
    }

    fn backup(&mut self) -> Result<(), Complaint> {
        let Some(engine) = self.engine().filter(|_| self.subject.can(Capabilities::BACKUP)) else {
            return Ok(());
        };
        let target = Disk::default();
        if !self.subject.has_honest_copies {
            target.plant(self.subject.lie);
        }
        match engine.backup(target.root(), &Findings::default()) {
            Ok(()) => {}
            Err(error) if self.excuses(&error) => return Ok(()),
            Err(error) => return Err(error.to_string()),
        }
        let history = History::of(self.history.visible().clone());
        let copy = target.after(Crash::TO_DURABLE);
        let honest = self.subject.clone().with_lie(Lie::None);
        Life::begin(&honest, copy, history, 0, None)
            .map(drop)
            .map_err(|complaint| format!("the copy, after a power cut: {complaint}"))
    }

    fn compact(&mut self) -> Result<(), Complaint> {
        if !self.subject.can(Capabilities::COMPACT) {
            return Ok(());
        }
        self.beside(|engine| engine.compact(KeyRange::all(), &Findings::default()))
    }

    fn verify(&mut self) -> Result<(), Complaint> {
        if !self.subject.can(Capabilities::VERIFY) || self.has_fault {
            return Ok(());
        }
        let findings = Findings::default();
        self.beside(|engine| engine.verify(&findings))?;
        match findings.take().first() {
            Some(finding) => Err(format!("verify found something in a store that is whole: {finding}")),
            None => Ok(()),
        }
    }

    /// Work that changes nothing of the map.
    fn beside(&self, work: impl FnOnce(&StorageAdapter) -> Result<(), EngineError>) -> Result<(), Complaint> {
        match self.engine().map(work) {
            None | Some(Ok(())) => Ok(()),
            Some(Err(error)) if self.excuses(&error) => Ok(()),
            Some(Err(error)) => Err(error.to_string()),
        }
    }

    fn lane(&mut self, lane: u8) -> Result<(), Complaint> {
        let lanes = self.lanes.count();
        if lanes > 0 {
            self.lanes.step(usize::from(lane) % lanes, &self.clock);
        }
        Ok(())
    }

    fn settle(&mut self) -> Result<(), Complaint> {
        let mut steps = 0;
        while (0..self.lanes.count()).fold(false, |more, lane| self.lanes.step(lane, &self.clock) | more) {
            steps += 1;
            if steps > STEPS_MAX {
                return Err(format!("the lanes have more work after {STEPS_MAX} steps"));
            }
        }
        self.note_interval();
        Ok(())
    }

    /// In the class `interval`: what was acknowledged that long ago is durable once the lanes have nothing to do.
    fn note_interval(&mut self) {
        let Durability::Interval(interval) = self.subject.durability else { return };
        let now = self.clock.monotonic();
        let due = self.acknowledged_at.iter().rposition(|at| *at + interval <= now);
        let bounds = self.history.bounds;
        if let (Some(due), false) = (due, self.has_fault) {
            self.set_bounds(Bounds { durable: bounds.durable.max(due.min(bounds.acknowledged)), ..bounds });
        }
    }

    fn close(&mut self) -> Result<(), Complaint> {
        let Some(engine) = self.engine.take() else { return Ok(()) };
        self.views.clear();
        match close(engine, &self.lanes) {
            Ok(()) if !self.has_failed => self.bind(self.history.bounds.acknowledged, true),
            Err(error) if !self.excuses(&error) => return Err(error.to_string()),
            _ => {}
        }
        Ok(())
    }

    fn reopen(&mut self) -> Result<(), Complaint> {
        self.close()?;
        self.lanes = Arc::default();
        self.has_failed = false;
        self.open().map(drop)
    }
}

impl Drop for Life<'_> {
    fn drop(&mut self) {
        // The lanes hold the engine, and the engine the lanes.
        self.lanes.run(None);
    }
}

/// Entries for an ingest, all with one value.
struct Sorted {
    keys: Vec<Vec<u8>>,
    value: Vec<u8>,
    at: usize,
}

impl Cursor for Sorted {
    fn next(&mut self) -> Result<Option<Entry<'_>>, EngineError> {
        self.at += 1;
        Ok(self.keys.get(self.at - 1).map(|key| Entry { key, value: &self.value }))
    }

    fn seek(&mut self, _: &[u8]) -> Result<(), EngineError> {
        Err(EngineError::unsupported("seek"))
    }
}
