//! The measuring core: what puts load on a server, and what turns runs into a claim.
//!
//! Promises: a figure is never that of a run that went wrong: every reply is checked, and an error ends the
//! measurement. A claim is a ratio to a rival, from interleaved pairs of runs on the same machine. Latency counts from the
//! moment at which a request was meant to be sent. The examples `server` and `engine` call it.
//!
//! ```text
//! process   a server under measurement: its start, end, CPU time, memory
//! client    one blocking connection: filling, asking for counters      ┐
//! driver    many connections, closed or open loop                      ├─ resp  the protocol's bytes
//! load      what a connection sends, and what must come back           ┘
//! redis_benchmark   the driver that others know
//! pairs     A B A B …, ratios          judge   targets, verdicts
//! report    results as JSON and text   plot    ratios as SVG   chart  lines, times and bars
//! server    the rows of the server's table, beside redis-server
//! engine    experiments on an engine by itself        opened  an engine as a server opens it
//! arguments what both examples are told alike
//! ```

#![forbid(unsafe_code)]

pub mod arguments;
pub mod chart;
pub mod client;
pub mod driver;
pub mod engine;
pub mod judge;
pub mod latency;
pub mod load;
pub mod opened;
pub mod pairs;
pub mod plot;
pub mod process;
pub mod redis_benchmark;
pub mod report;
pub mod resp;
pub mod server;

#[cfg(test)]
mod stand_in;
