//! The frame ring of a camera: the newest decoded frames, never more than its capacity.
//!
//! Pushing never waits: a full ring drops its oldest frame. Whoever reads it has a cursor and pulls at its own pace; what
//! a reader did not get to see in time is counted, and that is all that happens.

use std::collections::VecDeque;

/// The newest frames, oldest first.
#[derive(Debug)]
pub(crate) struct Ring<T> {
    frames: VecDeque<T>,
    capacity: usize,
    /// Frames ever pushed; the newest one has this number, the first had 1.
    pushed: u64,
}

/// How far one reader of a ring has come.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cursor {
    seen: u64,
}

/// What a reader pulled.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Pulled<'a, T> {
    /// The newest frame.
    pub(crate) frame: &'a T,
    /// Frames since this reader's last pull that it never saw.
    pub(crate) skipped: u64,
}

impl<T> Ring<T> {
    /// A ring for `capacity` frames, at least one.
    pub(crate) fn new(capacity: usize) -> Self {
        let capacity = capacity.max(1);
        Self { frames: VecDeque::with_capacity(capacity), capacity, pushed: 0 }
    }

    /// Adds the newest frame; a full ring drops its oldest.
    pub(crate) fn push(&mut self, frame: T) {
        if self.frames.len() == self.capacity {
            self.frames.pop_front();
        }
        self.frames.push_back(frame);
        self.pushed += 1;
    }

    /// The newest frame, unless this reader has seen it.
    pub(crate) fn newest_unseen(&self, cursor: &mut Cursor) -> Option<Pulled<'_, T>> {
        let frame = self.frames.back()?;
        if cursor.seen == self.pushed {
            return None;
        }
        let skipped = self.pushed - cursor.seen - 1;
        cursor.seen = self.pushed;
        Some(Pulled { frame, skipped })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::rc::Rc;

    #[test]
    fn a_full_ring_drops_its_oldest_frame_and_keeps_its_size() {
        let mut ring = Ring::new(3);
        let frames: Vec<Rc<u32>> = (0..5).map(Rc::new).collect();
        for frame in &frames {
            ring.push(Rc::clone(frame));
        }
        let held: Vec<usize> = frames.iter().map(|frame| Rc::strong_count(frame) - 1).collect();
        assert_eq!(held, [0, 0, 1, 1, 1]);
    }

    #[test]
    fn a_reader_gets_the_newest_frame_once_and_knows_what_it_missed() {
        let mut ring = Ring::new(2);
        let mut cursor = Cursor::default();
        assert_eq!(ring.newest_unseen(&mut cursor), None);
        ring.push('a');
        assert_eq!(ring.newest_unseen(&mut cursor), Some(Pulled { frame: &'a', skipped: 0 }));
        assert_eq!(ring.newest_unseen(&mut cursor), None);
        for frame in ['b', 'c', 'd', 'e'] {
            ring.push(frame);
        }
        assert_eq!(ring.newest_unseen(&mut cursor), Some(Pulled { frame: &'e', skipped: 3 }));
    }

    #[test]
    fn two_readers_do_not_see_each_other() {
        let mut ring = Ring::new(2);
        let (mut one, mut other) = (Cursor::default(), Cursor::default());
        ring.push(1);
        assert!(ring.newest_unseen(&mut one).is_some());
        ring.push(2);
        assert_eq!(ring.newest_unseen(&mut other), Some(Pulled { frame: &2, skipped: 1 }));
        assert_eq!(ring.newest_unseen(&mut one), Some(Pulled { frame: &2, skipped: 0 }));
    }

    #[test]
    fn a_ring_holds_at_least_one_frame() {
        let mut ring = Ring::new(0);
        ring.push(7);
        assert!(ring.newest_unseen(&mut Cursor::default()).is_some());
    }
}
