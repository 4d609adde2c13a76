//! Groups that no sync parts share blocks of the log, and no others do.

mod workload;

use std::collections::BTreeSet;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use adapter_api::Durability;
use adapter_api::environment::Directory;
use crash::environment::Disk;
use crash::hooked::{Call, Hooked};
use crash::image::mix;
use wal::{Log, LogOptions};
use workload::{Model, small};

const BLOCK: u64 = 4096;
/// Where the first group of a new log is: behind the header of the segment and the group that opens it.
const FIRST_GROUP: usize = 2 * BLOCK as usize;

/// Which blocks of which segments were written, and which of them a sync has begun to cover.
#[derive(Default)]
struct Blocks {
    written: BTreeSet<(u64, u64)>,
    covered: BTreeSet<(u64, u64)>,
}

impl Blocks {
    /// Notes a call; refuses a write into a block that a sync has begun to cover.
    fn note(&mut self, call: &Call<'_>) -> io::Result<()> {
        match call {
            Call::Write(name, bytes) => {
                for block in bytes.start / BLOCK..bytes.end.div_ceil(BLOCK) {
                    let block = (number(name), block);
                    if self.covered.contains(&block) {
                        return Err(io::Error::other(format!("{name}: block {block:?} is written again")));
                    }
                    self.written.insert(block);
                }
            }
            Call::Sync(name) => {
                let of_file = self.written.iter().filter(|(file, _)| *file == number(name));
                self.covered.extend(of_file);
            }
            _ => {}
        }
        Ok(())
    }
}

/// The number of a file, which it keeps when it becomes a segment.
fn number(name: &str) -> u64 {
    u64::from_str_radix(name.rsplit('-').next().unwrap(), 16).unwrap()
}

/// What a life and the hook of its directory know.
#[derive(Default)]
struct Shared {
    blocks: Mutex<Blocks>,
    log: Mutex<Option<Arc<Log>>>,
    model: Mutex<Model>,
    /// Whether the next sync is one of the lane.
    is_lane: AtomicBool,
    /// How many records were written while the lane synced.
    beside: AtomicUsize,
}

impl Shared {
    fn log(&self) -> Arc<Log> {
        self.log.lock().unwrap().clone().unwrap()
    }

    fn commit(&self, len: usize) {
        self.model.lock().unwrap().commit_one(&self.log(), len).unwrap();
    }

    fn hook(&self, call: &Call<'_>) -> io::Result<()> {
        self.blocks.lock().unwrap().note(call)?;
        // At the end of a segment the writer would wait for the lane, which is on the same thread here.
        if let Call::Sync(name) = call
            && self.is_lane.swap(false, Ordering::SeqCst)
            && !self.blocks.lock().unwrap().written.contains(&(number(name), 5))
        {
            self.commit(100);
            self.beside.fetch_add(1, Ordering::SeqCst);
        }
        Ok(())
    }
}

/// A log whose blocks are watched.
struct Life {
    directory: Arc<dyn Directory>,
    options: LogOptions,
    shared: Arc<Shared>,
}

impl Life {
    fn new(disk: &Disk, durability: Durability) -> Self {
        let shared = Arc::<Shared>::default();
        let hook = Arc::clone(&shared);
        let directory = Hooked::around(disk.root(), move |call| hook.hook(&call));
        let life = Self { directory, options: LogOptions { durability, ..segment() }, shared };
        life.open();
        life
    }

    /// Opens the log, again if it was open.
    fn open(&self) {
        *self.shared.log.lock().unwrap() = None;
        let mut model = self.shared.model.lock().unwrap();
        let acknowledged = model.acknowledged;
        let (log, _) = model.open(&self.directory, self.options, acknowledged).unwrap();
        *self.shared.log.lock().unwrap() = Some(Arc::new(log));
    }

    fn act(&self, dice: u64) {
        let log = self.shared.log();
        match dice % 32 {
            0 => self.open(),
            1 => {
                log.close().unwrap();
                self.open();
            }
            2 => log.sync().unwrap(),
            3..6 => {
                self.shared.is_lane.store(true, Ordering::SeqCst);
                log.sync_due().unwrap();
                self.shared.is_lane.store(false, Ordering::SeqCst);
            }
            6 => {
                log.retire_before(log.durable());
                self.shared.model.lock().unwrap().from = log.durable();
            }
            7 => drop(log.prepare()),
            8 => self.shared.commit((dice >> 8) as usize % 9000),
            _ => self.shared.commit((dice >> 8) as usize % 300),
        }
    }
}

