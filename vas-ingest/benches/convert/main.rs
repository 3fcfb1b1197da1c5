//! `cargo xtask bench convert`: a frame to RGB, grey and a model's input; this file adds swscale (`bench/convert`).

mod swscale;

use std::process::ExitCode;

fn main() -> ExitCode {
    vas_bench_convert::main(&swscale::ways)
}
