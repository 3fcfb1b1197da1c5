//! A real writer and real pipelines, for the tests of the GStreamer element.
//!
//! The writer publishes a picture when the test says so, so a test knows what the element has to hand on next. Pipelines run in the
//! test's process with the element registered in it; programs (`gst-launch-1.0`, `gst_watch`) load the plugin as a user's would.

use gst::prelude::*;
use gst_app::AppSink;
use gst_video::VideoFrameRef;
use gst_video::prelude::*;
use md5::{Digest, Md5};
use std::process::Command;
use std::sync::Once;
use std::time::Duration;
use vas_e2e::process::{Process, program};
use vas_e2e::scene::Scene;
use vas_e2e::{DEADLINE, until};
use vas_shm_writer::{
    Camera, CameraId, Color, ExportWhen, Exporter, ExporterConfig, PictureFormat, Plane, Stamp,
};

/// The camera of every test.
pub const CAMERA: &str = "front";
/// Its rate: 25 a second.
pub const PERIOD: Duration = Duration::from_millis(40);

/// [`DEADLINE`] as GStreamer counts.
#[must_use]
pub fn deadline() -> gst::ClockTime {
    DEADLINE.try_into().expect("three minutes")
}

/// A video server with one camera, in this process.
pub struct Server {
    exporter: Exporter,
    camera: Camera,
    published: u64,
}

/// What was published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// The frame's number.
    pub id: u64,
    /// CLOCK_MONOTONIC of its stamp.
    pub timestamp_ns: u64,
    /// MD5 of its visible picture, luma then chroma.
    pub md5: String,
    /// The picture itself.
    pub packed: Vec<u8>,
}

impl Server {
    /// Starts it in the scene's base directory.
    ///
    /// # Panics
    /// When the system does not allow it.
    #[must_use]
    pub fn start(scene: &Scene) -> Self {
        let config = ExporterConfig::new(scene.base()).when(ExportWhen::Always);
        let exporter = Exporter::start(config).expect("an exporter");
        let id = CameraId::new(CAMERA).expect("an id");
        // The one before may be at its end still.
        let mut camera = until("the camera is free", || exporter.camera(id).ok());
        camera.set_frame_period(Some(PERIOD));
        Self { exporter, camera, published: 0 }
    }

    /// Publishes a picture that looks like no other one.
    ///
    /// # Panics
    /// When it never can.
    pub fn publish(&mut self, width: u32, height: u32) -> Published {
        self.publish_as(PictureFormat::new(width, height, Color::UNSPECIFIED), false)
    }

    /// As [`Server::publish`], with colours, and whether the decoder is to have told of damage.
    ///
    /// # Panics
    /// When it never can.
    pub fn publish_as(&mut self, format: PictureFormat, damaged: bool) -> Published {
        self.published += 1;
        let (width, height) = (format.width as usize, format.height as usize);
        let chroma_row = 2 * width.div_ceil(2);
        let luma_size = width * height;
        // Blocks of 16 pixels, which an encoder takes without effort, and noise beside them.
        let mut state = self.published;
        let packed: Vec<u8> = (0..luma_size + chroma_row * height.div_ceil(2))
            .map(|at| {
                if at % 16 == 0 {
                    state =
                        state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                }
                16 + (state >> 58) as u8
            })
            .collect();
        let (luma, chroma) = packed.split_at(luma_size);
        let camera = &mut self.camera;
        let deadline = std::time::Instant::now() + DEADLINE;
        // A new size has a slot when its files are made.
        let (id, timestamp_ns) = loop {
            if let Ok(mut slot) = camera.slot(format) {
                slot.write_nv12(Plane::new(luma, width), Plane::new(chroma, chroma_row))
                    .expect("the picture's size");
                let stamp = Stamp::now().damaged(damaged);
                break (slot.publish(stamp).get(), stamp.timestamp_ns);
            }
            assert!(std::time::Instant::now() < deadline, "no slot for {width}x{height}");
            std::thread::sleep(Duration::from_millis(5));
        };
        let md5 = format!("{:x}", Md5::digest(&packed));
        Published { id, timestamp_ns, md5, packed }
    }

    /// The camera, for what else a server says of it.
    pub fn camera(&mut self) -> &mut Camera {
        &mut self.camera
    }

    /// Ends it in order.
    pub fn stop(self) {
        drop(self.camera);
        self.exporter.shutdown();
    }
}

/// A pipeline in this process.
pub struct Run {
    /// The pipeline.
    pub pipeline: gst::Pipeline,
    /// The element.
    pub source: gst::Element,
}

impl Run {
    /// `vasframesrc` with these properties, and what stands behind it; not started.
    ///
    /// # Panics
    /// When there is no such pipeline.
    #[must_use]
    pub fn new(scene: &Scene, properties: &str, behind: &str) -> Self {
        static REGISTERED: Once = Once::new();
        gst::init().expect("GStreamer");
        REGISTERED.call_once(|| gstvasframes::plugin_register_static().expect("register the element"));
        let base = scene.base();
        let words = format!(
            "vasframesrc name=source base={} camera={CAMERA} {properties} ! {behind}",
            base.display()
        );
        let pipeline = gst::parse::launch(&words).unwrap_or_else(|why| panic!("{words}: {why}"));
        let pipeline = pipeline.downcast::<gst::Pipeline>().expect("a pipeline");
        let source = pipeline.by_name("source").expect("the element");
        Self { pipeline, source }
    }

