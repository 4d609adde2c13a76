//! Less memory for one child process: a control group of the kernel, of either version.
//!
//! Promises: the group is removed with the value; a machine that does not let us make one is an error, never a
//! run without the limit.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

/// Where the groups are mounted, and what the limit's file is called there.
const PLACES: [(&str, &str); 2] =
    [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")];

/// A group with a limit of memory, page cache included.
pub struct MemoryLimit {
    folder: PathBuf,
}

impl MemoryLimit {
    /// Makes a group.
    ///
    /// # Errors
    /// If the machine has no such groups, or this user may not make one.
    pub fn new(bytes: u64) -> Result<Self> {
        let mut mounted = PLACES.iter().filter(|(place, file)| is_mounted(Path::new(place), file));
        let (place, file) = mounted.next().context("this machine has no memory control groups")?;
        let folder = Path::new(place).join(format!("peers-{}", std::process::id()));
        fs::create_dir(&folder).with_context(|| format!("cannot make the group {}", folder.display()))?;
        let limit = Self { folder };
        fs::write(limit.folder.join(file), bytes.to_string()).context("cannot set the limit of memory")?;
        Ok(limit)
    }

    /// Moves a process into the group; what it uses from here on counts.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn hold(&self, child: &Child) -> Result<()> {
        fs::write(self.folder.join("cgroup.procs"), child.id().to_string())
            .context("cannot limit a child's memory")
    }
}

impl Drop for MemoryLimit {
    fn drop(&mut self) {
        // The kernel takes a moment to notice that the last process has ended.
        for _ in 0..100 {
            if fs::remove_dir(&self.folder).is_ok() {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}

fn is_mounted(place: &Path, file: &str) -> bool {
    // The root of version 2 has no limit itself; that it controls memory stands in another file.
    place.join(file).exists()
        || fs::read_to_string(place.join("cgroup.controllers")).is_ok_and(|text| text.contains("memory"))
}

/// Empties the page cache, so that the next process reads from the disk.
///
/// # Errors
/// If this user may not.
pub fn drop_page_cache() -> Result<()> {
    let synced = std::process::Command::new("sync").status()?;
    anyhow::ensure!(synced.success(), "sync failed");
    fs::write("/proc/sys/vm/drop_caches", "3").context("cannot empty the page cache; it needs root")
}
