//! Opens a log: reads the chain, tells a torn tail from damage, makes durable what it showed.
//!
//! The rules are in the head of the crate. Promises: a crash at any point in here, or several, leaves a log
//! that opens to the same records or, where the tail was never proven durable, to a prefix of them that no
//! earlier `open` had returned. Nothing is written over; a fresh segment becomes visible whole.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex};

use adapter_api::environment::{Cause, Clock, Directory, OpenFile, is_full};
use adapter_api::{EngineError, Result};

use crate::chain::{self, Cut, Link, Names, Surveyed};
use crate::group::{FIRST_POSITION, GroupBuffer, GroupHeader, Kind, records};
use crate::metrics::Counters;
use crate::reader::{Group, SegmentReader};
use crate::segment::{Segment, failed_on};
use crate::spare::{Live, Pool, Preparer, Retired, scramble};
use crate::writer::Start;
use crate::{ADVICE, BLOCK, Log, LogOptions, Lsn, Replay, blocks, planted};

/// So many bytes of small groups become one when they are written again.
const REWRITTEN_BYTES: u64 = 1 << 20;

/// What was found when a log was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Recovery {
    /// The last record of the log; 0 if there never was one.
    pub last: Lsn,
    /// How many records were replayed.
    pub replayed: u64,
    /// How many bytes of a torn tail were dropped.
    pub dropped_bytes: u64,
    /// How many records were written again, because nothing proved them durable.
    pub rewritten: u64,
    /// How many segments were read.
    pub segments_read: u64,
}

/// Opens or creates the log.
pub(crate) fn open(
    directory: &Arc<dyn Directory>,
    clock: &Arc<dyn Clock>,
    options: LogOptions,
    from: Lsn,
    replay: &mut Replay<'_>,
) -> Result<(Log, Recovery)> {
    let from = from.max(1);
    // A name stands for durable bytes, but after a kill the name itself may be on no disk yet.
    directory.sync().map_err(|error| {
        EngineError::failed_by("could not make the names in the directory of the log durable", error)
    })?;
    let names = Names::list(&**directory)?;
    let files = Files { directory, clock, options };
    if names.segments.is_empty() {
        if from > 1 {
            let message = format!("the log is gone; records from {from} on are unknown");
            return Err(EngineError::corrupt(crate::segment::segment_name(1), 0, message));
        }
        return Ok((files.create(&names, from)?, Recovery::default()));
    }
    let read = |number: &u64| Surveyed::read(&**directory, *number, OpenFile::WRITE);
    let segments = names.segments.iter().map(read).collect::<Result<Vec<_>>>()?;
    chain::check_one_log(&segments)?;
    let links = chain::links(&segments);
    chain::check_order(&segments, &links)?;
    let tail = Walk::new(&segments, &links, from)?.read(replay)?;
    files.go_on(&names, &segments, &links, tail)
}

/// Creates a log in a directory that holds none.
pub(crate) fn create_at(
    directory: &Arc<dyn Directory>,
    clock: &Arc<dyn Clock>,
    options: LogOptions,
    first: Lsn,
) -> Result<Log> {
    let names = Names::list(&**directory)?;
    match names.segments.first() {
        Some(number) => {
            let name = crate::segment::segment_name(*number);
            Err(EngineError::rejected(format!("there is a log already, with segment {name}")))
        }
        None => Files { directory, clock, options }.create(&names, first.max(1)),
    }
}

/// The way along the chain.
struct Walk<'a> {
    segments: &'a [Surveyed],
    /// From the one that holds record `from`.
    links: &'a [Link],
    from: Lsn,
    /// The next record and the group before it.
    at: Cut,
    /// The highest record known durable.
    proven: Lsn,
    /// The groups whose records no later one proves durable. They all lie in the segment at hand: none begins before what
    /// the last one holds is durable.
    unproven: VecDeque<GroupHeader>,
    /// The last segment that holds a group of a session, not only what recovery wrote.
    used: Option<usize>,
    /// The groups with records of the segment at hand, as long as it is not used.
    unused: VecDeque<GroupHeader>,
    recovery: Recovery,
}

