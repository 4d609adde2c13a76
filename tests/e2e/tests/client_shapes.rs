//! The shapes of answers that redis-cli, redis-benchmark, redis-py and ioredis read on connect.

use e2e::{Client, Config, Reply, Server};

fn start() -> (Server, Client) {
    let server = Server::start(Config::engine("memory"));
    let client = server.client();
    (server, client)
}

#[test]
fn info_has_the_fields_that_clients_read() {
    let (server, mut client) = start();
    client.line("MSET a 1 b 2");
    client.line("GET a");
    client.line("GET missing");
    let info = client.line("INFO").text();
    let field = |name: &str| {
        let start = format!("{name}:");
        let line = info.lines().find_map(|line| line.strip_prefix(&start));
        line.unwrap_or_else(|| panic!("{name} is missing in:\n{info}")).to_string()
    };
    for name in ["redis_version", "redis_mode", "arch_bits", "uptime_in_seconds", "used_memory", "maxmemory"]
    {
        field(name);
    }
    assert_eq!(
        (field("loading"), field("cluster_enabled"), field("role")),
        ("0".into(), "0".into(), "master".into())
    );
    assert_eq!(field("connected_clients"), "1");
    assert_eq!((field("keyspace_hits"), field("keyspace_misses")), ("1".into(), "1".into()));
    assert!(field("db0").starts_with("keys=2,"));
    assert!(field("total_commands_processed").parse::<u64>().unwrap() >= 3);
    assert!(info.contains("# Server\r\n"), "sections have heads:\n{info}");
    let server_section = server.client().line("INFO server").text();
    assert!(server_section.contains("redis_version:") && !server_section.contains("keyspace_hits:"));
}

#[test]
fn client_commands_answer_what_drivers_send() {
    let (server, mut client) = start();
    let id = client.line("CLIENT ID").integer();
    assert!(id > 0);
    assert!(server.client().line("CLIENT ID").integer() > id);
    assert_eq!(client.line("CLIENT GETNAME"), Reply::Null);
    assert_eq!(client.line("CLIENT SETNAME worker"), Reply::ok());
    assert_eq!(client.line("CLIENT GETNAME"), Reply::bulk("worker"));
    assert_eq!(client.line("CLIENT SETINFO LIB-NAME redis-py"), Reply::ok());
    assert_eq!(client.line("CLIENT SETINFO LIB-VER 5.0.1"), Reply::ok());
    client.line("CLIENT SETINFO NONSENSE x").error();
    client.command(&["CLIENT", "SETNAME", "a b"]).error();
    let list = client.line("CLIENT LIST").text();
    let own = list.lines().find(|line| line.starts_with(&format!("id={id} "))).unwrap();
    for part in ["addr=127.0.0.1:", "name=worker", "db=0", "cmd=client", "lib-name=redis-py", "lib-ver=5.0.1"]
    {
        assert!(own.contains(part), "{part} is missing in {own}");
    }
    client.line("CLIENT NONSENSE").error();
}

#[test]
fn config_get_answers_what_benchmarks_ask() {
    let (_server, mut client) = start();
    for name in ["save", "appendonly"] {
        let reply = client.line(&format!("CONFIG GET {name}"));
        let pairs = reply.pairs();
        assert!(
            pairs.iter().all(|(key, value)| key.text() == name && matches!(value, Reply::Bulk(_))),
            "{reply:?}"
        );
    }
    assert_eq!(client.line("CONFIG GET nonsense"), Reply::Array(Vec::new()));
    client.line("CONFIG GET").error();
    client.line("CONFIG NONSENSE x").error();
}

#[test]
fn command_describes_the_commands() {
    let (_server, mut client) = start();
    let all = client.line("COMMAND");
    let count = client.line("COMMAND COUNT").integer();
    assert_eq!(all.array().len() as i64, count);
    let infos = client.line("COMMAND INFO get nonsense mset");
    let [get, nonsense, mset] = infos.array() else { panic!("{infos:?}") };
    assert_eq!(*nonsense, Reply::Null);
    for (info, name, arity, keys) in [(get, "get", 2, [1, 1, 1]), (mset, "mset", -3, [1, -1, 2])] {
        let parts = info.array();
        assert_eq!((parts[0].text().as_str(), parts[1].integer()), (name, arity));
        assert!(matches!(parts[2], Reply::Array(_)), "flags: {info:?}");
        assert_eq!([parts[3].integer(), parts[4].integer(), parts[5].integer()], keys);
    }
    let docs = client.line("COMMAND DOCS get");
    let (name, doc) = &docs.pairs()[0];
    assert_eq!(name.text(), "get");
    assert!(doc.pairs().iter().any(|(key, _)| key.text() == "summary"), "{docs:?}");
    assert!(!client.line("COMMAND DOCS").pairs().is_empty());
}

#[test]
fn metrics_count_what_the_engine_did_to_its_files_by_cause() {
    let server = Server::start(Config::engine("snapshot"));
    let mut client = server.client();
    assert_eq!(client.line("SET k v"), Reply::ok());
    let metrics = client.line("ENGINE METRICS").text();
    let number = |name: &str| {
        let line = metrics
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .unwrap_or_else(|| panic!("{name}: {metrics}"));
        line.trim().parse::<f64>().unwrap()
    };
    assert!(number("file_written_bytes{cause=\"checkpoint\"}") > 100.0);
    assert!(number("file_data_syncs") >= 1.0 && number("directory_syncs") >= 1.0);
}

#[test]
fn time_tells_seconds_and_microseconds() {
    let (_server, mut client) = start();
    let time = client.line("TIME");
    let [seconds, micros] = time.array() else { panic!("{time:?}") };
    assert!(seconds.text().parse::<u64>().unwrap() > 1_700_000_000);
    assert!(micros.text().parse::<u64>().unwrap() < 1_000_000);
}

#[test]
fn quit_is_answered_and_ends_the_connection() {
    let (_server, mut client) = start();
    client.send(b"SET k v\r\nQUIT\r\nGET k\r\n").unwrap();
    assert_eq!(client.drain().unwrap(), b"+OK\r\n+OK\r\n");
}

#[test]
fn errors_of_usage_have_the_texts_that_clients_match() {
    let (_server, mut client) = start();
    let texts = [
        ("nosuch", "ERR unknown command 'nosuch', with args beginning with: "),
        ("set k", "ERR wrong number of arguments for 'set' command"),
        ("ping a b", "ERR wrong number of arguments for 'ping' command"),
        ("select x", "ERR value is not an integer or out of range"),
        ("scan 0 count 0", "ERR syntax error"),
        ("scan 0 count x", "ERR value is not an integer or out of range"),
        ("set k v ex", "ERR syntax error"),
    ];
    for (line, text) in texts {
        assert_eq!(client.line(line).error(), text, "{line}");
    }
    let long = format!("NOSUCH {}", "x".repeat(10_000));
    assert!(client.line(&long).error().len() < 400, "an error repeats no endless argument");
}
