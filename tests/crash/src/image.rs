//! The bytes of a file, in pages that copies share: thousands of crash states of one disk cost little more
//! than the disk.
//!
//! Promises: two images with the same bytes have the same digest, however they came about; a hole, zeros
//! that were written and zeros that a longer length shows are the same bytes. Called by `state` alone.

use std::sync::{Arc, OnceLock};

const PAGE: usize = 4096;

#[derive(Clone)]
struct Page {
    bytes: [u8; PAGE],
    /// Of the bytes; 0 if all of them are zero.
    digest: OnceLock<u64>,
}

impl Page {
    fn zeros() -> Self {
        Self { bytes: [0; PAGE], digest: OnceLock::new() }
    }

    fn digest(&self) -> u64 {
        *self.digest.get_or_init(|| match self.bytes.iter().all(|byte| *byte == 0) {
            true => 0,
            false => mix_bytes(1, &self.bytes) | 1,
        })
    }
}

/// The bytes of a file. Positions and lengths are in bytes.
#[derive(Clone, Default)]
pub struct Image {
    /// A page that is not there holds zeros. Behind `len`, bytes of a page are zeros.
    pages: Vec<Option<Arc<Page>>>,
    len: usize,
}

impl Image {
    /// The length of the file.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the file has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Reads into `bytes`; returns how many there were before the end of the file.
    pub fn read(&self, offset: usize, bytes: &mut [u8]) -> usize {
        let count = self.len.saturating_sub(offset).min(bytes.len());
        let mut done = 0;
        while done < count {
            let at = (offset + done) % PAGE;
            let part = (PAGE - at).min(count - done);
            let target = &mut bytes[done..done + part];
            match self.pages.get((offset + done) / PAGE).and_then(Option::as_ref) {
                Some(page) => target.copy_from_slice(&page.bytes[at..at + part]),
                None => target.fill(0),
            }
            done += part;
        }
        count
    }

    /// A range of the file, cut at its end.
    pub fn range(&self, offset: usize, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len.min(self.len.saturating_sub(offset))];
        self.read(offset, &mut bytes);
        bytes
    }

    /// Writes, making the file longer if need be.
    pub fn write(&mut self, offset: usize, bytes: &[u8]) {
        self.len = self.len.max(offset + bytes.len());
        let mut done = 0;
        while done < bytes.len() {
            let (index, at) = ((offset + done) / PAGE, (offset + done) % PAGE);
            let part = (PAGE - at).min(bytes.len() - done);
            self.write_page(index, at, &bytes[done..done + part]);
            done += part;
        }
    }

    fn write_page(&mut self, index: usize, at: usize, bytes: &[u8]) {
        let is_zeros = bytes.iter().all(|byte| *byte == 0);
        if self.pages.len() <= index {
            if is_zeros {
                return;
            }
            self.pages.resize(index + 1, None);
        }
        let place = &mut self.pages[index];
        if is_zeros && (bytes.len() == PAGE || place.is_none()) {
            *place = None;
            return;
        }
        let page = Arc::make_mut(place.get_or_insert_with(|| Arc::new(Page::zeros())));
        page.bytes[at..at + bytes.len()].copy_from_slice(bytes);
        page.digest = OnceLock::new();
    }

    /// Cuts the file, or makes it longer with zeros.
    pub fn set_len(&mut self, len: usize) {
        if len < self.len {
            self.pages.truncate(len.div_ceil(PAGE));
            let rest = len % PAGE;
            if rest > 0 && len / PAGE < self.pages.len() {
                self.write_page(len / PAGE, rest, &[0; PAGE][rest..]);
            }
        }
        self.len = len;
    }

    /// Makes a range zeros, without making the file longer.
    pub fn punch(&mut self, offset: usize, len: usize) {
        let len = len.min(self.len.saturating_sub(offset));
        self.write(offset.min(self.len), &vec![0; len]);
    }

    /// A digest of length and bytes.
    pub fn digest(&self) -> u64 {
        let digests = self.pages.iter().map(|page| page.as_ref().map_or(0, |page| page.digest()));
        let pages = digests.enumerate().filter(|(_, digest)| *digest != 0);
        pages.fold(mix(self.len as u64), |sum, (index, digest)| mix(sum ^ mix(digest ^ index as u64)))
    }
}

/// Spreads the bits of a number over all of it.
pub fn mix(number: u64) -> u64 {
    let mixed = (number ^ (number >> 30)).wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 31)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 29)
}

/// A digest of bytes, begun with a seed. Fast, and no more than that: nobody attacks it.
pub fn mix_bytes(seed: u64, bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let step = |sum: u64, word: u64| (sum ^ word).wrapping_mul(0x9fb2_1c65_1e98_df25).rotate_left(29);
    let sum = words.iter().fold(mix(seed), |sum, word| step(sum, u64::from_le_bytes(*word)));
    let tail = rest.iter().fold(bytes.len() as u64, |tail, byte| tail << 8 | u64::from(*byte));
    mix(step(sum, tail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_the_bytes_that_were_written() {
        let (mut image, mut plain) = (Image::default(), Vec::new());
        let mut seed = 1;
        for _ in 0..500 {
            seed = mix(seed);
            let (offset, len, what) = (seed as usize % 10_000, (seed >> 20) as usize % 9_000, seed >> 60);
            match what {
                0..4 => {
                    image.set_len(offset);
                    plain.resize(offset, 0);
                }
                4 => {
                    image.punch(offset, len);
                    let end = plain.len().min(offset + len);
                    plain[offset.min(end)..end].fill(0);
                }
                _ => {
                    let bytes = vec![if what < 8 { 0 } else { seed as u8 }; len];
                    image.write(offset, &bytes);
                    plain.resize(plain.len().max(offset + len), 0);
                    plain[offset..offset + len].copy_from_slice(&bytes);
                }
            }
            assert_eq!(image.range(0, usize::MAX >> 1), plain);
            let mut fresh = Image::default();
            fresh.write(0, &plain);
            assert_eq!(fresh.digest(), image.digest());
        }
    }
}
