//! Pairs that every reader refuses, each for one reason.

use super::draft::{Draft, NEWEST};
use crate::harness::Vector;

pub(super) fn all() -> Vec<Vector> {
    let mut d = Draft::new();
    d.publish(NEWEST);
    d.version = 0;
    vec![d.refused("refuse/version-0", "Version 0.", &["OPEN-7"], ["version", "0", "at least 1"])]
}
