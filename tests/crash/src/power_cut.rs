//! What a power cut may leave of a disk, and how such a choice is written down.
//!
//! Of the changes that are not durable a disk may keep any, in any combination, for the cache of the operating
//! system is written back in any order: whole, torn at 512 bytes, as a longer file, by all or by a part of it,
//! without the bytes that made it longer, or as bytes of a file that is not longer. Of the names of a directory it may keep any too, each change as a whole. A process
//! that is killed leaves everything, durable or not.
//!
//! Changes are numbered from 0: those of all files first, in the order of the files, oldest first; names
//! have numbers of their own. `enumerate` chooses, `replay` reads choices from a script.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;
use std::sync::Arc;

use crate::image::{Image, mix};
use crate::state::{Change, DirectoryState, FileState, NameChange, Names, Node, SECTOR, Standing, State};

/// How a life of a store ends, if not in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// The process is gone; the operating system keeps everything and will write it back.
    Kill,
    /// The power is gone.
    Cut {
        /// What is left of the changes of files.
        data: Kept,
        /// What is left of the changes of names.
        names: KeptNames,
    },
}

/// What is left of the changes of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// Nothing.
    Nothing,
    /// Everything.
    All,
    /// Everything but one.
    But(usize),
    /// One, and nothing else.
    Only(usize),
    /// Those whose bit is set; the first 64.
    Mask(u64),
    /// Everything, but only the first so many sectors of one.
    Head(usize, usize),
    /// Everything, but of one only what is behind so many sectors.
    Rest(usize, usize),
    /// Everything, but of one only the length it gave the file.
    Length(usize, Fill),
    /// Everything, but of one only a part of the length it gave the file: so many bytes more than the file had.
    Reach(usize, usize),
    /// Everything, but of one not the length it gave the file: what lies behind the length of before is not seen.
    Within(usize),
    /// Whatever the dice of this seed say.
    Random(u64),
}

/// What a file shows where it was made longer and its bytes did not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fill {
    /// Zeros.
    Zeros,
    /// What nobody wrote.
    Noise,
    /// The bytes of another file at the same place.
    Stale,
}

/// What is left of the changes of names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeptNames {
    /// The first so many.
    First(usize),
    /// Everything but one.
    But(usize),
    /// Those whose bit is set; the first 64.
    Mask(u64),
    /// Whatever the dice of this seed say.
    Random(u64),
}

impl Crash {
    /// A power cut that leaves what is durable, and nothing else.
    pub const TO_DURABLE: Self = Self::Cut { data: Kept::Nothing, names: KeptNames::First(0) };
}

/// One part of a change that is kept.
enum Part {
    None,
    Whole,
    Torn(Torn),
}

/// A part of a write or of a hole.
struct Torn {
    /// Whether the bytes of a sector are kept.
    keeps: Box<dyn Fn(usize) -> bool>,
    /// Whether they make the file longer.
    grows: bool,
    /// By so much the file gets longer without bytes, at most as long as with them; and what is there instead.
    reach: usize,
    fill: Fill,
}

impl Part {
    fn sectors(keeps: impl Fn(usize) -> bool + 'static) -> Self {
        Self::Torn(Torn { keeps: Box::new(keeps), grows: true, reach: 0, fill: Fill::Zeros })
    }

    fn length(reach: usize, fill: Fill) -> Self {
        Self::Torn(Torn { keeps: Box::new(|_| false), grows: true, reach, fill })
    }

    /// Bytes of some sectors, and apart from them a part of the length.
    fn apart(keeps: impl Fn(usize) -> bool + 'static, reach: usize) -> Self {
        Self::Torn(Torn { keeps: Box::new(keeps), grows: false, reach, fill: Fill::Zeros })
    }
}