/// Where the chain ends, and what has to be done about it.
struct Tail {
    index: usize,
    position: u64,
    /// Where the chain ends.
    end: Cut,
    /// The groups of the segment that nothing proves durable.
    unproven: VecDeque<GroupHeader>,
    /// Whether anything un-acknowledged lies behind the end.
    remains: bool,
    /// Set if no session has written into the segment: where it begins, for one that takes its place. A session
    /// would not have been, had the sync of the segment's name failed; without one, that is not known.
    in_place_of: Option<Cut>,
    recovery: Recovery,
}

/// Valid groups behind a break in the chain.
#[derive(Default)]
struct Behind {
    /// Where the chain goes on in the same segment: only a close group was lost.
    goes_on: Option<u64>,
    /// Whether any of them proves that what is missing was durable.
    is_proof: bool,
    /// The last record that any of them knows of.
    last: Lsn,
    /// How many bytes from the break to the end of the last of them.
    bytes: u64,
    found: bool,
}

impl<'a> Walk<'a> {
    fn new(segments: &'a [Surveyed], links: &'a [Link], from: Lsn) -> Result<Self> {
        let start = links.iter().rposition(|link| link.begin.next <= from);
        let Some(start) = start else {
            let first = &segments[0].segment;
            let message = match links.first() {
                Some(link) => {
                    format!("the log begins at record {}, those from {from} on are missing", link.begin.next)
                }
                None => "no log segment has a readable first record".to_string(),
            };
            return Err(EngineError::corrupt(&first.name, FIRST_POSITION, message));
        };
        let (links, at) = (&links[start..], links[start].begin);
        let (proven, unproven) = (at.next - 1, VecDeque::new());
        let (used, unused, recovery) = (None, VecDeque::new(), Recovery::default());
        Ok(Self { segments, links, from, at, proven, unproven, used, unused, recovery })
    }

    /// Reads all of it, replaying.
    fn read(mut self, replay: &mut Replay<'_>) -> Result<Tail> {
        let (mut position, mut behind) = (FIRST_POSITION, Behind::default());
        let links = self.links;
        for (place, link) in links.iter().enumerate() {
            (position, behind) = self.read_segment(link, replay)?;
            self.recovery.segments_read += 1;
            if let Some(end) = link.end.filter(|end| *end != self.at) {
                return Err(self.gap(link, &links[place + 1], position, end));
            }
        }
        let index = links[links.len() - 1].index;
        let (remains, dropped_bytes) = self.judge_tail(index, position, behind)?;
        self.recovery.last = self.at.next - 1;
        self.recovery.dropped_bytes = dropped_bytes;
        if self.from > self.at.next {
            let message = format!(
                "the log ends at record {}, those to {} are missing",
                self.at.next - 1,
                self.from - 1
            );
            return Err(EngineError::corrupt(&self.segments[index].segment.name, position, message));
        }
        let Self { at: end, unproven, unused, recovery, .. } = self;
        let (unproven, in_place_of) = match self.used == Some(index) {
            true => (unproven, None),
            false => (unused, Some(links[links.len() - 1].begin)),
        };
        Ok(Tail { index, position, end, unproven, remains, in_place_of, recovery })
    }

    /// Reads one segment up to where the next takes over, or as far as the chain goes; returns where, and what
    /// lies behind if the chain broke there.
    fn read_segment(&mut self, link: &Link, replay: &mut Replay<'_>) -> Result<(u64, Behind)> {
        let segment = &self.segments[link.index].segment;
        let failed = |error| failed_on(&segment.name, "read", error);
        let mut reader = SegmentReader::new(segment);
        let mut position = FIRST_POSITION;
        self.unused.clear();
        while link.end != Some(self.at) {
            position = reader.place_behind(position).map_err(failed)?;
            let read = reader.group_at(position).map_err(failed)?;
            match read.filter(|group| self.follows(&group.header)) {
                Some(group) => {
                    position = group.header.end();
                    self.take(link.index, &group, replay)?;
                }
                None => {
                    let behind = self.behind(link.index, position)?;
                    match behind.goes_on {
                        Some(further) => position = further,
                        None => return Ok((position, behind)),
                    }
                }
            }
        }
        Ok((position, Behind::default()))
    }

    fn follows(&self, header: &GroupHeader) -> bool {
        header.first == self.at.next && header.previous == self.at.previous
    }

