//! The versions of a map: which one is published, who reads which, and what may be freed.
//!
//! Every version has a moment: its root and its number. To publish is to store a pointer to the next one. What
//! the next version supersedes, be it a record, a node or a moment, is retired with that version's number, and
//! freed when the **watermark** has reached it: the least version that anybody may still read.
//!
//! ```text
//! reader   pin:   slot ← a version that was published    (1)      writer   publish:   moment ← next      (a)
//!                 read the moment                        (2)                read the table of views      (b)
//!          …                                                                read the slots               (c)
//!          unpin: slot ← free                                               free what the least of all has outlived
//! ```
//!
//! Promises: a reader waits for nobody and writes to one slot, which no other reader uses meanwhile. Why nothing is
//! freed that somebody reads, (1), (2), (a) and (c) being in one order for all (`SeqCst`):
//!
//! - *A reader of what is published.* It reads a moment `m`, and nothing that was retired at `m` or before. If the writer
//!   sees the slot at (c), it frees nothing that was retired after the version there, which is not above `m`. If
//!   it does not, (c) was before (1), so (a) before (2): `m` is what was published then, or newer.
//! - *An operation of a view.* The view's row is in the table until it is dropped, when no operation runs any more, or
//!   ended. An operation writes the view's version to its slot and only then looks whether the view was ended; who ends
//!   it says so and only then removes the row. So if (b) does not find the row any more, an operation that did not
//!   see the end has its slot written before (c).
//! - *A new view.* It reads the moment and adds its row under the lock of the table. If (b) comes first, then so did (a), and it reads
//!   that moment or a newer one.
//! - Where all slots are taken, a row in the table stands for one, by the argument for new views.
//!
//! The tests of `tests/every_order.rs` run small cases of it in every order of threads and memory:
//!
//! ```text
//! RUSTFLAGS='--cfg loom' cargo test -p adapter_api --lib --target-dir target/ci/loom every_order
//! ```
//!
//! Called by `versioned_map` alone.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, PoisonError};

use super::node::{Child, Items, Leaf, Node, Size};
use super::pointer::{Published, Shared};
use super::record::RetiredRecord;
use super::sync::{AtomicBool, AtomicU64, Mutex, MutexGuard, Ordering, SLOTS};
use super::tree::Tree;

/// What stands in a slot that nobody has. Versions begin behind it.
const FREE: u64 = 0;
/// The number of the empty map.
const FIRST_VERSION: u64 = 1;
/// How many records and nodes are freed at once, beside twice as many as were just retired: a bound for how long a
/// publication is held up when much has become free.
const FREED_AT_ONCE: usize = 1024;
/// What the queue keeps room for when it is empty.
const QUEUE_ROOM: usize = 1 << 16;

/// One version of the map.
pub(super) struct Moment {
    pub(super) root: Child,
    pub(super) version: u64,
    /// Bytes discarded since the map was made.
    pub(super) discarded: u64,
}

impl Moment {
    pub(super) fn tree(&self) -> Tree<'_> {
        Tree::new(&self.root, self.version)
    }
}

/// What a newer version does not have any more.
pub(super) enum Retired {
    Record(RetiredRecord),
    /// A node of which there is a copy, or whose children are elsewhere now.
    Node(Shared<Node>),
    /// A node and everything below it, the newest records included.
    Subtree(Shared<Node>),
    Moment(Shared<Moment>),
}

/// What only the one who has the writer's turn touches.
pub(super) struct Turn {
    /// The version of the edit that goes on, or of the last one, published or not.
    pub(super) version: u64,
    /// What was retired, with the version that does not have it any more, in ascending order of these.
    pub(super) retired: VecDeque<(u64, Retired)>,
    /// Subtrees that nobody reads any more.
    doomed: Vec<Shared<Node>>,
}

impl Turn {
    pub(super) fn retire(&mut self, version: u64, retired: Retired) {
        self.retired.push_back((version, retired));
    }

    /// Frees some of what was retired up to the watermark, about so many records and nodes.
    fn free(&mut self, watermark: u64, budget: usize) {
        let mut left = budget;
        while left > 0 {
            if let Some(node) = self.doomed.pop() {
                left = left.saturating_sub(1 + node.entries().len());
                self.free_below(node);
                continue;
            }
            let Some((_, retired)) = self.retired.pop_front_if(|(version, _)| *version <= watermark) else {
                break;
            };
            left -= 1;
            // SAFETY: nobody reads a version below the watermark, and no version from there on leads to it. It
            // was retired once, by the edit that took it out of the tree.
            unsafe {
                match retired {
                    Retired::Record(record) => record.free(),
                    Retired::Node(node) => node.free(),
                    Retired::Moment(moment) => moment.free(),
                    Retired::Subtree(node) => self.doomed.push(node),
                }
            }
        }
        if self.retired.is_empty() && self.retired.capacity() > QUEUE_ROOM {
            self.retired.shrink_to(QUEUE_ROOM);
        }
    }

