//! `mingpai`: a table of contents. Arguments, then the command, then how it went; `cli` knows the commands.
#![deny(unsafe_code)]

use std::process::ExitCode;

/// Less fragmentation under bulk load.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    mingpai::cli::run()
}
