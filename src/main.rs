//! The `monthend` program: reads the command line and hands over.

use std::process::ExitCode;

fn main() -> ExitCode {
    monthend::cli::main()
}
