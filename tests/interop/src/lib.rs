//! Readers in Rust, C and Python against the same files and the same writer.

pub mod compiler;
pub mod harness;
mod held;
mod lease;
pub mod probe;
pub mod python;
pub mod schema;
mod standing;
pub mod vectors;
