//! Sees to it that no held frame keeps the memory of a pair that is over, whoever asks its stream or does not.
//!
//! A server takes back the pixels of a pair ten seconds after its end, or half a second after its own. On a full file system who reads
//! there later is ended by SIGBUS (PROTOCOL.md, LIFE-7). A stream leaves such a pair in time, if it is asked; frames are held just by those
//! who are busy with something else. So one thread of this process looks at the pairs that frames are held of.

use crate::open::Reader;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

/// Between two looks: a fifth of the shortest time that a server leaves.
const LOOK_EVERY: Duration = Duration::from_millis(100);

#[derive(Debug, Default)]
struct Minded {
    readers: Vec<Weak<Reader>>,
    /// The process whose thread looks, if one does: a child made by fork(2) inherits this word and no thread.
    running_in: Option<u32>,
}

static MINDED: Mutex<Minded> = Mutex::new(Minded { readers: Vec::new(), running_in: None });

fn minded() -> MutexGuard<'static, Minded> {
    // Nothing in here panics half way through a change.
    MINDED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From now on, until nobody has this pair any more.
pub(crate) fn mind(reader: &Arc<Reader>) {
    if !reader.is_minded_from_now_on() {
        return;
    }
    let mut minded = minded();
    minded.readers.push(Arc::downgrade(reader));
    let process = std::process::id();
    if minded.running_in != Some(process) {
        // A process that may have no more threads reads on; its streams still leave what is over when they are asked.
        let thread = std::thread::Builder::new().name("vas-frames-held".to_owned());
        minded.running_in = thread.spawn(look).is_ok().then_some(process);
    }
}

fn look() {
    loop {
        std::thread::sleep(LOOK_EVERY);
        let mut minded = minded();
        minded.readers.retain(|reader| {
            let Some(reader) = reader.upgrade() else { return false };
            let is_over = reader.is_over();
            if is_over {
                reader.let_go();
            }
            !is_over
        });
        if minded.readers.is_empty() {
            minded.running_in = None;
            return;
        }
    }
}
