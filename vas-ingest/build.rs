//! Tells the crate which FFmpeg's headers the bindings were made from, for the one field that came and went.

fn main() {
    println!("cargo:rustc-check-cfg=cfg(ffmpeg_6_1)");
    println!("cargo:rerun-if-changed=build.rs");
    // ffmpeg-sys-next has `links = "ffmpeg"` and reports every release that the installed headers reach.
    if std::env::var("DEP_FFMPEG_FFMPEG_6_1").as_deref() == Ok("true") {
        println!("cargo:rustc-cfg=ffmpeg_6_1");
    }
}
