//! One walk of many sources: of every key, what the newest source says that knows of it.
//!
//! Sources stand in the order of the keys that they are at, the newest first where keys are equal. The first one is the
//! winner; as long as it stays before the second one, nothing moves.
//!
//! Promises: keys come in order, each once; a key that a newer source covers does not come from an older one. After an
//! error the walk answers errors until the next `seek`. Called by cursors, scans and compaction.

#[cfg(test)]
mod tests;

use std::cmp::Ordering;

use adapter_api::{Direction, EngineError, Result};
use page::{common_prefix, first_bytes};

use crate::item::Item;
use crate::ranges::Span;
use crate::table::Stretch;
use crate::walk::Walk;

/// After so many covered keys in a row, sources are moved behind the range instead of walked through it: to seek costs
/// as much as some steps.
const COVERED_IN_A_ROW: u32 = 8;
/// And it reads a block of each source, in bytes.
const SEEK_BYTES: usize = 4096;
/// After so many keys in a row of one source it is asked how far it may go: to ask costs as much as some comparisons.
const STAYED_IN_A_ROW: u32 = 3;
/// After so many comparisons of whole keys heads are taken from behind what all keys begin with.
const EQUAL_HEADS: u32 = 8;

/// A walk over many sources.
pub(crate) struct MergeWalk {
    /// Newest first.
    sources: Vec<Box<dyn Walk>>,
    /// Those that may cover keys of older ones.
    covering: Vec<usize>,
    direction: Direction,
    keeps_tombstones: bool,
    /// Sources that are at a key, the winner last.
    order: Vec<Place>,
    /// What their keys begin with alike, as far as heads leave it out, and how often heads were equal since.
    common: Vec<u8>,
    equal_heads: u32,
    /// Whether the one before the winner is at the same key.
    is_tied: bool,
    /// How often in a row the winner stayed what it was.
    stayed: u32,
    /// So many keys of the winner that come next come before those of all others.
    sure: usize,
    state: State,
}

/// A source that is at a key.
#[derive(Clone, Copy)]
struct Place {
    source: usize,
    /// The first bytes of the key behind what all begin with, as a number that is less if the key comes first.
    head: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// No source has advanced.
    Before,
    /// Every source in `order` is at a key, and the winner's is that of the walk.
    Inside,
    /// The same, but the winner's key has not come yet.
    Waiting,
    /// A source has failed, and where it is is unknown.
    Failed,
}

impl MergeWalk {
    /// Merges sources, newest first, that all walk in this direction.
    pub(crate) fn new(sources: Vec<Box<dyn Walk>>, direction: Direction) -> Self {
        let covering = (0..sources.len()).filter(|source| sources[*source].has_ranges()).collect();
        let (order, state) = (Vec::with_capacity(sources.len()), State::Before);
        Self {
            sources,
            covering,
            direction,
            keeps_tombstones: false,
            order,
            common: Vec::new(),
            equal_heads: 0,
            is_tied: false,
            stayed: 0,
            sure: 0,
            state,
        }
    }

    /// Tombstones come too; else what they say is that nothing comes.
    pub(crate) fn keeping_tombstones(mut self) -> Self {
        self.keeps_tombstones = true;
        self
    }

    /// Where a source stands that is at a key.
    fn place(&mut self, source: usize) -> Place {
        let key = self.sources[source].key();
        if !key.starts_with(&self.common) {
            let alike = common_prefix(key, &self.common);
            self.common.truncate(alike);
            self.set_heads();
        }
        Place { source, head: self.head_of(source) }
    }

    fn head_of(&self, source: usize) -> u64 {
        let behind = self.sources[source].key().get(self.common.len()..).unwrap_or_default();
        let head = u64::from_be_bytes(first_bytes(behind));
        if self.direction == Direction::Forward { head } else { !head }
    }

    fn set_heads(&mut self) {
        for at in 0..self.order.len() {
            self.order[at].head = self.head_of(self.order[at].source);
        }
    }

    /// Leaves out of heads what all keys begin with now.
    fn shift_heads(&mut self) {
        let ([last, ..], [.., winner]) = (&self.order[..], &self.order[..]) else { return };
        let (one, other) = (self.sources[winner.source].key(), self.sources[last.source].key());
        // Keys between two have what both begin with.
        self.common.clear();
        self.common.extend_from_slice(&one[..common_prefix(one, other)]);
        self.equal_heads = 0;
        self.set_heads();
    }

