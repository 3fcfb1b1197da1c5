//! `list`: a row per camera.

use crate::failure::Failure;
use crate::human;
use crate::look::{self, Looked};
use serde::Serialize;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;
use vas_shm_proto::{DATA_NAME, META_NAME};
use vas_shm_reader::{CameraId, Frame, Nv12, Opened, Reader, Status, cameras, monotonic_ns};

/// Arguments of `list`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Print a JSON array instead of a table
    #[arg(long)]
    json: bool,
}

/// One camera, as `--json` shows it.
#[derive(Debug, Serialize)]
struct Row {
    camera: String,
    /// `not_there`, `refused`, or the name of a [`Status`].
    state: &'static str,
    why: Option<String>,
    width: Option<u32>,
    height: Option<u32>,
    frame_period_ns: Option<u64>,
    fps: Option<f64>,
    slots: Option<u32>,
    memory_bytes: Option<u64>,
    newest_frame_age_ms: Option<f64>,
}

pub(crate) fn run(base: &Path, arguments: &Arguments, out: &mut dyn Write) -> Result<(), Failure> {
    let cameras = cameras(base).map_err(|error| base_failure(base, error))?;
    let rows: Vec<Row> = look::look(base, &cameras).iter().map(|looked| row(base, looked)).collect();
    if arguments.json {
        serde_json::to_writer_pretty(&mut *out, &rows)?;
        writeln!(out)?;
        return Ok(());
    }
    if rows.is_empty() {
        crate::say(&format_args!("{}: no cameras", base.display()));
        return Ok(());
    }
    let heading = ["CAMERA", "STATE", "PICTURE", "FPS", "SLOTS", "MEMORY", "NEWEST FRAME", ""];
    let mut table = vec![heading.map(str::to_owned).to_vec()];
    table.extend(rows.iter().map(cells));
    out.write_all(human::table(&table).as_bytes())?;
    Ok(())
}

pub(crate) fn base_failure(base: &Path, error: io::Error) -> Failure {
    let base = base.to_owned();
    match error.kind() {
        io::ErrorKind::NotFound => Failure::NoBase { base },
        io::ErrorKind::NotADirectory => Failure::BaseNoDirectory { base },
        _ => Failure::BaseRefused { base, error },
    }
}

fn row(base: &Path, looked: &Looked) -> Row {
    let (state, why, reader) = match &looked.opened {
        Opened::NotYet(why) => ("not_there", Some(why.to_string()), None),
        Opened::Refused(why) => ("refused", Some(why.to_string()), None),
        Opened::Ready(reader) => {
            let status = looked.status.unwrap_or(Status::Unproven);
            let why = (status == Status::Unproven).then(|| {
                format!("no sign of life for {}: the server may be dead", human::duration(look::LOOK))
            });
            (status.name(), why, Some(reader))
        }
    };
    let picture = reader.map(|reader| reader.header().picture());
    let frame_period_ns = reader.map(Reader::frame_period_ns).filter(|&period| period > 0);
    Row {
        camera: looked.camera.to_string(),
        state,
        why,
        width: picture.map(Nv12::width),
        height: picture.map(Nv12::height),
        frame_period_ns,
        fps: frame_period_ns.and_then(human::frames_per_second),
        slots: reader.map(|reader| reader.header().slots().get()),
        memory_bytes: memory_bytes(base, &looked.camera),
        newest_frame_age_ms: reader.and_then(newest_frame_age).map(human::milliseconds),
    }
}

/// What the two files take of the file system: blocks, not lengths, so that a sparse or emptied file shows as what it is.
/// `None` if this user may not look.
pub(crate) fn memory_bytes(base: &Path, camera: &CameraId) -> Option<u64> {
    let directory = base.join(camera.as_str());
    let of = |name| match directory.join(name).symlink_metadata() {
        Ok(file) => Some(file.blocks() * 512),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Some(0),
        Err(_) => None,
    };
    Some(of(META_NAME)? + of(DATA_NAME)?)
}

/// From the newest frame that stands there; of an idle camera, whose slots are empty, from the header's mirror.
fn newest_frame_age(reader: &Reader) -> Option<Duration> {
    if let Some(frame) = reader.last_picture().filter(Frame::is_intact) {
        return Some(frame.age());
    }
    let mirror_ns = reader.header().at_copy().timestamp_ns;
    (mirror_ns > 0).then(|| Duration::from_nanos(monotonic_ns().saturating_sub(mirror_ns)))
}

fn cells(row: &Row) -> Vec<String> {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let age = row.newest_frame_age_ms.map(|ms| human::duration(Duration::from_secs_f64(ms / 1e3)));
    vec![
        row.camera.clone(),
        row.state.replace('_', " "),
        or_dash(row.width.zip(row.height).map(|(width, height)| format!("{width}x{height}"))),
        or_dash(row.fps.map(|fps| fps.to_string())),
        or_dash(row.slots.map(|slots| slots.to_string())),
        or_dash(row.memory_bytes.map(human::bytes)),
        or_dash(age.map(|age| format!("{age} ago"))),
        row.why.clone().unwrap_or_default(),
    ]
}
