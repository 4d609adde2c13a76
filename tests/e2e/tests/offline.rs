//! The commands that work on a data directory without a server, as tests run them.

use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use e2e::{Config, Reply, Server, build, server};
use serde_json::Value;
use tempfile::TempDir;

use crate::data_directory::contents;

/// The server's executable with these arguments, its streams piped.
pub fn command<T: AsRef<OsStr>>(arguments: &[T]) -> Command {
    let mut command = Command::new(&build::built().host);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs a command on these bytes.
#[track_caller]
pub fn run_on<T: AsRef<OsStr>>(arguments: &[T], input: &[u8]) -> Output {
    let mut child = command(arguments).spawn().expect("start the program");
    let mut stdin = child.stdin.take().expect("stdin is piped");
    let input = input.to_vec();
    // Who refuses early does not read everything.
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().expect("wait for the program");
    writer.join().expect("write the input");
    output
}

/// Runs a command on nothing.
#[track_caller]
pub fn run<T: AsRef<OsStr>>(arguments: &[T]) -> Output {
    run_on(arguments, b"")
}

/// The output, if the command succeeded.
#[track_caller]
pub fn succeeded(output: Output) -> Vec<u8> {
    assert!(output.status.success(), "{:?}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// The last line of the output as JSON, if the command succeeded.
#[track_caller]
pub fn answer(output: Output) -> Value {
    let stdout = succeeded(output);
    let line = stdout.trim_ascii_end().rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
    serde_json::from_slice(line).expect("the answer is JSON")
}

/// The command was refused with this exit code and these words, on one line.
#[track_caller]
pub fn refused(output: &Output, code: i32, expected: &[&str]) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    for text in expected {
        assert!(said.contains(text), "{text:?} is missing in: {said}");
    }
    assert_eq!(said.lines().filter(|line| line.starts_with("enginebay: ")).count(), 1, "{said}");
    assert!(!said.contains("panicked"), "{said}");
}

/// Runs a command none of whose files may be longer than so many kilobytes: the full disk that every machine has.
pub fn limited(arguments: &[&str], kilobytes: u64, input: &[u8]) -> Output {
    let program = build::built().host.display().to_string();
    let script = format!("trap '' XFSZ; ulimit -f {}; exec \"$@\"", 2 * kilobytes);
    let mut shell = Command::new("sh");
    shell.args(["-c", &script, "sh", &program]).args(arguments);
    let mut child =
        shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Who finds no room does not read everything.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

/// Sends a signal to a process that was not yet waited for.
pub fn signal(child: &Child, signal: i32) {
    let id = i32::try_from(child.id()).expect("process ids fit");
    // SAFETY: `kill` takes two integers and touches no memory; the child was not yet waited for, so the number
    // is still its own.
    unsafe { libc::kill(id, signal) };
}

/// Runs a command and kills it as soon as `begun` is there.
#[track_caller]
pub fn kill_at(arguments: &[&str], begun: &Path) {
    let mut child = command(arguments).spawn().expect("start the program");
    server::until("the work to begin", || begun.exists());
    child.kill().expect("the child is ours");
    child.wait().expect("the child ends");
}

/// A path as an argument.
pub fn text(path: &Path) -> &str {
    path.to_str().expect("the paths of the tests are UTF-8")
}

/// The data of a store that a server wrote and closed, with keys and values of all kinds.
#[track_caller]
pub fn written(folder: &TempDir, config: Config, keys: usize) -> PathBuf {
    let data = folder.path().join("data");
    let mut server = Server::start(config.data(&data));
    let mut client = server.client();
    let sets: Vec<Vec<Vec<u8>>> =
        (0..keys).map(|number| vec![b"SET".to_vec(), key(number), value(number)]).collect();
    for some in sets.chunks(1000) {
        assert!(client.pipeline(some).iter().all(|reply| *reply == Reply::ok()));
    }
    assert_eq!(client.line("SELECT 9"), Reply::ok());
    assert_eq!(client.command(&["SET", "large", &"x".repeat(3 << 20)]), Reply::ok());
    assert_eq!(client.command(&["SET", "empty", ""]), Reply::ok());
    assert_eq!(client.line("SWAPDB 9 3"), Reply::ok());
    assert!(server.stop().success());
    data
}

fn key(number: usize) -> Vec<u8> {
    let mut key = number.to_be_bytes()[4..].to_vec();
    key.extend_from_slice(b"\0\r\n\xff");
    key
}

fn value(number: usize) -> Vec<u8> {
    format!("value {number} {}", "v".repeat(number % 200)).into_bytes()
}

/// A server with this config has what `written` wrote.
#[track_caller]
pub fn assert_serves(config: Config, data: &Path, keys: usize) {
    let mut server = Server::start(config.data(data));
    let mut client = server.client();
    assert_eq!(client.line("DBSIZE"), Reply::Integer(keys as i64));
    let gets: Vec<Vec<Vec<u8>>> = (0..keys).map(|number| vec![b"GET".to_vec(), key(number)]).collect();
    for (start, some) in gets.chunks(1000).enumerate() {
        for (place, reply) in client.pipeline(some).into_iter().enumerate() {
            assert_eq!(reply, Reply::bulk(value(1000 * start + place)));
        }
    }
    assert_eq!(client.line("SELECT 3"), Reply::ok());
    assert_eq!(client.line("STRLEN large"), Reply::Integer(3 << 20));
    assert_eq!(client.line("GET empty"), Reply::bulk(""));
    assert!(server.stop().success());
}

/// The names in a folder, sorted.
pub fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("list a folder");
    let mut names: Vec<_> = entries
        .map(|entry| entry.expect("list a folder").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// Flips a bit of one file below the folder: that of the first file whose path contains `name`, in the middle of
/// the first occurrence of `inside`.
#[track_caller]
pub fn flip(folder: &Path, name: &str, inside: &[u8]) {
    let found =
        contents(folder).into_iter().filter(|(path, _)| path.contains(name)).find_map(|(path, bytes)| {
            let start = bytes.windows(inside.len()).position(|window| window == inside)?;
            Some((path, bytes, start + inside.len() / 2))
        });
    let (path, mut bytes, place) = found.expect("a file holds these bytes");
    bytes[place] ^= 1;
    std::fs::write(path, bytes).expect("write a damaged file");
}
