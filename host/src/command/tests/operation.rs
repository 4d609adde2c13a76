//! What operators and clients' handshakes ask: CONFIG, CLIENT, AUTH, SLOWLOG, LATENCY, MONITOR, COMMAND.

use std::time::Duration;

use super::*;
use crate::config::Password;

fn with_password() -> Bench {
    let bench = Bench::new();
    bench.context.settings.live.set_password(Password::from_setting(b"sekrit"));
    bench
}

impl Bench {
    /// Another client of the same server.
    fn beside(&self) -> Self {
        let client = self.context.observe.clients.connected("9.9.9.9:9", "127.0.0.1:6379");
        let session = Session::new(client, &self.context);
        Self { context: Arc::clone(&self.context), engine: Arc::clone(&self.engine), session }
    }
}

#[test]
fn config_answers_what_clients_ask() {
    let settings = vec![("engine".to_string(), "test".to_string())];
    let facts = ServerFacts { settings, tcp_port: 7777, clients_possible: 500, ..ServerFacts::default() };
    let mut bench = Bench::with(TestEngine::new(), facts);
    let failed = |name: &str, why: &str| {
        format!("-ERR CONFIG SET failed (possibly related to argument '{name}') - {why}")
    };
    bench.check(&[
        ("CONFIG", "-ERR wrong number of arguments for 'config' command"),
        ("CONFIG GET save", "{1 \"save\" \"\""),
        ("CONFIG GET appendonly", "{1 \"appendonly\" \"no\""),
        ("CONFIG GET PORT eng*", "{2 \"engine\" \"test\" \"port\" \"7777\""),
        ("CONFIG GET nothing", "{0"),
        ("CONFIG GET", "-ERR wrong number of arguments for 'config|get' command"),
        ("CONFIG SET foo", "-ERR wrong number of arguments for 'config|set' command"),
        ("CONFIG SET foo bar", "-ERR Unknown option or number of arguments for CONFIG SET - 'foo'"),
        ("CONFIG SET timeout 10 foo", "-ERR syntax error"),
        ("CONFIG SET timeout 10 slowlog-max-len 7", "+OK"),
        ("CONFIG GET timeout slowlog-max*", "{2 \"slowlog-max-len\" \"7\" \"timeout\" \"10\""),
        ("CONFIG SET timeout -1", &failed("timeout", "argument must be between 0 and 2147483647 inclusive")),
        ("CONFIG SET maxclients x", &failed("maxclients", "argument couldn't be parsed into an integer")),
        (
            "CONFIG SET maxclients 0",
            &failed("maxclients", "argument must be between 1 and 4294967295 inclusive"),
        ),
        ("CONFIG SET maxclients 5 MAXCLIENTS 6", &failed("MAXCLIENTS", "duplicate parameter")),
        ("CONFIG SET port 1", &failed("port", "can't set immutable config")),
        ("CONFIG SET engine x", &failed("engine", "can't set immutable config")),
        ("CONFIG SET appendonly NO", "+OK"),
        ("CONFIG SET appendonly yes", &failed("appendonly", "this server can only have it as 'no'")),
        ("CONFIG REWRITE", "-ERR The server is running without a config file"),
        ("CONFIG RESETSTAT", "+OK"),
        ("CONFIG RESETSTAT x", "-ERR wrong number of arguments for 'config|resetstat' command"),
        ("CONFIG foo", "-ERR unknown subcommand 'foo'. Try CONFIG HELP."),
    ]);
    let too_many = bench.run("CONFIG SET maxclients 501");
    assert!(too_many.ends_with("specified number of clients, try with 500"), "{too_many}");
    assert!(bench.run("CONFIG HELP").starts_with("[11 +CONFIG <subcommand> [<arg> [value] [opt] ...]. "));
}

