//! Readers in Rust, C and Python against the same files and the same writer.

pub mod harness;
mod held;
mod lease;
pub mod probe;
pub mod schema;
mod standing;
pub mod vectors;
