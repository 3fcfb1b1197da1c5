//! `cargo xtask bench copy`: ways into a slot, measured at writer and reader; this file adds swscale to them (`bench/copy`).

mod swscale;

use std::process::ExitCode;

fn main() -> ExitCode {
    vas_bench_copy::main(&swscale::ways)
}
