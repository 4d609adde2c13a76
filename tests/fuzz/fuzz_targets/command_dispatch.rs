//! Every command with arguments that nobody would send: one well-formed reply each, and no panic.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| fuzz::dispatch::run(input));
