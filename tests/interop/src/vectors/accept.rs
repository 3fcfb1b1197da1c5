//! Pairs that every reader accepts.

use super::draft::{Draft, NEWEST};
use crate::harness::Vector;

pub(super) fn all() -> Vec<Vector> {
    let mut d = Draft::new();
    d.publish_all(NEWEST);
    vec![d.ready("accept/slots-3", "Three slots, all standing.", &["HEAD-5", "OPEN-13"])]
}
