//! The slotted page: the same bytes in memory and on disk, searched where they lie.
//!
//! ```text
//! offset  size  field          integers little-endian
//!      0     4  checksum       CRC-32 (IEEE) of all bytes behind it
//!      4     2  magic          "EP"
//!      6     1  kind           1 leaf · 2 branch · 3 value
//!      7     1  level          0 for leaves and values, else the distance to the leaves
//!      8     4  id             what other pages call this one; all ones: whoever names it decides, it names no other
//!     12     4  length         of the page, a multiple of 4,096 bytes, at most 1 MiB; of a value up to 513 MiB
//!     16     8  version        of the tree that the page was last changed in
//!     24     2  count          of cells
//!     26     2  prefix         how many bytes every key of the page begins with alike
//!     28     2  lower          length of the lower fence: no key is less
//!     30     2  upper          length of the upper fence: every key is less
//!     32     1  bounded        1 if there is an upper fence, 0 if nothing bounds the keys
//!     33     1  run            how many of the last insertions came behind all others, up to 255
//!     34     2  zeros
//!     36     4  heap           where the lowest cell begins
//!     40     4  garbage        bytes between there and the fences that belong to no cell
//!     44     4  value length   of a value page
//!     48     4  owner          of a value page: the CRC-32 of the key whose value it holds; else zeros
//!     52    12  zeros
//!     64    4n  heads          of each cell in order: the first four bytes of its key behind the prefix, as the
//!                              number that a comparison of bytes would see; zeros where the key is shorter
//!  64+4n    4n  slots          where the cell begins
//!              free
//!   heap        cells          in any order
//!               lower fence, upper fence, up to the end of the page
//!
//! a cell         | key length u16 | word u32 | key behind the prefix | payload |
//!   leaf         word: the length of the value, payload: its bytes
//!                word: that with the highest bit set, payload: the id u32 of a page that holds the value
//!   branch       word: the id of the child whose lower fence is the key; no payload
//! a value page   | the same header | the bytes of the value | zeros |
//! ```
//!
//! The two fences are bounds that the page's parent keeps to, so what they have in common is in front of every key
//! that can ever come here: it is stored once, and a search that comes down the tree does not look at it. Most
//! searches touch the heads alone, which lie side by side.
//!
//! Promises: bytes from a disk become a page only through [`PageRef::open`], which looks at all of them; what it
//! accepts cannot make any other call read outside the page, panic or loop. A page that is changed stays one that
//! `open` accepts. Called by the trees of the engines; knows no file.

#![deny(unsafe_code)]

mod balance;
mod build;
mod check;
mod edit;
mod layout;
#[allow(unsafe_code, reason = "memory from the operating system")]
mod mapped;
#[allow(unsafe_code, reason = "memory in huge pages, shared by pages of one length")]
mod memory;
mod search;
mod view;

pub use balance::{Split, separator};
pub use build::{Cell, Head, owner_of};
pub use check::{Beginning, Damage, seal};
pub use edit::Page;
pub use layout::{BLOCK_BYTES, HEADER_BYTES, Kind, PAGE_BYTES_MAX, common_prefix, first_bytes};
pub use mapped::Mapped;
pub use memory::prefetch;
pub use view::{PageRef, Payload};

/// The number that other pages know a page by.
pub type PageId = u32;

/// Stands where the number does in a page that was written before it had one. No page is called this.
pub const UNNAMED: PageId = PageId::MAX;
