//! Memory for the bytes of leaves, kept by each thread between uses.
//!
//! A writer copies leaves of a few KiB all the time and gives up as many; general allocators keep blocks of
//! that size in sorted lists, and walking these cost more than copying the leaves. Called by `packed`.

use std::cell::RefCell;

/// Capacities are multiples of this many bytes, so that most blocks fit the next use.
const GRAIN_BYTES: usize = 256;
/// Larger blocks come from the allocator and go back to it.
const POOLED_BYTES_MAX: usize = 32 << 10;
/// How many bytes a thread keeps at most.
const KEPT_BYTES_MAX: usize = 4 << 20;

#[derive(Default)]
struct Pool {
    /// Empty blocks by their capacity in grains.
    blocks: Vec<Vec<Vec<u8>>>,
    bytes: usize,
}

thread_local! {
    static POOL: RefCell<Pool> = RefCell::default();
}

/// An empty block for at least so many bytes.
pub(super) fn take(bytes: usize) -> Vec<u8> {
    let grains = bytes.div_ceil(GRAIN_BYTES);
    if grains == 0 {
        return Vec::new();
    }
    let kept = POOL.try_with(|pool| {
        let mut pool = pool.try_borrow_mut().ok()?;
        let block = pool.blocks.get_mut(grains)?.pop()?;
        pool.bytes -= block.capacity();
        Some(block)
    });
    kept.ok().flatten().unwrap_or_else(|| Vec::with_capacity(grains * GRAIN_BYTES))
}

/// Gives a block back.
pub(super) fn give_back(mut block: Vec<u8>) {
    let capacity = block.capacity();
    if capacity == 0 || !capacity.is_multiple_of(GRAIN_BYTES) || capacity > POOLED_BYTES_MAX {
        return;
    }
    block.clear();
    // A thread that ends has no pool any more: the block is freed.
    let _ = POOL.try_with(|pool| {
        let Ok(mut pool) = pool.try_borrow_mut() else { return };
        if pool.bytes + capacity > KEPT_BYTES_MAX {
            return;
        }
        if pool.blocks.is_empty() {
            pool.blocks.resize_with(POOLED_BYTES_MAX / GRAIN_BYTES + 1, Vec::new);
        }
        pool.bytes += capacity;
        pool.blocks[capacity / GRAIN_BYTES].push(block);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_given_back_is_taken_again_and_what_is_kept_is_bounded() {
        let block = take(1000);
        assert_eq!((block.len(), block.capacity()), (0, 1024));
        let address = block.as_ptr();
        give_back(block);
        let again = take(1024);
        assert_eq!(again.as_ptr(), address);
        let blocks: Vec<_> = (0..2 * KEPT_BYTES_MAX / 8192).map(|_| take(8192)).collect();
        blocks.into_iter().for_each(give_back);
        POOL.with_borrow(|pool| assert_eq!(pool.bytes, KEPT_BYTES_MAX));
        assert_eq!(take(0).capacity(), 0);
    }
}
