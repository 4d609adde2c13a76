//! Crashes a real file system, and looks whether what it kept is among the states that the model allows:
//!
//! ```text
//! cargo run -p crash --example real_disk -- [--rounds N] [--seed S]
//! ```
//!
//! Each round makes the same random calls in a directory of ext4 on a loop device and in the simulated one, writes back a
//! part of what is dirty, and shuts the file system down in mid-flight (`FS_IOC_SHUTDOWN`, which drops what was not
//! written, with and without a last commit of the journal). It is mounted again, and names and bytes are explained.
//! Ends with 0 if all of it could be, 1 if something could not, 2 if nothing was tried: it needs root, loop
//! devices, `mkfs.ext4` and `mount`.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;

use adapter_api::environment::real::RealDirectory;
use crash::allowed::{FoundFile, explain};
use crash::calls::call;
use crash::environment::Disk;
use crash::image::mix;
use crash::power_cut::Crash;
use crash::state::{Node, ROOT, State};

/// Options of mkfs and of mount: blocks smaller than a page and as large, data written late, at once, or through the
/// journal.
const WAYS: [(&str, &str); 4] = [
    ("-b 4096", "data=ordered"),
    ("-b 1024", "data=ordered"),
    ("-b 4096", "data=ordered,nodelalloc"),
    ("-b 4096", "data=journal"),
];
/// The size of the file system, in bytes.
const SIZE: u64 = 64 << 20;
/// `_IOR('X', 125, __u32)`, and the two ways to go down without writing the data.
const FS_IOC_SHUTDOWN: libc::Ioctl = 0x8004_587d_u32 as libc::Ioctl;
const WITH_JOURNAL: u32 = 1;
const WITHOUT_JOURNAL: u32 = 2;

/// A file system in a file, mounted; unmounted when dropped.
struct Loop {
    image: PathBuf,
    mount: PathBuf,
    options: String,
    is_mounted: bool,
}

fn run(command: &str, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new(command).args(arguments).output();
    let output = output.map_err(|error| format!("{command} does not start: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => {
            let said = String::from_utf8_lossy(&output.stderr);
            Err(format!("{command} {}: {}", arguments.join(" "), said.trim()))
        }
    }
}

impl Loop {
    /// Makes the file system and mounts it.
    fn new(folder: &Path, number: usize, make: &str, options: &str) -> Result<Self, String> {
        let image = folder.join(format!("image-{number}"));
        let mount = folder.join(format!("mount-{number}"));
        let made = File::create_new(&image).and_then(|file| file.set_len(SIZE));
        made.and_then(|()| fs::create_dir(&mount)).map_err(|error| error.to_string())?;
        let words: Vec<_> = ["-q", "-F"].into_iter().chain(make.split(' ')).collect();
        run("mkfs.ext4", &[&words[..], &[&image.to_string_lossy()]].concat())?;
        let mut made = Self { image, mount, options: format!("loop,{options}"), is_mounted: false };
        made.mount()?;
        Ok(made)
    }

    fn mount(&mut self) -> Result<(), String> {
        run("mount", &["-o", &self.options, &self.image.to_string_lossy(), &self.mount.to_string_lossy()])?;
        self.is_mounted = true;
        Ok(())
    }

    fn unmount(&mut self) -> Result<(), String> {
        run("umount", &[&self.mount.to_string_lossy()])?;
        self.is_mounted = false;
        Ok(())
    }

    /// Drops everything that was not written, and mounts what is left.
    fn crash(&mut self, how: u32) -> Result<(), String> {
        let root = File::open(&self.mount).map_err(|error| error.to_string())?;
        // SAFETY: the call reads one u32, which outlives it; the descriptor is open.
        let outcome = unsafe { libc::ioctl(root.as_raw_fd(), FS_IOC_SHUTDOWN, &raw const how) };
        if outcome != 0 {
            return Err(format!("no shutdown of the file system: {}", std::io::Error::last_os_error()));
        }
        drop(root);
        self.unmount()?;
        self.mount()
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        if self.is_mounted {
            // What cannot be unmounted now goes with the machine.
            let _ = self.unmount();
        }
    }
}

