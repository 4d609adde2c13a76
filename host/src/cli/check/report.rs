//! The certificate for people, and for machines.

use std::fmt::Write;
use std::time::Duration;

use conformance::{Badge, Case, Certificate, Finding, Outcome, Standing, Time};
use serde_json::{Value, json};

use super::case_process::Described;
use crate::cli::arguments::CheckArguments;
use crate::cli::output::one_line;

/// How long a finding takes to be shown again, in seconds: its seed is the first that is tried.
const AGAIN_SECONDS: u64 = 1;

/// The command that shows a finding again.
fn again(arguments: &CheckArguments, case: &Case, finding: &Finding) -> String {
    let mut words = vec!["enginebay".to_string(), "check".to_string(), arguments.engine.clone()];
    let place = &arguments.place;
    words.extend(place.config.iter().map(|file| format!("--config={}", file.display())));
    words.extend(place.plugin_dirs.iter().map(|dir| format!("--plugin-dir={dir}")));
    words.extend(arguments.options.iter().map(|(name, value)| format!("--option={name}={value}")));
    let seed = finding.seed.unwrap_or(arguments.seed);
    words.push(format!("--seed={seed}"));
    words.push(format!("--case={}", case.name));
    words.push(format!("--time={AGAIN_SECONDS}"));
    words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./=:,+@%".contains(letter);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_string(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

fn says(engine: &Described, badge: Badge) -> &'static str {
    match engine.says.get(badge.code()) {
        Some(true) => "kept",
        Some(false) => "not kept",
        None => "-",
    }
}

/// The certificate as a table, with every finding behind it.
pub fn as_text(
    arguments: &CheckArguments,
    engine: &Described,
    certificate: &Certificate,
    time: Duration,
) -> String {
    let mut text = String::new();
    let _ = writeln!(
        text,
        "{} {}: {}",
        one_line(&engine.name),
        one_line(&engine.version),
        one_line(&engine.summary)
    );
    let options: Vec<_> = arguments.options.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let options = if options.is_empty() { "default options".to_string() } else { options.join(" ") };
    let _ =
        writeln!(text, "{}, {options}, seed {}, {:.0} s\n", engine.file, arguments.seed, time.as_secs_f64());
    let _ = writeln!(text, "{:<34} {:<12} {:<10} looked at", "badge", "verdict", "it says");
    for badge in Badge::ALL.into_iter().filter(|badge| certificate.of(*badge).next().is_some()) {
        let title = format!("{} {}", badge.code(), badge.title());
        let verdict = certificate.standing(badge).name();
        let _ = writeln!(
            text,
            "{title:<34} {verdict:<12} {:<10} {}",
            says(engine, badge),
            looked_at(certificate, badge)
        );
    }
    for (case, outcome) in certificate.outcomes() {
        match outcome {
            Outcome::Failed(finding) => text.push_str(&finding_as_text(arguments, case, finding)),
            Outcome::NotJudged(why) => {
                let _ = writeln!(text, "\n{} not judged: {}\n    {}", case.badge, case.name, one_line(why));
            }
            Outcome::Passed(_) | Outcome::NotOffered(_) => {}
        }
    }
    let earned = certificate.badges(Standing::Earned);
    let earned = if earned.is_empty() { "no badge".to_string() } else { earned.join(" ") };
    let _ = writeln!(text, "\ncertificate: {earned}");
    text
}

/// What the cases of a badge looked at: how many passed, what is not offered, and what they counted.
fn looked_at(certificate: &Certificate, badge: Badge) -> String {
    let (mut passed, mut all, mut lacking, mut counted) = (0, 0, Vec::new(), Vec::new());
    for (case, outcome) in certificate.outcomes().filter(|(case, _)| case.badge == badge) {
        all += 1;
        match outcome {
            Outcome::Passed(text) => {
                passed += 1;
                // Dice are counted; what is done once is one case like the other.
                counted.extend(matches!(case.time, Time::Share(_)).then(|| one_line(text)));
            }
            Outcome::NotOffered(what) => lacking.extend(what.split(", ").map(one_line)),
            Outcome::Failed(_) | Outcome::NotJudged(_) => {}
        }
    }
    lacking.sort();
    lacking.dedup();
    let mut parts = vec![format!("{passed} of {all} cases")];
    parts.extend(counted);
    if !lacking.is_empty() {
        parts.push(format!("not offered: {}", lacking.join(", ")));
    }
    parts.join("; ")
}

fn finding_as_text(arguments: &CheckArguments, case: &Case, finding: &Finding) -> String {
    let mut text = format!("\n{} FAILED: {}\n", case.badge, case.name);
    let lines = finding.message.lines().chain(finding.reproducer.iter().flat_map(|steps| steps.lines()));
    for line in lines {
        let _ = writeln!(text, "    {}", one_line(line));
    }
    let _ = writeln!(text, "  again: {}", again(arguments, case, finding));
    text
}

/// The certificate for machines.
pub fn as_json(arguments: &CheckArguments, engine: &Described, certificate: &Certificate) -> String {
    let badges: Vec<_> = Badge::ALL
        .into_iter()
        .map(|badge| {
            let cases = certificate.outcomes().filter(|(case, _)| case.badge == badge);
            json!({
                "badge": badge.code(),
                "title": badge.title(),
                "verdict": certificate.standing(badge).name().to_lowercase(),
                "engine_says_kept": engine.says.get(badge.code()),
                "cases": cases.map(|(case, outcome)| case_json(arguments, case, outcome)).collect::<Vec<_>>(),
            })
        })
        .collect();
    let options: serde_json::Map<_, _> =
        arguments.options.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
    let all = json!({
        "engine": engine.name,
        "version": engine.version,
        "file": engine.file,
        "options": options,
        "seed": arguments.seed,
        "earned": certificate.badges(Standing::Earned),
        "failed": certificate.badges(Standing::Failed),
        "badges": badges,
    });
    format!("{all:#}\n")
}

fn case_json(arguments: &CheckArguments, case: &Case, outcome: &Outcome) -> Value {
    let (word, text) = match outcome {
        Outcome::Passed(text) => ("passed", text),
        Outcome::NotOffered(text) => ("not offered", text),
        Outcome::NotJudged(text) => ("not judged", text),
        Outcome::Failed(finding) => ("failed", &finding.message),
    };
    let mut json = json!({"case": case.name, "outcome": word, "text": text});
    if let Outcome::Failed(finding) = outcome {
        json["seed"] = json!(finding.seed);
        json["reproducer"] = json!(finding.reproducer);
        json["again"] = json!(again(arguments, case, finding));
    }
    json
}
