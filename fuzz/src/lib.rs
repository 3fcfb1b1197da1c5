//! What the fuzz targets share: a reader written a second time, over plain bytes, and the files that both look at.
//!
//! A target that only waits for a crash finds little. So each target has an oracle: the rules of PROTOCOL.md said once
//! more, in 128-bit arithmetic and without a look at the code under test. Both have to agree about every input.

pub mod input;
pub mod oracle;
pub mod stage;
