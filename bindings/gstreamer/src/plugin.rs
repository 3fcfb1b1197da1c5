//! What GStreamer's registry is told.
#![allow(missing_docs, reason = "the macro documents nothing of what it makes")]

use crate::VasFrameSrc;
use gst::glib;
use gst::prelude::*;

fn plugin_init(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    gst::Element::register(Some(plugin), "vasframesrc", gst::Rank::NONE, VasFrameSrc::static_type())
}

gst::plugin_define!(
    vasframes,
    "Camera frames that a VAS video server exports through shared memory",
    plugin_init,
    env!("CARGO_PKG_VERSION"),
    // The words for a licence are GStreamer's own, which knows none for a choice: this is the one of the two that it has a word for.
    "MIT/X11",
    env!("CARGO_PKG_NAME"),
    "vas-frames",
    "VAS frame export"
);