    /// How the keys of two sources stand to each other; `Less` comes first.
    fn compare_keys(&self, one: Place, other: Place) -> Ordering {
        one.head.cmp(&other.head).then_with(|| {
            let keys = self.sources[one.source].key().cmp(self.sources[other.source].key());
            if self.direction == Direction::Forward { keys } else { keys.reverse() }
        })
    }

    /// The same for sources; of those at one key the newest comes first.
    fn compare(&self, one: Place, other: Place) -> Ordering {
        self.compare_keys(one, other).then(one.source.cmp(&other.source))
    }

    /// Puts a source that is at a key where it belongs.
    fn insert(&mut self, place: Place) {
        let at = self.order.partition_point(|other| self.compare(*other, place) == Ordering::Greater);
        self.order.insert(at, place);
    }

    /// Advances the source that stands at `at` in the order, and puts it where it belongs then.
    fn step(&mut self, at: usize) -> Result<()> {
        let source = self.order[at].source;
        if !self.sources[source].advance()? {
            self.order.remove(at);
            return Ok(());
        }
        let place = self.place(source);
        self.order[at] = place;
        let Some(next) = at.checked_sub(1).map(|next| self.order[next]) else { return Ok(()) };
        if self.compare(place, next).is_gt() {
            self.order.remove(at);
            self.insert(place);
        }
        self.equal_heads += u32::from(place.head == next.head);
        if self.equal_heads >= EQUAL_HEADS {
            self.shift_heads();
        }
        Ok(())
    }

    /// Advances the winner to a key that is known to come before those of all others.
    fn step_surely(&mut self) -> Result<()> {
        self.sure -= 1;
        if let Some(winner) = self.order.last() {
            let is_there = self.sources[winner.source].advance()?;
            debug_assert!(is_there, "a source has counted keys that it has not");
        }
        Ok(())
    }

    /// Advances the winner, and whoever is at its key; whoever comes first then is the next winner.
    fn step_all(&mut self) -> Result<()> {
        // Older words on the key go first, while the key is there to compare with.
        while self.is_tied {
            self.step(self.order.len() - 2)?;
            self.is_tied = self.looks_tied();
        }
        let Some(winner) = self.order.last().map(|winner| winner.source) else { return Ok(()) };
        self.step(self.order.len() - 1)?;
        let stays = self.order.last().is_some_and(|first| first.source == winner);
        self.stayed = if stays { self.stayed + 1 } else { 0 };
        Ok(())
    }

    /// Whether the source in front of the winner is at the same key.
    fn looks_tied(&self) -> bool {
        let [.., second, winner] = self.order[..] else { return false };
        self.compare_keys(second, winner).is_eq()
    }

    /// How many of the winner's next keys come before those of all others, as far as it pays to ask.
    fn count_sure(&self) -> usize {
        match self.order[..] {
            [winner] => self.sources[winner.source].count_before(None),
            [.., second, winner] if self.stayed >= STAYED_IN_A_ROW => {
                self.sources[winner.source].count_before(Some(self.sources[second.source].key()))
            }
            _ => 0,
        }
    }

    /// Goes to the next key that any source has.
    fn next_key(&mut self) -> Result<()> {
        match self.state {
            State::Before => {
                self.order.clear();
                self.sources.iter_mut().for_each(|source| source.prefetch());
                for source in 0..self.sources.len() {
                    if self.sources[source].advance()? {
                        let place = self.place(source);
                        self.insert(place);
                    }
                }
                self.shift_heads();
                self.stayed = STAYED_IN_A_ROW;
            }
            State::Inside if self.sure > 0 => return self.step_surely(),
            State::Inside => self.step_all()?,
            State::Waiting => {}
            State::Failed => return Err(EngineError::failed("the walk has failed before; seek anew")),
        }
        self.is_tied = self.looks_tied();
        self.sure = self.count_sure();
        self.state = State::Inside;
        Ok(())
    }

    /// The newest source that covers the key of this one.
    fn cover_of(&self, winner: usize) -> Option<usize> {
        let mut newer = self.covering.iter().copied().take_while(|source| *source < winner);
        newer.find(|source| self.sources[*source].covers(self.sources[winner].key()))
    }