impl Kept {
    fn part(self, number: usize) -> Part {
        let whole = |is_kept: bool| if is_kept { Part::Whole } else { Part::None };
        match self {
            Self::Nothing => Part::None,
            Self::All => Part::Whole,
            Self::But(one) => whole(one != number),
            Self::Only(one) => whole(one == number),
            Self::Mask(bits) => whole(number < 64 && bits >> number & 1 == 1),
            Self::Head(one, count) if one == number => Part::sectors(move |sector| sector < count),
            Self::Rest(one, start) if one == number => Part::sectors(move |sector| sector >= start),
            Self::Length(one, fill) if one == number => Part::length(usize::MAX, fill),
            Self::Reach(one, reach) if one == number => Part::length(reach, Fill::Zeros),
            Self::Within(one) if one == number => Part::apart(|_| true, 0),
            Self::Head(..) | Self::Rest(..) | Self::Length(..) | Self::Reach(..) | Self::Within(_) => {
                Part::Whole
            }
            Self::Random(seed) => {
                let dice = mix(seed ^ mix(number as u64));
                match dice % 8 {
                    0 | 1 => Part::None,
                    2 | 3 => Part::Whole,
                    4 => Part::length(
                        usize::MAX,
                        [Fill::Zeros, Fill::Noise, Fill::Stale][(dice >> 8) as usize % 3],
                    ),
                    5 => {
                        let keeps = move |sector| mix(dice ^ sector as u64) & 1 == 0;
                        Part::apart(keeps, (dice >> 8) as usize % (32 * SECTOR))
                    }
                    _ => Part::sectors(move |sector| mix(dice ^ sector as u64) & 1 == 0),
                }
            }
        }
    }
}

impl KeptNames {
    fn keeps(self, number: usize) -> bool {
        match self {
            Self::First(count) => number < count,
            Self::But(one) => number != one,
            Self::Mask(bits) => number < 64 && bits >> number & 1 == 1,
            Self::Random(seed) => mix(seed ^ mix(!(number as u64))) & 1 == 0,
        }
    }
}

/// A change of a file that a power cut may take.
pub struct Loose {
    /// How many sectors it has, if it is a write or a hole.
    pub sectors: usize,
    /// Whether it made the file longer.
    pub grows: bool,
}

impl State {
    /// The changes of files that a power cut may take, by their numbers.
    pub fn loose(&self) -> Vec<Loose> {
        let mut loose = Vec::new();
        for file in &self.files {
            let mut len = file.durable.len();
            for pending in &file.pending {
                let sectors = match &pending.change {
                    Change::Write { offset, bytes } => parts(*offset, bytes).count(),
                    Change::Punch { offset, len: hole } => sectors(*offset..len.min(offset + hole)).count(),
                    _ => 0,
                };
                let after = pending.change.len_after(len);
                if pending.standing != Standing::Forced {
                    loose.push(Loose { sectors, grows: sectors > 0 && after > len });
                }
                len = after;
            }
        }
        loose
    }

    /// How many changes of names a power cut may take.
    pub fn loose_names(&self) -> usize {
        self.directories.iter().map(|directory| directory.pending.len()).sum()
    }

    /// The disk after a crash.
    pub fn after(&self, crash: Crash) -> Self {
        match crash {
            Crash::Kill => self.clone(),
            Crash::Cut { data, names } => self.after_cut(data, names),
        }
    }

    fn after_cut(&self, data: Kept, names: KeptNames) -> Self {
        let mut number = 0;
        let left_of = |directory: &Arc<DirectoryState>| {
            let changes = directory.pending.iter().map(|(change, _)| {
                number += 1;
                (change, names.keeps(number - 1))
            });
            names_left(directory.durable.clone(), changes)
        };
        let directories: Vec<Names> = self.directories.iter().map(left_of).collect();
        let mut firsts = Vec::with_capacity(self.files.len());
        let mut count = 0;
        for file in &self.files {
            firsts.push(count);
            count += file.pending.iter().filter(|it| it.standing != Standing::Forced).count();
        }
        let mut remains = Remains { before: self, names: &directories, data, firsts, after: Self::default() };
        remains.after.directories.clear();
        remains.directory(0);
        remains.after
    }
}

/// The parts of a range of a file, each in a sector of its own.
fn sectors(range: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let (start, end) = (range.start, range.end.max(range.start));
    (start / SECTOR..end.div_ceil(SECTOR))
        .map(move |sector| start.max(sector * SECTOR)..end.min((sector + 1) * SECTOR))
}

