//! The simulated disk: what it forgets and what it keeps; and beside a real file system, call for call.

use std::io::{ErrorKind, IoSlice};
use std::sync::Arc;

use adapter_api::environment::real::{RealDirectory, read_whole};
use adapter_api::environment::{Cause, File, OpenFile};
use crash::calls::{call, look};
use crash::environment::{Disk, Lie};
use crash::image::mix;
use crash::power_cut::{Crash, Fill, Kept, KeptNames};

fn create(disk: &Disk, name: &str) -> Arc<dyn File> {
    disk.root().open_file(name, OpenFile::CREATE_NEW).unwrap()
}

fn write(file: &Arc<dyn File>, offset: u64, bytes: &[u8]) {
    file.write_at(&[IoSlice::new(bytes)], offset, Cause::Other).unwrap();
}

fn content(disk: &Disk, name: &str) -> Option<Vec<u8>> {
    read_whole(&*disk.root(), name, 1 << 20).ok()
}

fn cut(data: Kept, names: KeptNames) -> Crash {
    Crash::Cut { data, names }
}

const ALL_NAMES: KeptNames = KeptNames::First(usize::MAX);

#[test]
fn a_name_and_its_bytes_become_durable_apart() {
    let disk = Disk::default();
    let file = create(&disk, "f");
    write(&file, 0, b"bytes");
    file.sync_all().unwrap();
    assert_eq!(content(&disk.after(Crash::TO_DURABLE), "f"), None);
    disk.root().sync().unwrap();
    write(&create(&disk, "g"), 0, b"bytes");
    disk.root().sync().unwrap();
    let after = disk.after(Crash::TO_DURABLE);
    assert_eq!((content(&after, "f"), content(&after, "g")), (Some(b"bytes".to_vec()), Some(Vec::new())));
    assert_eq!(content(&disk.after(Crash::Kill), "g"), Some(b"bytes".to_vec()));
}

#[test]
fn a_durable_write_makes_its_own_range_durable_and_nothing_else() {
    let disk = Disk::default();
    let file = create(&disk, "f");
    disk.root().sync().unwrap();
    write(&file, 0, b"aaaaaa");
    file.write_durable_at(&[IoSlice::new(b"bb")], 2, Cause::Log).unwrap();
    let after = |data| content(&disk.after(cut(data, ALL_NAMES)), "f").unwrap();
    assert_eq!(after(Kept::Nothing), b"\0\0bb");
    assert_eq!(after(Kept::All), b"aabbaa");
    let ticket = file.start_durable(&[IoSlice::new(b"cc")], 4, Cause::Log).unwrap();
    assert_eq!(after(Kept::Nothing), b"\0\0bb");
    file.wait(ticket).unwrap();
    assert_eq!(after(Kept::Nothing), b"\0\0bbcc");
    file.sync_data().unwrap();
    assert_eq!(after(Kept::Nothing), b"aabbcc");
}

#[test]
fn a_write_is_torn_at_sectors_and_a_length_comes_without_its_bytes() {
    let disk = Disk::default();
    let file = create(&disk, "f");
    disk.root().sync().unwrap();
    write(&file, 0, &[7; 1024]);
    let after = |data| content(&disk.after(cut(data, ALL_NAMES)), "f").unwrap();
    assert_eq!(after(Kept::Head(0, 1)), [7; 512]);
    assert_eq!(after(Kept::Rest(0, 1)), [[0; 512], [7; 512]].concat());
    assert_eq!(after(Kept::Length(0, Fill::Zeros)), [0; 1024]);
    assert_eq!(after(Kept::Reach(0, 700)), [0; 700], "a length in the middle of what made it longer");
    let noise = after(Kept::Length(0, Fill::Noise));
    assert_eq!(after(Kept::Within(0)), [0; 0], "bytes behind the end of the file");
    assert!(noise.len() == 1024 && noise != [0; 1024] && noise != [7; 1024]);
    write(&file, 0, &[8; 4]);
    file.set_len(2).unwrap();
    assert_eq!(after(Kept::But(2)).len(), 1024, "a cut that was lost");
    assert_eq!(after(Kept::Only(2)), [0; 2], "a length alone");
    assert_eq!(after(Kept::Mask(0b110)), [8; 2]);
}