#[test]
fn config_set_changes_all_or_nothing() {
    let mut bench = Bench::new();
    assert!(bench.run("CONFIG SET timeout 77 maxclients 0").starts_with("-ERR"));
    assert!(bench.run("CONFIG SET timeout 77 port 1").starts_with("-ERR"));
    bench.check(&[
        ("CONFIG GET timeout", "{1 \"timeout\" \"0\""),
        ("CONFIG SET slowlog-log-slower-than -1 latency-monitor-threshold 5 maxclients 9", "+OK"),
    ]);
    let live = &bench.context.settings.live;
    assert_eq!((live.slowlog_micros(), live.latency_threshold_ms(), live.clients_max()), (-1, 5, 9));
}

#[test]
fn without_the_password_only_the_handshake_is_open() {
    let mut bench = with_password();
    let mut stranger = bench.beside();
    let no_auth = "-NOAUTH Authentication required.";
    stranger.check(&[
        ("PING", no_auth),
        ("SET k v", no_auth),
        ("CONFIG GET *", no_auth),
        ("NOSUCH", "-ERR unknown command 'NOSUCH', with args beginning with: "),
        ("GET", "-ERR wrong number of arguments for 'get' command"),
        ("RESET", "(protocol 2) +RESET"),
    ]);
    assert!(stranger.run("HELLO 3").starts_with("-NOAUTH HELLO must be called with"));
    assert_eq!(stranger.session.protocol, Protocol::Resp2);
    let wrong = "-WRONGPASS invalid username-password pair or user is disabled.";
    stranger.check(&[("AUTH x", wrong), ("AUTH a sekrit", wrong), ("AUTH a b c", "-ERR syntax error")]);
    assert!(stranger.session.penalty.take().is_some() && stranger.session.is_stranger());
    assert_eq!(stranger.run("HELLO 3 AUTH default sekri"), wrong);
    stranger.check(&[("AUTH default sekrit", "+OK"), ("PING", "+PONG"), ("AUTH sekrit", "+OK")]);
    stranger.check(&[("RESET", "(protocol 2) +RESET"), ("PING", no_auth)]);
    assert!(stranger.run("HELLO 3 AUTH default sekrit SETNAME bob").starts_with("(protocol 3) {7"));
    assert_eq!(stranger.run("CONFIG GET requirepass"), "{1 \"requirepass\" \"(hidden)\"");
    // Who was in before the password was set stays in, as in Redis.
    bench.check(&[("PING", "+PONG"), ("CONFIG SET requirepass other", "+OK"), ("AUTH sekrit", wrong)]);
    let mut next = bench.beside();
    next.check(&[("PING", no_auth), ("AUTH other", "+OK"), ("PING", "+PONG")]);
    next.check(&[
        ("CONFIG SET requirepass #", "+OK"),
        ("CONFIG GET requirepass", "{1 \"requirepass\" \"(hidden)\""),
    ]);
    assert_eq!(next.run_words(["CONFIG", "SET", "requirepass", ""]), "+OK");
    bench.beside().check(&[("PING", "+PONG")]);
}

#[test]
fn many_wrong_passwords_end_the_connection() {
    let mut stranger = with_password().beside();
    for _ in 0..7 {
        stranger.run("AUTH x");
        assert!(stranger.session.penalty.take() > Some(Duration::ZERO), "a wrong password is answered late");
        stranger.run("RESET");
    }
    assert!(!stranger.session.closing);
    stranger.run("HELLO 2 AUTH default x");
    assert!(stranger.session.closing);
}

#[test]
fn auth_without_a_password_answers_as_in_redis() {
    let mut bench = Bench::new();
    assert!(bench.run("AUTH x").starts_with("-ERR AUTH <password> called without any password configured"));
    bench.check(&[
        ("AUTH default x", "+OK"),
        ("AUTH a b", "-WRONGPASS invalid username-password pair or user is disabled."),
    ]);
    assert!(bench.session.penalty.is_none());
}

