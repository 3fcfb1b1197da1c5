//! Rounds: each way once, in an order that changes.

use crate::kernels::{self, Target, Way};
use crate::report::{self, Row};
use crate::{Cli, machine};
use rustix::time::{ClockId, clock_gettime};
use std::error::Error;
use std::ops::Range;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};
use vas_e2e::scene::Scene;
use vas_shm_reader::{FrameId, Opened, Options, open};
use vas_shm_writer::{
    Camera, CameraId, Color, ExportWhen, Exporter, ExporterConfig, PictureFormat, Plane, RawPlanes,
    SlotCount, Stamp,
};

/// Width, height, and how many rounds there are for one of the smallest. All widths are multiples of 64, so that rows of a slot
/// have no padding.
const SHAPES: [(&str, Shape, u32); 6] = [
    ("192 x 108", Shape { width: 192, height: 108 }, 1),
    ("640 x 360", Shape { width: 640, height: 360 }, 1),
    ("1280 x 720", Shape { width: 1280, height: 720 }, 2),
    ("1920 x 1080", Shape { width: 1920, height: 1080 }, 2),
    ("3840 x 2160", Shape { width: 3840, height: 2160 }, 8),
    ("7680 x 4320", Shape { width: 7680, height: 4320 }, 20),
];
/// What decoders leave at the end of a row, in the cases with padding.
const PADDING_BYTES: usize = 64;
const PAGE_BYTES: usize = 4096;
/// Where large pieces of memory begin in a page that FFmpeg takes from malloc, and those that a Vec takes.
const SOURCE_PLACE_BYTES: usize = 64;
const READER_PLACE_BYTES: usize = 16;
/// Other places. Slots begin at 0; there are processors that copy slowly between places that lie near each other.
const PLACES_BYTES: [usize; 6] = [0, 16, 256, 2048, 4032, 4080];
const PLACED_SHAPES: [(&str, Shape, u32); 1] = [SHAPES[3]];
/// Files are made within this time on any machine.
const FILES_WITHIN: Duration = Duration::from_secs(30);

/// The size of a picture in pixels, both even.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) width: usize,
    pub(crate) height: usize,
}

/// A planar 4:2:0 picture in private memory.
#[derive(Clone, Copy, Debug)]
pub struct Planar<'p> {
    /// Luma, Cb and Cr: rows from the first byte of the first one.
    pub planes: [&'p [u8]; 3],
    /// Bytes from one row to the next.
    pub strides_bytes: [usize; 3],
}

/// A way into a slot that this crate does not know.
pub trait Foreign {
    /// What it is called in the table.
    fn name(&self) -> &'static str;
    /// Whether the slot has the numbers of the source afterwards.
    fn keeps_numbers(&self) -> bool;
    /// Writes the picture into the slot.
    fn convert(&mut self, picture: &Planar<'_>, to: &RawPlanes<'_>);
}

/// A picture in private memory, as a decoder would hand it out.
pub(crate) struct Source {
    shape: Shape,
    planes: Vec<SourcePlane>,
}

struct SourcePlane {
    memory: Placed,
    stride_bytes: usize,
}

/// Private memory that begins at a chosen place of a page.
struct Placed {
    memory: Vec<u8>,
    place: Range<usize>,
}

impl Placed {
    fn new(len: usize, place_bytes: usize) -> Self {
        let memory = vec![1; len + PAGE_BYTES + place_bytes];
        let begin = memory.as_ptr().align_offset(PAGE_BYTES).min(PAGE_BYTES) + place_bytes;
        Self { memory, place: begin..begin + len }
    }

    fn bytes(&self) -> &[u8] {
        &self.memory[self.place.clone()]
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.place.clone()]
    }
}

impl Source {
    fn new(case: &Case, shape: Shape) -> Self {
        let Shape { width, height } = shape;
        let sizes = if case.is_planar {
            vec![(width, height), (width / 2, height / 2), (width / 2, height / 2)]
        } else {
            vec![(width, height), (width, height / 2)]
        };
        let planes = sizes.into_iter().map(|(row_bytes, rows)| {
            let stride_bytes = row_bytes + case.padding_bytes;
            SourcePlane { memory: Placed::new(stride_bytes * rows, case.source_place_bytes), stride_bytes }
        });
        Self { shape, planes: planes.collect() }
    }