    /// The same, playing, into an appsink named `sink` that takes what comes.
    #[must_use]
    pub fn into_appsink(scene: &Scene, properties: &str) -> Self {
        let run = Self::new(scene, properties, "appsink name=sink sync=false");
        run.play();
        run
    }

    /// Starts it.
    ///
    /// # Panics
    /// When it cannot.
    pub fn play(&self) {
        self.pipeline
            .set_state(gst::State::Playing)
            .unwrap_or_else(|why| panic!("{why}: {:?}", self.error()));
    }

    /// The next buffer that the appsink has, waited for.
    ///
    /// # Panics
    /// When none comes.
    #[must_use]
    pub fn sample(&self) -> gst::Sample {
        let sink = self.pipeline.by_name("sink").and_then(|sink| sink.downcast::<AppSink>().ok());
        let sample = sink.expect("an appsink named sink").try_pull_sample(deadline());
        sample.unwrap_or_else(|| panic!("no buffer; the bus says {:?}", self.error()))
    }

    /// The next message that is as wanted, waited for. Those before it are gone.
    ///
    /// # Panics
    /// When none comes.
    pub fn message<T>(&self, what: &str, wanted: impl Fn(gst::MessageView<'_>) -> Option<T>) -> T {
        let bus = self.pipeline.bus().expect("a bus");
        bus.iter_timed(deadline())
            .find_map(|message| wanted(message.view()))
            .unwrap_or_else(|| panic!("never: {what}"))
    }

    /// Waits for a message that tells of that state.
    pub fn until_state(&self, state: &str) {
        self.message(&format!("the state {state}"), |message| match message {
            gst::MessageView::Element(element) => {
                let told = element.structure().filter(|told| told.name() == "vas-frames-status")?;
                assert_eq!(told.get::<&str>("camera"), Ok(CAMERA));
                (told.get::<&str>("state") == Ok(state)).then_some(())
            }
            _ => None,
        });
    }

    /// The text of the first error on the bus, waited for.
    #[must_use]
    pub fn until_error(&self) -> String {
        self.message("an error", |message| match message {
            gst::MessageView::Error(error) => Some(error.error().to_string()),
            _ => None,
        })
    }

    fn error(&self) -> Option<String> {
        let message = self.pipeline.bus()?.pop_filtered(&[gst::MessageType::Error])?;
        match message.view() {
            gst::MessageView::Error(error) => Some(format!("{} {:?}", error.error(), error.debug())),
            _ => None,
        }
    }

    /// One of the element's counters.
    #[must_use]
    pub fn counter(&self, name: &str) -> u64 {
        self.source.property(name)
    }

    /// Ends it; must not wait for anything.
    ///
    /// # Panics
    /// When it does.
    pub fn end(&self) {
        let (pipeline, (say, hear)) = (self.pipeline.clone(), std::sync::mpsc::channel());
        std::thread::spawn(move || say.send(pipeline.set_state(gst::State::Null)));
        hear.recv_timeout(DEADLINE).expect("the pipeline ends").expect("it ends well");
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // A test that failed must not hang for it, too.
        if !std::thread::panicking() {
            self.end();
        }
    }
}

/// A sample's picture without padding, wherever its rows are.
///
/// # Panics
/// When the sample is no picture.
#[must_use]
pub fn packed(sample: &gst::Sample) -> Vec<u8> {
    let info = gst_video::VideoInfo::from_caps(sample.caps().expect("caps")).expect("caps of video");
    let buffer = sample.buffer().expect("a buffer");
    let picture = VideoFrameRef::from_buffer_ref_readable(buffer, &info).expect("map the picture");
    let (width, height) = (info.width() as usize, info.height() as usize);
    let mut packed = Vec::new();
    for (plane, row_bytes, rows) in [(0, width, height), (1, 2 * width.div_ceil(2), height.div_ceil(2))] {
        let stride = picture.plane_stride()[plane as usize] as usize;
        for row in picture.plane_data(plane).expect("a plane").chunks(stride).take(rows) {
            packed.extend_from_slice(&row[..row_bytes]);
        }
    }
    packed
}

/// Whether a sample is what was published.
///
/// # Panics
/// When it is not.
pub fn assert_is(sample: &gst::Sample, published: &Published) {
    let buffer = sample.buffer().expect("a buffer");
    assert_eq!(buffer.offset(), published.id);
    let reference = buffer.meta::<gst::ReferenceTimestampMeta>().expect("the server's own time");
    assert_eq!(reference.timestamp().nseconds(), published.timestamp_ns);
    assert!(packed(sample) == published.packed, "frame {} has other pixels", published.id);
}

/// A program that finds the plugin as `GST_PLUGIN_PATH` says, with a registry of its own.
#[must_use]
pub fn with_plugin(scene: &Scene, program_name: impl AsRef<std::ffi::OsStr>) -> Command {
    let plugin = program("libgstvasframes.so");
    let mut command = Command::new(program_name);
    command
        .env("GST_PLUGIN_PATH", plugin.parent().expect("a folder"))
        .env("GST_REGISTRY", scene.files().join("registry.bin"))
        .env("VAS_SHM_BASE", scene.base());
    command
}

/// Starts `gst-launch-1.0` with these words.
#[must_use]
pub fn launch(scene: &Scene, words: &str) -> Process {
    let mut command = with_plugin(scene, "gst-launch-1.0");
    command.args(words.split_whitespace());
    Process::start("gst-launch-1.0", &mut command)
}