/// The parts of a write that are kept or lost each as a whole, with where they go: a device tears at its own sectors,
/// wherever the write begins.
pub(crate) fn parts(offset: usize, bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let (head, rest) = bytes.split_at(bytes.len().min(SECTOR - offset % SECTOR));
    let behind = offset + head.len();
    let rest = rest.chunks(SECTOR).enumerate().map(move |(sector, part)| (behind + sector * SECTOR, part));
    [(offset, head)].into_iter().filter(|(_, head)| !head.is_empty()).chain(rest)
}

/// The names of a directory after some of its changes. If a rename is lost and a later change of the same file is
/// not, that one takes the file from where it was: each is one change of one file's name.
pub(crate) fn names_left<'a>(
    mut left: Names,
    changes: impl Iterator<Item = (&'a NameChange, bool)>,
) -> Names {
    let mut lost: Vec<(&str, &str)> = Vec::new();
    for (change, is_kept) in changes {
        match change {
            NameChange::Rename(from, to, _) if !is_kept => lost.push((from, to)),
            NameChange::Rename(name, _, node) | NameChange::Remove(name, node) if is_kept => {
                let mut name = name.as_str();
                for (from, to) in lost.iter().rev() {
                    if *to == name {
                        name = from;
                        if left.get(name) == Some(node) {
                            left.remove(name);
                        }
                    }
                }
                change.apply(&mut left);
            }
            _ if is_kept => change.apply(&mut left),
            _ => {}
        }
    }
    left
}

/// Builds what is left: only what has a name.
struct Remains<'a> {
    before: &'a State,
    names: &'a [Names],
    data: Kept,
    /// The number of the first loose change of each file.
    firsts: Vec<usize>,
    after: State,
}

impl Remains<'_> {
    /// Adds a directory and all below it; returns its new number. A directory has one name, a file may have
    /// several.
    fn directory(&mut self, number: usize) -> usize {
        let place = self.after.directories.len();
        self.after.directories.push(Arc::default());
        let mut names = Names::new();
        let before = self.before;
        let mut known: Vec<(usize, usize)> = Vec::new();
        for (name, node) in &self.names[number] {
            let node = match *node {
                Node::Directory(inner) => Node::Directory(self.directory(inner)),
                Node::File(file) => {
                    let same = known.iter().find(|(old, _)| *old == file).map(|(_, new)| *new);
                    let new = same.unwrap_or_else(|| {
                        let left = match before.files[file].pending.is_empty() {
                            true => Arc::clone(&before.files[file]),
                            false => Arc::new(FileState::durable(self.image(file))),
                        };
                        self.after.files.push(left);
                        self.after.files.len() - 1
                    });
                    known.push((file, new));
                    Node::File(new)
                }
            };
            names.insert(name.clone(), node);
        }
        let directory = Arc::make_mut(&mut self.after.directories[place]);
        directory.durable = names.clone();
        directory.current = names;
        place
    }

    fn image(&self, file: usize) -> Image {
        let state = &self.before.files[file];
        let mut image = state.durable.clone();
        // Bytes behind the length are on the disk and not seen, until something makes the file longer.
        let mut len = image.len();
        let mut number = self.firsts[file];
        for pending in &state.pending {
            let part = match pending.standing {
                Standing::Forced => Part::Whole,
                _ => {
                    number += 1;
                    self.data.part(number - 1)
                }
            };
            match (part, &pending.change) {
                (Part::Whole, change) => {
                    change.apply(&mut image);
                    len = change.len_after(len);
                }
                (Part::Torn(torn), Change::Write { offset, bytes }) => {
                    if torn.reach > 0 {
                        let longer = len.saturating_add(torn.reach).min(offset + bytes.len()).max(len);
                        self.fill(&mut image, file, len..longer, torn.fill);
                        len = longer;
                    }
                    let parts = parts(*offset, bytes).enumerate().filter(|(sector, _)| (torn.keeps)(*sector));
                    for (_, (at, part)) in parts {
                        image.write(at, part);
                        len = if torn.grows { len.max(at + part.len()) } else { len };
                    }
                }
                (Part::Torn(torn), Change::Punch { offset, len: hole }) => {
                    let sectors = sectors(*offset..image.len().min(offset + hole)).enumerate();
                    for (_, range) in sectors.filter(|(sector, _)| (torn.keeps)(*sector)) {
                        image.punch(range.start, range.len());
                    }
                }
                // A length has no parts.
                (Part::None | Part::Torn(_), _) => {}
            }
        }
        image.set_len(len);
        image
    }

    /// Fills what became part of a file without its own bytes.
    fn fill(&self, image: &mut Image, file: usize, range: Range<usize>, fill: Fill) {
        let bytes = match fill {
            Fill::Zeros => vec![0; range.len()],
            Fill::Noise => range.clone().map(|at| mix(at as u64) as u8).collect(),
            Fill::Stale => {
                let others = self.before.files.iter().enumerate().rev();
                let longest =
                    others.filter(|(other, _)| *other != file).max_by_key(|(_, it)| it.durable.len());
                longest.map(|(_, other)| other.durable.range(range.start, range.len())).unwrap_or_default()
            }
        };
        image.write(range.start, &bytes);
    }
}

