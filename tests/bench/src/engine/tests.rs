//! Every experiment on the engine that it was made for, short.

use super::*;

fn quick(experiment: Experiment, engine: &str) -> Result<Findings> {
    let request = Request {
        experiment,
        engine: engine.to_string(),
        beside: "lsm".to_string(),
        options: Vec::new(),
        parent: None,
        scale: Scale::quick(),
        command: "quick".to_string(),
    };
    run(&request, &mut |_| ())
}

fn numbers<'a>(findings: &'a Findings, head: &str) -> impl Iterator<Item = f64> + 'a {
    let column = findings.columns.iter().position(|column| *column == head).unwrap();
    findings.rows.iter().map(move |row| match row[column] {
        Cell::Number(number) => number,
        ref other => panic!("{other:?} is no number"),
    })
}

#[test]
fn checkpoints_of_the_btree_write_what_the_model_says() {
    let findings = quick(Experiment::WriteAmplification, "btree").unwrap();
    assert!(findings.rows.len() >= 3 && findings.svg.starts_with("<svg"), "{}", findings.text());
    for ratio in numbers(&findings, "measured / model") {
        assert!((0.7..1.4).contains(&ratio), "{}", findings.text());
    }
    let kinds = findings.rows.iter().map(|row| &row[0]);
    let times = kinds.zip(numbers(&findings, "checkpoint ×"));
    let overwrites: Vec<_> =
        times.filter(|(kind, _)| **kind == "overwrites".into()).map(|(_, times)| times).collect();
    assert!(overwrites.is_sorted_by(|a, b| a > b), "a longer log, fewer writes:\n{}", findings.text());
}

#[test]
fn room_on_disk_is_measured_in_six_states_and_compacting_gives_some_back() {
    let findings = quick(Experiment::SpaceAmplification, "btree").unwrap();
    let times: Vec<_> = numbers(&findings, "×").collect();
    assert_eq!(times.len(), 6);
    assert!(times.chunks(2).all(|pair| 1.0 < pair[1] && pair[1] <= pair[0]), "{}", findings.text());
}

#[test]
fn times_are_measured_beside_checkpoints_and_without() {
    let findings = quick(Experiment::CheckpointLatency, "btree").unwrap();
    let counts: Vec<_> = numbers(&findings, "count").collect();
    assert!(counts.len() == 6 && counts[0] > 0.0 && counts[2] > 0.0, "{}", findings.text());
}

#[test]
fn a_view_is_held_and_what_is_kept_for_it_is_seen() {
    let findings = quick(Experiment::HeldView, "btree").unwrap();
    let kept = numbers(&findings, "kept for views MiB").fold(0.0, f64::max);
    assert!(kept > 0.1 && findings.series.len() == 3, "{}", findings.text());
}

/// The figures of a column in the rows whose first word begins so.
fn of_rows<'a>(findings: &'a Findings, kind: &'a str, head: &str) -> Vec<f64> {
    let rows = findings.rows.iter().zip(numbers(findings, head));
    let ours = rows.filter(|(row, _)| matches!(&row[0], Cell::Text(text) if text.starts_with(kind)));
    ours.map(|(_, number)| number).collect()
}

#[test]
fn an_lsm_tree_that_merges_writes_more_and_reads_less() {
    let findings = quick(Experiment::Amplification, "lsm").unwrap();
    assert!(findings.rows.len() == 12 && findings.svg.starts_with("<svg"), "{}", findings.text());
    let of = |kind, head| of_rows(&findings, kind, head);
    let last = |kind, head| *of(kind, head).last().unwrap();
    assert!(numbers(&findings, "all ×").all(|times| times > 1.5), "{}", findings.text());
    for [less, more] in [["lazy_leveled, filters on", "leveled, filters on"], ["off,", "lazy_leveled,"]] {
        // Two runs of one style differ by a percent or two.
        assert!(1.05 * last(less, "all ×") < last(more, "all ×"), "{less} writes less:\n{}", findings.text());
    }
    for head in ["room ×", "runs", "blocks a miss"] {
        assert!(last("lazy_leveled,", head) < last("off,", head), "{head}:\n{}", findings.text());
    }
    let [with, without] =
        ["leveled, filters on", "leveled, filters off"].map(|kind| last(kind, "blocks a miss"));
    assert!(with < 0.1 && without >= 1.0, "{}", findings.text());
}

#[test]
fn a_soak_writes_each_second_and_reads_come_back() {
    let findings = quick(Experiment::Soak, "lsm").unwrap();
    assert!(findings.failures.is_empty() && findings.rows.len() == 2, "{}", findings.text());
    assert!(numbers(&findings, "updates/s").all(|updates| updates > 0.0), "{}", findings.text());
}

#[test]
fn two_engines_are_compared_at_every_point_and_each_line_says_who_is_faster() {
    let findings = quick(Experiment::Crossover, "btree").unwrap();
    assert!(findings.rows.len() == 12 && findings.svg.starts_with("<svg"), "{}", findings.text());
    for head in ["first/s", "second/s", "second / first"] {
        assert!(numbers(&findings, head).all(|figure| figure > 0.0), "{}", findings.text());
    }
    let says = |remark: &&String| remark.starts_with("values of") && remark.contains(" faster");
    assert_eq!(findings.remarks.iter().filter(says).count(), 4, "{}", findings.text());
}

#[test]
fn an_engine_that_has_no_answer_is_refused_by_what_it_lacks() {
    let refused = |experiment| format!("{:#}", quick(experiment, "memory").unwrap_err());
    assert!(refused(Experiment::WriteAmplification).contains("checkpoint_log_bytes"));
    assert!(refused(Experiment::Amplification).contains("memtable_bytes"));
    assert!(
        refused(Experiment::Crossover).contains("cache_bytes")
            || refused(Experiment::Crossover).contains("budget")
    );
    let unknown = quick(Experiment::HeldView, "no_such_engine").unwrap_err().to_string();
    assert!(unknown.contains("no_such_engine"), "{unknown}");
}
