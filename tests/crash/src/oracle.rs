//! What a store must show: the versions that its map went through, and the comparison with what it does show.
//!
//! Each batch makes one more version. After a crash a store shows one of them, whole: at least the last that is
//! bound to be there, at most the last that was begun. That says it all: a lost write, half a batch, a hole in
//! the order and a delete that came undone all show as something that is none of these versions.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use adapter_api::{Buffer, Direction, EngineError, Entry, KeyRange, ReadView, StorageEngine};

use crate::image::{mix, mix_bytes};
use crate::scope::Scope;
use crate::workload::{Edit, key, value};

/// A value: what its bytes are made from, and their digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Value {
    len: u32,
    tag: u32,
    digest: u64,
}

/// The map after some batch.
#[derive(Clone, Default, Debug)]
pub struct Version {
    entries: Arc<BTreeMap<Vec<u8>, Value>>,
    /// The sum of the digests of all entries.
    digest: u64,
}

fn entry_digest(key: &[u8], value: u64) -> u64 {
    mix(mix_bytes(value, key))
}

impl Version {
    /// The version that a batch makes of this one.
    pub fn with(&self, edits: &[Edit]) -> Self {
        let mut next = self.clone();
        for edit in edits {
            match *edit {
                Edit::Put { key: number, len, tag } => {
                    let digest = mix_bytes(0, &value(len, tag));
                    next.replace(key(number), Some(Value { len, tag, digest }));
                }
                Edit::Delete { key: number } => next.replace(key(number), None),
                Edit::DeleteRange { from, to } => {
                    let (from, to) = (key(from), key(to).max(key(from)));
                    let doomed: Vec<_> = next.entries.range(from..to).map(|(key, _)| key.clone()).collect();
                    doomed.into_iter().for_each(|key| next.replace(key, None));
                }
            }
        }
        next
    }

    fn replace(&mut self, key: Vec<u8>, value: Option<Value>) {
        let entries = Arc::make_mut(&mut self.entries);
        if let Some(old) = entries.get(&key) {
            self.digest = self.digest.wrapping_sub(entry_digest(&key, old.digest));
        }
        match value {
            Some(value) => {
                self.digest = self.digest.wrapping_add(entry_digest(&key, value.digest));
                entries.insert(key, value);
            }
            None => drop(entries.remove(&key)),
        }
    }

    /// Whether there is no key from one number up to another, both included.
    pub fn is_free(&self, first: u16, last: u16) -> bool {
        self.entries.range(key(first)..=key(last)).next().is_none()
    }

    /// A digest of everything.
    pub fn digest(&self) -> u64 {
        self.digest
    }

    /// How this version and what was found differ, in words; the first few keys.
    fn differences(&self, found: &Found) -> Vec<String> {
        let found: BTreeMap<_, _> = found.entries.iter().map(|(key, digest)| (key, *digest)).collect();
        let name = |key: &[u8]| String::from_utf8_lossy(&key[..key.len().min(5)]).into_owned();
        let mut differences = Vec::new();
        for (key, value) in &*self.entries {
            match found.get(key) {
                None => differences.push(format!("{} is missing", name(key))),
                Some(digest) if *digest != value.digest => {
                    let Value { len, tag, .. } = value;
                    differences.push(format!("{} is not `put {len} {tag}`", name(key)));
                }
                Some(_) => {}
            }
        }
        let more = found.keys().filter(|key| !self.entries.contains_key(**key));
        differences.extend(more.map(|key| format!("{} should not be there", name(key))));
        differences
    }
}

/// Which versions of the map may be found after a crash, by their places in the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Bounds {
    /// The first that may be found when the power was cut.
    pub durable: usize,
    /// The first that may be found when the process was killed.
    pub acknowledged: usize,
    /// The last that may be found: what is in flight counts.
    pub last: usize,
    /// The one before the write that was acknowledged last.
    pub before: usize,
}

/// The versions of one store, oldest first, and which of them may be found.
#[derive(Clone, Debug)]
pub struct History {
    versions: Arc<Vec<Version>>,
    /// Which of them count.
    pub bounds: Bounds,
    /// What of the store is judged.
    pub scope: Scope,
}