#[test]
fn a_write_is_torn_where_sectors_of_the_disk_end_wherever_it_begins() {
    let disk = Disk::default();
    let file = create(&disk, "f");
    disk.root().sync().unwrap();
    write(&file, 500, &[7; 600]);
    let after = |data| content(&disk.after(cut(data, ALL_NAMES)), "f").unwrap();
    assert_eq!(after(Kept::Head(0, 1)), [vec![0; 500], vec![7; 12]].concat());
    assert_eq!(after(Kept::Head(0, 2)), [vec![0; 500], vec![7; 524]].concat());
    assert_eq!(after(Kept::Rest(0, 2)), [vec![0; 1024], vec![7; 76]].concat());
}

#[test]
fn a_rename_is_old_or_new_and_names_are_kept_as_prefix_or_as_subset() {
    let disk = Disk::default();
    for name in ["old", "new"] {
        let file = create(&disk, name);
        write(&file, 0, name.as_bytes());
        file.sync_data().unwrap();
    }
    disk.root().sync().unwrap();
    disk.root().rename("new", "old").unwrap();
    disk.root().link("old", "other").unwrap();
    disk.root().remove("old").unwrap();
    let names = |kept| {
        let after = disk.after(cut(Kept::All, kept));
        ["old", "new", "other"].map(|name| content(&after, name).map(|bytes| bytes[0]))
    };
    assert_eq!(names(KeptNames::First(0)), [Some(b'o'), Some(b'n'), None]);
    assert_eq!(names(KeptNames::First(1)), [Some(b'n'), None, None]);
    assert_eq!(names(KeptNames::First(2)), [Some(b'n'), None, Some(b'n')]);
    assert_eq!(names(KeptNames::First(3)), [None, None, Some(b'n')]);
    assert_eq!(names(KeptNames::But(1)), [None, None, None]);
    assert_eq!(names(KeptNames::Mask(0b010)), [Some(b'o'), Some(b'n'), Some(b'n')]);
}

#[test]
fn two_names_of_one_file_stay_one_file_after_a_cut() {
    let disk = Disk::default();
    write(&create(&disk, "a"), 0, b"x");
    disk.root().link("a", "b").unwrap();
    let after = disk.after(cut(Kept::All, ALL_NAMES));
    let file = after.root().open_file("a", OpenFile::WRITE).unwrap();
    write(&file, 0, b"y");
    assert_eq!(content(&after, "b").unwrap(), b"y");
}

#[test]
fn an_open_file_outlives_its_name_and_comes_back_with_it() {
    let disk = Disk::default();
    let file = create(&disk, "f");
    disk.root().sync().unwrap();
    disk.root().remove("f").unwrap();
    write(&file, 0, b"late");
    file.sync_data().unwrap();
    assert_eq!(file.len().unwrap(), 4);
    assert_eq!(content(&disk.after(Crash::TO_DURABLE), "f").unwrap(), b"late", "the removal was not durable");
}

#[test]
fn a_directory_inside_has_names_of_its_own() {
    let disk = Disk::default();
    disk.root().create_directory("d").unwrap();
    let inside = disk.root().open_directory("d").unwrap();
    inside.open_file("f", OpenFile::CREATE_NEW).unwrap();
    inside.sync().unwrap();
    assert!(disk.after(Crash::TO_DURABLE).root().list().unwrap().is_empty());
    disk.root().sync().unwrap();
    let after = disk.after(Crash::TO_DURABLE).root().open_directory("d").unwrap();
    assert_eq!(after.list().unwrap().len(), 1);
    assert_eq!(disk.root().remove("d").unwrap_err().kind(), ErrorKind::DirectoryNotEmpty);
}