    pub(crate) fn shape(&self) -> Shape {
        self.shape
    }

    pub(crate) fn is_planar(&self) -> bool {
        self.planes.len() == 3
    }

    pub(crate) fn plane(&self, index: usize) -> &[u8] {
        self.planes[index].memory.bytes()
    }

    pub(crate) fn stride_bytes(&self, index: usize) -> usize {
        self.planes[index].stride_bytes
    }

    /// A new picture, written by this thread as a decoder on it would.
    fn decode(&mut self, value: u8) {
        for (index, plane) in (0..).zip(&mut self.planes) {
            plane.memory.bytes_mut().fill(value.wrapping_mul(3).wrapping_add(index));
        }
    }

    /// A picture in which every byte has neighbours unlike itself.
    fn scramble(&mut self) {
        let mut state = 1_u32;
        for byte in self.planes.iter_mut().flat_map(|plane| plane.memory.bytes_mut()) {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *byte = (state >> 24) as u8;
        }
    }

    fn planar(&self) -> Planar<'_> {
        Planar {
            planes: [self.plane(0), self.plane(1), self.plane(2)],
            strides_bytes: [self.stride_bytes(0), self.stride_bytes(1), self.stride_bytes(2)],
        }
    }
}

/// Who brings the picture in.
enum Hand {
    Way(Way),
    Foreign(Box<dyn Foreign>),
    /// The writer as it is shipped, by its public interface.
    Shipped,
    /// To private memory, by the first way; nobody reads it.
    Private(Way),
}

impl Hand {
    fn name(&self) -> String {
        match self {
            Self::Way(way) => way.name.to_owned(),
            Self::Foreign(foreign) => foreign.name().to_owned(),
            Self::Shipped => "the writer, as it is shipped".to_owned(),
            Self::Private(way) => format!("{}, to private memory", way.name),
        }
    }

    fn keeps_numbers(&self) -> bool {
        match self {
            Self::Foreign(foreign) => foreign.keeps_numbers(),
            _ => true,
        }
    }
}

/// What a table is about.
#[derive(Clone)]
struct Case {
    title: String,
    is_planar: bool,
    padding_bytes: usize,
    /// Where in a page each plane of the source begins.
    source_place_bytes: usize,
    /// Where in a page the reader's buffer begins.
    reader_place_bytes: usize,
    shapes: &'static [(&'static str, Shape, u32)],
}

fn cases() -> Vec<Case> {
    let case = |title: &str, is_planar, padding_bytes| Case {
        title: title.to_owned(),
        is_planar,
        padding_bytes,
        source_place_bytes: SOURCE_PLACE_BYTES,
        reader_place_bytes: READER_PLACE_BYTES,
        shapes: &SHAPES,
    };
    let mut cases = vec![
        case("NV12, rows back to back", false, 0),
        case("NV12, rows with 64 bytes of padding", false, PADDING_BYTES),
        case("yuv420p, rows with 64 bytes of padding", true, PADDING_BYTES),
    ];
    cases.extend(PLACES_BYTES.map(|place_bytes| Case {
        source_place_bytes: place_bytes,
        reader_place_bytes: place_bytes,
        shapes: &PLACED_SHAPES,
        ..case(&format!("NV12, planes and the reader's buffer {place_bytes} bytes into a page"), false, 0)
    }));
    cases
}

fn hands(case: &Case, shape: Shape, foreign: &dyn Fn(usize, usize) -> Vec<Box<dyn Foreign>>) -> Vec<Hand> {
    let ways = if case.is_planar { kernels::interleaves() } else { kernels::copies() };
    let mut hands: Vec<_> = ways.into_iter().map(Hand::Way).collect();
    hands.push(Hand::Shipped);
    if case.is_planar {
        hands.extend(foreign(shape.width, shape.height).into_iter().map(Hand::Foreign));
    } else {
        hands.extend(kernels::copies().into_iter().take(1).map(Hand::Private));
    }
    hands
}

