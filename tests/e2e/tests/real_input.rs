//! Real input: the Unicode Character Database, code point → line. All of it where the Debian package
//! `unicode-data` is installed, a sample elsewhere; `E2E_UNICODE_DATA` names a file that must be there.

use std::collections::BTreeMap;
use std::path::Path;

use e2e::{Client, Config, Reply, Server};

use crate::engines::on_every_engine;

on_every_engine!(the_unicode_database_reads_back_equal);

/// Code points, as they are written in the file, with their lines.
fn records() -> BTreeMap<String, String> {
    let installed = Path::new("/usr/share/unicode/UnicodeData.txt");
    let text = match std::env::var("E2E_UNICODE_DATA") {
        Ok(path) => std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}")),
        Err(_) if installed.exists() => std::fs::read_to_string(installed).unwrap(),
        Err(_) => include_str!("../samples/UnicodeData.txt").to_string(),
    };
    text.lines().map(|line| (line.split(';').next().unwrap().to_string(), line.to_string())).collect()
}

fn load(client: &mut Client, records: &BTreeMap<String, String>) {
    let commands: Vec<Vec<&str>> = records.iter().map(|(key, line)| vec!["SET", key, line]).collect();
    assert!(client.pipeline(&commands).iter().all(|reply| *reply == Reply::ok()));
}

fn assert_holds(client: &mut Client, records: &BTreeMap<String, String>) {
    assert_eq!(client.line("DBSIZE"), Reply::Integer(records.len() as i64));
    let gets: Vec<Vec<&str>> = records.keys().map(|key| vec!["GET", key]).collect();
    for (reply, line) in client.pipeline(&gets).iter().zip(records.values()) {
        assert_eq!(*reply, Reply::bulk(line));
    }
    let flat = |range: &mut dyn Iterator<Item = (&String, &String)>| {
        Reply::bulks(range.flat_map(|(key, line)| [key.clone(), line.clone()]))
    };
    let greek = || records.range("0370".to_string().."0400".to_string());
    assert_eq!(client.line("RANGE 0370 0400"), flat(&mut greek()));
    assert_eq!(client.line("RANGE 0370 0400 REV LIMIT 5"), flat(&mut greek().rev().take(5)));
    assert!(greek().count() > 100, "the Greek block has over a hundred characters");
}

fn the_unicode_database_reads_back_equal(config: Config) {
    let records = records();
    let keeps = ["snapshot", "logmap"].contains(&config.engine.as_str());
    let server = Server::start(config);
    let mut client = server.client();
    load(&mut client, &records);
    assert_holds(&mut client, &records);
    if keeps {
        let mut server = server;
        assert!(server.stop().success());
        let server = server.restart();
        assert_holds(&mut server.client(), &records);
    }
}