impl fmt::Display for Crash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill => write!(f, "kill"),
            Self::Cut { data, names } => write!(f, "cut {data} {names}"),
        }
    }
}

impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => write!(f, "nothing"),
            Self::All => write!(f, "all"),
            Self::But(one) => write!(f, "but:{one}"),
            Self::Only(one) => write!(f, "only:{one}"),
            Self::Mask(bits) => write!(f, "mask:{bits}"),
            Self::Head(one, count) => write!(f, "head:{one}:{count}"),
            Self::Rest(one, start) => write!(f, "rest:{one}:{start}"),
            Self::Within(one) => write!(f, "within:{one}"),
            Self::Reach(one, count) => write!(f, "reach:{one}:{count}"),
            Self::Length(one, Fill::Zeros) => write!(f, "zeros:{one}"),
            Self::Length(one, Fill::Noise) => write!(f, "noise:{one}"),
            Self::Length(one, Fill::Stale) => write!(f, "stale:{one}"),
            Self::Random(seed) => write!(f, "random:{seed}"),
        }
    }
}

impl fmt::Display for KeptNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::First(count) => write!(f, "names-first:{count}"),
            Self::But(one) => write!(f, "names-but:{one}"),
            Self::Mask(bits) => write!(f, "names-mask:{bits}"),
            Self::Random(seed) => write!(f, "names-random:{seed}"),
        }
    }
}

/// Splits `word:number:number`; a number that is not there is 0.
fn split(text: &str) -> Option<(&str, u64, usize)> {
    let mut parts = text.split(':');
    let word = parts.next()?;
    let mut number = || parts.next().map_or(Some(0), |text| text.parse::<u64>().ok());
    Some((word, number()?, number()? as usize))
}

impl FromStr for Crash {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let words: Vec<_> = text.split_whitespace().collect();
        match words[..] {
            ["kill"] => Ok(Self::Kill),
            ["cut", data, names] => parse_cut(data, names).ok_or_else(|| format!("no such cut: {text:?}")),
            _ => Err(format!("{text:?} is neither `kill` nor `cut DATA NAMES`")),
        }
    }
}

fn parse_cut(data: &str, names: &str) -> Option<Crash> {
    let (word, bits, second) = split(data)?;
    let first = bits as usize;
    let data = match word {
        "nothing" => Kept::Nothing,
        "all" => Kept::All,
        "but" => Kept::But(first),
        "only" => Kept::Only(first),
        "mask" => Kept::Mask(bits),
        "head" => Kept::Head(first, second),
        "rest" => Kept::Rest(first, second),
        "within" => Kept::Within(first),
        "reach" => Kept::Reach(first, second),
        "zeros" => Kept::Length(first, Fill::Zeros),
        "noise" => Kept::Length(first, Fill::Noise),
        "stale" => Kept::Length(first, Fill::Stale),
        "random" => Kept::Random(bits),
        _ => return None,
    };
    let (word, bits, _) = split(names)?;
    let names = match word {
        "names-first" => KeptNames::First(bits as usize),
        "names-but" => KeptNames::But(bits as usize),
        "names-mask" => KeptNames::Mask(bits),
        "names-random" => KeptNames::Random(bits),
        _ => return None,
    };
    Some(Crash::Cut { data, names })
}
