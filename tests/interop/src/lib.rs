//! Readers in Rust, C and Python against the same files and the same writer.

pub mod harness;
mod lease;
pub mod probe;
pub mod schema;
pub mod vectors;
