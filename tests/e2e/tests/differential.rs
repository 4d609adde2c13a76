//! Every engine answers random commands alike; and the comparison that says so finds what differs.
//!
//! The example `differential` compares with a real Redis in the same way; this needs none.

use std::time::{SystemTime, UNIX_EPOCH};

use e2e::differential::{Pair, Request, Shapes, replay, shrink, stream};
use e2e::{Config, Server};

use crate::engines;

/// How many streams the engines are compared with.
const STREAMS: u64 = 12;

fn pair(right: &Server, tried: &Server) -> Pair {
    Pair { redis: right.address().to_string(), ours: tried.address().to_string() }
}

fn seed() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64
}

fn engine_answers_as_memory(config: Config) {
    let (right, tried) = (Server::start(engines::memory()), Server::start(config));
    let (shapes, first) = (Shapes::of_commands(|_| true), seed());
    for seed in first..first + STREAMS {
        let requests = stream::random(&shapes, seed);
        let found = replay::replay(&pair(&right, &tried), &requests).unwrap();
        assert!(found.is_none(), "seed {seed}, memory stands for redis: {}", found.unwrap());
    }
}

#[test]
fn logmap_answers_random_commands_as_memory_does() {
    engine_answers_as_memory(engines::busy_logmap());
}

#[test]
fn btree_answers_random_commands_as_memory_does() {
    engine_answers_as_memory(engines::busy_btree());
}

#[test]
fn lsm_answers_random_commands_as_memory_does() {
    engine_answers_as_memory(engines::busy_lsm());
}

#[test]
fn snapshot_answers_random_commands_as_memory_does() {
    engine_answers_as_memory(engines::snapshot("atomic"));
}

#[test]
fn a_strangers_engine_answers_random_commands_as_memory_does() {
    engine_answers_as_memory(engines::tally());
}

#[test]
fn a_server_that_refuses_large_values_is_told_apart_by_one_request() {
    let right = Server::start(engines::memory());
    let tried = Server::start(engines::memory().with("limits", "value_bytes_max = \"32KiB\""));
    let (pair, shapes) = (pair(&right, &tried), Shapes::of_commands(|name| name == "set"));
    // A value above the limit is one word in some hundred.
    let differs = |requests: &[Request]| replay::replay(&pair, requests).unwrap().is_some();
    let first = seed();
    let requests =
        (first..first + 200).map(|seed| stream::random(&shapes, seed)).find(|it| differs(it)).unwrap();
    let short = shrink::shrink(&requests, differs);
    assert_eq!(short.len(), 1, "{short:?}");
    assert!(short[0].name() == "set" && short[0].words[2].len() > 32_768);
}
