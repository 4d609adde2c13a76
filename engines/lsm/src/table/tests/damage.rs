//! Tables that are not as they were written: flipped bytes, cut and misplaced files, numbers that lie; and files that could
//! not be written.

use std::sync::Barrier;

use super::*;
use crate::blob;
use crate::table::block;
use crate::table::filter::Filter;
use crate::table::footer::{FOOTER_BYTES, Footer};
use crate::table::index::Index;
use crate::table::properties;

/// Every entry by search and by walks; and what `verify` says.
fn read_all(table: &Arc<Table>, model: &Model) -> Result<(), EngineError> {
    for (key, item) in model {
        assert_eq!(find(table, key)?.as_ref(), Some(item));
    }
    for direction in [Direction::Forward, Direction::Reverse] {
        let found = collect(&mut table.walk(&Bounds::new(KeyRange::all()), direction, true))?;
        assert_eq!(found, expected(model, KeyRange::all(), direction));
    }
    Ok(())
}

fn damage(table: &Table) -> Vec<EngineError> {
    let mut found = Vec::new();
    table.verify(&mut |error| found.push(error)).unwrap();
    found
}

fn small(dice: &mut Dice) -> (Model, Ranges) {
    let mut ranges = Ranges::default();
    ranges.add(KeyRange::new(b"user:b", b"user:d"));
    let model = (0..110).map(|number| (format!("user:{number:04}").into_bytes(), dice.item())).collect();
    (model, ranges)
}

#[test]
fn every_flipped_byte_of_a_table_is_named() {
    for compression in COMPRESSIONS {
        let (shelf, mut dice) = (Shelf::new(), Dice(4));
        let (mut model, ranges) = small(&mut dice);
        model.retain(|_, item| item.len() < 400);
        let options = TableOptions { block_bytes: 4096, compression, ..PLAIN };
        let info = shelf.write(1, options, &model, ranges);
        let whole = shelf.bytes(1);
        read_all(&shelf.open(info.clone()).unwrap(), &model).unwrap();
        let (mut at_open, mut at_read) = (0, 0);
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << dice.roll(8);
            shelf.put(1, &bytes);
            let error = match shelf.open(info.clone()) {
                Err(error) => {
                    at_open += 1;
                    error
                }
                Ok(table) => {
                    at_read += 1;
                    assert_eq!(damage(&table).len(), 1, "byte {at}");
                    read_all(&table, &model).expect_err("a flipped byte of a block is noticed")
                }
            };
            let EngineError::Corrupt { file, position, .. } = error else { panic!("byte {at}: {error}") };
            assert!(file == table_name(1) && position <= at as u64, "byte {at}: {position}");
        }
        assert!(at_open > 300 && at_read > 1_000, "{at_open} {at_read}");
    }
}

#[test]
fn a_table_that_is_cut_or_longer_or_not_there_is_refused() {
    let (shelf, mut dice) = (Shelf::new(), Dice(5));
    let (model, ranges) = small(&mut dice);
    let info = shelf.write(1, PLAIN, &model, ranges);
    let whole = shelf.bytes(1);
    for cut in (0..whole.len()).rev().step_by(7).chain([0]) {
        shelf.put(1, &whole[..cut]);
        let Err(error) = shelf.open(info.clone()) else { panic!("cut to {cut}") };
        assert!(matches!(error, EngineError::Corrupt { .. }), "{error}");
    }
    shelf.put(1, &[&whole[..], &[0]].concat());
    assert!(matches!(shelf.open(info.clone()), Err(EngineError::Corrupt { .. })));
    shelf.put(1, &whole);
    let table = shelf.open(info.clone()).unwrap();
    // Cut while it is open: only blocks are read from then on.
    shelf.put(1, &whole[..whole.len() / 2]);
    assert!(matches!(read_all(&table, &model), Err(EngineError::Corrupt { .. })));
    assert!(damage(&table).len() > 1);
    shelf.directory.remove(&table_name(1)).unwrap();
    assert!(matches!(shelf.open(info), Err(EngineError::Corrupt { .. })));
}

