//! The marker of a data directory: which engine wrote it, in which format, and where the data lies.
//!
//! ```text
//! enginebay data directory 1        version of this file
//! engine snapshot                   the name of the engine
//! format 1                          the version of the engine's format
//! crc32 1a2b3c4d                    of the lines above, line breaks included
//!
//! enginebay data directory 2        data that was moved, loaded or restored has a generation
//! engine snapshot
//! format 1
//! generation 3                      the data lies in data-3; without this line, in data
//! crc32 1a2b3c4d
//! ```
//!
//! Promises: replaced atomically and durably; damage is told from absence. Called by `data_directory` and `incoming`;
//! public so that tests/crash can put it through power cuts.

use std::io::{self, IoSlice};

use crate::environment::real::read_whole;
use crate::environment::{Cause, Directory, OpenFile};

/// The name of the marker in the data directory.
pub(super) const MARKER: &str = "MARKER";
/// The name under which a new marker is written before it replaces the old one.
pub(super) const MARKER_NEW: &str = "MARKER.new";

const HEAD: &str = "enginebay data directory 1\n";
const HEAD_WITH_GENERATION: &str = "enginebay data directory 2\n";
const DATA: &str = "data";
const MARKER_BYTES_MAX: u64 = 4096;

/// What the marker says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marker {
    /// The engine that wrote the data.
    pub engine: String,
    /// The version of the engine's format.
    pub format: u32,
    /// Which of the engines' directories is in use; 0 for the first one of a server.
    pub generation: u32,
}

/// The name of the engine's directory of a generation.
pub(super) fn data_name(generation: u32) -> String {
    if generation == 0 { DATA.to_string() } else { format!("{DATA}-{generation}") }
}

/// The generation whose engine's directory has that name.
pub(super) fn generation_of(name: &str) -> Option<u32> {
    let generation = match name.strip_prefix(DATA)? {
        "" => 0,
        rest => rest.strip_prefix('-')?.parse().ok()?,
    };
    // Other spellings of the number are names of something else.
    (data_name(generation) == name).then_some(generation)
}

/// Why there is no marker to be read.
#[derive(Debug)]
pub enum MarkerError {
    /// There is none.
    Absent,
    /// It is not what was written; says why.
    Damaged(String),
    /// The operating system could not read it.
    Io(io::Error),
}

impl Marker {
    /// Reads the marker of a data directory.
    ///
    /// # Errors
    /// Why there is none to be read.
    pub fn read(directory: &dyn Directory) -> Result<Self, MarkerError> {
        let bytes = read_whole(directory, MARKER, MARKER_BYTES_MAX).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => MarkerError::Absent,
            io::ErrorKind::InvalidData => MarkerError::Damaged(error.to_string()),
            _ => MarkerError::Io(error),
        })?;
        Self::parse(&bytes).map_err(MarkerError::Damaged)
    }

    /// Replaces the marker; durable when this returns.
    ///
    /// # Errors
    /// What the operating system says. The marker of before is there then, or this one.
    pub fn write(&self, directory: &dyn Directory) -> io::Result<()> {
        Self::remove_unfinished(directory)?;
        let file = directory.open_file(MARKER_NEW, OpenFile::CREATE_NEW)?;
        file.write_at(&[IoSlice::new(self.text().as_bytes())], 0, Cause::Metadata)?;
        file.sync_all()?;
        directory.rename(MARKER_NEW, MARKER)?;
        directory.sync()
    }

    /// Removes one whose writing was cut off.
    ///
    /// # Errors
    /// What the operating system says.
    pub(super) fn remove_unfinished(directory: &dyn Directory) -> io::Result<()> {
        match directory.remove(MARKER_NEW) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn text(&self) -> String {
        let Self { engine, format, generation } = self;
        let body = match generation {
            0 => format!("{HEAD}engine {engine}\nformat {format}\n"),
            _ => format!("{HEAD_WITH_GENERATION}engine {engine}\nformat {format}\ngeneration {generation}\n"),
        };
        let checksum = crc32fast::hash(body.as_bytes());
        format!("{body}crc32 {checksum:08x}\n")
    }

    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let text = str::from_utf8(bytes).map_err(|_| "it is no text".to_string())?;
        if !text.starts_with(HEAD) && !text.starts_with(HEAD_WITH_GENERATION) {
            return Err("its first line is not the one of a data directory of this version".into());
        }
        let word = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        let number = |name: &str| word(name).and_then(|word| word.parse().ok());
        let (Some(engine), Some(format)) = (word("engine"), number("format")) else {
            return Err("its engine or format line is damaged".into());
        };
        let generation = number("generation").unwrap_or_default();
        let marker = Self { engine: engine.to_string(), format, generation };
        // Written and read are the same few lines, so comparing the whole text covers the checksum too.
        if marker.text() == text { Ok(marker) } else { Err("its checksum does not fit".into()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_and_every_cut_of_a_marker_is_noticed() {
        for generation in [0, 3] {
            let marker = Marker { engine: "snapshot".into(), format: 3, generation };
            let text = marker.text();
            assert_eq!(Marker::parse(text.as_bytes()), Ok(marker));
            for position in 0..text.len() {
                assert!(Marker::parse(&text.as_bytes()[..position]).is_err(), "cut at {position}");
                let mut flipped = text.clone().into_bytes();
                flipped[position] ^= 1;
                assert!(Marker::parse(&flipped).is_err(), "flipped at {position}");
            }
        }
    }

    #[test]
    fn the_text_of_a_marker_is_the_one_drawn() {
        let text = |generation| Marker { engine: "btree".into(), format: 2, generation }.text();
        assert_eq!(text(0), "enginebay data directory 1\nengine btree\nformat 2\ncrc32 6a2f1e98\n");
        assert!(
            text(3).starts_with("enginebay data directory 2\nengine btree\nformat 2\ngeneration 3\ncrc32 ")
        );
    }

    #[test]
    fn a_generation_has_one_name() {
        for generation in [0, 1, 10] {
            assert_eq!(generation_of(&data_name(generation)), Some(generation));
        }
        for name in ["data-0", "data-01", "data-", "data-x", "data2", "LOCK"] {
            assert_eq!(generation_of(name), None, "{name}");
        }
    }
}
