//! The differential test: the same random requests to a real Redis and to a server of ours, and every reply
//! compared byte for byte.
//!
//! Promises: what it forgives is the list `ACCEPTED` and nothing else; the same seed sends the same requests; a
//! difference comes as the shortest stream that still shows it. The example `differential` runs it.

pub mod accepted;
pub mod grammar;
pub mod redis;
pub mod replay;
pub mod shapes;
pub mod shrink;
pub mod stream;
pub mod words;

pub use accepted::ACCEPTED;
pub use redis::Redis;
pub use replay::{Difference, Pair};
pub use shapes::Shapes;
pub use stream::{Request, STREAM_REQUESTS};
