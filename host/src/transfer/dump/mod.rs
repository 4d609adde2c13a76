//! A dump: everything that a store holds, in a form that belongs to no engine.
//!
//! ```text
//! a dump      "enginebay dump 1\n" | entries | entries | … | end           blocks, one behind the other
//! a block     offset  size  field             integers little-endian
//!                  0     4  checksum          CRC-32 (IEEE) of everything behind it in the block
//!                  4     4  kind              1 entries · 2 end
//!                  8     4  length            of the payload, 1 … 262,144
//!                 12     8  position          where in the dump the block begins
//!                 20     …  payload
//! entries     the entries one behind the other, keys ascending; an entry may go on in the next block
//! an entry    key length u16, not 0 | value length u32, up to 512 Mi | key | value
//! end         entries u64 | bytes of keys and values u64 | digest, 32 bytes (`Totals`)
//! ```
//!
//! It is written and read from front to back, so it goes through pipes. Promises: a dump that was cut off, has a
//! changed byte, or lacks or repeats a block is refused with the position; memory is that of one block and one
//! entry, and grows with the bytes that are there, never with what they claim.

mod reader;
#[cfg(test)]
mod tests;
mod writer;

pub use reader::DumpReader;
pub use writer::DumpWriter;

/// What a dump begins with. The number is the version of the form.
pub const HEAD: &[u8; 17] = b"enginebay dump 1\n";

const FRAME_BYTES: usize = 20;
const PAYLOAD_BYTES_MAX: usize = 256 << 10;
const ENTRIES: u32 = 1;
const END: u32 = 2;
const END_BYTES: usize = 48;
