//! What protects a server and those who run it: passwords, limits, and clients that are told to go or to wait.

use e2e::server::allow_open_files;
use e2e::{Client, Config, Reply, Server, client};

const MIB: u64 = 1 << 20;

fn memory() -> Config {
    Config::engine("memory")
}

fn pong() -> Reply {
    Reply::Simple("PONG".to_string())
}

#[test]
fn an_address_for_others_needs_a_password_or_consent() {
    let open = memory().with("server", "listen = \"0.0.0.0:0\"");
    let output = Server::refuse(&open);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    for hint in ["0.0.0.0", "requirepass", "insecure"] {
        assert!(said.contains(hint), "{hint} is missing in: {said}");
    }
    let server = Server::start(open.with("server", "requirepass = \"a long password\""));
    let port = server.address().rsplit(':').next().unwrap().to_string();
    let mut client = Client::connect(&format!("127.0.0.1:{port}")).unwrap();
    assert_eq!(client.line("GET k").error(), "NOAUTH Authentication required.");
    assert_eq!(client.command(&["AUTH", "a long password"]), Reply::ok());
    assert_eq!(client.line("GET k"), Reply::Null);
    assert!(!server.log().contains("a long password"));
}

#[test]
fn a_password_may_be_given_by_its_digest_and_in_the_handshake() {
    let hashed = sha256_of(b"sekrit");
    let server = Server::start(memory().with("server", &format!("requirepass = {hashed:?}")));
    let mut client = server.client();
    assert!(client.line("HELLO 3").error().starts_with("NOAUTH HELLO must be called"));
    assert!(client.line("HELLO 3 AUTH default wrong").error().starts_with("WRONGPASS "));
    assert!(matches!(client.line("HELLO 3 AUTH default sekrit SETNAME me"), Reply::Map(_)));
    assert_eq!(client.line("CLIENT GETNAME"), Reply::bulk("me"));
    server.wait_for_log("gave a wrong password");
}

fn sha256_of(text: &[u8]) -> String {
    use sha2::Digest;
    let digits: String = sha2::Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("#{digits}")
}

#[test]
fn clients_are_killed_paused_and_watched() {
    let server = Server::start(memory());
    let (mut operator, mut worker, mut monitor) = (server.client(), server.client(), server.client());
    assert_eq!(monitor.line("MONITOR"), Reply::ok());
    assert_eq!(worker.line("SET k v"), Reply::ok());
    assert!(monitor.receive().unwrap().text().ends_with("\"SET\" \"k\" \"v\""));
    assert_eq!(operator.line("CLIENT PAUSE 600000 WRITE"), Reply::ok());
    worker.send(&client::encode(&["INCR", "n"])).unwrap();
    assert_eq!(operator.line("GET n"), Reply::Null);
    assert_eq!(operator.line("CLIENT UNPAUSE"), Reply::ok());
    assert_eq!(worker.receive().unwrap(), Reply::Integer(1));
    let id = worker.line("CLIENT ID").integer();
    assert_eq!(operator.line(&format!("CLIENT KILL ID {id}")), Reply::Integer(1));
    assert!(worker.try_command(&["PING"]).is_err());
    server.wait_for_log("CLIENT KILL named it");
    assert_eq!(operator.line("PING"), pong());
}

#[test]
fn slow_requests_are_found_in_the_slowlog() {
    let slow =
        memory().with("server", "debug_commands = true").with("server", "slowlog_log_slower_than_us = 20000");
    let server = Server::start(slow);
    let mut client = server.client();
    assert_eq!(client.line("DEBUG SLEEP 0.03"), Reply::ok());
    assert_eq!(client.line("PING"), pong());
    let slow = client.line("SLOWLOG GET");
    let entry = slow.array()[0].array();
    assert_eq!(entry[3], Reply::bulks(["DEBUG", "SLEEP", "0.03"]));
    assert!(entry[2].integer() >= 30_000);
    assert!(
        Server::start(memory())
            .client()
            .line("DEBUG SLEEP 0")
            .error()
            .starts_with("ERR DEBUG command not allowed")
    );
}

/// The bytes of requests and replies that the server holds for clients.
fn memory_of_clients(client: &mut Client) -> u64 {
    let info = client.line("INFO memory").text();
    let line = info.lines().find_map(|line| line.strip_prefix("mem_clients_normal:"));
    line.and_then(|bytes| bytes.trim().parse().ok()).expect("INFO tells the memory of clients")
}

#[test]
#[expect(clippy::print_stdout, reason = "how many clients the machine allowed belongs to the outcome")]
fn ten_thousand_idle_and_a_thousand_slow_clients_leave_room_for_others() {
    const SLOW: usize = 1000;
    const UNSENT: u64 = 32 * MIB;
    // Each connection has two ends, each in a process of its own.
    let idle = 10_000.min(allow_open_files(12_000).saturating_sub(2000)) as usize;
    println!("{idle} idle and {SLOW} slow clients");
    let server = Server::start(
        memory()
            .with("server", "max_clients = 12000")
            .with("limits", &format!("unsent_bytes_max = {UNSENT}")),
    );
    let mut other = server.client();
    let value = vec![b'x'; 64 * 1024];
    assert_eq!(other.command(&[b"SET".as_slice(), b"v", &value]), Reply::ok());
    let before = server.resident_bytes();
    let mut clients = Vec::new();
    for _ in 0..idle {
        clients.push(std::net::TcpStream::connect(server.address()).unwrap());
    }
    assert_eq!(other.line("PING"), pong());
    e2e::server::until("everybody is connected", || {
        other.line("INFO clients").text().contains(&format!("connected_clients:{}", idle + 1))
    });
    let of_idle = server.resident_bytes().saturating_sub(before);
    println!("{of_idle} bytes for idle clients");
    assert!(of_idle < 64 * MIB, "{of_idle} bytes for {idle} idle clients");
    let request = client::encode(&["GET", "v"]).repeat(100);
    let mut slow = Vec::new();
    for _ in 0..SLOW {
        let mut client = server.client();
        // Six megabytes of answers that nobody takes; the server may close it.
        let _ = client.send(&request);
        slow.push(client);
    }
    let mut held = 0;
    for n in 1..100 {
        assert_eq!(other.line("INCR n"), Reply::Integer(n));
        assert_eq!(other.line("GET v"), Reply::bulk(&value));
        held = held.max(memory_of_clients(&mut other));
    }
    let most = server.resident_bytes().saturating_sub(before);
    println!("{held} bytes held for slow clients; the process grew by {most}");
    assert!(held < UNSENT + MIB, "{held} bytes");
    // The allocator keeps more than is in use; without a budget it would be a gigabyte.
    assert!(most < of_idle + 400 * MIB, "{most} bytes");
    server.wait_for_log("limits.unsent_bytes_max");
}
