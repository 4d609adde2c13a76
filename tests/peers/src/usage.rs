//! What this process has used: CPU time, memory, bytes written, room on disk.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Context, Result};
use bench::process;

/// CPU time of all threads so far, in seconds, ended ones included.
pub fn cpu_seconds() -> Result<f64> {
    process::cpu_seconds(&fs::read_to_string("/proc/self/stat")?).context("/proc/self/stat has no CPU time")
}

/// A field of `/proc/self/status` in MiB, such as `RssAnon:` or `VmHWM:`.
pub fn memory_mib(name: &str) -> Result<f64> {
    Ok(field("/proc/self/status", name)? as f64 / 1024.0)
}

/// Bytes that this process made the kernel write to a device, by the kernel's account. It misleads for mapped
/// files, whose pages are written by others.
pub fn kernel_written_bytes() -> Result<u64> {
    field("/proc/self/io", "write_bytes:")
}

fn field(file: &str, name: &str) -> Result<u64> {
    process::field(&fs::read_to_string(file)?, name).with_context(|| format!("{file} has no {name}"))
}

/// Room that the files below a directory take on disk, in bytes; holes take none.
pub fn disk_bytes(directory: &Path) -> Result<u64> {
    let mut total = 0;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        total += match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => disk_bytes(&entry.path())?,
            Ok(metadata) => metadata.blocks() * 512,
            // A store may remove a file while we look.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => 0,
            Err(error) => return Err(error.into()),
        };
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_memory_and_says_so() {
        assert!(memory_mib("VmHWM:").unwrap() >= memory_mib("RssAnon:").unwrap());
        assert!(cpu_seconds().unwrap() >= 0.0 && memory_mib("Absent:").is_err());
    }

    #[test]
    fn files_in_folders_count_and_holes_do_not() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("inner")).unwrap();
        fs::write(folder.path().join("inner/full"), vec![7; 1 << 20]).unwrap();
        fs::File::create(folder.path().join("hole")).unwrap().set_len(1 << 30).unwrap();
        let bytes = disk_bytes(folder.path()).unwrap();
        assert!((1 << 20..1 << 24).contains(&bytes), "{bytes}");
    }
}
