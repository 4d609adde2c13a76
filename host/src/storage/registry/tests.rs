//! Which files are refused, and in which words. The files here are no plugins: one that passes the checks is
//! refused by the loader, which is how these tests see that it passed.

use std::fs::Permissions;
use std::os::unix::fs::symlink;

use tempfile::TempDir;

use super::*;

fn folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    set_mode(folder.path(), 0o755);
    folder
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// A file that is readable and not a plugin.
fn file(folder: &Path, name: &str) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, name).unwrap();
    set_mode(&path, 0o644);
    path
}

fn registry(folders: &[&Path]) -> Registry {
    let folders: Vec<_> = folders.iter().map(|folder| folder.to_path_buf()).collect();
    Registry::new(&folders, BTreeMap::new()).unwrap()
}

fn refusal(registry: &Registry, engine: &str) -> RegistryError {
    registry.load(engine).map(|plugin| plugin.path).unwrap_err()
}

/// Whether every check of the registry passed, so that the loader had its say.
fn reaches_the_loader(registry: &Registry, engine: &str) -> bool {
    matches!(refusal(registry, engine), RegistryError::Load(_))
}

#[test]
fn a_file_of_our_own_in_a_folder_of_our_own_reaches_the_loader() {
    let folder = folder();
    let path = file(folder.path(), "libengine_tiny.so");
    let registry = registry(&[folder.path()]);
    assert!(reaches_the_loader(&registry, "tiny"));
    assert!(reaches_the_loader(&registry, path.to_str().unwrap()));
}

#[test]
fn a_file_or_a_folder_that_everybody_may_write_is_refused() {
    let outer = folder();
    let inner = outer.path().join("inner");
    fs::create_dir(&inner).unwrap();
    set_mode(&inner, 0o755);
    let path = file(&inner, "libengine_tiny.so");
    let registry = registry(&[&inner]);
    for (open, kept) in [(path.as_path(), 0o644), (inner.as_path(), 0o755), (outer.path(), 0o755)] {
        set_mode(open, kept | OTHERS_WRITE);
        let message = refusal(&registry, "tiny").to_string();
        assert!(message.contains("everybody may write to it; run `chmod o-w "), "{message}");
        assert!(message.contains(open.canonicalize().unwrap().to_str().unwrap()), "{message}");
        set_mode(open, kept);
    }
    assert!(reaches_the_loader(&registry, "tiny"));
}

#[test]
fn sticky_passes_above_the_folder_but_not_for_the_folder_itself() {
    let outer = folder();
    let inner = outer.path().join("inner");
    fs::create_dir(&inner).unwrap();
    set_mode(&inner, 0o755);
    file(&inner, "libengine_tiny.so");
    file(outer.path(), "libengine_tiny.so");
    set_mode(outer.path(), 0o1777);
    assert!(reaches_the_loader(&registry(&[&inner]), "tiny"));
    assert!(matches!(refusal(&registry(&[outer.path()]), "tiny"), RegistryError::Untrusted { .. }));
}

#[test]
fn writable_by_the_group_passes() {
    let folder = folder();
    let path = file(folder.path(), "libengine_tiny.so");
    set_mode(&path, 0o775);
    set_mode(folder.path(), 0o775);
    assert!(reaches_the_loader(&registry(&[folder.path()]), "tiny"));
}

#[test]
fn a_file_of_another_user_is_refused() {
    let folder = folder();
    file(folder.path(), "libengine_tiny.so");
    let mut registry = registry(&[folder.path()]);
    let own = registry.user;
    if own == 0 {
        // Root may give files away; whoever else runs this stands in for the stranger below.
        std::os::unix::fs::chown(folder.path().join("libengine_tiny.so"), Some(4242), None).unwrap();
    } else {
        registry.user = own + 1;
    }
    let message = refusal(&registry, "tiny").to_string();
    assert!(message.contains("belongs to user") && message.contains("chown"), "{message}");
}

#[test]
fn a_link_is_judged_by_where_it_leads() {
    let (links, open) = (folder(), folder());
    let target = file(open.path(), "anything.so");
    symlink(&target, links.path().join("libengine_tiny.so")).unwrap();
    let registry = registry(&[links.path()]);
    assert!(reaches_the_loader(&registry, "tiny"));
    set_mode(open.path(), 0o757);
    let message = refusal(&registry, "tiny").to_string();
    assert!(message.contains(open.path().canonicalize().unwrap().to_str().unwrap()), "{message}");
}