#[test]
fn a_walk_whose_read_failed_stays_where_it_is() {
    let (shelf, mut dice) = (Shelf::new(), Dice(5));
    let model = dice.model(3_000);
    let table = shelf.table(1, &model);
    let (whole, cut) = (shelf.bytes(1), table.index.place(table.index.count() / 2).start + 100);
    for direction in [Direction::Forward, Direction::Reverse] {
        let mut walk = table.walk(&Bounds::new(KeyRange::all()), direction, true);
        let mut found = Vec::new();
        shelf.put(1, &whole[..cut as usize]);
        while let Ok(is_there) = walk.advance() {
            assert!(is_there, "the end of the file is not that of the walk");
            found.push((walk.key().to_vec(), encoded(walk.item())));
        }
        assert!(walk.advance().is_err());
        shelf.put(1, &whole);
        found.extend(collect(&mut walk).unwrap());
        assert_eq!(found, expected(&model, KeyRange::all(), direction));
    }
}

#[test]
fn a_table_or_block_that_was_written_elsewhere_is_refused() {
    let (shelf, mut dice) = (Shelf::new(), Dice(6));
    let (model, ranges) = small(&mut dice);
    let options = TableOptions { block_bytes: 4096, ..PLAIN };
    let (one, other) =
        (shelf.write(1, options, &model, ranges.clone()), shelf.write(2, options, &model, ranges));
    let (bytes, mut mixed) = (shelf.bytes(1), shelf.bytes(2));
    shelf.put(2, &bytes);
    assert!(matches!(shelf.open(other.clone()), Err(EngineError::Corrupt { .. })));
    // One block of the other table, at its own place.
    let place = shelf.open(one.clone()).unwrap().index.place(1);
    let place = place.start as usize..place.end as usize;
    mixed[place.clone()].copy_from_slice(&bytes[place]);
    shelf.put(2, &mixed);
    let table = shelf.open(other).unwrap();
    assert!(matches!(read_all(&table, &model), Err(EngineError::Corrupt { .. })));
    assert_eq!(damage(&table).len(), 1);
    // A manifest that knows more entries.
    assert!(shelf.open(TableInfo { entries: one.entries + 1, ..one }).is_err());
}

#[test]
fn parts_that_lie_are_refused_or_harmless_even_with_checksums_that_hold() {
    let (shelf, mut dice) = (Shelf::new(), Dice(8));
    let (model, ranges) = small(&mut dice);
    let mut accepted = 0;
    let kinds = [(FilterKind::Fuse8, Compression::Lz4), (FilterKind::Fuse16, Compression::Zstd)];
    for (filter, compression) in kinds {
        let id = 1 + filter as u64;
        let options = TableOptions { block_bytes: 4096, filter, compression, ..PLAIN };
        let info = shelf.write(id, options, &model, ranges.clone());
        let whole = shelf.bytes(id);
        let table = shelf.open(info.clone()).unwrap();
        let footer = Footer::decode(&whole[whole.len() - FOOTER_BYTES..], id, info.bytes).unwrap();
        let part = |index: usize| {
            let place = footer.parts()[index].clone();
            whole[place.start as usize..place.end as usize - 4].to_vec()
        };
        let place = table.index.place(0);
        let framed = whole[place.start as usize..place.end as usize - 4].to_vec();
        for _ in 0..30_000 {
            let kind = dice.roll(4) as usize;
            let mut bytes = if kind == 3 { framed.clone() } else { part(kind) };
            for _ in 0..1 + dice.roll(3) {
                // Numbers lie at the beginning, in parts, and at the end, in blocks.
                let near = bytes.len().min([24, 1 << 20][dice.roll(2) as usize]);
                let at = dice.roll(near as u64) as usize;
                let at = if kind == 3 { bytes.len() - 1 - at } else { at };
                bytes[at] = [0, 255, bytes[at] ^ 1, dice.roll(256) as u8][dice.roll(4) as usize];
            }
            bytes.truncate(bytes.len() - [0, 0, 1, 9][dice.roll(4) as usize].min(bytes.len()));
            accepted += u64::from(match kind {
                0 => Filter::decode(&bytes).is_some_and(|filter| {
                    (0..200).for_each(|_| {
                        filter.may_have(dice.roll(u64::MAX));
                    });
                    true
                }),
                1 => Index::decode(&bytes).is_some_and(|index| {
                    let others: Vec<_> = (0..20).map(|_| dice.key()).collect();
                    for key in others.iter().chain(model.keys()) {
                        let found = index.find(key);
                        assert!(found.is_none_or(|at| index.separator(at) <= &**key));
                        index.between(key, Some(&others[0]));
                    }
                    true
                }),
                2 => properties::decode(&bytes, id, info.bytes).is_some(),
                _ => {
                    let position = Position { table: id, offset: place.start };
                    position.seal(&mut bytes);
                    block::decode(&bytes, position, 0).is_ok()
                }
            });
        }
    }
    assert!(accepted > 100, "{accepted}");
}

