//! Readers in Rust, C and Python against the same files and the same writer.
