//! The document: the whole state as one readable JSON file, written and read one entry at a time.
//!
//! ```text
//! {"format":"enginebay snapshot","version":1,"entries":[
//! ["key","value"],
//! ["key that is not text",…],           a string, or {"base64":"AP8="} where the bytes are not UTF-8
//! ["last key","value"]
//! ],"count":3,"crc32":"89abcdef"}
//! ```
//!
//! Lines end in one line feed; strings are escaped as JSON, so none has a line feed inside. Keys ascend as
//! bytes. `count` is the number of entries. `crc32` is the CRC-32 (IEEE), as eight lower-case hexadecimal
//! digits, of all bytes before the last line. The document is valid if and only if its first line is the one
//! above, every line between is an entry, the last line is what `count` and `crc32` make it, and nothing
//! follows. Everything else is refused as a whole: `Corrupt`, with the byte where reading stopped making
//! sense.
//!
//! Promises: an invalid document yields an error before `stage_sorted` changes anything; memory is that of
//! one entry, and grows with the bytes that are there, never with what they claim. Called by `save` (to
//! write) and by the engine (to read).

use std::io::{self, BufRead, BufReader, IoSlice, Read, Write};
use std::ops::ControlFlow;
use std::sync::Arc;

use adapter_api::environment::{Cause, File};
use adapter_api::versioned_map::View;
use adapter_api::{
    Cursor, Direction, EngineError, Entry, KEY_BYTES_MAX, KeyRange, Result, VALUE_BYTES_MAX, Watch,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use base64::write::EncoderWriter;
use crc32fast::Hasher;
use serde_json::Value;

/// The name of the document in the engine's directory.
pub(crate) const NAME: &str = "snapshot.json";
/// The version of the format drawn above.
pub(crate) const VERSION: u32 = 1;

const FIRST_LINE: &[u8] = b"{\"format\":\"enginebay snapshot\",\"version\":1,\"entries\":[\n";
/// How many bytes go to the file, or come from it, at once.
const CHUNK_BYTES: usize = 1 << 20;
/// How many entries are written between two reports of progress.
const ENTRIES_PER_REPORT: u64 = 1024;

fn last_line(count: u64, checksum: u32) -> String {
    format!("],\"count\":{count},\"crc32\":\"{checksum:08x}\"}}\n")
}

/// Why a document could not be written.
pub(crate) enum WriteError {
    /// The file refused it.
    File(io::Error),
    /// The view ended, or whoever waits cancelled.
    View(EngineError),
}

impl From<io::Error> for WriteError {
    fn from(error: io::Error) -> Self {
        Self::File(error)
    }
}

impl From<EngineError> for WriteError {
    fn from(error: EngineError) -> Self {
        Self::View(error)
    }
}

/// Writes the document of a view from the start of the file; returns its length in bytes. Makes nothing
/// durable and cuts nothing off.
pub(crate) fn write(
    view: &View,
    file: &dyn File,
    cause: Cause,
    watch: Option<&dyn Watch>,
) -> Result<u64, WriteError> {
    let mut out =
        Writer { file, cause, buffer: Vec::with_capacity(CHUNK_BYTES), offset: 0, checksum: Hasher::new() };
    out.write_all(FIRST_LINE)?;
    let total = view.len()?;
    let mut cursor = view.walk(KeyRange::all(), Direction::Forward);
    let mut count = 0;
    while let Some(entry) = cursor.next()? {
        out.write_all(if count == 0 { b"[" } else { b",\n[" })?;
        write_bytes(&mut out, entry.key)?;
        out.write_all(b",")?;
        write_bytes(&mut out, entry.value)?;
        out.write_all(b"]")?;
        count += 1;
        if count % ENTRIES_PER_REPORT == 0
            && let Some(watch) = watch
            && let ControlFlow::Break(()) = watch.progress(count, total)
        {
            return Err(EngineError::rejected("cancelled by its caller").into());
        }
    }
    if count > 0 {
        out.write_all(b"\n")?;
    }
    let checksum = out.checksum.clone().finalize();
    out.write_all(last_line(count, checksum).as_bytes())?;
    out.flush()?;
    Ok(out.offset)
}

/// Writes bytes as a JSON string if they are text, else as an object with their base64 form.
fn write_bytes(out: &mut Writer<'_>, bytes: &[u8]) -> io::Result<()> {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Ok(serde_json::to_writer(out, text)?);
    }
    out.write_all(b"{\"base64\":\"")?;
    let mut encoder = EncoderWriter::new(&mut *out, &BASE64);
    encoder.write_all(bytes)?;
    encoder.finish()?;
    drop(encoder);
    out.write_all(b"\"}")
}

/// Appends to a file in chunks and sums the bytes up.
struct Writer<'a> {
    file: &'a dyn File,
    cause: Cause,
    buffer: Vec<u8>,
    offset: u64,
    checksum: Hasher,
}

impl Write for Writer<'_> {
    /// Takes all of `bytes`, for the base64 encoder makes nothing of a part.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.checksum.update(bytes);
        let mut rest = bytes;
        while !rest.is_empty() {
            if self.buffer.len() == CHUNK_BYTES {
                self.flush()?;
            }
            let (taken, later) = rest.split_at(rest.len().min(CHUNK_BYTES - self.buffer.len()));
            self.buffer.extend_from_slice(taken);
            rest = later;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if !self.buffer.is_empty() {
            self.file.write_at(&[IoSlice::new(&self.buffer)], self.offset, self.cause)?;
            self.offset += self.buffer.len() as u64;
            self.buffer.clear();
        }
        Ok(())
    }
}