    /// Frees a node and its records, and has its children freed later.
    fn free_below(&mut self, node: Shared<Node>) {
        match &node.items {
            Items::Leaf(leaf) => {
                for cell in leaf.cells() {
                    // SAFETY: as in `free`, for the subtree that the leaf belongs to. It was in the newest version until
                    // it was retired, so the newest records of its cells are in no leaf that anybody reads.
                    unsafe { cell.newest().retire().free() };
                }
            }
            Items::Branch(branch) => {
                self.doomed.extend(branch.children.iter().map(|child| child.node.duplicate()));
            }
        }
        // SAFETY: as above.
        unsafe { node.free() };
    }
}

/// Each in a cache line of its own, or two, for processors fetch them in pairs.
#[repr(align(128))]
struct Slot(AtomicU64);

/// All versions of one map that are still there.
pub(super) struct History {
    published: Published<Moment>,
    /// The version of the published moment, or of one before it.
    version: AtomicU64,
    slots: [Slot; SLOTS],
    rows: Mutex<Rows>,
    turn: Mutex<Turn>,
}

impl History {
    pub(super) fn new() -> Self {
        let root = Child::new(Node::leaf(FIRST_VERSION, Leaf::empty()), Size::default());
        let turn = Turn { version: FIRST_VERSION, retired: VecDeque::new(), doomed: Vec::new() };
        Self {
            published: Published::new(Shared::new(Moment { root, version: FIRST_VERSION, discarded: 0 })),
            version: AtomicU64::new(FIRST_VERSION),
            slots: std::array::from_fn(|_| Slot(AtomicU64::new(FREE))),
            rows: Mutex::default(),
            turn: Mutex::new(turn),
        }
    }

    /// Takes the writer's turn.
    pub(super) fn turn(&self) -> MutexGuard<'_, Turn> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The published moment, for the one who has the writer's turn: nobody else replaces it.
    pub(super) fn newest(&self, _: &Turn) -> Shared<Moment> {
        self.published.load()
    }

    /// Makes a moment visible at one instant, ends the views that were taken before `limit` bytes less had been
    /// discarded, and frees some of what nobody reads any more.
    pub(super) fn publish(&self, turn: &mut Turn, moment: Moment, limit: u64, retired: usize) {
        let (version, oldest_allowed) = (moment.version, moment.discarded.saturating_sub(limit));
        let before = self.published.replace(Shared::new(moment));
        self.version.store(version, Ordering::Release);
        turn.retire(version, Retired::Moment(before));
        self.end_views_before(oldest_allowed);
        turn.free(self.watermark(), FREED_AT_ONCE + 2 * retired);
    }

    /// Frees some of what nobody reads any more, unless a writer is at work, who will do it then.
    pub(super) fn collect(&self) {
        if let Ok(mut turn) = self.turn.try_lock() {
            turn.free(self.watermark(), FREED_AT_ONCE);
        }
    }

    /// The least version that anybody reads, or may begin to.
    fn watermark(&self) -> u64 {
        let published = self.version.load(Ordering::Acquire);
        // The table first, then the slots: see the top of the module.
        let oldest_row = self.rows().oldest().unwrap_or(published);
        let slots = self.slots.iter().map(|slot| slot.0.load(Ordering::SeqCst));
        slots.filter(|version| *version != FREE).fold(published.min(oldest_row), u64::min)
    }

