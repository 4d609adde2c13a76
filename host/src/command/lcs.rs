//! LCS: the longest common subsequence of two values, the one that Redis finds.
//!
//! Promises: the work is bounded as in Redis, at 134 million pairs of bytes; the memory is an eighth of a byte
//! for each pair, so 16 MiB at most beside the values. Runs on a reader thread alone.
//!
//! ```text
//! length(x, y)   of the first x bytes of the longer value and the first y bytes of the shorter one:
//!                a row of them is kept, and the way back from the end as one bit for each pair
//! ```

use super::access::{EngineReads, Reads};
use super::errors::{Failure, Outcome, SYNTAX};
use super::{Arguments, Context, Replies, number};
use adapter_api::Capabilities;

/// How many bytes Redis takes at most for its table, four for each pair.
const TABLE_BYTES_MAX: u64 = 512 << 20;

#[derive(Default)]
struct Request {
    length_only: bool,
    matches: bool,
    with_lengths: bool,
    /// Matches shorter than this are left out.
    shortest: u64,
}

/// A run of bytes that both values have: where it begins in each, and how many there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Match {
    in_one: usize,
    in_other: usize,
    bytes: usize,
}

pub(super) fn lcs(
    arguments: Arguments<'_>,
    database: u8,
    context: &Context,
    replies: &mut dyn Replies,
) -> Outcome {
    let request = parse(arguments)?;
    let (one, other) = both_values(arguments, database, context)?;
    if (one.len() as u64 + 1).saturating_mul(other.len() as u64 + 1) > TABLE_BYTES_MAX / 4 {
        return Err(Failure::fixed(
            "ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len",
        ));
    }
    let mut table = Table::new(one.len(), other.len(), !request.length_only);
    let length = table.fill(&one, &other);
    if request.length_only {
        replies.integer(length as i64);
        return Ok(());
    }
    let matches = table.matches(&one, &other);
    if !request.matches {
        let common: Vec<u8> =
            matches.iter().rev().flat_map(|run| &one[run.in_one..][..run.bytes]).copied().collect();
        replies.bulk(&common);
        return Ok(());
    }
    reply_matches(&matches, length, &request, replies);
    Ok(())
}

fn both_values(arguments: Arguments<'_>, database: u8, context: &Context) -> Outcome<(Vec<u8>, Vec<u8>)> {
    let mut reads = EngineReads::that_wait(context, database);
    let keys = [arguments.word(1), arguments.word(2)];
    let mut values = Vec::new();
    let mut take = |value: Option<&[u8]>| values.push(value.unwrap_or_default().to_vec());
    if context.storage.has(Capabilities::READ_VIEW) {
        reads.values(&keys, &mut take)?;
    } else {
        // Without read views nobody but the sequencer sees one instant, and this would hold that up.
        for key in keys {
            take(reads.value(key)?.map(|stored| stored.bytes));
        }
    }
    reads.count();
    let mut values = values.into_iter();
    Ok((values.next().unwrap_or_default(), values.next().unwrap_or_default()))
}

fn parse(arguments: Arguments<'_>) -> Outcome<Request> {
    let mut request = Request::default();
    let mut place = 3;
    while place < arguments.len() {
        let is = |name: &str| arguments.word(place).eq_ignore_ascii_case(name.as_bytes());
        if is("idx") {
            request.matches = true;
        } else if is("len") {
            request.length_only = true;
        } else if is("withmatchlen") {
            request.with_lengths = true;
        } else if is("minmatchlen") && place + 1 < arguments.len() {
            place += 1;
            request.shortest = u64::try_from(number::integer(arguments.word(place))?).unwrap_or(0);
        } else {
            return Err(SYNTAX);
        }
        place += 1;
    }
    if request.matches && request.length_only {
        return Err(Failure::fixed("ERR If you want both the length and indexes, please just use IDX."));
    }
    Ok(request)
}

fn reply_matches(matches: &[Match], length: usize, request: &Request, replies: &mut dyn Replies) {
    let shown = || matches.iter().filter(|run| run.bytes as u64 >= request.shortest);
    replies.map(2);
    replies.bulk(b"matches");
    replies.array(shown().count());
    for run in shown() {
        replies.array(if request.with_lengths { 3 } else { 2 });
        for start in [run.in_one, run.in_other] {
            replies.array(2);
            replies.integer(start as i64);
            replies.integer((start + run.bytes - 1) as i64);
        }
        if request.with_lengths {
            replies.integer(run.bytes as i64);
        }
    }
    replies.bulk(b"len");
    replies.integer(length as i64);
}

/// The way back through all pairs of bytes: whether it goes to the byte before in the first value, where
/// the bytes of a pair differ.
struct Table {
    one_is_longer: bool,
    shorter: usize,
    /// A bit for each pair, those of one byte of the longer value together; empty if nobody asks for the way.
    back_in_one: Vec<u64>,
}