/// Frames that unpack to far more than the block says, one that claims more than there is memory, and one that was cut.
#[test]
fn compressed_blocks_that_are_longer_than_they_say_are_refused() {
    let position = Position { table: 1, offset: 0 };
    let frame = |payload: &[u8], kind: u8, length: u32| {
        let mut bytes = payload.to_vec();
        bytes.extend_from_slice(&[kind, 0, 0, 0]);
        [length, 0, length].iter().for_each(|number| bytes.extend_from_slice(&number.to_le_bytes()));
        position.seal(&mut bytes);
        block::decode(&bytes, position, 0)
    };
    let bomb = zstd::bulk::compress(&vec![0; 64 << 20], 1).unwrap();
    // Magic, a content size of eight bytes in one segment, and a block of one byte, repeated.
    let claim =
        [&[0x28, 0xb5, 0x2f, 0xfd, 0xe0][..], &(u64::MAX >> 4).to_le_bytes(), &[3, 0, 16, 7]].concat();
    let lz4 = lz4_flex::block::compress(&vec![0; 1 << 20]);
    let payloads =
        [(&bomb[..], 2), (&claim[..], 2), (&bomb[..bomb.len() - 3], 2), (&lz4[..], 1), (&b""[..], 2)];
    for (payload, kind) in payloads {
        for length in [1, 4096, 65_536, u32::MAX] {
            let Err(error) = frame(payload, kind, length) else { panic!("kind {kind}, {length} bytes") };
            assert!(error.to_string().contains("does not unpack"), "kind {kind}, {length} bytes: {error}");
        }
    }
}

#[test]
fn a_filter_that_a_search_would_leave_is_refused() {
    let mut dice = Dice(3);
    let mut accepted = 0;
    for (kind, width) in [(1, 1), (2, 2)] {
        for (length, segments, count) in (0..5_u32)
            .flat_map(|l| (0..9).map(move |s| (l, s)))
            .flat_map(|(l, s)| (0..20_usize).map(move |count| (l, s, count)))
        {
            let mut bytes = vec![kind];
            bytes.extend_from_slice(&dice.roll(u64::MAX).to_le_bytes());
            for number in [length, length.wrapping_sub(1), segments] {
                bytes.extend_from_slice(&number.to_le_bytes());
            }
            bytes.resize(bytes.len() + count * width, 7);
            let Some(filter) = Filter::decode(&bytes) else { continue };
            accepted += 1;
            (0..500).for_each(|_| {
                filter.may_have(dice.roll(u64::MAX));
            });
        }
    }
    assert!(accepted > 10, "{accepted}");
}