impl Default for History {
    fn default() -> Self {
        Self::of(Version::default())
    }
}

impl History {
    /// A store that shows one version.
    pub fn of(version: Version) -> Self {
        Self { versions: Arc::new(vec![version]), bounds: Bounds::default(), scope: Scope::Everything }
    }

    /// The same, of which one promise is judged.
    pub fn with_scope(self, scope: Scope) -> Self {
        Self { scope, ..self }
    }

    /// What a life begins with, after one that ended now.
    pub fn after(&self, is_kill: bool) -> Self {
        let Bounds { durable, acknowledged, .. } = self.bounds;
        let acknowledged = if is_kill && !self.scope.takes_older() { acknowledged } else { durable };
        Self { bounds: Bounds { acknowledged, ..self.bounds }, ..self.clone() }
    }

    /// The version at a place.
    pub fn version(&self, at: usize) -> &Version {
        &self.versions[at]
    }

    /// The version that reads show.
    pub fn visible(&self) -> &Version {
        &self.versions[self.bounds.acknowledged]
    }

    /// A version that is in flight now, behind the steps that lead to it.
    pub fn begin(&mut self, steps: impl IntoIterator<Item = Version>) {
        self.cut(self.bounds.acknowledged);
        Arc::make_mut(&mut self.versions).extend(steps);
        self.bounds.last = self.versions.len() - 1;
    }

    /// Forgets every version behind that place: they will never be found.
    pub fn cut(&mut self, at: usize) {
        if at + 1 < self.versions.len() {
            Arc::make_mut(&mut self.versions).truncate(at + 1);
        }
        self.bounds.last = at;
    }

    /// Which version a store shows when it is opened: by the digest of what was found.
    pub fn find(&self, digest: u64) -> Option<usize> {
        let Bounds { acknowledged, last, .. } = self.bounds;
        (acknowledged..=last).rev().find(|at| self.versions[*at].digest == digest)
    }

    /// Where half of a batch in flight will do: the version that a store shows, if every key is there as in one of the
    /// versions that may be found. It becomes the last of them.
    pub(crate) fn adopt(&mut self, found: &Found) -> Option<usize> {
        if !self.scope.takes_halves() {
            return None;
        }
        let versions = &self.versions[self.bounds.acknowledged..=self.bounds.last];
        let found: BTreeMap<_, _> = found.entries.iter().map(|(key, digest)| (key, *digest)).collect();
        let known = versions.iter().flat_map(|version| version.entries.keys());
        let keys: BTreeSet<_> = known.chain(found.keys().copied()).collect();
        let mut adopted = Version::default();
        for key in keys {
            let shown = found.get(key).copied();
            let mut values = versions.iter().map(|version| version.entries.get(key).copied());
            let value = values.find(|value| value.map(|value| value.digest) == shown)?;
            adopted.replace(key.clone(), value);
        }
        self.begin([adopted]);
        Some(self.bounds.last)
    }

    /// Says what is wrong with a state that is no version that may be found.
    pub fn complaint(&self, digest: u64, found: Option<&Found>) -> String {
        let Bounds { acknowledged, last, .. } = self.bounds;
        let older = self.versions[..acknowledged].iter().rposition(|version| version.digest == digest);
        if let Some(older) = older {
            return format!(
                "lost: the store shows version {older}, and version {acknowledged} was answered OK"
            );
        }
        let among = format!("the store shows none of the versions {acknowledged} to {last}");
        let Some(found) = found else { return among };
        let nearest = (0..=last).rev().min_by_key(|at| self.versions[*at].differences(found).len());
        let nearest = nearest.unwrap_or(last);
        let mut differences = self.versions[nearest].differences(found);
        differences.truncate(5);
        format!("{among}; the nearest is {nearest}, but {}", differences.join(", "))
    }
}

/// What a store shows.
#[derive(Clone, Debug, Default)]
pub struct Found {
    entries: Vec<(Vec<u8>, u64)>,
    digest: u64,
}

impl Found {
    /// A digest of everything, as of a version.
    pub fn digest(&self) -> u64 {
        self.digest
    }

