//! The production reader, `vas-shm-reader`, behind the conversation by which every reader is tested.
//!
//! With a [`Fault`] it gives wrong answers on purpose: a harness that lets such a reader pass is blind.

use std::fs::{self, File};
use std::io::{self, BufRead, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use memmap2::{MmapOptions, MmapRaw};
use vas_shm_proto::META_NAME;
use vas_shm_reader::{Absent, CameraId, Found, Frame, FrameId, Opened, Options, Reader, Refused};

/// In what a probe is wrong on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Fault {
    /// Takes anything for a camera id.
    Camera,
    /// Takes whatever it should refuse for "not there yet".
    Refuse,
    /// Names another field than the one that was refused.
    Field,
    /// Takes whatever is not there yet for refused.
    Wait,
    /// Says that the code points of the colours are unspecified.
    Header,
    /// Never looks whether a frame is still whole.
    Intact,
    /// Rounds odd sizes down: the last chroma byte of each row is missing.
    Planes,
    /// Takes the next older frame if the newest does not stand.
    Latest,
    /// Gives every new frame, but the newest first.
    Next,
    /// Takes 0 in a slot for the frame 0.
    At,
    /// Says what stood in the header when it was opened.
    Observe,
    /// Never looks at the name again.
    Named,
    /// Says more than it was asked.
    Chatter,
    /// Ends by a signal when it is asked for a frame.
    Crash,
    /// Ends well until its exit code.
    ExitCode,
    /// Stores into the reserved bytes of `frame.meta`.
    Write,
    /// Leaves a file of its own beside the two.
    Create,
    /// Leaves a file of its own in the base directory.
    CreateInBase,
    /// Keeps the mappings of a pair that is closed.
    KeepMappings,
    /// Keeps a descriptor of a pair that is not there yet, or refused.
    KeepDescriptor,
    /// Has a descriptor that its children inherit.
    Inherit,
    /// Has a descriptor for writing.
    ReadWrite,
    /// Maps `frame.meta` for writing.
    MapWritable,
    /// Opens `frame.meta` for writing, and maps it for reading.
    OpenWritable,
}

/// What a reader holds that it should not.
#[derive(Debug)]
enum Misdeed {
    None,
    Open { _file: File },
    Mapped { _map: MmapRaw },
}

impl Fault {
    /// What is wrong with how the files are used, rather than with an answer.
    fn misuse(self, base: &Path, camera: &CameraId) -> io::Result<Misdeed> {
        let directory = base.join(camera.as_str());
        let meta = directory.join(META_NAME);
        let open = |write| File::options().read(true).write(write).open(&meta);
        match self {
            Self::Write => open(true)?.write_all_at(&[1], 200)?,
            Self::Create => fs::write(directory.join("reader"), "")?,
            Self::CreateInBase => fs::write(base.join("reader"), "")?,
            Self::Inherit => {
                let flags = rustix::fs::OFlags::RDONLY;
                let file = rustix::fs::open(&meta, flags, rustix::fs::Mode::empty())?;
                return Ok(Misdeed::Open { _file: file.into() });
            }
            Self::ReadWrite => return Ok(Misdeed::Open { _file: open(true)? }),
            Self::MapWritable => {
                return Ok(Misdeed::Mapped { _map: MmapOptions::new().map_raw(&open(true)?)? });
            }
            Self::OpenWritable => {
                return Ok(Misdeed::Mapped { _map: MmapOptions::new().map_raw_read_only(&open(true)?)? });
            }
            _ => {}
        }
        Ok(Misdeed::None)
    }
}

