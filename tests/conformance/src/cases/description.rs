//! What an engine says of itself: its description, its options, its numbers.

use std::collections::{BTreeMap, BTreeSet};

use adapter_api::{Durability, MetricKind, OptionKind, OptionSpec, Options, StorageEngine};
use crash::environment::Disk;
use crash::life::Life;
use crash::oracle::History;
use crash::scope::Scope;
use crash::subject::Subject;
use crash::workload::Operation;

use crate::badge::Badge::Semantics;
use crate::case::Case;
use crate::model::Edit;
use crate::outcome::{Verdict, ensure, failed};
use crate::trial::Trial;

pub const CASES: &[Case] = &[
    Case::new(Semantics, "what_it_says_of_itself_is_well_formed", what_it_says_is_well_formed),
    Case::new(Semantics, "the_values_that_options_declare_are_accepted", declared_values_are_accepted),
    Case::new(Semantics, "metrics_are_numbers_with_names_and_counters_only_grow", metrics_are_well_formed),
];

/// Room for one key and one value of the least size that anybody would call a value.
const BATCH_BYTES_LEAST: u64 = 1 << 20;

fn is_word(text: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte);
    (1..=64).contains(&text.len()) && text.bytes().all(is_letter)
}

fn is_distinct<'a>(names: impl Iterator<Item = &'a str>) -> bool {
    let mut seen = BTreeSet::new();
    names.into_iter().all(|name| seen.insert(name))
}

fn what_it_says_is_well_formed(trial: &Trial) -> Verdict {
    let about = trial.about();
    ensure(is_word(&about.name) && about.name.len() <= 32, || {
        format!("the name {:?} is no word", about.name)
    })?;
    ensure(!about.version.is_empty() && !about.summary.is_empty(), || {
        "there is no version, or no summary".to_string()
    })?;
    ensure(about.batch_bytes_max >= BATCH_BYTES_LEAST, || {
        format!("the largest batch has {} bytes, fewer than {BATCH_BYTES_LEAST}", about.batch_bytes_max)
    })?;
    let lanes = || about.lanes.iter().map(|lane| lane.name.as_str());
    ensure(lanes().all(is_word) && is_distinct(lanes()), || "lanes have no names of their own".to_string())?;
    let options = || about.options.iter().map(|option| option.name.as_str());
    ensure(options().all(is_word) && is_distinct(options()), || {
        "options have no names of their own".to_string()
    })?;
    for option in &about.options {
        option.check(&option.default).map_err(|error| format!("its own default is refused: {error}"))?;
        ensure(!option.help.is_empty(), || format!("option {} has no help", option.name))?;
    }
    for durability in [Durability::Always, Durability::Os] {
        let plugin = trial.plugin();
        let table = plugin.guarantees(trial.options(), durability).map_err(failed("guarantees"))?;
        let promises: BTreeSet<_> = table.lines().iter().map(|line| line.promise.name()).collect();
        ensure(promises.len() == table.lines().len(), || "a promise is made twice".to_string())?;
    }
    Ok(String::new())
}

/// Larger sizes than this are accepted or not like this one, and only cost memory here.
const LARGEST: i64 = 8 << 20;

/// The values of an option that are worth a try: its ends, each of its words.
fn values(option: &OptionSpec) -> Vec<String> {
    match &option.kind {
        OptionKind::Integer { min, max } => vec![min.to_string(), (*max).min(LARGEST.max(*min)).to_string()],
        OptionKind::Choice(words) => words.clone(),
        OptionKind::Flag => vec!["true".to_string(), "false".to_string()],
        OptionKind::Text => vec![option.default.clone()],
    }
}

fn declared_values_are_accepted(trial: &Trial) -> Verdict {
    let mut tried = 0;
    for option in &trial.about().options {
        for value in values(option) {
            let mut options: Options = trial.options().clone();
            options.set(&option.name, &value);
            let subject = Subject::of(trial.plugin().clone(), options).with_scope(Scope::Everything);
            live(&subject).map_err(|wrong| format!("with {} = {value}: {wrong}", option.name))?;
            tried += 1;
        }
    }
    Ok(format!("{tried} values"))
}

/// A short life on a simulated disk.
fn live(subject: &Subject) -> Result<(), String> {
    let (life, _) = Life::begin(subject, Disk::default(), History::default(), 0, None)?;
    let operations = ["apply put 1 100 1; put 2 5000 2", "apply delete 1", "lane 0", "lane 1", "read"];
    let operations = operations.into_iter().map(str::parse).collect::<Result<Vec<Operation>, _>>()?;
    life.map_or(Ok(()), |mut life| life.run(&operations))
}

fn metrics_are_well_formed(trial: &Trial) -> Verdict {
    let mut store = trial.open()?;
    let mut before = BTreeMap::new();
    for round in 0..5 {
        store.apply(&(0..50).map(|n| Edit::put(format!("{n}"), vec![round; 100])).collect::<Vec<_>>())?;
        let mut now = BTreeMap::new();
        for metric in store.engine().metrics() {
            let id = (metric.name.clone(), metric.labels.clone());
            ensure(is_word(&metric.name), || format!("the metric {:?} has no proper name", metric.name))?;
            ensure(metric.value.is_finite(), || format!("{metric} is no number"))?;
            if metric.kind == MetricKind::Counter {
                let least = before.get(&id).copied().unwrap_or(0.0);
                ensure(metric.value >= least, || format!("the counter {metric} was {least} before"))?;
            }
            let again = now.insert(id, metric.value);
            ensure(again.is_none(), || format!("{} is reported twice with the same labels", metric.name))?;
        }
        before = now;
    }
    Ok(format!("{} metrics", before.len()))
}
