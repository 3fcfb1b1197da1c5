//! A model checker behind one face: a word, a fence, a thread.

use std::sync::atomic::Ordering;

/// A 64-bit atomic of a checker.
pub trait Cell: Send + Sync + 'static {
    /// An atomic with this value.
    fn new(value: u64) -> Self;
    /// Loads it.
    fn load(&self, order: Ordering) -> u64;
    /// Stores into it.
    fn store(&self, value: u64, order: Ordering);
}

/// A model checker.
pub trait Checker: Send + Sync + 'static {
    /// Its atomic.
    type Cell: Cell;
    /// A thread that can be waited for.
    type Thread;
    /// A fence.
    fn fence(order: Ordering);
    /// Starts a thread.
    fn spawn(body: impl FnOnce() + Send + 'static) -> Self::Thread;
    /// Waits for a thread; what it did happens before what follows.
    fn join(thread: Self::Thread);
}

/// Makes a [`Checker`] of a crate that has the shape of `std::sync::atomic` and `std::thread`. In a test, so that the
/// checkers are dependencies of tests and of nothing else.
#[macro_export]
macro_rules! checker {
    ($(#[$doc:meta])* $name:ident, $krate:ident) => {
        $(#[$doc])*
        #[derive(Debug)]
        struct $name;

        /// Its atomic.
        struct Cell($krate::sync::atomic::AtomicU64);

        impl $crate::checker::Cell for Cell {
            fn new(value: u64) -> Self {
                Self($krate::sync::atomic::AtomicU64::new(value))
            }

            fn load(&self, order: std::sync::atomic::Ordering) -> u64 {
                self.0.load(order)
            }

            fn store(&self, value: u64, order: std::sync::atomic::Ordering) {
                self.0.store(value, order);
            }
        }

        impl $crate::checker::Checker for $name {
            type Cell = Cell;
            type Thread = $krate::thread::JoinHandle<()>;

            fn fence(order: std::sync::atomic::Ordering) {
                $krate::sync::atomic::fence(order);
            }

            fn spawn(body: impl FnOnce() + Send + 'static) -> Self::Thread {
                $krate::thread::spawn(body)
            }

            fn join(thread: Self::Thread) {
                // A violation in the thread ended the execution before this.
                thread.join().expect("a thread of the model panicked");
            }
        }
    };
}
