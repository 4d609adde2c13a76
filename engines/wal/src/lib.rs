//! The write-ahead log: raw byte records in order, durable before anyone is told so.
//!
//! Engines append records, make them durable up to a number, and replay them at open. The log knows nothing
//! of what a record means, and uses nothing of the machine but `adapter_api::environment`.
//!
//! ```
//! # use std::sync::Arc;
//! # use adapter_api::environment::{Clock, Directory, real};
//! # use wal::{Log, LogOptions};
//! # let folder = tempfile::tempdir()?;
//! # let directory: Arc<dyn Directory> = Arc::new(real::RealDirectory::open(folder.path(), Arc::default())?);
//! # let clock: Arc<dyn Clock> = Arc::new(real::RealClock::new());
//! let options = LogOptions { segment_bytes: 64 << 10, ..LogOptions::default() };
//! let (log, _) = Log::open(&directory, &clock, options, 1, &mut |_, _| Ok(()))?;
//! let lsn = log.append(&[b"a record ", b"in parts"])?;
//! log.make_durable(lsn)?;
//! log.close()?;
//!
//! let mut state = Vec::new();
//! Log::open(&directory, &clock, options, 1, &mut |_, record| {
//!     state.push(record.to_vec());
//!     Ok(())
//! })?;
//! assert_eq!(state, [b"a record in parts"]);
//! # Ok::<(), adapter_api::EngineError>(())
//! ```
//!
//! # On disk
//!
//! ```text
//! a directory        log-0000000000000007   a segment: in use, or ready to be
//!                    spare-000000000000000a a file on its way to become a segment; its bytes mean nothing
//!
//! a segment          | header, 4 KiB | group | group | … | end |        fixed size, written front to back
//! a group            | header, 56 B | record | record | … | zeros to the next multiple of 8 bytes |
//! a record           | length u32 | bytes |
//! ```
//!
//! The exact bytes are drawn in `segment` and in `group`; all numbers are little-endian. Records have dense
//! sequence numbers ([`Lsn`]) from 1. A *group* is what was appended between two calls that make it durable;
//! it is one write. Once a sync has begun, the next group starts on a fresh block of 4 KiB, so a block that was
//! acknowledged is never written again. Groups that no sync parts lie one behind the other: where syncs are left to
//! later, a small record costs its own bytes and not a block. Whoever first writes to a block fills it up with
//! zeros, so whether a group shares its block is seen from the bytes behind the one before it.
//!
//! # When bytes are valid
//!
//! A segment counts if its header is whole; the header is durable before the file is called `log-…`. A
//! group counts if its two checksums hold. They are seeded with a salt that is new at each use of a file,
//! and cover the segment number, the position and the sequence numbers: stale bytes of a recycled file,
//! bytes of another segment, and copies of the log inside a record never count. A length of zero is the end.
//!
//! Each group holds the checksum of the one before it (`previous`) and the number of its first record: the
//! groups form one chain through all segments. What is not in the chain does not exist.
//!
//! # Recovery
//!
//! A group also says what was durable when it was written: up to which record (`durable`), and whether that
//! was all (`settled`; always so unless syncs are left to later). A break in the chain at record n is
//! - **damage**, if any valid group behind it says `durable >= n` or `settled`, or if a later segment begins
//!   behind n: what is missing was acknowledged. The log refuses to open, naming the file, the position and
//!   how many records are at stake;
//! - **a torn tail** otherwise: nobody was told that n is durable. It is dropped, with one line in the log.
//!
//! A segment begins when all before it is durable, and its first group says so. So records that nothing proves
//! durable lie in the last segment alone; a segment that says otherwise was not written by a log, and is refused.
//!
//! Before `open` returns, records that were replayed but are not proven durable are written again, into a
//! fresh segment which becomes visible whole or not at all, and which begins with an *open* group: the chain
//! goes on there, and the old tail is void for ever. The page cache may have shown bytes that no disk has.
//! A segment that recovery wrote and no session has written to may have a name that is on no disk: the sync of the
//! directory may have failed, and kernels then count its names as clean. So the next recovery writes another one
//! in its place, and gives nothing back before. On a disk without room for a segment, one just long enough will do:
//! the log opens, and takes appends when there is room.
//!
//! An orderly end writes a *close* group, which proves all before it; the next session goes on behind it, in
//! the same segment.
//!
//! Honest limit: after a kill, damage to exactly the last group cannot be told from a torn write.
//!
//! # File numbers
//!
//! Every file carries a number in its name. A file that is used again first takes, durably, a number above
//! all others; only then a byte is written. So no two uses of one file share a number, and no un-acknowledged
//! remains of one use can pass for the other.

#![forbid(unsafe_code)]

mod chain;
mod damage;
mod group;
mod guarantees;
mod handle;
mod metrics;
mod mutex;
mod options;
mod planted;
mod reader;
mod recovery;
mod salvage;
mod segment;
mod spare;
mod syncs;
mod verify;
mod writer;

pub use damage::{ADVICE, quoted, without_advice};
pub use guarantees::guarantees;
pub use handle::Log;
pub use metrics::LogMetrics;
pub use mutex::lock;
pub use options::{LogOptions, RECORD_BYTES_MAX, SEGMENT_BYTES_LEAST, log_segment_option};
pub use recovery::Recovery;
pub use salvage::salvage;
pub use verify::{look_twice, verify};

/// The sequence number of a record: dense, from 1. 0 is before the first.
pub type Lsn = u64;

/// What replay calls with each record, in order.
pub type Replay<'a> = dyn FnMut(Lsn, &[u8]) -> adapter_api::Result<()> + 'a;

/// What a device writes as a whole at best, in bytes: no block is written again once a sync of it has begun.
const BLOCK: u64 = 4096;
/// Groups start on a multiple of this many bytes.
const ALIGNMENT: u64 = 8;

/// Rounds up to whole blocks.
const fn blocks(bytes: u64) -> u64 {
    bytes.next_multiple_of(BLOCK)
}
