//! GStreamer element `vasframesrc`: the frames of one camera that a VAS video server exports, as a live source.
//!
//! ```text
//! gst-launch-1.0 vasframesrc camera=front ! videoconvert ! autovideosink
//! ```
//!
//! Built as `libgstvasframes.so`, which GStreamer finds in a folder of its own or of `GST_PLUGIN_PATH`. A program in Rust may link this
//! crate instead and call [`plugin_register_static`] once before it makes the element.
//!
//! | module | what it holds |
//! |---|---|
//! | `source` | the element: life, waiting, negotiation, buffers |
//! | `gate` | where its streaming thread asks whether it may go on: pauses and flushes |
//! | `settings` | its properties |
//! | `picture` | what the header says of size, rate and colour, as GStreamer's caps; pixels into a buffer |
//! | `plugin` | what GStreamer's registry is told |
//! | `time` | a frame's time on the pipeline's clock |
//!
//! What the element promises to pipelines is in its README.
#![deny(unsafe_code)]

mod gate;
mod picture;
mod plugin;
mod settings;
mod source;
mod time;

use gst::glib;

pub use plugin::plugin_desc::plugin_register_static;

glib::wrapper! {
    /// The element.
    pub struct VasFrameSrc(ObjectSubclass<source::VasFrameSrc>)
        @extends gst_base::PushSrc, gst_base::BaseSrc, gst::Element, gst::Object;
}
