//! One writer and two readers, in every order of their steps that loom finds with a few interruptions: what is freed is
//! looked at by nobody, and a reader sees one instant. Compiled for that alone:
//! `RUSTFLAGS="--cfg loom" cargo test --release -p engine_btree --lib orders`.

use std::sync::Arc;

use adapter_api::{BatchBuilder, Buffer};

use super::filed::Filed;
use crate::tree::Tree;

const KEY: &[u8] = b"k";

fn put(tree: &Tree, number: u8) -> Vec<page::PageId> {
    let mut batch = BatchBuilder::new();
    batch.put(KEY, &[number]).unwrap();
    let mut edit = tree.edit();
    edit.apply(batch.as_batch()).unwrap();
    edit.publish().changed
}

fn read(pin: &crate::pin::Pin<'_>) -> u8 {
    let mut value = Buffer::new();
    assert!(pin.read(KEY, &mut value).unwrap());
    value[0]
}

/// Two readers beside what the writer does: one reads once, the other twice at one instant.
fn beside(write: impl Fn(&Filed) + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(2);
    model.check(move || {
        let file = Arc::new(Filed::new(0));
        file.checkpoint(put(&file.tree, 1));
        let reader = |again: bool| {
            let tree = Arc::clone(&file.tree);
            loom::thread::spawn(move || {
                let pin = tree.frames.pin();
                let first = read(&pin);
                assert!(!again || read(&pin) == first);
            })
        };
        let readers = [reader(false), reader(true)];
        write(&file);
        readers.into_iter().for_each(|reader| reader.join().unwrap());
        assert_eq!(read(&file.tree.frames.pin()), 2);
        super::audit::check_frames(&file.tree);
    });
}

#[test]
fn a_page_that_is_replaced_beside_readers_who_bring_the_older_one_into_memory() {
    beside(|file| drop(put(&file.tree, 2)));
}

#[test]
fn a_page_that_is_replaced_written_and_evicted_beside_readers() {
    beside(|file| file.checkpoint(put(&file.tree, 2)));
}