#[test]
fn a_link_to_nowhere_a_folder_and_a_pipe_are_refused_by_name() {
    let folder = folder();
    symlink("gone", folder.path().join("libengine_gone.so")).unwrap();
    fs::create_dir(folder.path().join("libengine_folder.so")).unwrap();
    let pipe = folder.path().join("libengine_pipe.so");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let registry = registry(&[folder.path()]);
    assert!(refusal(&registry, "gone").to_string().contains("libengine_gone.so: No such file"));
    for name in ["folder", "pipe"] {
        let message = refusal(&registry, name).to_string();
        assert!(message.contains("it is not a regular file"), "{message}");
    }
}

#[test]
fn a_plugin_inside_the_data_directory_is_refused() {
    let data = folder();
    file(data.path(), "libengine_tiny.so");
    let registry = registry(&[data.path()]).outside(data.path());
    let message = refusal(&registry, "tiny").to_string();
    assert!(message.contains("inside the data directory"), "{message}");
}

#[test]
fn a_pin_admits_its_file_alone() {
    let folder = folder();
    let path = file(folder.path(), "libengine_tiny.so");
    file(folder.path(), "libengine_other.so");
    let odd = file(folder.path(), "odd.so");
    let hash = sha256(&path).unwrap();
    assert_eq!(hash.len(), 64);
    let pins = BTreeMap::from([("tiny".to_string(), hash.clone())]);
    let registry = Registry::new(&[folder.path().to_path_buf()], pins).unwrap();
    assert!(reaches_the_loader(&registry, "tiny"));
    assert!(matches!(refusal(&registry, "other"), RegistryError::NotPinned { .. }));
    assert!(matches!(refusal(&registry, odd.to_str().unwrap()), RegistryError::NotPinned { .. }));
    fs::write(&path, "changed").unwrap();
    let message = refusal(&registry, "tiny").to_string();
    assert!(message.contains(&sha256(&path).unwrap()) && !message.contains(&hash), "{message}");
}

#[test]
fn sha256_is_the_known_one() {
    let folder = folder();
    let path = folder.path().join("abc");
    fs::write(&path, "abc").unwrap();
    assert_eq!(sha256(&path).unwrap(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

#[test]
fn an_unknown_name_lists_what_there_is_and_the_nearest() {
    let (first, second) = (folder(), folder());
    file(first.path(), "libengine_snapshot.so");
    file(second.path(), "libengine_memory.so");
    file(second.path(), "libengine_Bad.so");
    let registry = registry(&[first.path(), second.path()]);
    let message = refusal(&registry, "snapshto").to_string();
    assert!(message.ends_with("; there is memory, snapshot; did you mean snapshot?"), "{message}");
    let message = refusal(&self::registry(&[folder().path()]), "tiny").to_string();
    assert!(message.contains("no engine is there"), "{message}");
}

#[test]
fn a_name_never_leads_out_of_a_folder() {
    let folder = folder();
    let registry = registry(&[folder.path()]);
    for name in ["", "..", "UPPER", "a.b", "naïve", &"x".repeat(33)] {
        assert!(matches!(refusal(&registry, name), RegistryError::BadName { .. }), "{name:?}");
    }
    assert!(is_engine_name("a-b_9") && is_engine_name(&"x".repeat(32)));
}

#[test]
fn the_first_folder_wins_and_the_survey_says_so() {
    let (first, second) = (folder(), folder());
    let chosen = file(first.path(), "libengine_tiny.so");
    let hidden = file(second.path(), "libengine_tiny.so");
    file(second.path(), "libother.so");
    let found = registry(&[first.path(), second.path()]).survey().unwrap();
    assert_eq!(found.iter().map(|one| one.path.as_path()).collect::<Vec<_>>(), [&chosen, &hidden]);
    assert!(matches!(found[0].plugin, Err(RegistryError::Load(_))));
    assert!(matches!(&found[1].plugin, Err(RegistryError::Hidden { first, .. }) if *first == chosen));
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let message = registry(&[Path::new("/no/such/folder")]).survey().unwrap_err().to_string();
    assert!(message.contains("/no/such/folder"), "{message}");
}

#[test]
fn without_folders_the_executables_folder_is_searched() {
    let executable = std::env::current_exe().unwrap().canonicalize().unwrap();
    let registry = Registry::new(&[], BTreeMap::new()).unwrap();
    assert_eq!(registry.folders(), [executable.parent().unwrap()]);
}
