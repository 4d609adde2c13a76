//! Sets of ranges of keys that a source deletes in every older source.
//!
//! A range deleted by a batch removes what the memtable holds itself, so all that is left to remember is that older
//! sources have lost the range. Therefore a set needs no order in time: what lies in the same source is newer.
//!
//! ```text
//! offset  size  field      integers little-endian; a set, as tables and the manifest hold it
//!      0     4  count      of ranges, ascending; no two of them touch
//!      4     …  ranges     bounded u8 │ start length u16 │ end length u16 │ start │ end        bounded 0: no end
//! ```
//!
//! Promises: ranges are half open, disjoint and not empty; `decode` allocates nothing by what a length claims.

use std::sync::Arc;

use adapter_api::KeyRange;

/// A half-open range; without an end it has every key from its start on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: Arc<[u8]>,
    pub(crate) end: Option<Arc<[u8]>>,
}

impl Span {
    /// The same, borrowed.
    pub(crate) fn range(&self) -> KeyRange<'_> {
        KeyRange::with_end(&self.start, self.end.as_deref())
    }
}

/// A set of ranges.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Ranges {
    spans: Vec<Span>,
}

/// Whether an end, exclusive and perhaps absent, lies behind a key or at it.
fn ends_before(end: Option<&[u8]>, key: &[u8]) -> bool {
    end.is_some_and(|end| end < key)
}

/// The later of two ends.
fn later<'a>(one: Option<&'a Arc<[u8]>>, other: Option<&'a Arc<[u8]>>) -> Option<&'a Arc<[u8]>> {
    Some(one?.max(other?))
}

impl Ranges {
    pub(crate) fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    pub(crate) fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// Whether the key is deleted in older sources.
    pub(crate) fn covers(&self, key: &[u8]) -> bool {
        self.covering(key).is_some()
    }

    /// The range that the key is in.
    pub(crate) fn covering(&self, key: &[u8]) -> Option<&Span> {
        let behind = self.spans.partition_point(|span| *span.start <= *key);
        self.spans[..behind].last().filter(|span| span.range().contains(key))
    }

    /// Whether any of the range is deleted in older sources.
    pub(crate) fn overlaps(&self, range: KeyRange<'_>) -> bool {
        !range.is_empty() && !self.clipped(range.start(), range.end()).is_empty()
    }

    /// Adds a range; what touches becomes one.
    pub(crate) fn add(&mut self, range: KeyRange<'_>) {
        if range.is_empty() {
            return;
        }
        let first = self.spans.partition_point(|span| ends_before(span.end.as_deref(), range.start()));
        let behind = first
            + self.spans[first..].partition_point(|span| range.end().is_none_or(|end| *span.start <= *end));
        let mut whole = Span { start: range.start().into(), end: range.end().map(Into::into) };
        for span in &self.spans[first..behind] {
            whole.start = span.start.clone().min(whole.start);
            whole.end = later(span.end.as_ref(), whole.end.as_ref()).cloned();
        }
        self.spans.splice(first..behind, [whole]);
    }

    /// Adds every range of another set. Takes as long as there are ranges in it, and in this one from its start on.
    pub(crate) fn add_all(&mut self, other: &Self) {
        let Some(first) = other.spans.first() else { return };
        let before = self.spans.partition_point(|span| ends_before(span.end.as_deref(), &first.start));
        let mut ours = self.spans.split_off(before).into_iter().peekable();
        for span in &other.spans {
            while let Some(earlier) = ours.next_if(|it| it.start <= span.start) {
                self.append(earlier);
            }
            self.append(span.clone());
        }
        ours.for_each(|span| self.append(span));
    }

    /// Adds a range that starts no earlier than any other one.
    fn append(&mut self, span: Span) {
        match self.spans.last_mut() {
            Some(last) if !ends_before(last.end.as_deref(), &span.start) => {
                last.end = later(last.end.as_ref(), span.end.as_ref()).cloned();
            }
            _ => self.spans.push(span),
        }
    }

    /// What lies from `start` on and before `end`.
    pub(crate) fn clipped(&self, start: &[u8], end: Option<&[u8]>) -> Self {
        let mut clipped = Self::default();
        let first = self.spans.partition_point(|span| ends_before(span.end.as_deref(), start));
        let is_inside = |span: &&Span| end.is_none_or(|end| *span.start < *end);
        for span in self.spans[first..].iter().take_while(is_inside) {
            let from = if *span.start < *start { start } else { &span.start };
            let to = match (span.end.as_deref(), end) {
                (Some(one), Some(other)) => Some(one.min(other)),
                (one, other) => one.or(other),
            };
            clipped.add(KeyRange::with_end(from, to));
        }
        clipped
    }