#[test]
fn reset_makes_a_connection_new() {
    let mut bench = Bench::new();
    bench.run("HELLO 3 SETNAME bob");
    bench.check(&[
        ("SELECT 5", "+OK"),
        ("MONITOR", "+OK"),
        ("GET k", "-ERR Replica can't interact with the keyspace"),
    ]);
    let reset = bench.run("RESET");
    assert!(reset.contains("\"RESET\"") && reset.ends_with(" (protocol 2) +RESET"), "{reset}");
    bench.check(&[("CLIENT GETNAME", "nil"), ("GET k", "nil")]);
    assert_eq!((bench.session.database, bench.session.protocol), (0, Protocol::Resp2));
    assert!(!bench.context.observe.monitors.is_watched());
}

#[test]
fn kill_means_the_clients_that_all_filters_name() {
    let mut bench = Bench::new();
    let others = [bench.beside(), bench.beside()];
    bench.check(&[
        ("CLIENT KILL", "-ERR wrong number of arguments for 'client|kill' command"),
        ("CLIENT KILL 1.1.1.1:1", "-ERR No such client"),
        ("CLIENT KILL ID", "-ERR No such client"),
        ("CLIENT KILL ID 0", "-ERR client-id should be greater than 0"),
        ("CLIENT KILL ID x", "-ERR client-id should be greater than 0"),
        ("CLIENT KILL ID 1 ADDR", "-ERR syntax error"),
        ("CLIENT KILL foo bar", "-ERR syntax error"),
        ("CLIENT KILL TYPE x", "-ERR Unknown client type 'x'"),
        ("CLIENT KILL TYPE normal SKIPME maybe", "-ERR syntax error"),
        ("CLIENT KILL USER foo", "-ERR No such user 'foo'"),
        ("CLIENT KILL TYPE replica", ":0"),
        ("CLIENT KILL ID 99", ":0"),
        ("CLIENT KILL ADDR 9.9.9.9:9 LADDR 8.8.8.8:8", ":0"),
    ]);
    assert!(others.iter().all(|other| other.session.client().dismissal().is_none()));
    let calls = bench.context.observe.attention.calls();
    assert_eq!(bench.run("CLIENT KILL ADDR 9.9.9.9:9 ID 2"), ":1");
    assert!(others[0].session.client().dismissal().is_some());
    assert!(others[1].session.client().dismissal().is_none());
    assert!(bench.context.observe.attention.calls() > calls, "event loops are told");
    assert_eq!(bench.run("CLIENT KILL USER default"), ":2");
    assert!(!bench.session.closing && others[1].session.client().dismissal().is_some());
    assert_eq!(bench.run("CLIENT KILL 1.2.3.4:5"), "+OK");
    assert!(bench.session.closing && bench.session.client().dismissal().is_none(), "it gets its reply first");
}

#[test]
fn a_pause_holds_writes_or_everything_but_client() {
    let mut bench = Bench::new();
    bench.check(&[
        ("CLIENT PAUSE x", "-ERR timeout is not an integer or out of range"),
        ("CLIENT PAUSE -1", "-ERR timeout is negative"),
        ("CLIENT PAUSE 1 foo", "-ERR CLIENT PAUSE mode must be WRITE or ALL"),
        (
            "CLIENT pause 1 write all",
            "-ERR unknown subcommand or wrong number of arguments for 'pause'. Try CLIENT HELP.",
        ),
        ("CLIENT PAUSE 100000 WRITE", "+OK"),
        ("SET k v", "(waits)"),
        ("GET k", "nil"),
        ("CLIENT PAUSE 1 ALL", "+OK"),
        ("GET k", "(waits)"),
        ("PING", "(waits)"),
        ("CLIENT ID", ":1"),
        ("CLIENT UNPAUSE", "+OK"),
        ("SET k v", "+OK"),
    ]);
}