#[test]
fn verify_looks_behind_checksums() {
    let (shelf, mut dice) = (Shelf::new(), Dice(9));
    let (model, ranges) = small(&mut dice);
    let other: Model = model.iter().skip(1).map(|(key, item)| (key.clone(), item.clone())).collect();
    let (info, _) = (shelf.write(1, PLAIN, &model, ranges.clone()), shelf.write(2, PLAIN, &other, ranges));
    let whole = shelf.bytes(1);
    let footer = Footer::decode(&whole[whole.len() - FOOTER_BYTES..], 1, info.bytes).unwrap();
    let replaced = |part: usize, mut bytes: Vec<u8>| {
        let place = footer.parts()[part].clone();
        Position { table: 1, offset: place.start }.seal(&mut bytes);
        assert_eq!(bytes.len() as u64, place.end - place.start);
        let mut all = whole.clone();
        all[place.start as usize..place.end as usize].copy_from_slice(&bytes);
        all
    };
    // A filter that knows of other keys.
    let place = footer.parts()[0].clone();
    let mut filter = whole[place.start as usize..place.end as usize - 4].to_vec();
    filter[25..].fill(0);
    shelf.put(1, &replaced(0, filter));
    assert!(damage(&shelf.open(info.clone()).unwrap())[0].to_string().contains("filter"));
    // Properties that miscount, or are too narrow.
    let mut ranges = Ranges::default();
    ranges.add(KeyRange::new(b"user:b", b"user:d"));
    let first: Arc<[u8]> = model.keys().nth(1).unwrap().as_slice().into();
    let miscounted = TableInfo { tombstones: info.tombstones + 1, ..info.clone() };
    let narrow = TableInfo { lower: first, ..info.clone() };
    for (lie, what) in [(miscounted, "add up"), (narrow, "outside")] {
        shelf.put(1, &replaced(1 + 1, properties::encode(&lie, &ranges)));
        assert!(damage(&shelf.open(lie).unwrap())[0].to_string().contains(what), "{what}");
    }
}

#[test]
fn a_table_that_cannot_be_written_says_whether_the_disk_is_full() {
    let value = encoded(Item::Value(&[7; 1_000]));
    let model: Model = (0..2_000_u32).map(|number| (number.to_be_bytes().to_vec(), value.clone())).collect();
    let write = |disk: &Disk| {
        let root = disk.root();
        let mut builder = TableBuilder::create(&*root, 1, PLAIN)?;
        for (key, item) in &model {
            builder.add(key, Item::decode(item).unwrap())?;
        }
        builder.finish(Ranges::default())
    };
    let full = Disk::with_contents(&[]);
    full.set_capacity(Some(600_000));
    assert!(matches!(write(&full), Err(EngineError::Full { .. })));
    let unsynced = Disk::with_contents(&[]);
    unsynced.fail_sync(1);
    assert!(matches!(write(&unsynced), Err(EngineError::Failed { .. })));
    let whole = Disk::with_contents(&[]);
    let info = write(&whole).unwrap();
    // The name is the caller's to make durable; the bytes are durable then.
    whole.root().sync().unwrap();
    let shelf = Shelf::of(&whole.cut_to_durable(), 8 << 20);
    read_all(&shelf.open(info).unwrap(), &model).unwrap();
}

#[test]
fn what_a_table_does_not_take_changes_nothing() {
    let shelf = Shelf::new();
    let mut builder = TableBuilder::create(&*shelf.directory, 1, PLAIN).unwrap();
    let mut model = Model::new();
    for (key, item) in [(&b"b"[..], Item::Tombstone), (b"c", Item::Value(&[1; ITEM_BYTES_MAX - 1]))] {
        builder.add(key, item).unwrap();
        model.insert(key.to_vec(), encoded(item));
    }
    assert!(builder.add(b"b", Item::Tombstone).is_err() && builder.add(b"c", Item::Tombstone).is_err());
    assert!(builder.add(b"", Item::Tombstone).is_err());
    let long = vec![1; ITEM_BYTES_MAX];
    assert!(matches!(builder.add(b"d", Item::Value(&long)), Err(EngineError::Rejected { .. })));
    let info = builder.finish(Ranges::default()).unwrap();
    read_all(&shelf.open(info).unwrap(), &model).unwrap();
}

