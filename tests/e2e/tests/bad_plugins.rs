//! A file that is no plugin for this host: one clear line, exit code 3, never a signal.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use e2e::{Config, Server, build, server};
use tempfile::TempDir;

/// Starts a server on the file and checks the refusal.
#[track_caller]
fn refused(file: &Path) -> String {
    let output = Server::refuse(&Config::engine(file));
    assert_refusal(&output, file)
}

#[track_caller]
fn assert_refusal(output: &std::process::Output, file: &Path) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{}: {}\n{said}", file.display(), output.status);
    let name = file.file_name().unwrap().to_str().unwrap();
    let lines: Vec<_> = said.lines().filter(|line| line.contains(name)).collect();
    let [line] = lines.as_slice() else { panic!("one line names {name}, not {}:\n{said}", lines.len()) };
    assert!(line.len() < 600, "the line is too long to be clear: {line}");
    assert!(said.lines().count() <= 3, "a refusal is short:\n{said}");
    assert!(!said.contains("panicked"), "{said}");
    line.to_string()
}

fn file(folder: &TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn a_missing_file_is_refused() {
    refused(Path::new("/nonexistent/libengine_nothing.so"));
}

#[test]
fn an_engine_that_no_folder_has_is_refused_and_the_folders_are_named() {
    let output = Server::refuse(&Config::engine("nosuchengine"));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{said}");
    let folder = build::built().host.parent().unwrap().to_str().unwrap();
    assert!(said.contains("nosuchengine") && said.contains(folder), "{said}");
}

#[test]
fn a_directory_is_refused() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("libengine_folder.so");
    fs::create_dir(&path).unwrap();
    refused(&path);
}

#[test]
fn an_empty_file_is_refused() {
    let folder = TempDir::new().unwrap();
    refused(&file(&folder, "libengine_empty.so", b""));
}

#[test]
fn a_text_is_refused() {
    let folder = TempDir::new().unwrap();
    refused(&file(&folder, "libengine_text.so", b"I am no library.\n"));
}

#[test]
fn random_bytes_are_refused_with_and_without_a_magic_number() {
    let folder = TempDir::new().unwrap();
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut random: Vec<u8> = (0..5000)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[3]
        })
        .collect();
    refused(&file(&folder, "libengine_random.so", &random));
    random[..16].copy_from_slice(b"\x7FELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    refused(&file(&folder, "libengine_magic.so", &random));
}

#[test]
fn a_program_header_full_of_random_bytes_is_refused() {
    let folder = TempDir::new().unwrap();
    let mut bytes = fs::read(build::own_engine("memory")).unwrap();
    for (place, byte) in bytes[64..64 + 10 * 56].iter_mut().enumerate() {
        *byte = byte.wrapping_mul(31).wrapping_add(place as u8);
    }
    refused(&file(&folder, "libengine_headers.so", &bytes));
}

/// The end of the last part of the file that the loader maps into memory.
fn end_of_segments(elf: &[u8]) -> usize {
    let number = |at: usize, bytes: usize| {
        elf[at..at + bytes].iter().rev().fold(0, |number, byte| number << 8 | usize::from(*byte))
    };
    let (table, entry_bytes, entries) = (number(32, 8), number(54, 2), number(56, 2));
    let loaded = (0..entries).map(|entry| table + entry * entry_bytes).filter(|at| number(*at, 4) == 1);
    loaded.map(|at| number(at + 8, 8) + number(at + 32, 8)).max().unwrap()
}

#[test]
fn a_plugin_cut_at_any_length_is_refused_and_never_ends_in_a_signal() {
    let folder = TempDir::new().unwrap();
    let whole = fs::read(build::own_engine("memory")).unwrap();
    let end = end_of_segments(&whole);
    let small = [1, 15, 16, 17, 51, 52, 63, 64, 65, 120, 500, 4095, 4096, 4097];
    let steps = (1..40).map(|step| end * step / 40);
    for cut in small.into_iter().chain(steps).chain([end - 4096, end - 1]) {
        let file = file(&folder, "libengine_cut.so", &whole[..cut]);
        let output = server::run(&["inspect".as_ref(), file.as_os_str()]);
        assert_refusal(&output, &file);
    }
    refused(&file(&folder, "libengine_cut.so", &whole[..end / 2]));
    // Behind the segments lie symbols and debug information that no loader reads: either answer is right.
    for cut in [end, (end + whole.len()) / 2, whole.len() - 1] {
        let file = file(&folder, "libengine_cut.so", &whole[..cut]);
        let output = server::run(&["inspect".as_ref(), file.as_os_str()]);
        assert!(matches!(output.status.code(), Some(0 | 3)), "cut at {cut}: {output:?}");
    }
}

#[test]
fn a_library_without_the_symbol_is_refused() {
    let folder = TempDir::new().unwrap();
    let line = refused(&build::library_in_c(folder.path()));
    assert!(line.contains("plugin"), "{line}");
}

#[test]
fn the_c_library_is_refused() {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let libc =
        maps.lines().find_map(|line| line.split_whitespace().nth(5).filter(|path| path.contains("libc.so")));
    let Some(libc) = libc else { return }; // A statically linked libc is no file that could be refused.
    refused(Path::new(libc));
}

#[test]
fn a_plugin_that_others_may_write_is_refused() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("libengine_memory.so");
    fs::copy(build::own_engine("memory"), &path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o757)).unwrap();
    assert!(refused(&path).contains("writ"));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    assert!(refused(&path).contains("writ"));
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
    drop(Server::start(Config::engine(&path)));
}