/// Measures and prints.
pub(crate) fn run(
    cli: &Cli,
    foreign: &dyn Fn(usize, usize) -> Vec<Box<dyn Foreign>>,
) -> Result<(), Box<dyn Error>> {
    let processors = machine::processors();
    let [writers, readers, ..] = processors[..] else {
        return Err(format!(
            "this program may use {} processor: the reader's times need a second one, see taskset(1)",
            processors.len()
        )
        .into());
    };
    machine::stay_on(writers)?;
    println!("{}", machine::processor());
    let scene = Scene::new();
    for case in &cases() {
        for &(name, shape, fewer) in case.shapes {
            let mut hands = hands(case, shape, foreign);
            let rounds = (cli.rounds / fewer).max(1);
            let mut bench = Bench::start(&scene.base(), readers, case, shape)?;
            bench.check(&mut hands).map_err(|why| format!("{}, {name}: {why}", case.title))?;
            let before_ns = machine::round_trip_ns(readers);
            let rows = bench.measure(&mut hands, rounds)?;
            let apart_ns = [before_ns, machine::round_trip_ns(readers)];
            report::print(&format!("{}, {name}, {rounds} rounds", case.title), apart_ns, &rows);
            bench.end();
        }
    }
    Ok(())
}

/// A camera with files for one shape, and its reader.
struct Bench {
    exporter: Exporter,
    camera: Camera,
    format: PictureFormat,
    source: Source,
    row: Vec<u8>,
    private: Vec<u8>,
    wanted: Sender<Wanted>,
    read: Receiver<Result<Read, String>>,
}

/// What the reader is asked for.
struct Wanted {
    id: FrameId,
    /// The picture too, and not only the time.
    picture: bool,
}

/// What the reader did.
struct Read {
    ns: u64,
    picture: Vec<u8>,
}

