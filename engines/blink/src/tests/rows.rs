//! Rows by themselves.

use crate::records::{Record, Records};
use crate::row::{Found, Row};

#[test]
fn keys_that_move_to_a_row_that_expects_others_are_found_there() {
    let records = Records::default();
    let refer = |key| records.appender().append(&Record { older: None, batch: 1, key, value: b"" });
    let (old, new) = (Row::default(), Row::default());
    old.expect_like(&records, refer(b"aaaaaaaa0"), refer(b"aaaaaaaa1"));
    new.expect_like(&records, refer(b"bbbbbbbb0"), refer(b"bbbbbbbb1"));
    // As many bytes are expected alike in both, but not the same.
    let keys = [&b"bbbb0"[..], b"bbbb1", b"c"];
    keys.iter().for_each(|key| old.push(&records, refer(key)));
    new.take_from(&records, &old, 0);
    for (place, key) in keys.iter().enumerate() {
        for row in [&old, &new] {
            assert!(matches!(row.find(&records, key), Found::At(at, _) if at == place), "{key:?}");
        }
    }
}
