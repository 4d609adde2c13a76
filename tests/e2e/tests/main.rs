//! What the server promises to those who run it, write engines for it, and attack it; one file a behaviour.
//!
//! Each test starts the built host as a child process and talks to it over a socket, so nothing here can be
//! true of the library and false of the program.

mod backup;
mod bad_plugins;
mod check;
mod client_shapes;
mod commands;
mod config;
mod data_directory;
mod differential;
mod dump_and_load;
mod durability;
mod engine_errors;
mod engines;
mod full_disk;
mod groups;
mod hostile_clients;
mod kill;
mod migrate;
mod offline;
mod operation;
mod panicking_plugin;
mod pipelining;
mod real_input;
mod redis_rs;
mod resp3;
mod salvage;
mod shutdown;
mod skew;
mod switch_engine;
mod third_party;
mod two_engines;
mod unix_socket;
mod verify;