#[test]
fn a_client_hears_what_it_wants() {
    let mut bench = Bench::new();
    let mut muted = |request: &str| {
        let reply = bench.run(request);
        if bench.session.is_muted() { "(muted)".to_string() } else { reply }
    };
    for (request, expected) in [
        ("CLIENT REPLY foo", "-ERR syntax error"),
        ("CLIENT REPLY SKIP", ""),
        ("PING", "(muted)"),
        ("PING", "+PONG"),
        ("CLIENT REPLY SKIP", ""),
        ("CLIENT REPLY SKIP", ""),
        ("NOSUCH", "(muted)"),
        ("PING", "+PONG"),
        ("CLIENT REPLY OFF", "(muted)"),
        ("PING", "(muted)"),
        ("CLIENT REPLY SKIP", "(muted)"),
        ("PING", "(muted)"),
        ("CLIENT REPLY ON", "+OK"),
        ("PING", "+PONG"),
        ("CLIENT REPLY OFF", "(muted)"),
        ("RESET", "(protocol 2) +RESET"),
        ("PING", "+PONG"),
    ] {
        assert_eq!(muted(request), expected, "{request}");
    }
}

#[test]
fn a_muted_request_of_a_pipeline_is_done_and_not_answered() {
    let bench = Bench::new();
    let (sender, receiver) = channel();
    let done = move |replies: Recorder| sender.send(replies.text()).unwrap();
    let mut pipeline = Pipeline::new(Recorder::default(), Arc::clone(&bench.context), done);
    let incr = lookup::find(b"incr").unwrap();
    let words = Words::of(["INCR", "n"]);
    for muted in [false, true, false] {
        pipeline.push_request(incr, bench.session.caller(), muted, words.arguments());
    }
    bench.context.sequencer.submit(Box::new(pipeline));
    assert_eq!(receiver.recv().unwrap(), ":1 :3");
}

#[test]
fn slow_requests_are_shown_with_their_client_and_without_passwords() {
    let mut bench = Bench::new();
    bench.check(&[
        ("CLIENT SETNAME me", "+OK"),
        ("CONFIG SET slowlog-log-slower-than 0", "+OK"),
        ("SLOWLOG RESET", "+OK"),
        ("GET k", "nil"),
        ("SET k v", "+OK"),
        ("AUTH default pw", "+OK"),
        ("CONFIG SET slowlog-max-len 10 requirepass pw", "+OK"),
        ("CONFIG SET slowlog-log-slower-than -1", "+OK"),
        ("SLOWLOG LEN", ":5"),
        (
            "SLOWLOG GET 1 2",
            "-ERR unknown subcommand or wrong number of arguments for 'GET'. Try SLOWLOG HELP.",
        ),
        ("SLOWLOG GET -2", "-ERR count should be greater than or equal to -1"),
        ("SLOWLOG GET 0", "[0"),
    ]);
    let all = bench.run("SLOWLOG GET -1");
    assert!(all.starts_with("[5 [6 :"), "{all}");
    for words in [
        "[2 \"GET\" \"k\" \"1.2.3.4:5\" \"me\"",
        "[3 \"SET\" \"k\" \"v\"",
        "[3 \"AUTH\" \"(redacted)\" \"(redacted)\"",
        "[6 \"CONFIG\" \"SET\" \"slowlog-max-len\" \"10\" \"requirepass\" \"(redacted)\"",
    ] {
        assert!(all.contains(words), "{words} in {all}");
    }
    assert_eq!(bench.run("SLOWLOG GET 1").matches("\"1.2.3.4:5\"").count(), 1);
    bench.check(&[("SLOWLOG RESET", "+OK"), ("GET k", "\"v\""), ("SLOWLOG LEN", ":0")]);
}

