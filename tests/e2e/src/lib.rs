//! A harness for tests that run the built server as its users do: a child process, a socket, a shared library.
//!
//! Promises: every server has a folder of its own and ends with the value that stands for it; nothing waits
//! for ever. The tests beside it call it, one file a behaviour. A failure of the harness itself panics: that
//! is how a test fails.

pub mod build;
pub mod client;
pub mod differential;
pub mod frame;
pub mod server;
pub mod variants;

pub use client::{Client, Reply};
pub use frame::Frame;
pub use server::{Config, Server};
