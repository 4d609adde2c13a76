//! Writes the checkpoint of a view, and the file with the values that belong on disk. Bytes: `checkpoint`, `values`.
//!
//! Promises: a step writes at most 1 MiB, and takes memory for that and for one value. A value that lies in a file
//! already is not read again, unless its file is to go. Called by the checkpointer and by `backup`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IoSlice};
use std::sync::Arc;

use adapter_api::environment::{Cause, Directory, File, OpenFile};
use adapter_api::versioned_map::{Away, Held, Stored, View, ViewCursor};
use adapter_api::{Buffer, Direction, EngineError, KeyRange, Result};
use crc32fast::Hasher;

use crate::checkpoint::{
    BlockKind, begin_block, encode_entry, encode_foot, encode_head, encode_reference, end_block,
};
use crate::files::{self, TEMPORARY, VALUES_TEMPORARY};
use crate::values::{self, Reference, Usage, ValuesFile};

/// A block of entries ends once its payload has this many bytes.
const BLOCK_BYTES: usize = 64 << 10;
/// How many bytes one step writes at most.
const STEP_BYTES: usize = 1 << 20;

/// Why a checkpoint could not be written.
#[derive(Debug)]
pub(crate) enum WriteError {
    /// The file refused it.
    File(io::Error),
    /// The view ended, or a value could not be read.
    View(EngineError),
}

impl From<io::Error> for WriteError {
    fn from(error: io::Error) -> Self {
        Self::File(error)
    }
}

/// Which values lie where.
pub(crate) struct Layout {
    /// Values of so many bytes and more go to disk; `None`: none do.
    pub(crate) disk_value_bytes: Option<u64>,
    /// The number of the file that new ones go to.
    pub(crate) number: u64,
    /// Whose values are written again.
    pub(crate) moved: Moved,
}

/// Files whose values are written again.
pub(crate) enum Moved {
    /// All of them: for a copy.
    All,
    /// Those with these numbers.
    Files(BTreeSet<u64>),
}

impl Layout {
    fn is_for_disk(&self, bytes: usize) -> bool {
        self.disk_value_bytes.is_some_and(|least| bytes as u64 >= least)
    }

    /// Whether a value that lies in the file goes somewhere else.
    fn moves(&self, number: u64, bytes: u32) -> bool {
        let is_moved = match &self.moved {
            Moved::All => true,
            Moved::Files(numbers) => numbers.contains(&number),
        };
        is_moved || number == 0 || !self.is_for_disk(bytes as usize)
    }
}

/// An entry of the view whose value lies somewhere else once the checkpoint counts.
pub(crate) struct Move {
    pub(crate) held: Held,
    pub(crate) to: Place,
}

/// Where a value goes.
pub(crate) enum Place {
    Memory(Buffer),
    Disk(Away),
}

/// Bytes on their way to a file, in parts.
struct Sink {
    file: Arc<dyn File>,
    cause: Cause,
    pending: Vec<u8>,
    written: usize,
    /// Where in the file `pending` begins.
    start: u64,
}

impl Sink {
    fn new(file: Arc<dyn File>, cause: Cause) -> Self {
        Self { file, cause, pending: Vec::new(), written: 0, start: 0 }
    }

    /// Where the next byte goes.
    fn end(&self) -> u64 {
        self.start + self.pending.len() as u64
    }

    fn is_drained(&self) -> bool {
        self.written == self.pending.len()
    }

    fn is_full(&self) -> bool {
        self.pending.len() >= STEP_BYTES
    }

    /// Forgets what was written.
    fn clear(&mut self) {
        self.start = self.end();
        self.pending.clear();
        self.pending.shrink_to(2 * STEP_BYTES);
        self.written = 0;
    }

    fn step(&mut self) -> io::Result<()> {
        let end = self.pending.len().min(self.written + STEP_BYTES);
        let (part, at) = (&self.pending[self.written..end], self.start + self.written as u64);
        self.file.write_at(&[IoSlice::new(part)], at, self.cause)?;
        // A hint, so that the sync at the end finds little left to do.
        let _ = self.file.write_back(at, part.len() as u64);
        self.written = end;
        Ok(())
    }
}

/// The file with values that is being written.
struct NewValues {
    sink: Sink,
    file: Arc<ValuesFile>,
}

