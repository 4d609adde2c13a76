//! The `enginebay` program. What it can do is in `enginebay::cli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    enginebay::cli::main()
}
