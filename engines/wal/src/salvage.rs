//! Reads what is left of a damaged log, and changes nothing.

use std::sync::Arc;

use adapter_api::environment::{Directory, OpenFile};
use adapter_api::{EngineError, Result, Watch};

use crate::chain::{self, Names, Surveyed};
use crate::group::{FIRST_POSITION, GroupHeader, records};
use crate::reader::SegmentReader;
use crate::segment::failed_on;
use crate::{Lsn, Recovery, Replay, blocks};

/// Calls `replay` with every record from number `from` on that can still be read, in order, each at most
/// once. What is damaged or missing is skipped and told to `watch`. Writes nothing.
///
/// # Errors
/// `Failed` if a file cannot be read at all, `Rejected` if the watch cancels, and whatever `replay` answers.
pub fn salvage(
    directory: &Arc<dyn Directory>,
    from: Lsn,
    watch: &dyn Watch,
    replay: &mut Replay<'_>,
) -> Result<Recovery> {
    let names = Names::list(&**directory)?;
    let mut segments = Vec::new();
    for number in &names.segments {
        match Surveyed::read(&**directory, *number, OpenFile::READ) {
            Ok(surveyed) => segments.push(surveyed),
            Err(damage @ (EngineError::Corrupt { .. } | EngineError::Rejected { .. })) => {
                watch.finding(damage)
            }
            Err(error) => return Err(error),
        }
    }
    let mut taker = Taker { next: from.max(1), watch, recovery: Recovery::default() };
    let links = chain::links(&segments);
    for (index, surveyed) in segments.iter().enumerate() {
        if watch.progress(index as u64, segments.len() as u64).is_break() {
            return Err(EngineError::rejected("salvage was cancelled"));
        }
        // A later segment voids what an earlier one holds from the record on that it begins with.
        let later = links.iter().filter(|link| link.index > index);
        let end = later.map(|link| link.begin.next).min().unwrap_or(Lsn::MAX);
        taker.read_segment(surveyed, end, replay)?;
    }
    Ok(taker.recovery)
}

struct Taker<'a> {
    /// The next record that is wanted.
    next: Lsn,
    watch: &'a dyn Watch,
    recovery: Recovery,
}

impl Taker<'_> {
    /// Takes the records before `end` of every valid group.
    fn read_segment(&mut self, surveyed: &Surveyed, end: Lsn, replay: &mut Replay<'_>) -> Result<()> {
        let segment = &surveyed.segment;
        let failed = |error| failed_on(&segment.name, "read", error);
        let mut reader = SegmentReader::new(segment);
        let mut position = FIRST_POSITION;
        self.recovery.segments_read += 1;
        while let Some(header) = reader.next_group(position).map_err(failed)? {
            if header.first >= end && header.records > 0 {
                break;
            }
            // A group has a block of its own wherever a sync came before it.
            if header.position > position && header.position != blocks(position) {
                let skipped = header.position - position;
                let message = format!("{skipped} bytes are damaged and were skipped");
                self.watch.finding(EngineError::corrupt(&segment.name, position, message));
            }
            position = header.end();
            let group = reader.group_at(header.position).map_err(failed)?;
            let records = group.and_then(|group| records(group.bytes, header.records));
            self.take(&segment.name, &header, &records.unwrap_or_default(), end, replay)?;
        }
        Ok(())
    }

    fn take(
        &mut self,
        file: &str,
        header: &GroupHeader,
        records: &[&[u8]],
        end: Lsn,
        replay: &mut Replay<'_>,
    ) -> Result<()> {
        for (lsn, record) in (header.first..end).zip(records) {
            if lsn < self.next {
                continue;
            }
            if lsn > self.next {
                let message = format!("records {} to {} before this are lost", self.next, lsn - 1);
                self.watch.finding(EngineError::corrupt(file, header.position, message));
            }
            replay(lsn, record)?;
            self.next = lsn + 1;
            self.recovery.replayed += 1;
            self.recovery.last = lsn;
        }
        Ok(())
    }
}