/// Reads a file from its start.
struct Sequential {
    file: Arc<dyn File>,
    offset: u64,
}

impl Read for Sequential {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(bytes, self.offset)?;
        self.offset += read as u64;
        Ok(read)
    }
}

/// The entries of a document in order. `next` answers `None` only behind a last line that proves the whole.
pub(crate) struct Reader {
    lines: BufReader<Sequential>,
    line: Vec<u8>,
    /// Where `line` begins in the file.
    line_start: u64,
    checksum: Hasher,
    count: u64,
    key: Vec<u8>,
    value: Vec<u8>,
    is_done: bool,
}

impl Reader {
    /// Reads the first line.
    pub(crate) fn open(file: Arc<dyn File>) -> Result<Self> {
        let mut reader = Self {
            lines: BufReader::with_capacity(CHUNK_BYTES, Sequential { file, offset: 0 }),
            line: Vec::new(),
            line_start: 0,
            checksum: Hasher::new(),
            count: 0,
            key: Vec::new(),
            value: Vec::new(),
            is_done: false,
        };
        reader.read_line(FIRST_LINE.len() as u64)?;
        if reader.line != FIRST_LINE {
            let same = reader.line.iter().zip(FIRST_LINE).take_while(|(have, want)| have == want).count();
            return Err(
                reader.corrupt(same, format!("not the first line of a document of version {VERSION}"))
            );
        }
        reader.checksum.update(FIRST_LINE);
        Ok(reader)
    }

    /// The length of the document, in bytes: right once `next` has answered `None`.
    pub(crate) fn bytes(&self) -> u64 {
        self.line_start + self.line.len() as u64
    }

    /// Reads the next line, with its line feed, or its first `limit` bytes. Empty at the end of the file.
    fn read_line(&mut self, limit: u64) -> Result<()> {
        self.line_start += self.line.len() as u64;
        self.line.clear();
        self.lines.by_ref().take(limit).read_until(b'\n', &mut self.line)?;
        Ok(())
    }

    fn corrupt(&self, column: usize, message: impl Into<String>) -> EngineError {
        EngineError::corrupt(NAME, self.line_start + column as u64, message)
    }

    /// Reads the entry of `line` into `key` and `value`.
    fn read_entry(&mut self) -> Result<()> {
        let Some(text) = self.line.strip_suffix(b"\n") else {
            let message = "the document ends here, in the middle of a line: it is torn; restore a backup";
            return Err(self.corrupt(self.line.len(), message));
        };
        let text = text.strip_suffix(b",").unwrap_or(text);
        let parsed: Value = serde_json::from_slice(text).map_err(|error| {
            self.corrupt(error.column().saturating_sub(1), format!("not an entry: {error}"))
        })?;
        let pair = match parsed {
            Value::Array(pair) => <[Value; 2]>::try_from(pair).ok(),
            _ => None,
        };
        let decoded = pair.and_then(|[key, value]| Some((decode(key)?, decode(value)?)));
        let Some((key, value)) = decoded else {
            return Err(self.corrupt(0, "an entry is an array of a key and a value"));
        };
        if key.is_empty() || key.len() > KEY_BYTES_MAX || value.len() > VALUE_BYTES_MAX {
            return Err(self.corrupt(0, "a key or value of a length that no key or value may have"));
        }
        if self.count > 0 && key <= self.key {
            return Err(self.corrupt(0, "the keys do not ascend here"));
        }
        (self.key, self.value) = (key, value);
        Ok(())
    }

    /// Checks that `line` is the last line that this document must have, and the end of the file.
    fn check_last_line(&mut self) -> Result<()> {
        let checksum = self.checksum.clone().finalize();
        if self.line != last_line(self.count, checksum).as_bytes() {
            let message = format!(
                "the last line does not fit what stands before it ({} entries, checksum {checksum:08x}): \
                 the document is damaged; restore a backup",
                self.count
            );
            return Err(self.corrupt(0, message));
        }
        if !self.lines.fill_buf()?.is_empty() {
            return Err(self.corrupt(
                self.line.len(),
                "bytes behind the end of the document: it is torn; restore a backup",
            ));
        }
        self.is_done = true;
        Ok(())
    }
}

/// The bytes that a JSON string or an object with base64 stands for.
fn decode(value: Value) -> Option<Vec<u8>> {
    match value {
        Value::String(text) => Some(text.into_bytes()),
        Value::Object(fields) if fields.len() == 1 => BASE64.decode(fields.get("base64")?.as_str()?).ok(),
        _ => None,
    }
}

impl Cursor for Reader {
    fn next(&mut self) -> Result<Option<Entry<'_>>> {
        if self.is_done {
            return Ok(None);
        }
        self.read_line(u64::MAX)?;
        if self.line.starts_with(b"]") {
            self.check_last_line()?;
            return Ok(None);
        }
        self.read_entry()?;
        self.checksum.update(&self.line);
        self.count += 1;
        Ok(Some(Entry { key: &self.key, value: &self.value }))
    }

    fn seek(&mut self, _: &[u8]) -> Result<()> {
        Err(EngineError::unsupported("seek in a document"))
    }
}