    /// Takes a group that follows.
    fn take(&mut self, index: usize, group: &Group<'_>, replay: &mut Replay<'_>) -> Result<()> {
        let header = group.header;
        let name = &self.segments[index].segment.name;
        if header.position == FIRST_POSITION && header.durable < header.first - 1 {
            return Err(Self::begun_too_early(name, &header));
        }
        let held = records(group.bytes, header.records);
        let Some(records) = held.filter(|it| it.is_empty() || header.kind == Kind::Records) else {
            let message = "a group does not hold the records that its header claims";
            return Err(EngineError::corrupt(name, header.position, message));
        };
        for (lsn, record) in (header.first..).zip(records) {
            if lsn >= self.from {
                replay(lsn, record)?;
                self.recovery.replayed += 1;
            }
        }
        if header.kind != Kind::Close {
            self.at = Cut { next: header.last() + 1, previous: group.check };
        }
        // What recovery writes says of itself that it is durable; no session can know that.
        if header.kind == Kind::Close || header.durable < header.last() {
            self.used = Some(index);
            self.unused.clear();
        }
        if header.records > 0 {
            if self.used != Some(index) {
                self.unused.push_back(header);
            }
            self.unproven.push_back(header);
        }
        self.proven = self.proven.max(header.durable);
        while self.unproven.front().is_some_and(|group| group.last() <= self.proven) {
            self.unproven.pop_front();
        }
        Ok(())
    }

    /// The error for a segment that says it begins behind records that were not durable then. No session and no
    /// recovery goes on in another segment before they are: what is not proven lies in the last segment alone.
    fn begun_too_early(name: &str, header: &GroupHeader) -> EngineError {
        let message = format!(
            "the segment begins at record {} and says that only those to {} were durable then, which no log does; \
             {ADVICE}",
            header.first, header.durable
        );
        EngineError::corrupt(name, header.position, message)
    }

    /// Looks at the rest of a segment for groups behind a break of the chain.
    fn behind(&self, index: usize, position: u64) -> Result<Behind> {
        let segment = &self.segments[index].segment;
        let mut reader = SegmentReader::new(segment);
        let mut behind = Behind::default();
        let mut from = position;
        while let Some(header) =
            reader.next_group(from).map_err(|error| failed_on(&segment.name, "read", error))?
        {
            // A segment that lost its first group is no part of the chain, though it may hold copies of the groups
            // at the break, and go on from them.
            if position > FIRST_POSITION && self.follows(&header) {
                behind.goes_on.get_or_insert(header.position);
                break;
            }
            behind.found = true;
            behind.last = behind.last.max(header.last()).max(header.durable);
            behind.bytes = header.end() - position;
            // A close group right at the break misses no record.
            let misses_nothing = header.kind == Kind::Close && header.first == self.at.next;
            behind.is_proof |= header.durable >= self.at.next || header.settled && !misses_nothing;
            from = header.end();
        }
        Ok(behind)
    }

    /// Whether un-acknowledged bytes lie behind the end of the chain, and how many. `behind` is what was
    /// found in the rest of the segment where it ends.
    ///
    /// # Errors
    /// `Corrupt` if a group there proves that the record at the end was acknowledged.
    fn judge_tail(&self, index: usize, position: u64, behind: Behind) -> Result<(bool, u64)> {
        let (mut remains, mut dropped, mut last, mut proof) = (false, 0, 0, None);
        let mut in_first = Some(behind);
        for (at, surveyed) in self.segments.iter().enumerate().skip(index) {
            let (start, behind) = match in_first.take() {
                Some(behind) => (position, behind),
                None => (FIRST_POSITION, self.behind(at, FIRST_POSITION)?),
            };
            let torn = SegmentReader::new(&surveyed.segment).torn_bytes(start);
            let torn = torn.map_err(|error| failed_on(&surveyed.segment.name, "read", error))?;
            remains |= behind.found || torn > 0;
            dropped += behind.bytes.max(torn);
            last = last.max(behind.last);
            if behind.is_proof {
                // A proof in a later segment means that the chain broke at the group that one begins with.
                proof.get_or_insert((&surveyed.segment, start));
            }
        }
        if let Some((segment, start)) = proof.filter(|_| !planted::CUT_AT_DAMAGE) {
            return Err(self.damage(segment, start, last));
        }
        if dropped > 0 {
            log::warn!(
                "log file {} at byte {position}: dropped {dropped} bytes of a write that was not finished; \
                 the log ends at record {}",
                self.segments[index].segment.name,
                self.at.next - 1
            );
        }
        Ok((remains, dropped))
    }