impl Table {
    fn new(one: usize, other: usize, with_way: bool) -> Self {
        let pairs = if with_way { one * other } else { 0 };
        Self {
            one_is_longer: one >= other,
            shorter: one.min(other),
            back_in_one: vec![0; pairs.div_ceil(64)],
        }
    }

    /// Works through all pairs; returns the length of the longest common subsequence.
    fn fill(&mut self, one: &[u8], other: &[u8]) -> usize {
        let (longer, shorter) = if self.one_is_longer { (one, other) } else { (other, one) };
        // The shorter value has fewer than 2^16 bytes, or there would be too many pairs.
        let mut lengths = vec![0_u16; shorter.len()];
        let mut pair = 0;
        for long in longer {
            // Lengths of the row before and of this one, up to the byte before in the shorter value.
            let (mut diagonal, mut left) = (0, 0);
            for (short, length) in shorter.iter().zip(&mut lengths) {
                let above = *length;
                let back_in_longer = above > left;
                let back_in_one = if self.one_is_longer { back_in_longer } else { left > above };
                *length = if long == short { diagonal + 1 } else { above.max(left) };
                (diagonal, left) = (above, *length);
                if let Some(word) = self.back_in_one.get_mut(pair / 64) {
                    *word |= u64::from(back_in_one) << (pair % 64);
                }
                pair += 1;
            }
        }
        lengths.last().map_or(0, |length| usize::from(*length))
    }

    fn goes_back_in_one(&self, in_one: usize, in_other: usize) -> bool {
        let (long, short) = if self.one_is_longer { (in_one, in_other) } else { (in_other, in_one) };
        let pair = long * self.shorter + short;
        self.back_in_one.get(pair / 64).is_some_and(|word| word >> (pair % 64) & 1 == 1)
    }

    /// The runs of the subsequence, from the last to the first.
    fn matches(&self, one: &[u8], other: &[u8]) -> Vec<Match> {
        let mut matches: Vec<Match> = Vec::new();
        let (mut in_one, mut in_other) = (one.len(), other.len());
        let mut in_run = false;
        while in_one > 0 && in_other > 0 {
            if one[in_one - 1] == other[in_other - 1] {
                (in_one, in_other) = (in_one - 1, in_other - 1);
                match matches.last_mut().filter(|_| in_run) {
                    Some(run) => *run = Match { in_one, in_other, bytes: run.bytes + 1 },
                    None => matches.push(Match { in_one, in_other, bytes: 1 }),
                }
                in_run = true;
            } else {
                match self.goes_back_in_one(in_one - 1, in_other - 1) {
                    true => in_one -= 1,
                    false => in_other -= 1,
                }
                in_run = false;
            }
        }
        matches
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of lengths as Redis keeps it, and its way back.
    fn naive(one: &[u8], other: &[u8]) -> (usize, Vec<u8>) {
        let mut lengths = vec![vec![0; other.len() + 1]; one.len() + 1];
        for i in 1..=one.len() {
            for j in 1..=other.len() {
                lengths[i][j] = match one[i - 1] == other[j - 1] {
                    true => lengths[i - 1][j - 1] + 1,
                    false => lengths[i - 1][j].max(lengths[i][j - 1]),
                };
            }
        }
        let (mut i, mut j) = (one.len(), other.len());
        let mut common = Vec::new();
        while i > 0 && j > 0 {
            if one[i - 1] == other[j - 1] {
                common.push(one[i - 1]);
                (i, j) = (i - 1, j - 1);
            } else if lengths[i - 1][j] > lengths[i][j - 1] {
                i -= 1;
            } else {
                j -= 1;
            }
        }
        common.reverse();
        (lengths[one.len()][other.len()], common)
    }

    #[test]
    fn the_subsequence_is_the_one_of_a_plain_table() {
        let mut random = crate::command::tests::random::Random::new("lcs");
        for _ in 0..2000 {
            let letters = 1 + random.below(4) as u8;
            let mut value = || -> Vec<u8> {
                let length = random.below(40);
                (0..length).map(|_| b'a' + random.below(u64::from(letters)) as u8).collect()
            };
            let (one, other) = (value(), value());
            let mut table = Table::new(one.len(), other.len(), true);
            let length = table.fill(&one, &other);
            let matches = table.matches(&one, &other);
            let runs = matches.iter().rev();
            let common: Vec<u8> =
                runs.clone().flat_map(|run| &one[run.in_one..][..run.bytes]).copied().collect();
            let in_other: Vec<u8> =
                runs.flat_map(|run| &other[run.in_other..][..run.bytes]).copied().collect();
            assert_eq!((length, common.clone()), naive(&one, &other), "{one:?} {other:?}");
            assert_eq!(common, in_other);
            assert_eq!(Table::new(one.len(), other.len(), false).fill(&one, &other), length);
        }
    }
}