/// Carries out commands until the input ends.
///
/// # Errors
/// Input or output cannot be used.
pub fn run(
    base: &Path,
    camera: &CameraId,
    fault: Option<Fault>,
    input: impl BufRead,
    mut output: impl Write,
) -> io::Result<()> {
    let mut lines = input.lines();
    let mut asked = lines.next().transpose()?;
    while let Some(line) = asked.take() {
        let opened = (line == "open").then(|| vas_shm_reader::open(base, camera, &Options::new()));
        let answer = match opened {
            Some(Opened::Ready(reader)) => {
                let _misdeed = fault.map(|fault| fault.misuse(base, camera)).transpose()?;
                say(&mut output, "ready")?;
                let mut pair = Pair { reader: &reader, fault, seen: None, held: None };
                // Another `open` closes the pair as `close` does.
                asked = loop {
                    let Some(line) = lines.next().transpose()? else { return Ok(()) };
                    if line == "close" || line == "open" {
                        break Some(line);
                    }
                    say(&mut output, &pair.answer(&line))?;
                };
                if fault == Some(Fault::KeepMappings) {
                    std::mem::forget(reader);
                }
                continue;
            }
            Some(_) if fault == Some(Fault::KeepDescriptor) => {
                let data = base.join(camera.as_str()).join(vas_shm_proto::DATA_NAME);
                std::mem::forget(File::open(data)?);
                "not_there_yet stopped".to_owned()
            }
            Some(Opened::NotYet(why)) => match fault {
                Some(Fault::Wait) => "refused frame.meta".to_owned(),
                _ => format!("not_there_yet {}", reason(&why)),
            },
            Some(Opened::Refused(why)) => match fault {
                Some(Fault::Refuse) => "not_there_yet missing".to_owned(),
                Some(Fault::Field) => "refused generation".to_owned(),
                // The reader's own error, which says nothing of the pair (OPEN-4).
                _ if matches!(why, Refused::Io { .. }) => format!("error {why}"),
                _ => format!("refused {}", field(&why)),
            },
            None if line == "close" => "ok".to_owned(),
            None => format!("error nothing is open, so there is no answer to {line}"),
        };
        say(&mut output, &answer)?;
        asked = lines.next().transpose()?;
    }
    Ok(())
}

fn say(output: &mut impl Write, answer: &str) -> io::Result<()> {
    writeln!(output, "{answer}")?;
    output.flush()
}

fn reason(why: &Absent) -> &'static str {
    use vas_shm_proto::NotYet;
    match why {
        Absent::NoFile { .. } => "missing",
        Absent::Busy { .. } => "busy",
        Absent::Header { why: NotYet::MixedPair { .. }, .. } => "mixed_pair",
        Absent::Header { why: NotYet::Stopped, .. } => "stopped",
        Absent::Header { why: NotYet::Replaced, .. } => "replaced",
        _ => "unknown",
    }
}

fn field(why: &Refused) -> String {
    match why {
        Refused::Header { why, .. } => why.field().to_owned(),
        Refused::NotRegular { path, .. } | Refused::Access { path, .. } | Refused::Owner { path, .. } => {
            path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
        }
        _ => "unknown".to_owned(),
    }
}

/// A pair that is open, and what was seen of it.
struct Pair<'r> {
    reader: &'r Reader,
    fault: Option<Fault>,
    seen: Option<FrameId>,
    held: Option<Frame<'r>>,
}

impl<'r> Pair<'r> {
    fn answer(&mut self, line: &str) -> String {
        let fault = self.fault;
        match line.split_once(' ') {
            None => match line {
                "header" => self.header(),
                "latest" => {
                    if fault == Some(Fault::Crash) {
                        std::process::abort();
                    }
                    let found = self.latest();
                    self.found(found)
                }
                "next" => {
                    let found = if fault == Some(Fault::Next) { self.latest() } else { self.next() };
                    self.found(found)
                }
                "intact" => match self.held {
                    Some(frame) => yes_or_no(fault == Some(Fault::Intact) || frame.is_intact()),
                    None => "error no frame is held".to_owned(),
                },
                "observe" => self.observe(),
                "named" => yes_or_no(fault == Some(Fault::Named) || self.reader.is_still_named()),
                _ => format!("error {line} is no command"),
            },
            Some(("at", id)) => match id.parse::<u64>() {
                Ok(0) if fault == Some(Fault::At) => "frame 0 0 0".to_owned(),
                Ok(id) => match FrameId::new(id).and_then(|id| self.reader.at(id)) {
                    Some(frame) => self.hand_out(frame),
                    None => "gone".to_owned(),
                },
                Err(error) => format!("error {id} is no number of a frame: {error}"),
            },
            Some(("planes", prefix)) => match self.held {
                Some(frame) => match self.planes(&frame, prefix) {
                    Ok(()) => "ok".to_owned(),
                    Err(error) => format!("error write {prefix}: {error}"),
                },
                None => "error no frame is held".to_owned(),
            },
            Some(_) => format!("error {line} is no command"),
        }
    }

    fn found(&mut self, found: Found<'r>) -> String {
        match found {
            Found::Frame(frame) => self.hand_out(frame),
            Found::NothingNew => "nothing".to_owned(),
            Found::Overrun => "overrun".to_owned(),
        }
    }