    /// The error for a chain that breaks before the next segment takes over.
    fn gap(&self, link: &Link, next: &Link, position: u64, end: Cut) -> EngineError {
        let shows_group = |segment: &Segment, at: u64| {
            let mut reader = SegmentReader::new(segment);
            reader.torn_bytes(at).is_ok_and(|bytes| bytes > 0)
                || reader.next_group(at).is_ok_and(|group| group.is_some())
        };
        let segment = &self.segments[link.index].segment;
        let mut between = self.segments[link.index + 1..next.index].iter().map(|it| &it.segment);
        let (segment, position) = if shows_group(segment, position) {
            (segment, position)
        } else if let Some(lost) = between.clone().find(|segment| shows_group(segment, FIRST_POSITION)) {
            (lost, FIRST_POSITION)
        } else {
            // Nothing is left to tell by. A segment that was prepared and is not the next is the likelier place.
            between.next().map_or((segment, position), |lost| (lost, FIRST_POSITION))
        };
        self.damage(segment, position, end.next - 1)
    }

    fn damage(&self, segment: &Segment, position: u64, last: Lsn) -> EngineError {
        let next = self.at.next;
        let count = last.saturating_add(1).saturating_sub(next);
        let message = format!(
            "the log is damaged here, and {count} records that were acknowledged, from {next} to {last}, are at \
             stake; {ADVICE}"
        );
        EngineError::corrupt(&segment.name, position, message)
    }
}

/// The files of a log that is about to be written.
struct Files<'a> {
    directory: &'a Arc<dyn Directory>,
    clock: &'a Arc<dyn Clock>,
    options: LogOptions,
}

