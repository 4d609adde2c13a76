//! Which keys are accounted for.
//!
//! Pages that are found without a map may be of any age, and say the same keys are theirs. Whoever takes them newest
//! first, and from each only what is not accounted for yet, has of every key what is newest.
//!
//! Promises: memory is that of the bounds that stand apart. Called by `rebuild` and `losses`.

use std::collections::BTreeMap;
use std::ops::Bound;

type Key = Box<[u8]>;

/// Keys from `lower` on and below `upper`, if there is a bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stretch {
    pub(crate) lower: Key,
    pub(crate) upper: Option<Key>,
}

impl Stretch {
    /// All keys.
    pub(crate) fn all() -> Self {
        Self { lower: Box::default(), upper: None }
    }

    /// Whether a key is among them.
    pub(crate) fn contains(&self, key: &[u8]) -> bool {
        *self.lower <= *key && is_below(key, self.upper.as_deref())
    }
}

/// Whether a key comes before an upper bound.
fn is_below(key: &[u8], upper: Option<&[u8]>) -> bool {
    upper.is_none_or(|upper| key < upper)
}

/// The keys that are accounted for.
#[derive(Default)]
pub(crate) struct Cover {
    /// From each bound to the other; no two touch each other.
    stretches: BTreeMap<Key, Option<Key>>,
}

impl Cover {
    /// Adds keys; answers which of them are new, in order.
    pub(crate) fn add(&mut self, stretch: &Stretch) -> Vec<Stretch> {
        let new = self.missing(stretch);
        let (mut lower, mut upper) = (stretch.lower.clone(), stretch.upper.clone());
        // What begins in front and reaches up to here, and what begins within or right behind, becomes one with it.
        let in_front = self.stretches.range::<Key, _>(..=&lower).next_back();
        if let Some((begin, end)) = in_front
            && end.as_deref().is_none_or(|end| *end >= *lower)
        {
            lower = begin.clone();
        }
        loop {
            let next = self.stretches.range::<Key, _>(&lower..).next();
            let Some((begin, end)) =
                next.filter(|(begin, _)| upper.as_ref().is_none_or(|upper| *begin <= upper))
            else {
                break;
            };
            upper = upper.zip(end.clone()).map(|(one, other)| one.max(other));
            let begin = begin.clone();
            self.stretches.remove(&begin);
        }
        self.stretches.insert(lower, upper);
        new
    }

    /// The keys of a stretch that are not accounted for.
    pub(crate) fn missing(&self, stretch: &Stretch) -> Vec<Stretch> {
        let (mut missing, mut at) = (Vec::new(), Some(stretch.lower.clone()));
        while let Some(lower) = at.take().filter(|at| is_below(at, stretch.upper.as_deref())) {
            let around = self.stretches.range::<Key, _>(..=&lower).next_back();
            match around {
                Some((_, end)) if is_below(&lower, end.as_deref()) => at = end.clone(),
                _ => {
                    let behind = (Bound::Excluded(&lower), Bound::Unbounded);
                    let next = self.stretches.range::<Key, _>(behind).next();
                    let next = next
                        .map(|(begin, _)| begin)
                        .filter(|begin| is_below(begin, stretch.upper.as_deref()));
                    at = next.cloned();
                    missing.push(Stretch { lower, upper: next.cloned().or_else(|| stretch.upper.clone()) });
                }
            }
        }
        missing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stretch(from: u64, to: u64) -> Stretch {
        let key = |number: u64| if number == 0 { Box::default() } else { Box::from([number as u8]) };
        Stretch { lower: key(from), upper: (to < 60).then(|| key(to)) }
    }

    #[test]
    fn every_key_is_new_once_and_what_was_never_added_is_missing() {
        for seed in 0..if cfg!(miri) { 2 } else { 300 } {
            let (mut dice, mut cover) = (crate::tests::Dice(seed), Cover::default());
            let mut model = [false; 60];
            for _ in 0..12 {
                let from = dice.roll(60);
                let added = stretch(from, from + 1 + dice.roll(20));
                let is_in = |key: u64, stretches: &[Stretch]| {
                    let key = stretch(key, 60).lower;
                    stretches.iter().filter(|stretch| stretch.contains(&key)).count()
                };
                let new = cover.add(&added);
                for (key, covered) in (0..).zip(&mut model) {
                    let is_added = is_in(key, std::slice::from_ref(&added)) == 1;
                    assert_eq!(is_in(key, &new), usize::from(is_added && !*covered), "seed {seed}: {key}");
                    *covered |= is_added;
                }
                let missing = cover.missing(&Stretch::all());
                let is_missing = |key: u64| is_in(key, &missing) == 1;
                assert!((0..).zip(model).all(|(key, covered)| is_missing(key) != covered), "seed {seed}");
                assert!(missing.windows(2).all(|two| two[0].upper.as_ref().unwrap() < &two[1].lower));
            }
        }
    }
}
