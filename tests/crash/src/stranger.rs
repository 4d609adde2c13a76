//! What an engine does that the simulator cannot see: said, not judged.
//!
//! An engine that starts its own threads, or keeps its data in files that it opened by itself, still works in the
//! server. But its runs cannot be repeated, and a power cut in here takes nothing from it: a verdict would be
//! worth nothing. So whoever asks for one is told.

use std::fmt;

use adapter_api::Capabilities;

use crate::environment::Disk;
use crate::life::{Complaint, Life};
use crate::oracle::History;
use crate::subject::Subject;
use crate::workload::{Dice, Operation};

/// How many operations an engine is watched for.
const OPERATIONS: usize = 120;

/// What was seen of an engine while it lived twice in the same way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remarks {
    /// It says of itself that it keeps nothing.
    pub keeps_nothing: bool,
    /// Threads that run since it was opened. Others of the process count too: watch it alone.
    pub threads: usize,
    /// It claims to keep what it was given, and answered a write OK without a call that changes a file.
    pub wrote_elsewhere: bool,
    /// The two runs differ.
    pub is_unrepeatable: bool,
}

impl Remarks {
    /// Whether a verdict on its crashes is worth anything.
    pub fn can_be_judged(self) -> bool {
        !self.keeps_nothing && self.threads == 0 && !self.wrote_elsewhere && !self.is_unrepeatable
    }
}

impl fmt::Display for Remarks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.can_be_judged() {
            return write!(f, "everything it does goes through its environment, and can be repeated");
        }
        let mut remarks = Vec::new();
        if self.keeps_nothing {
            remarks.push("it does not claim to keep anything: its crashes are not judged".to_string());
        }
        if self.threads > 0 {
            remarks.push(format!(
                "it started {} threads of its own: what they do at which moment is not reproducible; use lanes",
                self.threads
            ));
        }
        if self.wrote_elsewhere {
            remarks.push(
                "it answered a write OK without any call to its environment: it keeps its data elsewhere, \
                 or nowhere, and no power cut in here can show which"
                    .to_string(),
            );
        }
        if self.is_unrepeatable {
            remarks.push("the same operations led to different calls: it is not reproducible".to_string());
        }
        write!(f, "{}", remarks.join("\n"))
    }
}

/// Lets an engine live twice in the same way, compares what it shows, and watches what it does.
///
/// # Errors
/// What it shows that it must not, without any crash.
pub fn watch(subject: &Subject, seed: u64) -> Result<Remarks, Complaint> {
    let keeps_nothing = !subject.can(Capabilities::DURABLE);
    let mut operations = Dice::new(seed).operations(OPERATIONS);
    // Who keeps nothing comes back empty.
    operations.retain(|operation| !keeps_nothing || *operation != Operation::Reopen);
    let threads = count_threads();
    let (one, wrote_elsewhere, running) = live(subject, &operations)?;
    let (other, ..) = live(subject, &operations)?;
    Ok(Remarks {
        keeps_nothing,
        threads: running.saturating_sub(threads),
        wrote_elsewhere: wrote_elsewhere && !keeps_nothing,
        is_unrepeatable: one != other,
    })
}

/// One life: a digest of its calls, whether it wrote elsewhere, and how many threads ran at its end.
fn live(subject: &Subject, operations: &[Operation]) -> Result<(u64, bool, usize), Complaint> {
    let disk = Disk::default();
    disk.record();
    let (life, _) = Life::begin(subject, disk.clone(), History::default(), 0, None)?;
    let mut life = life.ok_or("the store does not open")?;
    life.run(operations)?;
    let (wrote_elsewhere, threads) = (life.wrote_elsewhere, count_threads());
    Ok((disk.take_recording().digest, wrote_elsewhere, threads))
}

/// How many threads this process has; 0 where the system does not say.
fn count_threads() -> usize {
    std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count)
}
