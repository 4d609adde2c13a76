//! RESP3 on request, RESP2 until then; each connection for itself.

use e2e::{Config, Reply, Server};

#[test]
fn hello_changes_the_protocol_and_describes_the_server() {
    let server = Server::start(Config::engine("memory"));
    let mut client = server.client();
    assert!(matches!(client.line("HELLO"), Reply::Array(_)), "RESP2 has no maps");
    let hello = client.line("HELLO 3");
    assert!(matches!(hello, Reply::Map(_)), "{hello:?}");
    let value =
        |name: &str| hello.pairs().into_iter().find(|(key, _)| key.text() == name).map(|(_, value)| value);
    assert_eq!(value("proto"), Some(Reply::Integer(3)));
    assert_eq!(value("role").unwrap().text(), "master");
    assert!(matches!(value("id"), Some(Reply::Integer(_))));
    assert!(matches!(value("modules"), Some(Reply::Array(_))));
    for name in ["server", "version", "mode"] {
        assert!(value(name).is_some(), "{name} is missing: {hello:?}");
    }
}

#[test]
fn what_is_absent_is_a_null_of_the_protocol() {
    let server = Server::start(Config::engine("memory"));
    let mut client = server.client();
    client.send(b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n").unwrap();
    assert_eq!(client.receive().unwrap(), Reply::Null);
    assert!(matches!(client.receive().unwrap(), Reply::Map(_)));
    client
        .send(b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n*3\r\n$4\r\nMGET\r\n$1\r\na\r\n$1\r\nb\r\n*1\r\n$4\r\nQUIT\r\n")
        .unwrap();
    assert_eq!(client.drain().unwrap(), b"_\r\n*2\r\n_\r\n_\r\n+OK\r\n");
    let mut second = server.client();
    second.send(b"GET k\r\nQUIT\r\n").unwrap();
    assert_eq!(second.drain().unwrap(), b"$-1\r\n+OK\r\n", "another connection still speaks RESP2");
}

#[test]
fn a_protocol_that_does_not_exist_is_refused_and_changes_nothing() {
    let server = Server::start(Config::engine("memory"));
    let mut client = server.client();
    for version in ["1", "4"] {
        assert!(client.line(&format!("HELLO {version}")).error().starts_with("NOPROTO"));
    }
    client.line("HELLO three").error();
    client.send(b"GET k\r\nQUIT\r\n").unwrap();
    assert_eq!(client.drain().unwrap(), b"$-1\r\n+OK\r\n");
}

#[test]
fn the_protocol_changes_in_the_middle_of_a_pipeline() {
    let server = Server::start(Config::engine("memory"));
    let mut client = server.client();
    client
        .send(b"SET a 1\r\nGET x\r\nHELLO 3\r\nGET x\r\nSET a 2\r\nGET y\r\nHELLO 2\r\nGET x\r\nQUIT\r\n")
        .unwrap();
    let text = String::from_utf8(client.drain().unwrap()).unwrap();
    assert!(text.starts_with("+OK\r\n$-1\r\n%"), "{text}");
    assert!(text.contains("_\r\n+OK\r\n_\r\n*"), "{text}");
    assert!(text.ends_with("$-1\r\n+OK\r\n"), "{text}");
}
