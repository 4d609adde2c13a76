//! `check` says of every engine what it deserves, whatever the engine does to the process that judges it.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;

use e2e::{build, server};
use serde_json::Value;
use tempfile::TempDir;

/// How long a case may take where builds run beside it, in seconds.
const PATIENCE: &str = "300";

/// Judges an engine. There is no bound on how long that takes but those that `check` has itself.
fn check(engine: &str, more: &[&str]) -> Output {
    let mut command = Command::new(&build::built().host);
    command.args(["check", engine]).args(more).stdin(Stdio::null()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The certificate of an engine: `--json`, and what it says for people besides.
#[track_caller]
fn certificate(engine: &str, more: &[&str]) -> Value {
    let output = check(engine, &[&["--json", "--case-time", PATIENCE], more].concat());
    let certificate = serde_json::from_slice(&output.stdout);
    certificate.unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

/// The badges of a list in a certificate.
fn badges(certificate: &Value, list: &str) -> Vec<String> {
    let badges = certificate[list].as_array().into_iter().flatten();
    badges.filter_map(|badge| badge.as_str().map(str::to_string)).collect()
}

fn verdict(certificate: &Value, badge: &str) -> String {
    let badges = certificate["badges"].as_array().into_iter().flatten();
    let found = badges.into_iter().find(|found| found["badge"] == badge);
    found.and_then(|found| found["verdict"].as_str()).unwrap_or_default().to_string()
}

fn broken() -> String {
    build::stranger("broken").display().to_string()
}

#[test]
fn memory_earns_semantics_views_and_confinement_and_not_restart() {
    let certificate = certificate("memory", &["--time", "2"]);
    assert_eq!(badges(&certificate, "earned"), ["L0", "L4", "L6"], "{certificate:#}");
    assert!(badges(&certificate, "failed").is_empty(), "{certificate:#}");
    for badge in ["L1", "L2", "L3", "L5"] {
        assert_eq!(verdict(&certificate, badge), "not offered", "{badge}");
    }
}

#[test]
fn a_level_is_asked_for_with_all_below_it() {
    let fits = check("memory", &["--time", "1", "--level", "L0"]);
    assert!(fits.status.success(), "{fits:?}");
    assert!(text(&fits.stdout).contains("certificate: L0 L4 L6"), "{}", text(&fits.stdout));
    let below = check("memory", &["--time", "1", "--level", "l4"]);
    assert_eq!(below.status.code(), Some(1), "{below:?}");
    assert!(text(&below.stderr).contains("no L1 L2 L3"), "{below:?}");
}

#[test]
fn logmap_earns_every_badge() {
    let output = check("logmap", &["--time", "5", "--level", "L6", "--case-time", PATIENCE]);
    assert!(output.status.success(), "{}\n{}", text(&output.stdout), text(&output.stderr));
    assert!(
        text(&output.stdout).ends_with("certificate: L0 L1 L2 L3 L4 L5 L6\n"),
        "{}",
        text(&output.stdout)
    );
}

#[test]
fn a_strangers_engine_gets_what_it_deserves() {
    let tally = build::stranger("tally").display().to_string();
    let certificate = certificate(&tally, &["--time", "1"]);
    assert_eq!(badges(&certificate, "earned"), ["L0", "L6"], "{certificate:#}");
    assert!(badges(&certificate, "failed").is_empty(), "{certificate:#}");
    assert_eq!(verdict(&certificate, "L4"), "not offered");
}

/// Every bug of the engine `broken`, and the one badge that it costs.
const BUGS: [(&str, &str); 10] = [
    ("large-values-not-resident", "L0"),
    ("close-keeps-1000-keys", "L1"),
    ("batch-in-pieces", "L2"),
    ("ok-before-sync", "L3"),
    ("views-of-now", "L4"),
    ("failed-sync-tried-again", "L5"),
    ("panics-without-space", "L5"),
    ("salvage-tells-nothing", "L5"),
    ("opens-a-socket", "L6"),
    ("opens-a-file", "L6"),
];

#[test]
fn each_broken_engine_fails_exactly_the_badge_that_its_bug_costs() {
    let (engine, bugs) = (broken(), Mutex::new(BUGS.to_vec()));
    let judge = || {
        while let Some((bug, badge)) = { bugs.lock().unwrap().pop() } {
            let certificate = certificate(&engine, &["--option", &format!("bug={bug}"), "--time", "3"]);
            assert_eq!(badges(&certificate, "failed"), [badge], "{bug}: {certificate:#}");
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(judge);
        scope.spawn(judge);
    });
}

#[test]
fn without_a_bug_the_same_engine_earns_every_badge() {
    let output = check(&broken(), &["--time", "3", "--level", "L6", "--case-time", PATIENCE]);
    assert!(output.status.success(), "{}\n{}", text(&output.stdout), text(&output.stderr));
}

/// One case of the engine with a bug, and what `check` says of it.
#[track_caller]
fn one_case(bug: &str, case: &str, more: &[&str]) -> String {
    let option = format!("bug={bug}");
    let words = [&["--option", &option, "--case", case, "--time", "1"], more].concat();
    let output = check(&broken(), &words);
    assert_eq!(output.status.code(), Some(1), "{bug}: {output:?}");
    text(&output.stdout)
}

#[test]
fn an_engine_that_ends_hangs_or_eats_its_process_is_a_finding() {
    let case = "a_put_is_read_back_and_overwritten";
    assert!(one_case("aborts", case, &[]).contains("SIGABRT"));
    assert!(one_case("hangs", case, &["--case-time", "1"]).contains("did not end within"));
    let eaten = one_case("eats-memory", case, &[]);
    assert!(eaten.contains("SIGABRT") && eaten.contains("memory allocation"), "{eaten}");
}

#[test]
fn a_view_that_is_held_for_long_and_shows_now_or_keeps_everything_is_a_finding() {
    let case = "a_view_held_for_long_answers_as_it_was_or_that_it_is_too_old";
    assert!(
        one_case("old-views-are-of-now", case, &[]).contains("otherwise than it was when the view was taken")
    );
    let found = one_case("views-never-end", case, &[]);
    assert!(found.contains("and has not ended"), "{found}");
}

#[test]
fn a_finding_names_the_command_that_shows_it_again() {
    let found = one_case("batch-in-pieces", "a_crash_leaves_batches_whole_and_in_order", &[]);
    let again = found.lines().find_map(|line| line.trim().strip_prefix("again: enginebay ")).unwrap();
    let words: Vec<_> = again.split(' ').collect();
    let output = server::run(&words);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let complaint =
        |text: &str| text.lines().skip_while(|line| !line.contains("FAILED: ")).nth(1).map(str::to_string);
    assert_eq!(complaint(&text(&output.stdout)), complaint(&found));
    assert!(found.contains("apply put") && found.contains("crash "), "a script is shown: {found}");
}

#[test]
fn what_is_no_plugin_or_no_option_of_it_is_refused_before_any_case() {
    let folder = TempDir::new().unwrap();
    let plain = build::library_in_c(folder.path()).display().to_string();
    for (engine, more, code) in [
        (plain.as_str(), &[][..], 3),
        ("no-such-engine", &[], 3),
        ("memory", &["--option", "no=1"], 2),
        ("memory", &["--case", "no_such_case"], 2),
        ("memory", &["--level", "L7"], 2),
    ] {
        let output = check(engine, more);
        assert_eq!(output.status.code(), Some(code), "{engine} {more:?}: {output:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{engine} {more:?}: {output:?}");
    }
}

/// The commands of the note, in order: lines of code that begin with a program.
fn commands_of_the_note() -> Vec<Vec<String>> {
    let note = std::fs::read_to_string(build::root().join("notes/writing_an_engine.md")).unwrap();
    let code = note.lines().filter_map(|line| line.strip_prefix("    "));
    let commands =
        code.filter(|line| ["enginebay ", "cargo ", "cp ", "cd "].iter().any(|it| line.starts_with(it)));
    commands.map(|line| line.split_whitespace().map(str::to_string).collect()).collect()
}

/// Does what the note says, in a folder beside which the sources lie.
#[test]
fn who_follows_the_note_on_writing_an_engine_ends_with_a_full_certificate() {
    let folder = TempDir::new().unwrap();
    std::os::unix::fs::symlink(build::root(), folder.path().join("enginebay")).unwrap();
    let mut here = folder.path().to_path_buf();
    let commands = commands_of_the_note();
    assert!(commands.iter().any(|words| words[..2] == ["enginebay", "new-engine"]), "{commands:?}");
    let mut certificates = 0;
    for words in commands {
        match (words[0].as_str(), words.get(1).map(String::as_str)) {
            ("cd", Some(into)) => here = here.join(into),
            // It serves until it is stopped; the other tests serve.
            ("enginebay", Some(flag)) if flag.starts_with("--") => {}
            _ => {
                let output = run_in(&here, &words);
                assert!(
                    output.status.success(),
                    "{words:?}: {}\n{}",
                    text(&output.stdout),
                    text(&output.stderr)
                );
                certificates += u32::from(words[..2] == ["enginebay", "check"]);
            }
        }
    }
    assert!(certificates >= 2, "the note asks for a certificate at its beginning and at its end");
}

/// A command of the note, with what the tests have built already: nothing is fetched, and little is compiled.
fn run_in(here: &Path, words: &[String]) -> Output {
    let mut command = match words[0].as_str() {
        "enginebay" => Command::new(&build::built().host),
        "cargo" => Command::new(build::cargo()),
        other => Command::new(other),
    };
    let built = build::strangers_target();
    for word in &words[1..] {
        match word.strip_prefix("target/release/") {
            Some(library) => command.arg(built.join("debug").join(library)),
            None if word == "--release" => &mut command,
            None => command.arg(word),
        };
    }
    if words[0] == "cargo" {
        let lock = build::root().join("tests/third_party/Cargo.lock");
        std::fs::copy(lock, here.join("Cargo.lock")).unwrap();
        command.env("CARGO_NET_OFFLINE", "true").env("CARGO_TARGET_DIR", built);
    }
    command.current_dir(here).output().unwrap()
}