impl Files<'_> {
    /// The first start, or one more try at it.
    fn create(&self, names: &Names, first: Lsn) -> Result<Log> {
        let now = self.clock.wall().as_nanos() as u64 ^ scramble(self.clock.monotonic().as_nanos() as u64);
        let mut pool = Pool { highest: names.highest(), ..Pool::default() };
        pool.retired.extend(self.spares(names)?);
        let end = Cut { next: first, previous: 0 };
        let (pool, counters, mut preparer) = self.preparer(scramble(now), pool);
        let start = self.fresh_segment(&mut preparer, end, first - 1, None)?;
        Ok(Log::new(self.options, self.clock, pool, preparer, counters, start))
    }

    /// Makes durable what was shown, and goes on behind it: in the same segment if all of it is proven, its name
    /// too, and nothing lies behind it, else in a fresh one. The name of a segment that recovery wrote may be on no
    /// disk: the sync of the directory may have failed, and common kernels then count the names as clean.
    fn go_on(
        &self,
        names: &Names,
        segments: &[Surveyed],
        links: &[Link],
        mut tail: Tail,
    ) -> Result<(Log, Recovery)> {
        if planted::TAIL_NOT_REWRITTEN {
            tail.unproven.clear();
        }
        let in_place = tail.unproven.is_empty() && !tail.remains && tail.in_place_of.is_none();
        let pool = self.sort_out(names, segments, links, &tail, in_place)?;
        let last_segment = &segments[tail.index].segment;
        let (pool, counters, mut preparer) = self.preparer(last_segment.log_id, pool);
        let start = if in_place {
            Start { segment: last_segment.clone(), position: tail.position, chain: tail.end }
        } else {
            let front = tail.unproven.front();
            let cut = front.map_or(tail.end, |it| Cut { next: it.first, previous: it.previous });
            let cut = tail.in_place_of.unwrap_or(cut);
            let groups = tail.unproven.make_contiguous();
            tail.recovery.rewritten = groups.iter().map(|header| u64::from(header.records)).sum();
            self.fresh_segment(&mut preparer, cut, tail.recovery.last, Some((last_segment, groups)))?
        };
        Ok((Log::new(self.options, self.clock, pool, preparer, counters, start), tail.recovery))
    }

    /// What each file that is not written to is good for.
    fn sort_out(
        &self,
        names: &Names,
        segments: &[Surveyed],
        links: &[Link],
        tail: &Tail,
        in_place: bool,
    ) -> Result<Pool> {
        let highest = names.highest();
        let published = names.segments.last().copied().unwrap_or(0);
        let mut pool = Pool { highest, published, ..Pool::default() };
        for (index, surveyed) in segments.iter().enumerate() {
            let (name, len) = (surveyed.segment.name.clone(), surveyed.segment.len);
            match links.iter().find(|link| link.index == index) {
                Some(link) if link.end.is_some() || !in_place => {
                    let next = link.end.map_or(tail.end.next, |end| end.next);
                    pool.live.push_back(Live { name, len, last: next - 1 });
                }
                Some(_) => {}
                // What the last segment stands in for is needed as long as that one's name may be lost.
                None if tail.in_place_of.is_some() && surveyed.begin_cut() == tail.in_place_of => {
                    pool.live.push_back(Live { name, len, last: tail.end.next - 1 });
                }
                None => pool.retired.push_back(Retired { name, len, was_durable: true }),
            }
        }
        pool.retired.extend(self.spares(names)?);
        Ok(pool)
    }

    fn spares(&self, names: &Names) -> Result<Vec<Retired>> {
        let files = names.spare_files(&**self.directory)?;
        Ok(files.into_iter().map(|(name, len)| Retired { name, len, was_durable: false }).collect())
    }

    fn preparer(&self, log_id: u64, pool: Pool) -> (Arc<Mutex<Pool>>, Arc<Counters>, Preparer) {
        let (pool, counters) = (Arc::new(Mutex::new(pool)), Arc::new(Counters::default()));
        let preparer = Preparer::new(
            Arc::clone(self.directory),
            Arc::clone(self.clock),
            Arc::clone(&pool),
            Arc::clone(&counters),
            log_id,
            self.options,
        );
        (pool, counters, preparer)
    }

    /// Writes a segment that goes on from `cut` with the records of the groups of another, and makes it visible as a
    /// whole: once its name is there, all of it is durable, and its open group says so.
    fn fresh_segment(
        &self,
        preparer: &mut Preparer,
        cut: Cut,
        last: Lsn,
        rewritten: Option<(&Segment, &[GroupHeader])>,
    ) -> Result<Start> {
        let groups = rewritten.map_or(&[][..], |(_, groups)| groups);
        let bytes: u64 = groups.iter().map(|header| header.end() - header.position).sum();
        let needed = Segment::len_for(BLOCK + blocks(bytes));
        let full = |error: io::Error| match is_full(&error) {
            true => EngineError::full(format!(
                "the log needs room for a segment of {needed} bytes to open ({error}); nothing was lost: free some \
                 space on this disk, or copy the directory to a larger one, and start again"
            )),
            false => EngineError::failed_by("could not write a log segment to go on in", error),
        };
        let blank = preparer.blank_if_need_be_short(needed).map_err(full)?;
        let header = preparer.write_header(&blank).map_err(full)?;
        let (number, seal) = (header.number, header.seal());
        let (mut position, mut chain) = (FIRST_POSITION, cut);
        let mut group = GroupBuffer::new();
        let mut write = |group: &mut GroupBuffer, kind| {
            let (first, previous) = (chain.next, chain.previous);
            let (length, count, durable, settled) = (0, 0, last, true);
            let header = GroupHeader {
                kind,
                settled,
                length,
                records: count,
                segment: number,
                position,
                first,
                durable,
                previous,
            };
            let records = u64::from(group.records());
            let (end, check) = group.seal(&header, seal);
            blank.file.write_at(&[IoSlice::new(group.bytes())], position, Cause::Log).map_err(full)?;
            position = end;
            chain = Cut { next: chain.next + records, previous: check };
            group.clear();
            Ok::<(), EngineError>(())
        };
        write(&mut group, Kind::Open)?;
        if let Some((source, groups)) = rewritten {
            let mut reader = SegmentReader::new(source);
            for header in groups {
                let read = reader
                    .group_at(header.position)
                    .map_err(|error| failed_on(&source.name, "read", error))?;
                let read = read.ok_or_else(|| {
                    EngineError::corrupt(&source.name, header.position, "a group changed while it was read")
                })?;
                group.copy(read.bytes, header.records);
                if group.disk_bytes() >= REWRITTEN_BYTES {
                    write(&mut group, Kind::Records)?;
                }
            }
        }
        if !group.is_empty() {
            write(&mut group, Kind::Records)?;
        }
        let segment = preparer.publish(&blank, &header).map_err(full)?;
        Ok(Start { segment, position, chain })
    }
}
