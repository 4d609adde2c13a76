//! SIGTERM and SIGINT: the first asks for an orderly end, the second ends at once.

use std::io;
use std::thread;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::{exit, signal_name};

use super::output;
use crate::command::ShutdownHandle;

/// Listens for the signals on a thread of its own, from now on. `shutdown` is asked on the first.
///
/// A second signal ends the process with 128 and the signal's number, as if it had not been caught: what was
/// answered OK is as safe as in any crash.
///
/// # Errors
/// If the signals cannot be caught or the thread cannot be started.
pub fn listen(shutdown: ShutdownHandle) -> io::Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGINT])?;
    thread::Builder::new().name("signals".to_string()).spawn(move || {
        for signal in signals.forever() {
            let name = signal_name(signal).unwrap_or("a signal");
            if shutdown.is_requested() {
                output::error(&format!("{name} again: ending at once, without closing the engine"));
                // Without destructors: those of a plugin could wait for what is being interrupted here.
                exit(128 + signal);
            }
            log::info!("{name}: finishing requests and closing the engine; a second signal ends at once");
            shutdown.request();
        }
    })?;
    Ok(())
}
