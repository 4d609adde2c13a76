//! Every experiment on the engine that it was made for, short.

use super::*;

fn quick(experiment: Experiment, engine: &str) -> Result<Findings> {
    let request = Request {
        experiment,
        engine: engine.to_string(),
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

#[test]
fn an_engine_that_has_no_answer_is_refused_by_what_it_lacks() {
    let refused = |experiment| format!("{:#}", quick(experiment, "memory").unwrap_err());
    assert!(refused(Experiment::WriteAmplification).contains("checkpoint_log_bytes"));
    let unknown = quick(Experiment::HeldView, "no_such_engine").unwrap_err().to_string();
    assert!(unknown.contains("no_such_engine"), "{unknown}");
}