/// Segments of six blocks of groups.
fn segment() -> LogOptions {
    LogOptions { segment_bytes: 8 * BLOCK, ..small(Durability::Os) }
}

#[test]
fn no_block_is_written_again_once_a_sync_of_it_has_begun() {
    let mut beside = 0;
    for seed in 0..200 {
        let durability = [Durability::Os, Durability::Interval(Duration::ZERO)][seed as usize % 2];
        let (disk, mut dice) = (Disk::default(), mix(seed));
        let life = Life::new(&disk, durability);
        for _ in 0..200 {
            dice = mix(dice);
            life.act(dice);
        }
        life.open();
        beside += life.shared.beside.load(Ordering::SeqCst);
    }
    assert!(beside > 1000, "only {beside} records were written beside a sync");
}

#[test]
fn small_records_that_no_sync_parts_share_blocks() {
    let (disk, mut model) = (Disk::default(), Model::default());
    let options = LogOptions { segment_bytes: 1 << 20, ..small(Durability::Os) };
    let (log, _) = model.open(&disk.root(), options, 0).unwrap();
    for _ in 0..1000 {
        model.commit_one(&log, 100).unwrap();
    }
    // Whoever comes first to a block fills it up.
    let (written, most) = (log.metrics().bytes_written, 1000 * (56 + 4 + 100) + 40 * BLOCK);
    assert!(written <= most, "{written} bytes are more than {most}");
    drop(log);
    // What no sync has covered is written again, and shares blocks there too.
    let (log, recovery) = model.open(&disk.root(), options, 1000).unwrap();
    assert_eq!(recovery.rewritten, 1000);
    drop(log);
    let (_, newest) = disk.contents().into_iter().filter(|(name, _)| name.starts_with("log-")).max().unwrap();
    let blocks =
        newest.chunks(BLOCK as usize).filter(|block| block.iter().any(|byte| *byte != 0)).count() as u64;
    assert!(blocks * BLOCK <= 1000 * 160 + 3 * BLOCK, "{blocks} blocks");
    model.open(&disk.cut_to_durable().root(), options, 1000).unwrap();
}

/// They share a block.
fn commit_nine(model: &mut Model, log: &Log) {
    for _ in 0..9 {
        model.commit_one(log, 100).unwrap();
    }
}

/// The same disk with a byte of its segment damaged.
fn with_a_damaged_byte(disk: &Disk, position: usize) -> Disk {
    let mut contents = disk.contents();
    let (_, bytes) = contents.iter_mut().find(|(name, _)| name.starts_with("log-")).unwrap();
    Arc::make_mut(bytes)[position] ^= 1;
    Disk::with_contents(&contents)
}

/// Damage between groups of one block that nothing proves durable is a torn tail: what is before it stays.
#[test]
fn a_group_that_is_torn_in_a_shared_block_ends_the_log_there() {
    let (disk, mut model) = (Disk::default(), Model::default());
    let (log, _) = model.open(&disk.root(), segment(), 0).unwrap();
    commit_nine(&mut model, &log);
    drop(log);
    for torn in 0..9 {
        let torn_disk = with_a_damaged_byte(&disk, FIRST_GROUP + torn * 160 + 60);
        let (log, recovery) = model.clone().open(&torn_disk.root(), segment(), torn as u64).unwrap();
        assert_eq!((recovery.last, recovery.rewritten), (torn as u64, torn as u64));
        assert!(recovery.dropped_bytes > 0);
        drop(log);
    }
}

/// The same damage once later records are proven to be behind a sync.
#[test]
fn a_group_that_is_damaged_in_a_shared_block_behind_a_sync_is_refused_where_it_is() {
    let (disk, mut model) = (Disk::default(), Model::default());
    let (log, _) = model.open(&disk.root(), segment(), 0).unwrap();
    commit_nine(&mut model, &log);
    log.sync().unwrap();
    model.commit_one(&log, 100).unwrap();
    drop(log);
    for damaged in 0..9 {
        for at in [0, 9, 20, 30, 60, 159] {
            let place = FIRST_GROUP + damaged * 160;
            let damaged_disk = with_a_damaged_byte(&disk, place + at);
            let error = model.clone().open(&damaged_disk.root(), segment(), 0).map(drop).unwrap_err();
            let adapter_api::EngineError::Corrupt { position, .. } = &error else { panic!("{error}") };
            assert_eq!(*position, place as u64, "{error}");
        }
    }
}