/// What became of all rounds together.
#[derive(Debug, Default)]
struct Tally {
    rounds: u64,
    /// Rounds that kept everything, those that kept no more than had to be durable, and those in between.
    kept_all: u64,
    kept_least: u64,
    kept_a_part: u64,
}

/// One round in a directory of its own.
struct Round {
    folder: PathBuf,
    disk: Disk,
    /// The number in the model of each file that ever was, by its inode.
    numbers: HashMap<u64, usize>,
    /// Every file that ever was, open, so that no inode is used twice.
    files: Vec<File>,
}

impl Round {
    /// Makes the same calls on both, and now and then writes back what the dice say.
    fn live(&mut self, mut dice: u64) -> Result<(), String> {
        let real = RealDirectory::open(&self.folder, Arc::default()).map_err(|error| error.to_string())?;
        for _ in 0..4 + dice % 20 {
            dice = mix(dice);
            let (simulated, shown) = (call(&*self.disk.root(), dice), call(&real, dice));
            if simulated != shown {
                return Err(format!("the model shows {simulated}, the file system {shown}"));
            }
            self.note_inodes().map_err(|error| error.to_string())?;
            self.write_back(mix(!dice)).map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    fn note_inodes(&mut self) -> std::io::Result<()> {
        for (name, node) in &self.disk.state().directories[ROOT].current {
            let Node::File(number) = *node else { continue };
            let path = self.folder.join(name);
            if let Entry::Vacant(entry) = self.numbers.entry(fs::metadata(&path)?.ino()) {
                entry.insert(number);
                self.files.push(File::open(&path)?);
            }
        }
        Ok(())
    }

    /// What the kernel may do at any time: writes a range of a file, all of one, or commits the journal.
    fn write_back(&self, dice: u64) -> std::io::Result<()> {
        let Some(file) = self.files.get((dice >> 8) as usize % self.files.len().max(1)) else {
            return Ok(());
        };
        match dice % 12 {
            0..3 => {
                let (offset, len) = ((dice >> 24 & 0x3fff) as i64, (dice >> 40 & 0x1fff) as i64);
                let flags = libc::SYNC_FILE_RANGE_WAIT_BEFORE
                    | libc::SYNC_FILE_RANGE_WRITE
                    | libc::SYNC_FILE_RANGE_WAIT_AFTER;
                // SAFETY: the call takes integers only; the descriptor is open.
                match unsafe { libc::sync_file_range(file.as_raw_fd(), offset, len, flags) } {
                    0 => Ok(()),
                    _ => Err(std::io::Error::last_os_error()),
                }
            }
            3 => file.sync_data(),
            // Another file's sync takes the journal along.
            4 => File::create(self.folder.with_extension("bystander"))?.sync_all(),
            _ => Ok(()),
        }
    }

    /// What is there now, by the numbers of the model.
    fn found(&self) -> Result<BTreeMap<String, FoundFile>, String> {
        let entries = fs::read_dir(&self.folder).map_err(|error| error.to_string())?;
        let found = entries.map(|entry| {
            let entry = entry.map_err(|error| error.to_string())?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let bytes = fs::read(entry.path()).map_err(|error| error.to_string())?;
            let inode = entry.metadata().map_err(|error| error.to_string())?.ino();
            let number = self.numbers.get(&inode).ok_or(format!("{name} leads to a file that never was"))?;
            Ok((name, (*number, bytes)))
        });
        found.collect()
    }
}

fn bytes_of(state: &State) -> Vec<(String, Vec<u8>)> {
    let image = |number: usize| &state.files[number].current;
    let files = state.named_files().into_iter();
    files.map(|(name, number)| (name, image(number).range(0, image(number).len()))).collect()
}

/// One round; what the model does not allow is a sentence.
fn round(disk: &mut Loop, seed: u64, tally: &mut Tally) -> Result<(), String> {
    let folder = disk.mount.join(format!("round-{seed}"));
    fs::create_dir(&folder).map_err(|error| error.to_string())?;
    File::open(&disk.mount).and_then(|root| root.sync_all()).map_err(|error| error.to_string())?;
    let mut round = Round { folder, disk: Disk::default(), numbers: HashMap::new(), files: Vec::new() };
    let dice = mix(seed);
    round.disk.record();
    round.live(dice)?;
    round.files.clear();
    disk.crash(if dice >> 63 == 0 { WITH_JOURNAL } else { WITHOUT_JOURNAL })?;
    let (before, found) = (round.disk.state(), round.found()?);
    let shown: Vec<_> = found.iter().map(|(name, (_, bytes))| (name.clone(), bytes.clone())).collect();
    tally.rounds += 1;
    let is_all = shown == bytes_of(&before);
    let is_least = shown == bytes_of(&before.after(Crash::TO_DURABLE));
    tally.kept_all += u64::from(is_all);
    tally.kept_least += u64::from(is_least);
    tally.kept_a_part += u64::from(!is_all && !is_least);
    explain(&before, &found).map_err(|reason| {
        let lines = round.disk.take_recording().lines.into_iter();
        let calls = lines.filter(|line| !is_reading(line)).collect::<Vec<_>>().join("\n    ");
        let found: Vec<_> = shown.iter().map(|(name, bytes)| (name, bytes.len())).collect();
        format!("{reason}\nfound: {found:?}\nthe disk before:\n{before}\nthe calls:\n    {calls}")
    })?;
    fs::remove_dir_all(&round.folder).map_err(|error| error.to_string())
}

fn is_reading(line: &str) -> bool {
    line == "list" || line.starts_with("open ") || line.ends_with(": length") || line.contains(": read ")
}

fn number(name: &str) -> Result<Option<u64>, String> {
    let mut words = std::env::args().skip_while(|word| word != name).skip(1);
    words.next().map(|word| word.parse().map_err(|_| format!("{name} needs a number"))).transpose()
}

/// The arguments, and where to put the images.
fn prepare() -> Result<(u64, u64, tempfile::TempDir), String> {
    let rounds = number("--rounds")?.unwrap_or(200);
    let seed = number("--seed")?.unwrap_or(1);
    let folder = tempfile::tempdir().map_err(|error| format!("no folder for the images: {error}"))?;
    Ok((rounds, seed, folder))
}

/// All rounds on one way of making and mounting.
fn all_rounds(disk: &mut Loop, seed: u64, rounds: u64) -> Result<Tally, String> {
    let mut tally = Tally::default();
    for seed in seed..seed + rounds {
        round(disk, seed, &mut tally).map_err(|reason| format!("seed {seed}: {reason}"))?;
    }
    Ok(tally)
}

#[allow(clippy::print_stdout, clippy::print_stderr, reason = "the verdict is what it is run for")]
fn main() -> ExitCode {
    let not_tried = |reason: String| {
        eprintln!("not tried: {reason}");
        ExitCode::from(2)
    };
    let (rounds, seed, folder) = match prepare() {
        Ok(prepared) => prepared,
        Err(reason) => return not_tried(reason),
    };
    let mut kept_a_part = 0;
    for (number, (make, options)) in WAYS.iter().enumerate() {
        let mut disk = match Loop::new(folder.path(), number, make, options) {
            Ok(disk) => disk,
            Err(reason) => return not_tried(reason),
        };
        match all_rounds(&mut disk, seed, rounds) {
            Ok(tally) => {
                println!("ext4 {make} {options}: {tally:?}, each allowed by the model");
                kept_a_part += tally.kept_a_part;
            }
            Err(reason) => {
                eprintln!("ext4 {make} {options}, {reason}");
                return ExitCode::FAILURE;
            }
        }
    }
    if kept_a_part == 0 {
        // All, or the least, would be explained by a model that knows no more.
        eprintln!("no crash kept a part of what was not durable; try more rounds");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