#[test]
fn what_takes_long_is_noted_if_the_operator_wants_it() {
    let mut bench =
        Bench::with(TestEngine::new(), ServerFacts { debug_commands: true, ..ServerFacts::default() });
    bench.check(&[
        ("DEBUG SLEEP 0.003", "+OK"),
        ("LATENCY LATEST", "[0"),
        ("CONFIG SET latency-monitor-threshold 1", "+OK"),
        ("DEBUG SLEEP 0.003", "+OK"),
        ("LATENCY HISTORY nothing", "[0"),
    ]);
    assert!(
        bench.run("LATENCY LATEST").starts_with("[1 [4 \"command\" :0 :"),
        "{}",
        bench.run("LATENCY LATEST")
    );
    assert!(bench.run("LATENCY HISTORY command").starts_with("[1 [2 :0 :"));
    bench.check(&[("LATENCY RESET foo", ":0"), ("LATENCY RESET command", ":1"), ("LATENCY LATEST", "[0")]);
    assert!(
        bench
            .run("LATENCY HISTOGRAM debug nope")
            .starts_with("{1 \"debug\" {2 \"calls\" :2 \"histogram_usec\" {")
    );
    assert_eq!(bench.run("LATENCY HISTOGRAM set"), "{0");
}

#[test]
fn debug_is_closed_unless_the_operator_opens_it() {
    assert!(Bench::new().run("DEBUG SLEEP 0").starts_with("-ERR DEBUG command not allowed."));
    let mut open =
        Bench::with(TestEngine::new(), ServerFacts { debug_commands: true, ..ServerFacts::default() });
    open.check(&[
        ("DEBUG SLEEP 0", "+OK"),
        ("DEBUG SLEEP x", "+OK"),
        ("DEBUG SLEEP -1", "+OK"),
        ("DEBUG JMAP", "-ERR unknown subcommand or wrong number of arguments for 'JMAP'. Try DEBUG HELP."),
    ]);
}

#[test]
fn monitors_see_requests_and_no_passwords() {
    let mut bench = Bench::new();
    let mut watcher = bench.beside();
    watcher.check(&[("MONITOR", "+OK"), ("MONITOR", "")]);
    for request in [
        "SELECT 3",
        "gEt k",
        "NOSUCH",
        "GET",
        "CONFIG GET save",
        "AUTH default pw",
        "HELLO 3 SETNAME a AUTH default pw",
    ] {
        bench.run(request);
    }
    bench.run_words([&b"ECHO"[..], b"x\r\n\x00\""]);
    let lines = String::from_utf8(bench.context.observe.monitors.take(2)).unwrap();
    let of_client = "1.2.3.4:5]";
    let expected = [
        format!("+0.000000 [0 {of_client} \"SELECT\" \"3\""),
        format!("+0.000000 [3 {of_client} \"gEt\" \"k\""),
        format!("+0.000000 [3 {of_client} \"AUTH\" \"(redacted)\" \"(redacted)\""),
        format!(
            "+0.000000 [3 {of_client} \"HELLO\" \"3\" \"SETNAME\" \"a\" \"AUTH\" \"(redacted)\" \"(redacted)\""
        ),
        format!("+0.000000 [3 {of_client} \"ECHO\" \"x\\r\\n\\x00\\\"\""),
    ];
    let shown: Vec<&str> = lines.split_terminator("\r\n").filter(|line| !line.contains("MONITOR")).collect();
    assert_eq!(shown, expected);
    assert!(watcher.run("CLIENT INFO").contains(" flags=O "));
}

#[test]
fn calls_are_counted_by_command_and_subcommand() {
    let mut bench = Bench::new();
    for request in ["GET a", "GET b", "GET", "INCR n", "SET s x", "INCR s", "CLIENT ID", "CONFIG GET x"] {
        bench.run(request);
    }
    let stats = bench.run("INFO commandstats");
    for (name, calls, rest) in [
        ("get", 2, "rejected_calls=1,failed_calls=0"),
        ("incr", 2, "rejected_calls=0,failed_calls=1"),
        ("client|id", 1, "rejected_calls=0,failed_calls=0"),
    ] {
        let line =
            stats.lines().find(|line| line.starts_with(&format!("cmdstat_{name}:calls={calls},usec=")));
        assert!(line.is_some_and(|line| line.contains(rest)), "{name} in {stats}");
    }
    assert!(bench.run("INFO latencystats").contains("latency_percentiles_usec_get:p50="));
    assert!(!bench.run("INFO").contains("cmdstat"));
    assert!(bench.run("INFO everything").contains("cmdstat_get"));
    bench.run("CONFIG RESETSTAT");
    assert!(!bench.run("INFO commandstats").contains("cmdstat_get"));
}

