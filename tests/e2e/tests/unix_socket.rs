//! Clients on the same machine may come over a unix socket.

use e2e::{Client, Config, Reply, Server};
use tempfile::TempDir;

#[test]
fn tcp_and_unix_socket_serve_the_same_data() {
    let folder = TempDir::new().unwrap();
    let socket = folder.path().join("enginebay.sock");
    let server = Server::start(Config::engine("memory").with("server", &format!("unix_socket = {socket:?}")));
    let mut client = Client::connect_unix(&socket).unwrap();
    assert_eq!(client.line("SET k v"), Reply::ok());
    assert_eq!(server.client().line("GET k"), Reply::bulk("v"));
}

#[test]
fn a_socket_left_by_a_killed_server_is_in_nobodys_way() {
    let folder = TempDir::new().unwrap();
    let socket = folder.path().join("enginebay.sock");
    let mut server =
        Server::start(Config::engine("snapshot").with("server", &format!("unix_socket = {socket:?}")));
    assert_eq!(Client::connect_unix(&socket).unwrap().line("SET k v"), Reply::ok());
    server.kill();
    assert!(socket.exists(), "a kill leaves the socket behind");
    let mut server = server.restart();
    assert_eq!(Client::connect_unix(&socket).unwrap().line("GET k"), Reply::bulk("v"));
    server.stop();
    assert!(!socket.exists(), "an orderly end removes the socket");
}
