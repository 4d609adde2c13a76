//! The marker of a data directory: which engine wrote it, in which format.
//!
//! ```text
//! enginebay data directory 1        version of this file
//! engine snapshot                   the name of the engine
//! format 1                          the version of the engine's format
//! crc32 1a2b3c4d                    of the three lines above, line breaks included
//! ```
//!
//! Promises: replaced atomically and durably; damage is told from absence.

use std::io::{self, IoSlice};

use crate::environment::real::read_whole;
use crate::environment::{Cause, Directory, OpenFile};

/// The name of the marker in the data directory.
pub(super) const MARKER: &str = "MARKER";
/// The name under which a new marker is written before it replaces the old one.
pub(super) const MARKER_NEW: &str = "MARKER.new";

const HEAD: &str = "enginebay data directory 1\n";
const MARKER_BYTES_MAX: u64 = 4096;

/// What the marker says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Marker {
    pub engine: String,
    pub format: u32,
}

/// Why there is no marker to be read.
pub(super) enum MarkerError {
    Absent,
    Damaged(String),
    Io(io::Error),
}

impl Marker {
    pub(super) fn read(directory: &dyn Directory) -> Result<Self, MarkerError> {
        let bytes = read_whole(directory, MARKER, MARKER_BYTES_MAX).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => MarkerError::Absent,
            io::ErrorKind::InvalidData => MarkerError::Damaged(error.to_string()),
            _ => MarkerError::Io(error),
        })?;
        Self::parse(&bytes).map_err(MarkerError::Damaged)
    }

    /// Replaces the marker; durable when this returns.
    pub(super) fn write(&self, directory: &dyn Directory) -> io::Result<()> {
        match directory.remove(MARKER_NEW) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = directory.open_file(MARKER_NEW, OpenFile::CREATE_NEW)?;
        file.write_at(&[IoSlice::new(self.text().as_bytes())], 0, Cause::Metadata)?;
        file.sync_all()?;
        directory.rename(MARKER_NEW, MARKER)?;
        directory.sync()
    }

    fn text(&self) -> String {
        let body = format!("{HEAD}engine {}\nformat {}\n", self.engine, self.format);
        let checksum = crc32fast::hash(body.as_bytes());
        format!("{body}crc32 {checksum:08x}\n")
    }

    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let text = str::from_utf8(bytes).map_err(|_| "it is no text".to_string())?;
        if !text.starts_with(HEAD) {
            return Err("its first line is not the one of a data directory of this version".into());
        }
        let mut lines = text[HEAD.len()..].lines();
        let engine = lines.next().and_then(|line| line.strip_prefix("engine "));
        let format =
            lines.next().and_then(|line| line.strip_prefix("format ")).and_then(|word| word.parse().ok());
        let (Some(engine), Some(format)) = (engine, format) else {
            return Err("its engine or format line is damaged".into());
        };
        let marker = Self { engine: engine.to_string(), format };
        // Written and read are the same few lines, so comparing the whole text covers the checksum too.
        if marker.text() == text { Ok(marker) } else { Err("its checksum does not fit".into()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_and_every_cut_of_a_marker_is_noticed() {
        let marker = Marker { engine: "snapshot".into(), format: 3 };
        let text = marker.text();
        assert_eq!(Marker::parse(text.as_bytes()), Ok(marker));
        for position in 0..text.len() {
            assert!(Marker::parse(&text.as_bytes()[..position]).is_err(), "cut at {position}");
            let mut flipped = text.clone().into_bytes();
            flipped[position] ^= 1;
            assert!(Marker::parse(&flipped).is_err(), "flipped at {position}");
        }
    }

    #[test]
    fn the_text_of_a_marker_is_the_one_drawn() {
        let text = Marker { engine: "btree".into(), format: 2 }.text();
        assert_eq!(text, "enginebay data directory 1\nengine btree\nformat 2\ncrc32 6a2f1e98\n");
    }
}