#[test]
fn what_redis_says_of_saving_and_replicas_is_answered() {
    Bench::new().check(&[
        ("SAVE", "-ERR the engine keeps nothing on disk, so nothing can be saved"),
        ("BGSAVE foo", "-ERR syntax error"),
        ("LASTSAVE", ":0"),
        ("ROLE", "[3 \"master\" :0 [0"),
        ("WAIT 1 0", ":0"),
        ("WAIT x 0", "-ERR value is not an integer or out of range"),
        ("WAIT 1 -1", "-ERR timeout is negative"),
        ("WAIT 1 x", "-ERR timeout is not an integer or out of range"),
        ("FUNCTION FLUSH", "+OK"),
        ("FUNCTION FLUSH ASYNC", "+OK"),
        ("FUNCTION FLUSH x", "-ERR FUNCTION FLUSH only supports SYNC|ASYNC option"),
        ("FUNCTION LIST LIBRARYNAME x WITHCODE", "[0"),
        ("FUNCTION LIST x", "-ERR Unknown argument x"),
        ("FUNCTION DELETE x", "-ERR Library not found"),
        ("FUNCTION LOAD x", "-ERR functions are not supported: this server runs no scripts"),
        ("FUNCTION KILL", "-NOTBUSY No scripts in execution right now."),
    ]);
}

#[test]
fn subcommands_are_described_with_their_command() {
    let mut bench = Bench::new();
    let config = bench.run("COMMAND INFO config");
    assert!(config.starts_with(
        "[1 [10 \"config\" :-2 [0 :0 :0 :0 [1 +@slow [0 [0 [5 [10 \"config|get\" :-3 [4 +admin"
    ));
    assert!(bench.run("COMMAND INFO client|kill").contains("[4 +@admin +@slow +@dangerous +@connection [0"));
    bench.check(&[
        ("COMMAND COUNT x", "-ERR wrong number of arguments for 'command|count' command"),
        (
            "COMMAND LIST FILTERBY PATTERN slowlog*",
            "[5 \"slowlog\" \"slowlog|get\" \"slowlog|help\" \"slowlog|len\" \"slowlog|reset\"",
        ),
        ("COMMAND LIST FILTERBY MODULE x", "[0"),
        ("COMMAND LIST FILTERBY foo x", "-ERR syntax error"),
    ]);
    assert!(bench.run("COMMAND LIST FILTERBY ACLCAT string").contains("\"append\""));
    assert!(bench.run("COMMAND DOCS config").contains("\"subcommands\" {5 \"config|get\" {3 \"summary\""));
    assert!(!bench.run("COMMAND LIST").contains('|'));
}

#[test]
fn an_error_shows_only_the_beginning_of_what_a_client_sent() {
    let mut bench = Bench::new();
    let long = "x".repeat(50_000);
    for request in [
        format!("CLIENT {long}"),
        format!("CLIENT LIST TYPE {long}"),
        format!("CLIENT KILL USER {long}"),
        format!("CLIENT SETINFO {long} x"),
        format!("CONFIG SET {long} x"),
        format!("HELLO 3 {long}"),
        format!("FUNCTION LIST {long}"),
        format!("{long} {long}"),
    ] {
        let reply = bench.run(&request);
        assert!(reply.starts_with('-') && reply.len() < 500, "{} bytes", reply.len());
    }
    assert!(bench.run(&format!("CLIENT SETNAME {long}")).starts_with("-ERR Client names cannot contain"));
}
