//! SIGTERM and SIGINT: the first asks for an orderly end, the second ends at once.

use std::io;
use std::thread;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::{exit, signal_name};

use super::output;

/// Listens for the signals on a thread of its own, from now on. `ask` is called with each, its number and its
/// name, and answers whether it was the first to ask for the end.
///
/// A second signal ends the process with 128 and the signal's number, as if it had not been caught: what was
/// answered OK is as safe as in any crash.
///
/// # Errors
/// If the signals cannot be caught or the thread cannot be started.
pub fn listen(ask: impl Fn(i32, &str) -> bool + Send + 'static) -> io::Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGINT])?;
    thread::Builder::new().name("signals".to_string()).spawn(move || {
        for signal in signals.forever() {
            let name = signal_name(signal).unwrap_or("a signal");
            if !ask(signal, name) {
                output::error(&format!("{name} again: ending at once, without closing the engine"));
                // Without destructors: those of a plugin could wait for what is being interrupted here.
                exit(128 + signal);
            }
        }
    })?;
    Ok(())
}