impl Bench {
    fn start(base: &Path, processor: usize, case: &Case, shape: Shape) -> Result<Self, Box<dyn Error>> {
        let exporter = Exporter::start(
            ExporterConfig::new(base).when(ExportWhen::Always).slots(SlotCount::new(2).expect("two")),
        )?;
        let mut camera = exporter.camera(CameraId::new("copy")?)?;
        let format = PictureFormat::new(shape.width as u32, shape.height as u32, Color::UNSPECIFIED);
        let deadline = Instant::now() + FILES_WITHIN;
        while let Err(why) = camera.slot(format).map(drop) {
            if Instant::now() > deadline {
                return Err(why.to_string().into());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        let (wanted, asked) = channel();
        let (answers, read) = channel();
        let base = base.to_owned();
        let picture = Placed::new(shape.width * shape.height * 3 / 2, case.reader_place_bytes);
        std::thread::spawn(move || {
            if let Err(why) = serve(&base, processor, picture, &asked, &answers) {
                let _ = answers.send(Err(why));
            }
        });
        Ok(Self {
            exporter,
            camera,
            format,
            source: Source::new(case, shape),
            row: Vec::new(),
            private: vec![1; shape.width * shape.height * 3 / 2],
            wanted,
            read,
        })
    }

    /// Removes the files; the reader ends when nobody can ask it any more.
    fn end(self) {
        drop(self.wanted);
        let _ = self.read.recv();
        drop(self.camera);
        self.exporter.shutdown();
    }

    /// Every way has to bring the same picture in, before any is measured.
    fn check(&mut self, hands: &mut [Hand]) -> Result<(), Box<dyn Error>> {
        self.source.scramble();
        let Shape { width, height } = self.source.shape;
        let row = |plane: usize, y: usize, len: usize| {
            &self.source.plane(plane)[y * self.source.stride_bytes(plane)..][..len]
        };
        let mut expected: Vec<u8> = (0..height).flat_map(|y| row(0, y, width)).copied().collect();
        for y in 0..height / 2 {
            if self.source.is_planar() {
                let pairs = row(1, y, width / 2).iter().zip(row(2, y, width / 2));
                expected.extend(pairs.flat_map(|(&cb, &cr)| [cb, cr]));
            } else {
                expected.extend_from_slice(row(1, y, width));
            }
        }
        for hand in hands {
            let (_, read) = self.turn(hand, true)?;
            let Some(read) = read else { continue };
            if hand.keeps_numbers() != (read.picture == expected) {
                return Err(format!("{}: not the picture that it should be", hand.name()).into());
            }
        }
        Ok(())
    }

    fn measure(&mut self, hands: &mut [Hand], rounds: u32) -> Result<Vec<Row>, Box<dyn Error>> {
        let mut rows: Vec<Row> = hands.iter().map(|hand| Row::new(hand.name())).collect();
        for round in 0..rounds as usize {
            for turn in 0..hands.len() {
                // Each is first as often as it is last, and follows each other way.
                let turn = if round % 2 == 0 { turn } else { hands.len() - 1 - turn };
                let index = (turn + round / 2) % hands.len();
                self.source.decode(round as u8);
                let (write_ns, read) = self.turn(&mut hands[index], false)?;
                rows[index].write_ns.push(write_ns);
                rows[index].read_ns.extend(read.map(|read| read.ns));
            }
        }
        Ok(rows)
    }

    /// One picture in, by `hand`, and out again.
    fn turn(&mut self, hand: &mut Hand, picture: bool) -> Result<(u64, Option<Read>), Box<dyn Error>> {
        if let Hand::Private(way) = hand {
            let target = Target::private(&mut self.private, self.source.shape);
            let ns = measured(|| way.write(&self.source, target, &mut self.row));
            return Ok((ns, None));
        }
        let mut slot = self.camera.slot(self.format).map_err(|why| why.to_string())?;
        let source = &self.source;
        let ns = match hand {
            Hand::Way(way) | Hand::Private(way) => {
                let target = Target::slot(&slot.planes());
                measured(|| way.write(source, target, &mut self.row))
            }
            Hand::Foreign(foreign) => {
                let planes = slot.planes();
                let picture = source.planar();
                measured(|| foreign.convert(&picture, &planes))
            }
            Hand::Shipped => {
                let plane = |index| Plane::new(source.plane(index), source.stride_bytes(index));
                let mut filled = Ok(());
                let ns = measured(|| {
                    filled = if source.is_planar() {
                        slot.write_yuv420p(plane(0), plane(1), plane(2))
                    } else {
                        slot.write_nv12(plane(0), plane(1))
                    };
                });
                filled?;
                ns
            }
        };
        let id = slot.publish(Stamp::now());
        self.wanted.send(Wanted { id, picture })?;
        Ok((ns, Some(self.read.recv()??)))
    }
}

/// What this thread takes of the processor for the work, in nanoseconds: what else the processor does meanwhile is not in it.
fn measured(work: impl FnOnce()) -> u64 {
    let now = || {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        // Neither is negative.
        time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
    };
    let begin = now();
    work();
    now() - begin
}

/// The reader: copies each frame that it is asked for into memory of its own.
fn serve(
    base: &Path,
    processor: usize,
    mut picture: Placed,
    asked: &Receiver<Wanted>,
    answers: &Sender<Result<Read, String>>,
) -> Result<(), String> {
    machine::stay_on(processor).map_err(|why| format!("keep the reader on processor {processor}: {why}"))?;
    let camera = CameraId::new("copy").expect("an id");
    let mut reader = None;
    while let Ok(wanted) = asked.recv() {
        if reader.is_none() {
            reader = match open(base, &camera, &Options::new()) {
                Opened::Ready(reader) => Some(reader),
                other => return Err(format!("the reader cannot open the camera: {other:?}")),
            };
        }
        let frame =
            reader.as_ref().and_then(|reader| reader.at(wanted.id)).ok_or("the frame is not there")?;
        let mut copied = Ok(());
        let ns = measured(|| copied = frame.copy_to(picture.bytes_mut()));
        copied.map_err(|why| why.to_string())?;
        let shown = if wanted.picture { picture.bytes().to_vec() } else { Vec::new() };
        let _ = answers.send(Ok(Read { ns, picture: shown }));
    }
    Ok(())
}
