//! Random calls to a directory: what two file systems, a simulated and a real one, are compared by.

use std::io::{self, IoSlice};

use adapter_api::environment::real::read_whole;
use adapter_api::environment::{Cause, Directory, OpenFile};

use crate::image::mix_bytes;

/// The names that calls are about: few, so that calls meet.
const NAMES: [&str; 4] = ["a", "b", "c", "d"];
/// No file gets longer.
const LEN_MAX: u64 = 1 << 20;

/// Makes one call that the dice say, and answers what came of it: whether it succeeded, and what the directory shows now.
pub fn call(directory: &dyn Directory, dice: u64) -> String {
    let done = make(directory, dice).map_err(|error| error.kind());
    format!("{done:?} {}", look(directory))
}

/// Every name of a directory, with a digest of the bytes that it leads to.
pub fn look(directory: &dyn Directory) -> String {
    let shown = directory.list().and_then(|entries| {
        let mut names: Vec<_> = entries.into_iter().map(|entry| entry.name).collect();
        names.sort();
        let digest = |name: String| {
            let bytes = read_whole(directory, &name, LEN_MAX)?;
            Ok((mix_bytes(0, &bytes), name))
        };
        names.into_iter().map(digest).collect::<io::Result<Vec<_>>>()
    });
    format!("{shown:x?}")
}

fn make(directory: &dyn Directory, dice: u64) -> io::Result<()> {
    let name = |shift: u64| NAMES[(dice >> shift) as usize % NAMES.len()];
    let (offset, len) = (dice >> 32 & 0x3fff, dice >> 46 & 0x1fff);
    let file = |how| directory.open_file(name(8), how);
    let bytes = vec![dice as u8; len as usize];
    let slices = [IoSlice::new(&bytes), IoSlice::new(b"!")];
    match dice % 20 {
        0..3 => file(OpenFile::CREATE_NEW).map(drop),
        3..9 => file(OpenFile::WRITE)?.write_at(&slices, offset, Cause::Other),
        9 => file(OpenFile::WRITE)?.write_durable_at(&slices, offset, Cause::Other),
        10 => file(OpenFile::WRITE)?.set_len(offset),
        11 => file(OpenFile::WRITE)?.allocate(offset, 1 + len),
        12 => file(OpenFile::WRITE)?.punch(offset, 1 + len),
        13 | 14 => directory.rename(name(8), name(16)),
        15 => directory.link(name(8), name(16)),
        16 | 17 => directory.remove(name(8)),
        18 => file(OpenFile::READ)?.sync_data(),
        _ => directory.sync(),
    }
}