    fn take(&mut self, entry: Entry<'_>) {
        let value = mix_bytes(0, entry.value);
        self.digest = self.digest.wrapping_add(entry_digest(entry.key, value));
        self.entries.push((entry.key.to_vec(), value));
    }
}

/// Why a store could not be read, or contradicts itself.
pub type Contradiction = String;

fn failed(doing: &str) -> impl FnOnce(EngineError) -> Contradiction {
    let doing = doing.to_string();
    move |error| format!("{doing}: {error}")
}

/// Reads everything: in both directions, and key by key, which must agree. `keys` are read beside those found.
pub fn read_all(
    engine: &dyn StorageEngine,
    keys: impl Iterator<Item = Vec<u8>>,
) -> Result<Found, Contradiction> {
    let (mut found, mut reverse) = (Found::default(), Found::default());
    let mut take = |entry: Entry<'_>| {
        found.take(entry);
        ControlFlow::Continue(())
    };
    engine.scan(KeyRange::all(), Direction::Forward, &mut take).map_err(failed("scan"))?;
    let mut take = |entry: Entry<'_>| {
        reverse.take(entry);
        ControlFlow::Continue(())
    };
    engine.scan(KeyRange::all(), Direction::Reverse, &mut take).map_err(failed("scan in reverse"))?;
    if !found.entries.iter().eq(reverse.entries.iter().rev()) {
        return Err("the scans in the two directions differ".to_string());
    }
    if !found.entries.is_sorted_by(|one, other| one.0 < other.0) {
        return Err("a scan shows keys out of order".to_string());
    }
    let mut buffer = Buffer::new();
    let mut get = |key: &[u8], expected: Option<u64>| {
        buffer.clear();
        let shown = engine.get(key, &mut buffer).map_err(failed("get"))?.then(|| mix_bytes(0, &buffer));
        match shown == expected {
            true => Ok(()),
            false => Err(format!("get and scan differ on key {:?}", String::from_utf8_lossy(key))),
        }
    };
    found.entries.iter().try_for_each(|(key, digest)| get(key, Some(*digest)))?;
    for key in keys {
        if found.entries.binary_search_by(|entry| entry.0.cmp(&key)).is_err() {
            get(&key, None)?;
        }
    }
    Ok(found)
}

/// The keys that are worth a look.
pub fn keys_of(history: &History) -> impl Iterator<Item = Vec<u8>> + '_ {
    // The newest few name every key that may be there or may have been taken away.
    let newest = 4.max(history.bounds.last + 2 - history.bounds.acknowledged);
    history.versions.iter().rev().take(newest).flat_map(|version| version.entries.keys().cloned())
}

/// Compares a view with its version: a walk in each direction, a seek in the middle, and reads.
pub fn check_view(view: &dyn ReadView, version: &Version) -> Result<(), Contradiction> {
    for direction in [Direction::Forward, Direction::Reverse] {
        let mut cursor = match view.cursor(KeyRange::all(), direction) {
            Err(EngineError::ViewTooOld) => return Ok(()),
            cursor => cursor.map_err(failed("cursor of a view"))?,
        };
        let mut found = Found::default();
        loop {
            match cursor.next() {
                Ok(Some(entry)) => found.take(entry),
                Ok(None) => break,
                Err(EngineError::ViewTooOld) => return Ok(()),
                Err(error) => return Err(format!("walk of a view: {error}")),
            }
        }
        if found.digest != version.digest || found.entries.len() != version.entries.len() {
            let differences = version.differences(&found).join(", ");
            return Err(format!("a view is not the map as it was when it was taken: {differences}"));
        }
        let middle = version.entries.keys().nth(version.entries.len() / 2);
        if let Some(middle) = middle {
            let sought = cursor.seek(middle);
            match sought.and_then(|()| Ok(cursor.next()?.is_some_and(|entry| entry.key == middle))) {
                Ok(true) => {}
                Ok(false) => return Err("a seek to a key of a view does not find it".to_string()),
                Err(EngineError::ViewTooOld) => return Ok(()),
                Err(error) => return Err(format!("seek in a view: {error}")),
            }
        }
    }
    Ok(())
}
