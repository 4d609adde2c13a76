//! Pages of strangers: refused, or searched, walked and changed, and a page after each change.
//!
//! ```text
//! input    [page u8][count u8][count bytes: damage]…[change]…
//! change   [what u8][place u8][length u8][length bytes]      what: 0 search · 1 insert · 2 replace · 3 remove · 4 split · 5 rebuild
//! ```
#![no_main]

use std::sync::LazyLock;

use fuzz::damage;
use libfuzzer_sys::fuzz_target;
use page::{BLOCK_BYTES, Cell, Head, Kind, Page, PageRef, Payload};

static PAGES: LazyLock<[Vec<u8>; 3]> = LazyLock::new(|| {
    [leaf(), branch(), Page::of_value(3, b"key", &[5; 5000])].map(|mut page| {
        page.seal();
        page.view().bytes().to_vec()
    })
});

/// A leaf with all that a leaf may have, garbage too.
fn leaf() -> Page {
    let keys: Vec<_> = (10..60).map(|number| format!("key:{number}")).collect();
    let cells = keys.iter().map(|key| Cell::new(key.as_bytes(), Payload::Here(&key.as_bytes()[1..])));
    let head = Head { id: 9, level: 0, lower: b"key:1", upper: Some(b"key:9") };
    let mut page = Page::build(head, cells, BLOCK_BYTES);
    assert!(page.insert(0, b"key:1", Payload::Away { id: 77, bytes: 100_000 }));
    page.remove(20);
    page
}

fn branch() -> Page {
    let keys: Vec<_> = (0..30_u8).map(|number| vec![b'k', number / 4, number]).collect();
    let cells = keys.iter().zip(10..).map(|(key, id)| Cell::new(key, Payload::Child(id)));
    Page::build(Head { id: 2, level: 1, lower: &keys[0], upper: None }, cells, BLOCK_BYTES)
}

/// Everything that can be read of a page.
fn walk(page: PageRef<'_>) {
    let (mut key, mut previous) = (Vec::new(), None);
    for index in 0..page.count() {
        page.key_into(index, &mut key);
        assert!(previous.as_ref() < Some(&key) && page.lower() <= &key[..]);
        assert_eq!((page.find(&key), page.rank(&key)), (Ok(index), index));
        match page.payload(index) {
            Payload::Here(value) => assert!(value.len() < page.bytes().len()),
            Payload::Child(id) => assert_eq!((page.child(index), page.child_for(&key)), (id, id)),
            Payload::Away { .. } => {}
        }
        previous = Some(key.clone());
    }
    assert!(page.used_bytes() <= page.bytes().len());
    drop(format!("{page:?}"));
}

/// One change of a page, if it can be made there; whoever keeps a tree asks for no other.
fn change(page: &mut Page, what: u8, place: u8, bytes: &[u8]) {
    let (count, is_branch) = (page.view().count(), page.view().kind() == Kind::Branch);
    let payload = if is_branch { Payload::Child(u32::from(place)) } else { Payload::Here(bytes) };
    let index = usize::from(place) % count.max(1);
    match what % 6 {
        0 => assert!(page.view().rank(bytes) <= count),
        1 => insert(page, bytes, payload),
        2 if count > 0 => {
            if page.replace(index, payload) {
                assert_eq!(page.view().payload(index), payload);
            }
        }
        // A branch keeps its first child.
        3 if count > usize::from(is_branch) => page.remove(index.max(usize::from(is_branch))),
        4 => split(page, place % 2 == 0),
        5 => *page = page.view().resized(BLOCK_BYTES),
        _ => {}
    }
}

fn keys(page: PageRef<'_>) -> Vec<Vec<u8>> {
    page.cells().map(|cell| cell.key()).collect()
}

/// Inserts the key behind the prefix, unless it is there or belongs to another page.
fn insert(page: &mut Page, suffix: &[u8], payload: Payload<'_>) {
    let (view, key) = (page.view(), [page.view().prefix(), suffix].concat());
    let fits = view.lower() <= &key[..] && view.upper().is_none_or(|upper| key[..] < *upper);
    let is_key = fits && (1..=usize::from(u16::MAX)).contains(&key.len());
    let (Err(at), true) = (view.find(&key), is_key) else { return };
    let before = keys(view);
    match page.insert(at, &key, payload) {
        true => assert_eq!((page.view().find(&key), page.view().payload(at)), (Ok(at), payload)),
        false => assert_eq!(keys(page.view()), before),
    }
}

/// Splits the page to make room behind its last key, and keeps the left half or what both are together.
fn split(page: &mut Page, keeps_left: bool) {
    let view = page.view();
    let key = [&keys(view).pop().unwrap_or_default()[..], b"\0"].concat();
    if view.upper().is_some_and(|upper| upper <= &key[..]) {
        return;
    }
    let Some(split) = view.split(view.count(), &key, 1000, BLOCK_BYTES) else { return };
    let (left, right) = (split.left.view(), split.right.view());
    left.check().and_then(|()| right.check()).expect("halves are pages");
    let merged = left.merged(right, view.bytes().len());
    assert_eq!(keys(merged.view()), keys(view));
    *page = if keeps_left { split.left } else { merged };
}

fuzz_target!(|input: &[u8]| {
    let Some(([which, count], rest)) = input.split_first_chunk::<2>() else { return };
    let (patches, mut changes) = rest.split_at(rest.len().min(usize::from(*count)));
    let mut files = [("page".to_string(), PAGES[usize::from(*which) % PAGES.len()].clone())];
    damage(&mut files, patches);
    let Ok(view) = PageRef::open(&files[0].1) else { return };
    walk(view);
    if view.kind() == Kind::Value {
        return drop(view.value().to_vec());
    }
    let mut page = view.to_page();
    while let Some(([what, place, length], rest)) = changes.split_first_chunk::<3>() {
        let (bytes, rest) = rest.split_at(rest.len().min(usize::from(*length)));
        changes = rest;
        change(&mut page, *what, *place, bytes);
        page.view().check().expect("a page that was changed is a page");
        walk(page.view());
    }
});