    fn hand_out(&mut self, frame: Frame<'r>) -> String {
        self.seen = Some(frame.id());
        self.held = Some(frame);
        let more = if self.fault == Some(Fault::Chatter) { "\nand how it shines" } else { "" };
        format!("frame {} {} {}{more}", frame.id(), frame.timestamp_ns(), frame.flags().0)
    }

    /// Whether the reader hands out frames as current by itself (LIVE-1). Until then they are asked for as old ones.
    fn is_proven(&self) -> bool {
        let (now, then) = (self.reader.observe(), self.reader.observed_at_open());
        now.frame_id != then.frame_id || now.heartbeat_ns != then.heartbeat_ns
    }

    fn latest(&self) -> Found<'r> {
        let mut found = self.reader.latest(self.seen);
        if !self.is_proven() {
            if let (Found::NothingNew, Some(frame)) = (&found, self.reader.last_picture()) {
                if Some(frame.id()) != self.seen {
                    found = Found::Frame(frame);
                }
            }
        }
        if self.fault == Some(Fault::Latest) && matches!(found, Found::NothingNew) {
            let older = FrameId::new(self.reader.observe().frame_id.saturating_sub(1));
            if let Some(frame) = older.and_then(|id| self.reader.at(id)) {
                return Found::Frame(frame);
            }
        }
        found
    }

    fn next(&self) -> Found<'r> {
        if self.seen.is_some() && self.is_proven() {
            return self.reader.next(self.seen);
        }
        // The reader's own `next` begins with the newest frame, and with nothing before the server is known to live: READ-9
        // by hand.
        let newest = self.reader.observe().frame_id;
        let slots = u64::from(self.reader.header().slots().get());
        let after_seen = self.seen.map_or(1, |seen| seen.get().saturating_add(1));
        let oldest = newest.saturating_sub(slots - 1).max(after_seen);
        if self.seen.is_some_and(|seen| newest <= seen.get()) {
            return Found::NothingNew;
        }
        (oldest..=newest)
            .filter_map(FrameId::new)
            .find_map(|id| self.reader.at(id))
            .map_or(Found::NothingNew, Found::Frame)
    }

    fn header(&self) -> String {
        let header = self.reader.header();
        let (picture, mut color) = (header.picture(), header.color());
        if self.fault == Some(Fault::Header) {
            color = vas_shm_reader::Color::UNSPECIFIED;
        }
        format!(
            "version={} header_size={} width={} height={} pixel_format={} stride={} data_size={} uv_offset={} \
             slot_count={} color_range={} color_primaries={} color_transfer={} color_matrix={} data_file_size={} \
             data_inode={} generation={}",
            header.version(),
            header.header_size(),
            picture.width(),
            picture.height(),
            // The only one that this reader accepts.
            vas_shm_proto::layout::PIXEL_FORMAT_NV12,
            picture.stride_bytes(),
            picture.data_size(),
            picture.uv_offset(),
            header.slots().get(),
            color.range.to_byte(),
            color.primaries,
            color.transfer,
            color.matrix,
            header.data_file_size(),
            header.data_inode(),
            header.generation(),
        )
    }

    fn observe(&self) -> String {
        let seen = match self.fault {
            Some(Fault::Observe) => self.reader.observed_at_open(),
            _ => self.reader.observe(),
        };
        format!(
            "state={} idle={} frame_id={} heartbeat_ns={} frame_period_ns={}",
            seen.state.name(),
            u8::from(seen.flags.is_idle()),
            seen.frame_id,
            seen.heartbeat_ns,
            self.reader.frame_period_ns(),
        )
    }

    fn planes(&self, frame: &Frame<'_>, prefix: &str) -> io::Result<()> {
        let picture = frame.picture();
        let mut packed = vec![0; picture.packed_size() as usize];
        // What `with` says of the frame is another command's answer.
        let _ = frame.with(|nv12| nv12.copy_packed_to(&mut packed));
        let (luma, chroma) = packed.split_at(picture.width() as usize * picture.height() as usize);
        let chroma = if self.fault == Some(Fault::Planes) { &chroma[1..] } else { chroma };
        fs::write(format!("{prefix}.luma"), luma)?;
        fs::write(format!("{prefix}.chroma"), chroma)
    }
}

fn yes_or_no(yes: bool) -> String {
    if yes { "yes" } else { "no" }.to_owned()
}
