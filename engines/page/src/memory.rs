//! Memory for pages: pieces of 2 MiB that the processor can find with one entry of its tables each.
//!
//! ```text
//! piece   | page | 64 B | page | 64 B | page | 64 B | …          of one length; aligned, and advised to be one huge page
//! ```
//!
//! A tree is read at random, so with ordinary memory each page costs a walk through the tables of the processor, and in a
//! virtual machine a walk of walks. The gaps are there because pages that begin at the same distance would
//! compete for the same few lines of its caches.
//!
//! Promises: memory that was taken is of one owner, holds bytes that were written or zeros, and comes back when the owner is
//! dropped; a piece goes back to the operating system when the last page of it has gone, but for one of each length.
//! Pages of other lengths have memory of their own. A call holds a lock for a moment. Called by `edit`, `build` and
//! `check`; `prefetch` by trees.

use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::mapped::Mapped;

/// What a piece takes.
const PIECE_BYTES: usize = crate::mapped::HUGE_BYTES;
/// A line of the caches.
const LINE_BYTES: usize = 64;
/// The bytes between two pages.
const GAP_BYTES: usize = LINE_BYTES;
/// Pages of 4 KiB to 64 KiB, by powers of two, come from pieces.
const SHORTEST_BYTES: usize = 4 << 10;
const LENGTHS: usize = 5;
/// Where memory is that is in no piece.
const APART: u32 = u32::MAX;

/// Bytes that begin on a line of the caches, owned.
pub(crate) struct Memory {
    start: NonNull<u8>,
    len: u32,
    /// The number of the piece that they lie in, or `APART`.
    piece: u32,
}

// SAFETY: it owns what it points to, like a `Box<[u8]>`.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

impl Memory {
    /// Zeros.
    pub(crate) fn zeroed(len: usize) -> Self {
        match Self::in_piece(len) {
            Some(mut memory) => {
                memory.fill(0);
                memory
            }
            None => Self::from(vec![0; len].into_boxed_slice()),
        }
    }

    /// A copy of these bytes.
    pub(crate) fn copy_of(bytes: &[u8]) -> Self {
        match Self::in_piece(bytes.len()) {
            Some(mut memory) => {
                memory.copy_from_slice(bytes);
                memory
            }
            None => Self::from(Box::<[u8]>::from(bytes)),
        }
    }

    /// Memory of a length that pieces have, holding whatever it held.
    fn in_piece(len: usize) -> Option<Self> {
        let (start, piece) = pieces(len)?.take(len)?;
        Some(Self { start, len: len as u32, piece })
    }
}

impl From<Box<[u8]>> for Memory {
    fn from(bytes: Box<[u8]>) -> Self {
        let len = bytes.len() as u32;
        let start = NonNull::from(Box::leak(bytes)).cast();
        Self { start, len, piece: APART }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        if self.piece == APART {
            let bytes = NonNull::slice_from_raw_parts(self.start, self.len as usize);
            // SAFETY: it came out of a `Box` of this length, and nobody else has it.
            drop(unsafe { Box::from_raw(bytes.as_ptr()) });
        } else if let Some(mut pieces) = pieces(self.len as usize) {
            pieces.give_back(self.start, self.piece, self.len as usize);
        }
    }
}

impl Deref for Memory {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: so many bytes from there on were given to this alone, and all of them were written.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len as usize) }
    }
}

impl DerefMut for Memory {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len as usize) }
    }
}

impl Clone for Memory {
    fn clone(&self) -> Self {
        Self::copy_of(self)
    }
}

/// The pieces for pages of a length, if there are any.
fn pieces(len: usize) -> Option<MutexGuard<'static, Pieces>> {
    static PIECES: [Mutex<Pieces>; LENGTHS] = [const { Mutex::new(Pieces::NONE) }; LENGTHS];
    let is_one = len.is_power_of_two() && len >= SHORTEST_BYTES;
    let length = is_one.then(|| (len / SHORTEST_BYTES).ilog2() as usize)?;
    Some(PIECES.get(length)?.lock().unwrap_or_else(PoisonError::into_inner))
}

/// All pieces for pages of one length.
struct Pieces {
    pieces: Vec<Option<Piece>>,
    /// Pieces with room. What is taken comes from the last one.
    with_room: Vec<u32>,
    /// Numbers of pieces that went back.
    unused: Vec<u32>,
}

/// 2 MiB.
struct Piece {
    mapped: Mapped,
    /// Which of its places are free.
    free: Vec<u16>,
    /// Where in `with_room` it is, if it has room.
    at: usize,
}

impl Pieces {
    const NONE: Self = Self { pieces: Vec::new(), with_room: Vec::new(), unused: Vec::new() };