/// Writes a checkpoint in bounded steps.
pub(crate) struct Writer {
    entries: ViewCursor,
    output: Output,
    total: u64,
    count: u64,
    checksum: Hasher,
    is_complete: bool,
    moves: Vec<Move>,
}

/// Where entries go.
struct Output {
    directory: Arc<dyn Directory>,
    layout: Layout,
    sink: Sink,
    values: Option<NewValues>,
    /// The bytes in each file that the checkpoint refers to.
    live: BTreeMap<u64, (u64, Arc<ValuesFile>)>,
    /// The block that is being filled has an entry whose value lies in a file of values.
    has_references: bool,
}

impl Writer {
    /// Begins the checkpoint of a view that stands for the log up to `position`, in a temporary file.
    pub(crate) fn new(
        directory: Arc<dyn Directory>,
        view: &View,
        position: u64,
        cause: Cause,
        layout: Layout,
    ) -> Result<Self, WriteError> {
        let total = view.len().map_err(WriteError::View)?;
        files::remove_temporary(&*directory)?;
        let mut sink = Sink::new(directory.open_file(TEMPORARY, OpenFile::CREATE_NEW)?, cause);
        let (entries, mut checksum) = (view.walk(KeyRange::all(), Direction::Forward), Hasher::new());
        begin_block(&mut sink.pending);
        encode_head(position, total, &mut sink.pending);
        end_block(&mut sink.pending, 0, 0, BlockKind::Head);
        checksum.update(&sink.pending);
        let (values, live, has_references) = (None, BTreeMap::new(), false);
        let output = Output { directory, layout, sink, values, live, has_references };
        let (count, is_complete, moves) = (0, false, Vec::new());
        Ok(Self { entries, output, total, count, checksum, is_complete, moves })
    }

    /// Writes a bounded part; answers whether everything is written.
    pub(crate) fn step(&mut self) -> Result<bool, WriteError> {
        if self.output.is_drained() {
            self.output.clear();
        }
        let written = self.output.written();
        while written == 0 && !self.output.is_full() && !self.is_complete {
            self.fill()?;
        }
        self.output.step()?;
        Ok(self.is_complete && self.output.is_drained())
    }

    /// How many entries were written, and how many there are.
    pub(crate) fn progress(&self) -> (u64, u64) {
        (self.count, self.total)
    }

    /// The length of the checkpoint's file once everything is written, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.output.sink.end()
    }

    /// Makes everything durable, names included, the checkpoint last: then it counts.
    pub(crate) fn finish(&self, name: &str) -> io::Result<()> {
        let Output { directory, sink, values, .. } = &self.output;
        if let Some(values) = values {
            values.sink.file.sync_data()?;
            directory.rename(VALUES_TEMPORARY, &files::values_name(values.file.number))?;
            // The checkpoint refers to that name: no power cut may leave it without.
            directory.sync()?;
        }
        sink.file.sync_data()?;
        directory.rename(TEMPORARY, name)?;
        directory.sync()
    }

    /// What has to be changed in the map once the checkpoint counts.
    pub(crate) fn take_moves(&mut self) -> Vec<Move> {
        std::mem::take(&mut self.moves)
    }

    /// The files that the checkpoint refers to; `known` has the lengths of older ones.
    pub(crate) fn usage(&self, known: &BTreeMap<u64, Usage>) -> BTreeMap<u64, Usage> {
        let new = self.output.values.as_ref().map(|values| (values.file.number, values.sink.end()));
        let usage = |(number, (live, file)): (&u64, &(u64, Arc<ValuesFile>))| {
            let len = match new {
                Some((new, len)) if new == *number => len,
                _ => known.get(number).map_or(*live, |known| known.len),
            };
            (*number, Usage { file: Arc::clone(file), len, live: *live })
        };
        self.output.live.iter().map(usage).collect()
    }

    /// Adds a block of entries to what is pending, or the foot if there are no more.
    fn fill(&mut self) -> Result<(), WriteError> {
        let output = &mut self.output;
        let (start, offset) = (output.sink.pending.len(), output.sink.end());
        let payload = begin_block(&mut output.sink.pending);
        output.has_references = false;
        while let Some((key, stored)) = self.entries.next_stored().map_err(WriteError::View)? {
            if let Some(to) = output.put(key, stored)? {
                self.moves.push(Move { held: self.entries.hold(), to });
            }
            self.count += 1;
            if output.sink.pending.len() - payload >= BLOCK_BYTES || output.is_full() {
                break;
            }
        }
        let mut kind = if output.has_references { BlockKind::Mixed } else { BlockKind::Entries };
        if output.sink.pending.len() == payload {
            encode_foot(self.count, self.checksum.clone().finalize(), &mut output.sink.pending);
            (kind, self.is_complete) = (BlockKind::Foot, true);
        }
        end_block(&mut output.sink.pending, start, offset, kind);
        self.checksum.update(&output.sink.pending[start..]);
        Ok(())
    }
}

