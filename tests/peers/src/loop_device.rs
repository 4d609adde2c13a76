//! A file system of its own for one store, on a loop device whose written bytes the kernel counts.
//!
//! Promises: the count is of this store alone, mapped files included; the file system is unmounted and its
//! image removed with the value. Needs root's rights.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

/// How large the file system is; the image is sparse and takes what is written.
const BYTES: u64 = 32 << 30;
const SECTOR_BYTES: u64 = 512;

/// A mounted loop device.
pub struct LoopDevice {
    /// Holds the image and the folder that it is mounted on.
    folder: TempDir,
    name: String,
}

impl LoopDevice {
    /// Makes a file system in an image below `parent` and mounts it.
    ///
    /// # Errors
    /// If this user may not, or the programs are missing.
    pub fn new(parent: &Path) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("peers-loop-").tempdir_in(parent)?;
        let (image, mounted) = (folder.path().join("image"), folder.path().join("mounted"));
        fs::File::create(&image)?.set_len(BYTES)?;
        fs::create_dir(&mounted)?;
        run(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&image))?;
        run(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(&mounted))?;
        let mut device = Self { folder, name: String::new() };
        let mounts = fs::read_to_string("/proc/mounts")?;
        let place = mounted.to_str().context("the path of the mount is no text")?;
        let line = mounts.lines().find(|line| line.split(' ').nth(1) == Some(place));
        let name = line.and_then(|line| line.split(' ').next()).and_then(|it| it.strip_prefix("/dev/"));
        device.name = name.context("the kernel does not list the mounted device")?.to_string();
        Ok(device)
    }

    /// The device's name below `/dev`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it is mounted.
    pub fn mounted(&self) -> std::path::PathBuf {
        self.folder.path().join("mounted")
    }
}

impl Drop for LoopDevice {
    fn drop(&mut self) {
        // What cannot be unmounted stays for the operator to see; the image's folder does then too.
        let _ = run(Command::new("umount").arg(self.mounted()));
    }
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("{command:?} does not start"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?} failed: {}", said.trim());
    Ok(())
}

/// Bytes written to a block device so far, once what is dirty below `directory` is written out.
///
/// # Errors
/// If there is no such device.
pub fn written_bytes(name: &str, directory: &Path) -> Result<u64> {
    run(Command::new("sync").arg("-f").arg(directory))?;
    let path = format!("/sys/block/{name}/stat");
    let stat = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    Ok(sectors_written(&stat).with_context(|| format!("{path} has no sectors written"))? * SECTOR_BYTES)
}

/// The seventh number of a block device's `stat`.
fn sectors_written(stat: &str) -> Option<u64> {
    stat.split_whitespace().nth(6)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sectors_written_are_the_seventh_number() {
        assert_eq!(sectors_written("   1 2 3 4   5 6 777 8 9 10 11\n"), Some(777));
        assert_eq!(sectors_written("1 2"), None);
    }
}