#[test]
fn readers_find_everything_while_blocks_come_and_go() {
    let shelf = Shelf::of(&Disk::with_contents(&[]), 0);
    let value = encoded(Item::Value(&[7; 500]));
    let model: Model = (0..6_000_u32).map(|number| (number.to_be_bytes().to_vec(), value.clone())).collect();
    let tables = [shelf.table(1, &model), shelf.table(2, &model)];
    let all = Barrier::new(3);
    std::thread::scope(|scope| {
        for seed in 0..2 {
            let (tables, model, all) = (&tables, &model, &all);
            scope.spawn(move || {
                let mut dice = Dice(seed);
                all.wait();
                for _ in 0..20_000 {
                    let key = (dice.roll(6_100) as u32).to_be_bytes();
                    let table = &tables[dice.roll(2) as usize];
                    assert_eq!(find(table, &key).unwrap().as_ref(), model.get(&key[..]), "seed {seed}");
                }
            });
        }
        all.wait();
        for round in 0..40 {
            let table = shelf.table(3 + round, &model);
            let found =
                collect(&mut table.walk(&Bounds::new(KeyRange::all()), Direction::Reverse, false)).unwrap();
            assert_eq!(found.len(), model.len());
        }
    });
    let usage = shelf.cache.usage();
    assert!(usage.bytes <= 1 << 20 && usage.evictions > 1_000, "{usage:?}");
    drop(tables);
    let usage = shelf.cache.usage();
    assert_eq!((usage.bytes, usage.pinned), (0, 0));
}

/// What the golden tables hold.
fn golden_model() -> (Model, Ranges) {
    let mut model = Model::new();
    for number in 0..400_u32 {
        let item = match number % 7 {
            3 => Item::Tombstone,
            5 => Item::Blob(BlobRef {
                file: 9,
                offset: 4096 * u64::from(number),
                bytes: 70_000,
                checksum: number,
            }),
            _ => Item::Value(&[number as u8; 60][..(number % 61) as usize]),
        };
        model.insert(format!("key {number:05}").into_bytes(), encoded(item));
    }
    let mut ranges = Ranges::default();
    ranges.add(KeyRange::new(b"a", b"b"));
    ranges.add(KeyRange::from_start(b"x"));
    (model, ranges)
}

const GOLDEN: [(u64, TableOptions); 3] = [
    (1, TableOptions { block_bytes: 4096, ..PLAIN }),
    (2, TableOptions { filter: FilterKind::Fuse16, compression: Compression::Lz4, ..PLAIN }),
    (3, TableOptions { compression: Compression::Zstd, ..PLAIN }),
];

fn golden_path(id: u64) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/format_1/{}", table_name(id)))
}

#[test]
fn tables_of_format_1_are_read() {
    let (model, ranges) = golden_model();
    for (id, _) in GOLDEN {
        let bytes = std::fs::read(golden_path(id)).unwrap();
        let disk = Disk::with_contents(&[(table_name(id), Arc::new(bytes.clone()))]);
        let shelf = Shelf::of(&disk, 1 << 20);
        let footer = Footer::decode(&bytes[bytes.len() - FOOTER_BYTES..], id, bytes.len() as u64).unwrap();
        let place = footer.parts()[2].clone();
        let part = &bytes[place.start as usize..place.end as usize - 4];
        let (info, own) = properties::decode(part, id, bytes.len() as u64).unwrap();
        let live = 57 * blob::record_bytes(b"key 00005", 70_000);
        assert_eq!((&own, info.tombstones, &*info.blobs), (&ranges, 57, &[(9, live)][..]));
        let table = shelf.open(info).unwrap();
        read_all(&table, &model).unwrap();
        assert_eq!(damage(&table).len(), 0);
        for number in 400..4_000 {
            assert_eq!(find(&table, format!("key {number:05}").as_bytes()).unwrap(), None);
        }
    }
}

/// Run by hand when there is a new kind of block or a new format, whose number then belongs into the path. What is there
/// already stays as it was written then.
#[test]
#[ignore = "writes golden tables"]
fn golden_tables_are_written() {
    let (model, ranges) = golden_model();
    let shelf = Shelf::new();
    for (id, options) in GOLDEN.into_iter().filter(|(id, _)| !golden_path(*id).exists()) {
        shelf.write(id, options, &model, ranges.clone());
        std::fs::create_dir_all(golden_path(id).parent().unwrap()).unwrap();
        std::fs::write(golden_path(id), shelf.bytes(id)).unwrap();
    }
}