#[test]
fn what_a_failed_sync_lost_no_later_sync_makes_durable() {
    let disk = Disk::default();
    let file = create(&disk, "f");
    disk.root().sync().unwrap();
    write(&file, 0, b"lost");
    disk.fail_sync(1);
    file.sync_data().unwrap_err();
    file.sync_data().unwrap();
    assert_eq!(content(&disk, "f").unwrap(), b"lost", "reads show it");
    assert_eq!(content(&disk.after(Crash::TO_DURABLE), "f").unwrap(), b"");
    assert_eq!(content(&disk.after(cut(Kept::All, ALL_NAMES)), "f").unwrap(), b"lost", "it may be there");
    write(&file, 0, b"safe");
    file.sync_data().unwrap();
    assert_eq!(content(&disk.after(Crash::TO_DURABLE), "f").unwrap(), b"safe");
    create(&disk, "g");
    disk.fail_sync(1);
    disk.root().sync().unwrap_err();
    disk.root().sync().unwrap();
    assert_eq!(content(&disk.after(Crash::TO_DURABLE), "g"), None);
    assert_eq!(content(&disk.after(Crash::Kill), "g").unwrap(), b"");
}

#[test]
fn a_disk_that_is_full_or_gone_refuses_changes_and_shows_what_it_has() {
    let disk = Disk::with_contents(&[("f".to_string(), Arc::new(vec![1; 100]))]);
    let file = disk.root().open_file("f", OpenFile::WRITE).unwrap();
    disk.set_capacity(Some(110));
    write(&file, 50, &[2; 60]);
    let full = file.write_at(&[IoSlice::new(&[3; 60])], 51, Cause::Other).unwrap_err();
    assert_eq!(full.kind(), ErrorKind::StorageFull);
    assert_eq!(content(&disk, "f").unwrap(), [vec![1; 50], vec![2; 60]].concat());
    assert_eq!(content(&disk.cut_to_durable(), "f").unwrap(), [1; 100]);
    disk.light_fuse(1);
    write(&file, 0, &[4]);
    let gone = [file.sync_data(), disk.root().sync(), disk.root().remove("f")];
    assert!(gone.iter().all(Result::is_err) && content(&disk, "f").is_some());
}

#[test]
fn a_lie_about_syncs_shows_in_what_is_durable() {
    let durable = |lie| {
        let disk = Disk::default();
        disk.plant(lie);
        let file = create(&disk, "f");
        disk.root().sync().unwrap();
        write(&file, 0, b"x");
        file.sync_data().unwrap();
        content(&disk.after(Crash::TO_DURABLE), "f")
    };
    assert_eq!(durable(Lie::None).unwrap(), b"x");
    assert_eq!(durable(Lie::DataSyncs).unwrap(), b"");
    assert_eq!(durable(Lie::LateSyncs).unwrap(), b"");
    assert_eq!(durable(Lie::DirectorySyncsAfter(|_| true)), None);
}

#[test]
fn the_same_calls_have_the_same_digest_and_others_another() {
    let digest = |byte: u8| {
        let disk = Disk::default();
        disk.record();
        write(&create(&disk, "f"), 0, &[byte]);
        disk.root().sync().unwrap();
        disk.take_recording().digest
    };
    assert_eq!(digest(1), digest(1));
    assert_ne!(digest(1), digest(2));
}

#[test]
fn every_choice_of_a_crash_is_read_back_as_it_is_written() {
    for text in [
        "kill",
        "cut nothing names-first:0",
        "cut but:3 names-but:1",
        "cut mask:5 names-mask:2",
        "cut head:2:4 names-random:9",
        "cut stale:1 names-first:2",
        "cut reach:1:800 names-first:2",
        "cut within:1 names-first:2",
    ] {
        assert_eq!(text.parse::<Crash>().unwrap().to_string(), text);
    }
    assert!("cut some names-first:0".parse::<Crash>().is_err());
}

/// What a process that is killed leaves is what a real file system shows: here after every call.
#[test]
fn it_shows_what_the_real_file_system_shows_after_every_call() {
    let folder = tempfile::tempdir().unwrap();
    let real = RealDirectory::open(folder.path(), Arc::default()).unwrap();
    let seed = 7;
    let (disk, mut dice) = (Disk::default(), seed);
    for number in 0..600 {
        dice = mix(dice);
        let simulated = call(&*disk.root(), dice);
        assert_eq!(simulated, call(&real, dice), "seed {seed}, call {number}");
        let kept = disk.after(cut(Kept::All, ALL_NAMES));
        assert_eq!(kept.state().digest(), Disk::new(kept.state()).state().digest());
        assert_eq!(
            look(&*disk.after(Crash::Kill).root()),
            look(&*kept.root()),
            "seed {seed}, call {number}: a power cut may leave everything"
        );
    }
}
