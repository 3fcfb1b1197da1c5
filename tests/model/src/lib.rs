//! Model checking of [`vas_shm_proto::publish`] and [`vas_shm_proto::snapshot`], as they are shipped.
//!
//! Both halves of the algorithm are generic over what may be done to the shared words
//! ([`vas_shm_proto::words`]). Here these words are the atomics of a model checker, so that every execution of a small
//! case, or a great many of a larger one, is carried out by the code that runs in production. Nothing of the algorithm is
//! repeated here.
//!
//! | module | what it holds |
//! |---|---|
//! | [`mod@checker`] | what is asked of a model checker; the tests put loom and shuttle there |
//! | [`memory`] | the words and the pixels of a pair, made of a checker's atomics |
//! | [`change`] | every mutant, and the changes that are as good as the original |
//! | [`roles`] | a server that exports frames, a client that reads them and judges what it accepted |
//! | [`scenario`] | what they do beside each other, and what has to hold |
//! | [`tally`] | what happened in all executions together |
//!
//! What a model checker cannot see, and what covers it instead, is in this crate's `README.md`.

pub mod change;
pub mod checker;
pub mod memory;
pub mod roles;
pub mod scenario;
pub mod tally;

mod quiet;

pub use quiet::{Panicked, panic_of};
