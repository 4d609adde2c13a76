//! How a log is opened, and the option that engines publish for it.

use adapter_api::{Durability, OptionSpec};

use crate::group::GroupBuffer;
use crate::{BLOCK, blocks};

/// The least size of a segment that users may set, in bytes.
pub const SEGMENT_BYTES_LEAST: u64 = 64 << 10;
/// The largest size of a segment, in bytes.
const SEGMENT_BYTES_MOST: u64 = 1 << 30;
/// The size of a segment unless set otherwise, in bytes.
const SEGMENT_BYTES_DEFAULT: u64 = 64 << 20;
/// The largest record, in bytes. Larger ones are rejected.
pub const RECORD_BYTES_MAX: u64 = (2 << 30) - (64 << 10);

/// How a log is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogOptions {
    /// The size of a segment in bytes; rounded to blocks of 4 KiB, at least four of them. May change between
    /// sessions.
    pub segment_bytes: u64,
    /// What `make_durable` promises.
    pub durability: Durability,
    /// How many segments are kept ready ahead of need.
    pub ready_segments: usize,
    /// How many retired segments are kept to be recycled, beyond the ready ones. More are removed.
    pub recycled_segments: usize,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self {
            segment_bytes: SEGMENT_BYTES_DEFAULT,
            durability: Durability::Always,
            ready_segments: 2,
            recycled_segments: 4,
        }
    }
}

impl LogOptions {
    /// About how many bytes the log takes for a record of so many, if it is a group by itself: whole blocks where each
    /// group waits for the device, else little more than its own.
    pub fn disk_bytes(&self, record_bytes: usize) -> u64 {
        let alone = GroupBuffer::bytes_alone(record_bytes as u64);
        if self.durability == Durability::Always { blocks(alone) } else { alone }
    }

    /// The size of a segment, in whole blocks.
    pub(crate) fn segment_len(&self) -> u64 {
        self.segment_bytes.clamp(4 * BLOCK, SEGMENT_BYTES_MOST).next_multiple_of(BLOCK)
    }
}

/// The option that an engine on the log publishes: the size of a segment.
pub fn log_segment_option() -> OptionSpec {
    OptionSpec::integer(
        "log_segment",
        "bytes",
        SEGMENT_BYTES_DEFAULT.cast_signed(),
        SEGMENT_BYTES_LEAST.cast_signed(),
        SEGMENT_BYTES_MOST.cast_signed(),
        "The log is kept in files of this size, which are prepared ahead of need and used again. Smaller ones \
         take less room and are given back sooner; larger ones change less often.",
    )
}
