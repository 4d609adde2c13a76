//! The connections of one event loop, by their token.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use mio::Token;

use super::connection::Connection;

/// The connections of one event loop. A token is the number of a client.
pub(super) type Connections = HashMap<Token, Connection, BuildHasherDefault<ClientNumberHasher>>;

/// Hashes numbers that the server itself gives, one after the other: nobody can choose them to collide, and a
/// connection is looked up many times for one request.
#[derive(Default)]
pub(super) struct ClientNumberHasher(u64);

impl Hasher for ClientNumberHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_usize(usize::from(*byte)));
    }

    fn write_usize(&mut self, number: usize) {
        /// Odd and without pattern, so that neighbours differ in their first bits too.
        const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
        self.0 = (self.0 ^ number as u64).wrapping_mul(SPREAD);
    }
}