    /// Appends the encoding.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&(self.spans.len() as u32).to_le_bytes());
        for Span { start, end } in &self.spans {
            let bytes = end.as_deref().unwrap_or_default();
            out.push(u8::from(end.is_some()));
            out.extend_from_slice(&(start.len() as u16).to_le_bytes());
            out.extend_from_slice(&(bytes.len() as u16).to_le_bytes());
            out.extend_from_slice(start);
            out.extend_from_slice(bytes);
        }
    }

    /// Reads an encoding, and answers what stands behind it; `None` if it is none.
    pub(crate) fn decode(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (count, mut rest) = bytes.split_first_chunk()?;
        let mut ranges = Self::default();
        for _ in 0..u32::from_le_bytes(*count) {
            let (&[bounded, a0, a1, b0, b1], after) = rest.split_first_chunk()?;
            let (start, after) = after.split_at_checked(u16::from_le_bytes([a0, a1]).into())?;
            let (end, after) = after.split_at_checked(u16::from_le_bytes([b0, b1]).into())?;
            let range = match (bounded, end) {
                (0, []) => KeyRange::from_start(start),
                (1, end) => KeyRange::new(start, end),
                _ => return None,
            };
            let is_behind =
                ranges.spans.last().is_none_or(|last| ends_before(last.end.as_deref(), range.start()));
            if range.is_empty() || !is_behind {
                return None;
            }
            ranges.spans.push(Span { start: start.into(), end: range.end().map(Into::into) });
            rest = after;
        }
        Some((ranges, rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(ranges: &[(&str, Option<&str>)]) -> Ranges {
        let mut set = Ranges::default();
        for (start, end) in ranges {
            set.add(KeyRange::with_end(start.as_bytes(), end.map(str::as_bytes)));
        }
        set
    }

    #[test]
    fn a_set_covers_what_its_ranges_cover_in_whatever_order_they_came() {
        let ranges = [("d", Some("f")), ("b", Some("c")), ("e", Some("g")), ("x", None), ("y", Some("z"))];
        let mut turned = ranges;
        turned.reverse();
        let (set, other) = (of(&ranges), of(&turned));
        assert_eq!(set, other);
        assert_eq!(set.spans().len(), 3);
        for key in [&b"a"[..], b"b", b"bz", b"c", b"d", b"f", b"g", b"w", b"x", b"zz"] {
            let expected = ranges.iter().any(|(start, end)| {
                KeyRange::with_end(start.as_bytes(), end.map(str::as_bytes)).contains(key)
            });
            assert_eq!(set.covers(key), expected, "{}", key.escape_ascii());
        }
    }

    #[test]
    fn ranges_that_touch_become_one() {
        assert_eq!(of(&[("a", Some("b")), ("b", Some("c"))]), of(&[("a", Some("c"))]));
        assert_eq!(of(&[("c", Some("d")), ("a", Some("b")), ("a", None)]), of(&[("a", None)]));
    }

    #[test]
    fn a_set_that_is_added_as_a_whole_is_the_same_as_its_ranges_one_by_one() {
        let mut merged_some = false;
        for seed in 0..500_u64 {
            let random = |at: u64| crash::image::mix(seed << 32 | at) % 40;
            let set = |from: u64| {
                let mut set = Ranges::default();
                for at in from..from + random(from) % 12 {
                    let (start, length) = (random(at * 2), 1 + random(at * 2 + 1) % 4);
                    let end = (random(at + 90) > 1).then(|| vec![(start + length) as u8]);
                    set.add(KeyRange::with_end(&[start as u8], end.as_deref()));
                }
                set
            };
            let (mut one, other) = (set(0), set(100));
            let mut expected = one.clone();
            other.spans().iter().for_each(|span| expected.add(span.range()));
            merged_some |= expected.spans().len() < one.spans().len();
            one.add_all(&other);
            assert_eq!(one, expected, "seed {seed}");
        }
        assert!(merged_some);
    }

    #[test]
    fn a_set_is_clipped_to_what_lies_between_two_keys() {
        let set = of(&[("a", Some("d")), ("f", None)]);
        assert_eq!(set.clipped(b"b", Some(b"g")), of(&[("b", Some("d")), ("f", Some("g"))]));
        assert_eq!(set.clipped(b"d", Some(b"f")), Ranges::default());
        assert_eq!(set.clipped(b"", None), set);
        assert!(set.overlaps(KeyRange::new(b"c", b"e")) && !set.overlaps(KeyRange::new(b"d", b"f")));
    }

    #[test]
    fn what_was_encoded_is_decoded_and_every_cut_is_refused() {
        let set = of(&[("a", Some("d")), ("f", Some("g")), ("h", None)]);
        let mut bytes = Vec::new();
        set.encode(&mut bytes);
        bytes.extend_from_slice(b"behind");
        assert_eq!(Ranges::decode(&bytes), Some((set, &b"behind"[..])));
        for cut in 0..bytes.len() - 6 {
            assert_eq!(Ranges::decode(&bytes[..cut]), None, "{cut}");
        }
    }
}
