//! Which files make up the log, and in which order: the survey that recovery and salvage start from.
//!
//! A segment *begins* with a valid group right behind its header; that group says which record is first and
//! which group was before it. Of two segments that begin at the same place of the chain the later one counts:
//! recovery wrote it, to make the other void.

use adapter_api::environment::{Directory, OpenFile};
use adapter_api::{EngineError, Result};

use crate::Lsn;
use crate::group::{FIRST_POSITION, GroupHeader};
use crate::reader::SegmentReader;
use crate::segment::{Name, Segment, failed_on, segment_name, spare_name};

/// The files of a log, as their names say.
pub(crate) struct Names {
    /// Numbers of the segments, ascending.
    pub segments: Vec<u64>,
    /// Numbers of the spare files, ascending.
    pub spares: Vec<u64>,
}

impl Names {
    /// Lists the directory; files that are not the log's are left alone.
    pub(crate) fn list(directory: &dyn Directory) -> Result<Self> {
        let entries = directory
            .list()
            .map_err(|error| EngineError::failed_by("could not list the directory of the log", error))?;
        let mut names = Self { segments: Vec::new(), spares: Vec::new() };
        for entry in entries {
            match Name::parse(&entry.name) {
                Some(Name::Segment(number)) => names.segments.push(number),
                Some(Name::Spare(number)) => names.spares.push(number),
                None => {}
            }
        }
        names.segments.sort_unstable();
        names.spares.sort_unstable();
        Ok(names)
    }

    /// The highest number that any file has.
    pub(crate) fn highest(&self) -> u64 {
        self.segments.last().copied().max(self.spares.last().copied()).unwrap_or(0)
    }

    /// The names of the spare files with their lengths.
    pub(crate) fn spare_files(&self, directory: &dyn Directory) -> Result<Vec<(String, u64)>> {
        let file = |number: &u64| {
            let name = spare_name(*number);
            let len = directory.open_file(&name, OpenFile::READ).and_then(|file| file.len());
            Ok((name.clone(), len.map_err(|error| failed_on(&name, "open", error))?))
        };
        self.spares.iter().map(file).collect()
    }
}

/// A segment and the group it begins with, if that is valid.
pub(crate) struct Surveyed {
    pub segment: Segment,
    pub begin: Option<GroupHeader>,
}

impl Surveyed {
    /// Opens a segment and reads its first group.
    pub(crate) fn read(directory: &dyn Directory, number: u64, how: OpenFile) -> Result<Self> {
        let segment = Segment::open(directory, number, how)?;
        let group =
            SegmentReader::new(&segment).group_at(FIRST_POSITION).map(|group| group.map(|it| it.header));
        let begin = group.map_err(|error| failed_on(&segment.name, "read", error))?;
        Ok(Self { segment, begin })
    }

    /// What its first group says of the chain before it.
    pub(crate) fn begin_cut(&self) -> Option<Cut> {
        self.begin.map(|group| Cut { next: group.first, previous: group.previous })
    }
}

/// Where the chain leaves a segment for the next one: the number of the next record and the checksum of the
/// last group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cut {
    pub next: Lsn,
    pub previous: u32,
}

/// One segment of the chain.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Link {
    /// Its place in the survey.
    pub index: usize,
    /// What its first group says of the chain before it.
    pub begin: Cut,
    /// Where the next segment takes over; `None` for the last.
    pub end: Option<Cut>,
}

/// The segments that hold the log, in order. `segments` ascend by number.
pub(crate) fn links(segments: &[Surveyed]) -> Vec<Link> {
    let mut links: Vec<Link> = Vec::new();
    for (index, surveyed) in segments.iter().enumerate() {
        let Some(begin) = surveyed.begin_cut() else { continue };
        if links.last().is_some_and(|earlier| earlier.begin == begin) {
            links.pop();
        }
        if let Some(earlier) = links.last_mut() {
            earlier.end = Some(begin);
        }
        links.push(Link { index, begin, end: None });
    }
    links
}

/// Checks that records ascend with the numbers of the segments.
pub(crate) fn check_order(segments: &[Surveyed], links: &[Link]) -> Result<()> {
    match links.windows(2).find(|pair| pair[1].begin.next < pair[0].begin.next) {
        None => Ok(()),
        Some(pair) => {
            let (earlier, later) = (&segments[pair[0].index].segment, &segments[pair[1].index].segment);
            let message = format!(
                "the segment begins at record {}, before the one in {} that it should follow",
                pair[1].begin.next, earlier.name
            );
            Err(EngineError::corrupt(&later.name, FIRST_POSITION, message))
        }
    }
}

/// Checks that all segments are of one log.
pub(crate) fn check_one_log(segments: &[Surveyed]) -> Result<()> {
    let Some(first) = segments.first() else { return Ok(()) };
    match segments.iter().find(|it| it.segment.log_id != first.segment.log_id) {
        None => Ok(()),
        Some(other) => {
            let message =
                format!("the segment is of another log than {}", segment_name(first.segment.number));
            Err(EngineError::corrupt(&other.segment.name, 16, message))
        }
    }
}
