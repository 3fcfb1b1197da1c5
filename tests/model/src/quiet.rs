//! Panics that are looked for: caught, with their message, and not printed.

use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

/// What a panic said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Panicked(pub String);

thread_local! {
    // The checkers run all threads of a model on the thread that called them, so this is one model's.
    static FIRST: RefCell<Option<Option<String>>> = const { RefCell::new(None) };
}

/// Runs something in which a panic is the finding; gives the first one's message.
///
/// # Errors
/// What the first panic said.
pub fn panic_of(body: impl FnOnce()) -> Result<(), Panicked> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let kept = FIRST.with_borrow_mut(|first| match first {
                None => false,
                Some(message) => {
                    message.get_or_insert_with(|| {
                        let payload = info.payload();
                        let text = payload.downcast_ref::<String>().map(String::as_str);
                        text.or(payload.downcast_ref::<&str>().copied()).unwrap_or("a panic").to_owned()
                    });
                    true
                }
            });
            if !kept {
                before(info);
            }
        }));
    });
    FIRST.set(Some(None));
    let outcome = panic::catch_unwind(AssertUnwindSafe(body));
    let first = FIRST.take().flatten();
    match outcome {
        Ok(()) => Ok(()),
        Err(_) => Err(Panicked(first.unwrap_or_else(|| "a panic without a message".to_owned()))),
    }
}
