//! Whether a file is a whole ELF library for this machine.
//!
//! The dynamic linker maps the parts of a library without asking whether the file has them; touching a part
//! that is cut off then ends the process with SIGBUS. So the loader looks first.

use std::fs::File;

use elf::ElfStream;
use elf::abi::{ET_DYN, PT_LOAD};
use elf::endian::AnyEndian;

/// Checks the file's header and that every part to be mapped is there.
///
/// # Errors
/// What is wrong, as half a sentence.
pub(super) fn check_whole(file: &File) -> Result<(), String> {
    let len = file.metadata().map_err(|error| error.to_string())?.len();
    if len == 0 {
        return Err("the file is empty".into());
    }
    let elf = ElfStream::<AnyEndian, _>::open_stream(file)
        .map_err(|error| format!("it is no ELF file, or cut off ({error})"))?;
    if elf.ehdr.e_type != ET_DYN {
        return Err("an ELF file, but not a shared library".into());
    }
    if elf.ehdr.e_machine != this_machine()? {
        return Err(format!("built for another machine (ELF number {})", elf.ehdr.e_machine));
    }
    let parts = elf.segments().iter().filter(|part| part.p_type == PT_LOAD);
    let needed = parts.map(|part| part.p_offset.saturating_add(part.p_filesz)).max();
    match needed {
        None => Err("an ELF file with nothing to load".into()),
        Some(needed) if needed > len => {
            Err(format!("it is cut off: {len} of at least {needed} bytes are there"))
        }
        Some(_) => Ok(()),
    }
}

/// The machine number of the running program, read from its own header.
fn this_machine() -> Result<u16, String> {
    let program =
        File::open("/proc/self/exe").map_err(|error| format!("cannot read the running program: {error}"))?;
    let elf = ElfStream::<AnyEndian, _>::open_stream(&program).map_err(|error| error.to_string())?;
    Ok(elf.ehdr.e_machine)
}