    /// Moves every source that is older than `cover` behind the range that it deletes around the winner's key.
    fn skip(&mut self, cover: usize, winner: usize) -> Result<()> {
        let Some(span) = self.sources[cover].covering(self.sources[winner].key()) else { return Ok(()) };
        let Span { start, end } = span.clone();
        let is_inside = |key: &[u8]| *start <= *key && end.as_ref().is_none_or(|end| *key < **end);
        let target = if self.direction == Direction::Forward { end.as_ref() } else { Some(&start) };
        let (skipped, kept): (Vec<_>, _) = self
            .order
            .iter()
            .partition(|place| place.source > cover && is_inside(self.sources[place.source].key()));
        self.order = kept;
        for Place { source, .. } in skipped {
            // Without an end, the range has all that is left.
            let Some(target) = target else { continue };
            let walk = &mut self.sources[source];
            walk.seek(target)?;
            let mut is_there = walk.advance()?;
            // In reverse, the target is the last key of the range.
            if is_there && is_inside(walk.key()) {
                is_there = walk.advance()?;
            }
            if is_there {
                let place = self.place(source);
                self.insert(place);
            }
        }
        // What stands first now has not been looked at.
        self.is_tied = false;
        self.state = State::Waiting;
        Ok(())
    }

    /// As `advance`, but takes off `bytes` what it passes because it is deleted, and answers `None` if nothing is left of
    /// them before it has come to a key or to the end: for whoever works in bounded steps.
    pub(crate) fn advance_within(&mut self, bytes: &mut usize) -> Result<Option<bool>> {
        self.try_advance(bytes).inspect_err(|_| self.state = State::Failed)
    }

    fn try_advance(&mut self, bytes: &mut usize) -> Result<Option<bool>> {
        let mut covered = 0;
        loop {
            self.next_key()?;
            let Some(winner) = self.order.last().map(|winner| winner.source) else { return Ok(Some(false)) };
            let cover = self.cover_of(winner);
            if cover.is_none() && (self.keeps_tombstones || self.sources[winner].item() != Item::Tombstone) {
                return Ok(Some(true));
            }
            let source = &self.sources[winner];
            *bytes = bytes.saturating_sub(source.key().len() + source.item().encoded_bytes());
            covered = if cover.is_some() { covered + 1 } else { 0 };
            if let Some(cover) = cover.filter(|_| covered % COVERED_IN_A_ROW == 0) {
                *bytes = bytes.saturating_sub(SEEK_BYTES * self.order.len());
                self.skip(cover, winner)?;
            }
            if *bytes == 0 {
                return Ok(None);
            }
        }
    }

    /// Lends the entry that the walk is at, with those behind it that surely come next, tombstones too. Answers whether it
    /// does: not every source can.
    pub(crate) fn lend(&mut self, stretch: &mut Stretch) -> bool {
        let Some(winner) = self.order.last().map(|winner| winner.source) else { return false };
        // Whether a newer source covers a key has to be asked for each.
        let is_covered = self.covering.first().is_some_and(|source| *source < winner);
        let count = if is_covered { 0 } else { self.sure };
        let lends = self.sources[winner].lend(count, stretch);
        if lends {
            self.sure -= count;
        }
        lends
    }

    fn winner(&self) -> Option<&dyn Walk> {
        self.order.last().map(|winner| &*self.sources[winner.source])
    }
}

impl Walk for MergeWalk {
    fn advance(&mut self) -> Result<bool> {
        loop {
            let mut all = usize::MAX;
            if let Some(is_there) = self.advance_within(&mut all)? {
                return Ok(is_there);
            }
        }
    }

    fn seek(&mut self, key: &[u8]) -> Result<()> {
        (self.state, self.is_tied) = (State::Failed, false);
        self.order.clear();
        self.sources.iter_mut().try_for_each(|source| source.seek(key))?;
        self.state = State::Before;
        Ok(())
    }

    fn key(&self) -> &[u8] {
        self.winner().map_or(&[], Walk::key)
    }

    fn item(&self) -> Item<'_> {
        self.winner().map_or(Item::Tombstone, Walk::item)
    }

    fn covers(&self, key: &[u8]) -> bool {
        self.covering.iter().any(|source| self.sources[*source].covers(key))
    }

    fn has_ranges(&self) -> bool {
        !self.covering.is_empty()
    }
}
