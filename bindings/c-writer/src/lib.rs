//! The writer's C interface: `vas_writer.h` and the libraries `libvas_writer.so` and `libvas_writer.a`.
//!
//! The header is generated from `types.rs` and `ffi.rs` (`cargo xtask generate`), so their documentation is written for people
//! who write C. No state is global, no panic leaves a call, and what can be known of misuse is answered by a code.
//!
//! | module | what it holds |
//! |---|---|
//! | [`types`] | structs, constants and results, as C sees them |
//! | [`ffi`] | the exported functions, and all the `unsafe` |
//! | `camera` | what a camera is doing: nothing, or filling a slot |
//! | `log` | the writer's events on their way to a C function |
#![deny(unsafe_code)]

mod camera;
pub mod ffi;
mod log;
pub mod types;