impl Output {
    fn is_drained(&self) -> bool {
        self.sink.is_drained() && self.values.as_ref().is_none_or(|values| values.sink.is_drained())
    }

    fn is_full(&self) -> bool {
        self.sink.is_full() || self.values.as_ref().is_some_and(|values| values.sink.is_full())
    }

    /// How many of the pending bytes were written.
    fn written(&self) -> usize {
        self.sink.written + self.values.as_ref().map_or(0, |values| values.sink.written)
    }

    fn clear(&mut self) {
        self.sink.clear();
        self.values.iter_mut().for_each(|values| values.sink.clear());
    }

    fn step(&mut self) -> io::Result<()> {
        match &mut self.values {
            Some(values) if !values.sink.is_drained() => values.sink.step(),
            _ => self.sink.step(),
        }
    }

    /// Adds an entry; answers where its value goes, if that is somewhere else than before.
    fn put(&mut self, key: &[u8], stored: Stored<'_>) -> Result<Option<Place>, WriteError> {
        let moved = match stored {
            Stored::Here(value) if self.layout.is_for_disk(value.len()) => self.append_value(value)?,
            Stored::Here(value) => {
                encode_entry(key, value, &mut self.sink.pending);
                return Ok(None);
            }
            Stored::Away(away) => {
                let file = values::file_of(away).map_err(WriteError::View)?;
                if !self.layout.moves(file.number, away.bytes) {
                    return self.refer(key, away).map(|()| None);
                }
                let mut value = Buffer::new();
                match values::append(stored, &mut value) {
                    Ok(()) if self.layout.is_for_disk(value.len()) => self.append_value(&value)?,
                    Ok(()) => {
                        encode_entry(key, &value, &mut self.sink.pending);
                        return Ok(Some(Place::Memory(value)));
                    }
                    // Damage to one value is no reason to let the log grow: its file stays for it.
                    Err(damage @ EngineError::Corrupt { .. })
                        if file.number > 0 && matches!(self.layout.moved, Moved::Files(_)) =>
                    {
                        log::error!("{damage}");
                        return self.refer(key, away).map(|()| None);
                    }
                    Err(error) => return Err(WriteError::View(error)),
                }
            }
        };
        self.refer(key, &moved)?;
        Ok(Some(Place::Disk(moved)))
    }

    /// Adds a value to the new file.
    fn append_value(&mut self, value: &[u8]) -> Result<Away, WriteError> {
        let values = match &mut self.values {
            Some(values) => values,
            none => {
                files::remove(&*self.directory, VALUES_TEMPORARY)?;
                let file = self.directory.open_file(VALUES_TEMPORARY, OpenFile::CREATE_NEW)?;
                let cause = if self.sink.cause == Cause::Backup { Cause::Backup } else { Cause::Blob };
                let mut sink = Sink::new(Arc::clone(&file), cause);
                sink.pending.extend_from_slice(&values::head(self.layout.number));
                none.insert(NewValues { sink, file: ValuesFile::new(self.layout.number, file) })
            }
        };
        let start = values.sink.end();
        values.sink.pending.extend_from_slice(value);
        let holder = Arc::clone(&values.file) as _;
        Ok(Away { holder, start, bytes: value.len() as u32, checksum: crc32fast::hash(value) })
    }

    fn refer(&mut self, key: &[u8], away: &Away) -> Result<(), WriteError> {
        let Away { start, bytes, checksum, .. } = *away;
        let holder = Arc::clone(&away.holder).downcast::<ValuesFile>();
        let file =
            holder.map_err(|_| WriteError::View(EngineError::failed("a value is in no file of values")))?;
        let reference = Reference { number: file.number, start, bytes, checksum };
        encode_reference(key, reference, &mut self.sink.pending);
        self.has_references = true;
        let live = self.live.entry(file.number).or_insert((0, file));
        live.0 += u64::from(bytes);
        Ok(())
    }
}