    /// Takes a place for a page of this length; `None` if the operating system has no memory.
    fn take(&mut self, len: usize) -> Option<(NonNull<u8>, u32)> {
        if self.with_room.is_empty() {
            self.add(len)?;
        }
        let number = *self.with_room.last()?;
        let piece = self.pieces.get_mut(number as usize)?.as_mut()?;
        let place = piece.free.pop()?;
        if piece.free.is_empty() {
            self.with_room.pop();
        }
        let offset = usize::from(place) * (len + GAP_BYTES);
        // SAFETY: as many places of this length as there are lie within the piece.
        Some((unsafe { piece.mapped.start().add(offset) }, number))
    }

    fn add(&mut self, len: usize) -> Option<()> {
        let mapped = Mapped::new(PIECE_BYTES)?;
        let number = self.unused.pop().unwrap_or_else(|| {
            self.pieces.push(None);
            self.pieces.len() as u32 - 1
        });
        let free = (0..places(len) as u16).rev().collect();
        self.pieces[number as usize] = Some(Piece { mapped, free, at: self.with_room.len() });
        self.with_room.push(number);
        Some(())
    }

    fn give_back(&mut self, start: NonNull<u8>, number: u32, len: usize) {
        let Some(Some(piece)) = self.pieces.get_mut(number as usize) else { return };
        let offset = start.addr().get() - piece.mapped.start().addr().get();
        if piece.free.is_empty() {
            piece.at = self.with_room.len();
            self.with_room.push(number);
        }
        piece.free.push((offset / (len + GAP_BYTES)) as u16);
        if piece.free.len() == places(len) && self.with_room.len() > 1 {
            let at = piece.at;
            self.pieces[number as usize] = None;
            self.unused.push(number);
            self.with_room.swap_remove(at);
            if let Some(moved) = self.with_room.get(at)
                && let Some(moved) = &mut self.pieces[*moved as usize]
            {
                moved.at = at;
            }
        }
    }
}

/// How many pages of a length a piece has room for.
fn places(len: usize) -> usize {
    PIECE_BYTES / (len + GAP_BYTES)
}

/// Tells the processor that so many bytes from here on will be looked at: it fetches their lines at once, instead of one
/// behind the other when each is needed, and goes on. There may be anything at the address, or nothing.
#[inline]
pub fn prefetch(start: *const u8, bytes: usize) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    for offset in (0..bytes).step_by(LINE_BYTES) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a hint, which reads nothing that the program can see, whatever the address.
        unsafe { _mm_prefetch(start.wrapping_add(offset).cast(), _MM_HINT_T0) };
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = (start, bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_zero_and_of_one_owner_and_comes_back() {
        // Miri looks at every byte for long.
        let (seed, rounds, lengths) = if cfg!(miri) { (5, 12, 3) } else { (5, 20_000, 6) };
        let mut state = seed;
        let mut roll = |sides: u64| {
            state = u64::wrapping_mul(state, 6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) % sides
        };
        let mut held: Vec<(u8, Memory)> = Vec::new();
        for round in 0..rounds {
            if roll(5) < 3 {
                let len = [1, 4096, 12288, 8192, 65536, 131_072][roll(lengths) as usize];
                let mut memory = Memory::zeroed(len);
                assert!(memory.len() == len && memory.iter().all(|byte| *byte == 0), "seed {seed}");
                memory.fill(round as u8);
                held.push((round as u8, memory));
            } else if !held.is_empty() {
                let (byte, memory) = held.swap_remove(roll(held.len() as u64) as usize);
                assert!(memory.clone().iter().chain(&*memory).all(|it| *it == byte), "seed {seed}");
            }
            held.truncate(400);
        }
    }

    #[test]
    fn pieces_whose_pages_have_gone_go_back() {
        let mut pieces = Pieces::NONE;
        let len = 65536;
        let taken: Vec<_> = (0..5 * places(len)).map(|_| pieces.take(len).unwrap()).collect();
        assert_eq!((pieces.pieces.len(), pieces.with_room.len()), (5, 0));
        for (start, piece) in taken.iter().rev() {
            pieces.give_back(*start, *piece, len);
        }
        assert_eq!(pieces.pieces.iter().flatten().count(), 1);
        // Numbers are used again, and so is the piece that stayed.
        let again: Vec<_> = (0..3 * places(len)).map(|_| pieces.take(len).unwrap()).collect();
        assert_eq!((pieces.pieces.len(), pieces.pieces.iter().flatten().count()), (5, 3));
        again.into_iter().for_each(|(start, piece)| pieces.give_back(start, piece, len));
    }
}
