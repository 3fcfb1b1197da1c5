//! What the tests of this crate share.
#![allow(unreachable_pub, reason = "pub means: for the test file beside it")]
#![allow(dead_code, reason = "each test file uses its own part")]
#![allow(unused_imports, reason = "as above")]

mod pair;
pub use pair::*;
