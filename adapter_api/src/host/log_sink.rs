//! The host's end of a plugin's log: what a plugin logs goes through the host's logger and its filter.

use abi_stable::std_types::RStr;
use log::{Level, MetadataBuilder, Record};

use crate::abi::guard::guard_or;
use crate::abi::plugin::LogSink;

/// The log of this program as plugins see it. A later change of the maximum level does not reach them; a
/// filter by target does, for it is asked each time.
pub(super) fn log_sink() -> LogSink {
    LogSink { max_level: log::max_level() as usize, enabled, log: write }
}

extern "C" fn enabled(level: usize, target: RStr<'_>) -> bool {
    guard_or(false, || {
        let metadata = MetadataBuilder::new().level(level_of(level)).target(target.as_str()).build();
        log::logger().enabled(&metadata)
    })
}

extern "C" fn write(level: usize, target: RStr<'_>, module: RStr<'_>, line: u32, message: RStr<'_>) {
    guard_or((), || {
        log::logger().log(
            &Record::builder()
                .level(level_of(level))
                .target(target.as_str())
                .module_path(Some(module.as_str()))
                .line(Some(line))
                .args(format_args!("{message}"))
                .build(),
        );
    });
}

fn level_of(level: usize) -> Level {
    Level::iter().nth(level.wrapping_sub(1)).unwrap_or(Level::Trace)
}