    /// Keeps the published version alive, and whatever it leads to.
    pub(super) fn pin(&self) -> Pin<'_> {
        let place = match self.claim_slot(self.version.load(Ordering::Acquire)) {
            Some(slot) => PinPlace::Slot(slot),
            None => {
                let mut rows = self.rows();
                let moment = self.published.load();
                let row = rows.pin(moment.version);
                return Pin { history: self, place: PinPlace::Row(row), moment };
            }
        };
        Pin { history: self, place, moment: self.published.load() }
    }

    /// Keeps alive what a row stands for, if it has not ended.
    fn pin_row(&self, row: &ViewRow) -> Option<Pin<'_>> {
        let version = row.key.0;
        let place = match self.claim_slot(version) {
            Some(slot) => PinPlace::Slot(slot),
            None => {
                let mut rows = self.rows();
                if row.is_ended.load(Ordering::SeqCst) {
                    return None;
                }
                PinPlace::Row(rows.pin(version))
            }
        };
        let pin = Pin { history: self, place, moment: row.moment.duplicate() };
        (!row.is_ended.load(Ordering::SeqCst)).then_some(pin)
    }

    /// Writes the version to a free slot, if there is one.
    fn claim_slot(&self, version: u64) -> Option<&Slot> {
        let first = FIRST_SLOT.try_with(|slot| *slot).unwrap_or(0);
        (first..first + SLOTS)
            .map(|slot| &self.slots[slot % SLOTS])
            .find(|slot| slot.0.compare_exchange(FREE, version, Ordering::SeqCst, Ordering::Relaxed).is_ok())
    }

    fn rows(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A row for a view of what is published now.
    pub(super) fn view(self: &Arc<Self>) -> ViewRow {
        let mut rows = self.rows();
        let moment = self.published.load();
        self.row(&mut rows, moment)
    }

    /// A row for a view of a moment that is not published, and that the caller keeps alive until the row is there.
    pub(super) fn view_of(self: &Arc<Self>, moment: Shared<Moment>) -> ViewRow {
        self.row(&mut self.rows(), moment)
    }

    fn row(self: &Arc<Self>, rows: &mut Rows, moment: Shared<Moment>) -> ViewRow {
        let (key, is_ended) = (rows.new_key(moment.version), Arc::new(AtomicBool::new(false)));
        let row = OpenRow { is_ended: Arc::clone(&is_ended), discarded: moment.discarded };
        rows.open.insert(key, row);
        ViewRow { history: Arc::clone(self), key, moment, is_ended }
    }

    /// Ends the views that were taken before so many bytes had been discarded.
    pub(super) fn end_views_before(&self, discarded: u64) {
        let mut rows = self.rows();
        while let Some(oldest) = rows.open.first_entry().filter(|oldest| oldest.get().discarded < discarded) {
            oldest.get().end();
            oldest.remove();
        }
    }

    /// Ends the views of this version and later ones.
    pub(super) fn end_views_from(&self, version: u64) {
        let mut rows = self.rows();
        rows.open.range((version, 0)..).for_each(|(_, row)| row.end());
        rows.open.split_off(&(version, 0));
    }

    /// How many views there are, and how many bytes had been discarded when the oldest was taken.
    pub(super) fn count_views(&self) -> (u64, Option<u64>) {
        let rows = self.rows();
        (rows.open.len() as u64, rows.open.first_key_value().map(|(_, row)| row.discarded))
    }
}

impl Drop for History {
    fn drop(&mut self) {
        let published = self.published.load();
        let mut turn = self.turn();
        turn.doomed.push(published.root.node.duplicate());
        turn.retire(u64::MAX, Retired::Moment(published));
        // Views and readers borrow the history or own a part of it: there are none.
        turn.free(u64::MAX, usize::MAX);
    }
}

static NEXT_SLOT: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// Where a thread begins to look for a free slot: each at another one, so that they do not share cache lines.
    static FIRST_SLOT: usize = NEXT_SLOT.fetch_add(1, Ordering::Relaxed) % SLOTS;
}

/// What a reader holds while it is inside: keeps its version, and all that leads to, alive.
pub(super) struct Pin<'a> {
    history: &'a History,
    place: PinPlace<'a>,
    moment: Shared<Moment>,
}

enum PinPlace<'a> {
    Slot(&'a Slot),
    Row(RowKey),
}

impl Pin<'_> {
    pub(super) fn moment(&self) -> &Moment {
        &self.moment
    }

    pub(super) fn tree(&self) -> Tree<'_> {
        self.moment.tree()
    }
}

impl Drop for Pin<'_> {
    fn drop(&mut self) {
        match self.place {
            PinPlace::Slot(slot) => slot.0.store(FREE, Ordering::Release),
            PinPlace::Row(key) => drop(self.history.rows().pinned.remove(&key)),
        }
    }
}

/// The table of views, and of readers that found no free slot.
#[derive(Default)]
struct Rows {
    next_id: u64,
    open: BTreeMap<RowKey, OpenRow>,
    pinned: BTreeSet<RowKey>,
}

/// A version, and a number that no other row has.
type RowKey = (u64, u64);

/// A view that has not ended.
struct OpenRow {
    is_ended: Arc<AtomicBool>,
    /// `Moment::discarded` when the view was taken.
    discarded: u64,
}

impl OpenRow {
    fn end(&self) {
        self.is_ended.store(true, Ordering::SeqCst);
    }
}

impl Rows {
    fn new_key(&mut self, version: u64) -> RowKey {
        self.next_id += 1;
        (version, self.next_id)
    }

    fn pin(&mut self, version: u64) -> RowKey {
        let key = self.new_key(version);
        self.pinned.insert(key);
        key
    }

    /// The least version of all.
    fn oldest(&self) -> Option<u64> {
        let (open, pinned) = (self.open.first_key_value().map(|(key, _)| *key), self.pinned.first().copied());
        open.into_iter().chain(pinned).min().map(|(version, _)| version)
    }
}

/// The row of a view; dropping it removes it.
pub(super) struct ViewRow {
    history: Arc<History>,
    key: RowKey,
    moment: Shared<Moment>,
    is_ended: Arc<AtomicBool>,
}

impl ViewRow {
    /// Keeps alive what the view shows, unless it has ended.
    pub(super) fn pin(&self) -> Option<Pin<'_>> {
        self.history.pin_row(self)
    }
}

impl Drop for ViewRow {
    fn drop(&mut self) {
        let row = self.history.rows().open.remove(&self.key);
        if row.is_some() {
            self.history.collect();
        }
    }
}
