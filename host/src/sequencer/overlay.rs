//! Reads of the engine plus what the group already wrote.

/// What requests of a group read from and write to.
pub struct Overlay<'a> {
    _group: &'a mut (),
}
