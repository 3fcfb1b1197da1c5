//! What the cameras of a configuration will cost in shared memory, told before any of them connects.
//!
//! How large a camera's pictures are is known with its first one. So this speaks of usual sizes; the exact number is told, and
//! checked, when the files of a camera are made.

use crate::config::ExportConfig;
use std::fmt::Write as _;
use vas_shm_writer::{BaseError, CameraMemory, Color, ExporterConfig, PictureFormat, Room, SlotCount};

/// Sizes that cameras have, by the names that people use.
const SIZES: [(&str, u32, u32); 8] = [
    ("360p", 640, 360),
    ("480p", 854, 480),
    ("720p", 1280, 720),
    ("1080p", 1920, 1080),
    ("1440p", 2560, 1440),
    ("5 MP", 2592, 1944),
    ("4K", 3840, 2160),
    ("8K", 7680, 4320),
];
/// The one to speak of while nothing is known.
const USUAL: (u32, u32) = (1920, 1080);
/// The numbers of slots in the table: the default, and readers that take their time.
const SLOTS: [u32; 2] = [3, 6];

/// What is told at the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forecast {
    /// What a camera costs and what there is.
    pub line: String,
    /// What will be missing if all cameras have usual pictures, and the option that puts it right.
    pub warnings: Vec<String>,
}

/// Looks at the file system of the base directory and at the memory limit, for so many cameras.
///
/// # Errors
/// The kernel does not say what the file system has.
pub fn forecast(export: &ExportConfig, cameras: usize) -> Result<Forecast, BaseError> {
    Ok(foretell(&Room::at(&export.base)?, export.slots, cameras as u64))
}

fn foretell(room: &Room, slots: SlotCount, cameras: u64) -> Forecast {
    let usual = of_size(USUAL, slots);
    let mut line = format!(
        "shared memory: a camera of {}x{} takes {} ({} slots), twice that while it changes its size; {} has ",
        USUAL.0,
        USUAL.1,
        human(usual.pair_bytes),
        slots.get(),
        room.file_system.mount_point.display(),
    );
    // Writing to a String cannot fail.
    let _ = match room.file_system.size_bytes {
        Some(size) => write!(line, "{} free of {}", human(room.file_system.free_bytes), human(size)),
        None => write!(line, "no size limit"),
    };
    let _ = match &room.memory_limit {
        Some(limit) => write!(
            line,
            ", the memory limit of {} ({}) leaves {}",
            human(limit.limit_bytes),
            limit.path.display(),
            human(limit.spare_bytes())
        ),
        None => write!(line, ", there is no memory limit"),
    };
    let spare = room.spare_bytes();
    if spare < u64::MAX {
        let _ = write!(line, ": room for {} such cameras at most", spare / usual.pair_bytes);
    }
    let mut warnings = Vec::new();
    let count = if cameras == 1 { "1 camera".to_owned() } else { format!("{cameras} cameras") };
    if let Some(shortage) = room.shortage(usual.pair_bytes.saturating_mul(cameras), usual.pair_bytes) {
        warnings.push(format!("too little room for {count} of {}x{}: {shortage}", USUAL.0, USUAL.1));
    }
    // The base directory itself may still have to be made, and the file in it that tells of this server's cameras.
    let inodes = usual.peak_inodes * cameras + 2;
    if let Some(free) = room.file_system.free_inodes.filter(|&free| free < inodes) {
        warnings.push(format!(
            "too few inodes for {count}: {inodes} are needed, {free} are free in {}; remove files there or mount it with a larger nr_inodes",
            room.file_system.mount_point.display()
        ));
    }
    Forecast { line, warnings }
}

fn of_size((width, height): (u32, u32), slots: SlotCount) -> CameraMemory {
    let config = ExporterConfig::new("").slots(slots);
    config
        .memory(PictureFormat::new(width, height, Color::UNSPECIFIED))
        .expect("sizes of this module can be exported")
}

/// What a camera takes, for usual sizes and numbers of slots. Stands in docs/operating.md too, where a test compares it.
///
/// # Panics
/// Never: the sizes and numbers of slots in it are valid.
#[must_use]
pub fn table() -> String {
    let slots = SLOTS.map(|slots| SlotCount::new(slots).expect("2 to 8"));
    let mut text = format!("{:<6} {:>11}", "", "picture");
    for slots in slots {
        let heading = format!("{} slots", slots.get());
        let _ = write!(text, "  {heading:>22}  {:>12}", "at a change");
    }
    for (name, width, height) in SIZES {
        let size = format!("{width} x {height}");
        let _ = write!(text, "\n{name:<6} {size:>11}");
        for slots in slots {
            let memory = of_size((width, height), slots);
            let bytes = format!("{} B", memory.pair_bytes);
            let _ = write!(
                text,
                "  {bytes:>11} {:>10}  {:>12}",
                human(memory.pair_bytes),
                human(memory.peak_bytes)
            );
        }
    }
    text.push('\n');
    text
}

/// What a picture of this size takes with the default number of slots; None: a size that cannot be exported.
pub(crate) fn of_picture(width: u32, height: u32) -> Option<CameraMemory> {
    ExporterConfig::new("").memory(PictureFormat::new(width, height, Color::UNSPECIFIED))
}

/// Memory of this process that is neither a file's nor shared; None: the kernel does not say.
pub(crate) fn private_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
}

/// `8.9 MiB`, `23.5 GiB`.
pub(crate) fn human(bytes: u64) -> String {
    let mib = bytes as f64 / f64::from(1 << 20);
    if mib < 1024.0 { format!("{mib:.1} MiB") } else { format!("{:.1} GiB", mib / 1024.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_the_manual_is_the_one_that_is_printed() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operating.md");
        let manual = std::fs::read_to_string(path).unwrap();
        assert!(
            manual.contains(&format!("```text\n{}```", table())),
            "put this into docs/operating.md:\n{}",
            table()
        );
    }

    #[test]
    fn memory_that_is_written_to_counts_as_the_process_s_own() {
        const BYTES: usize = 64 << 20;
        let before = private_bytes().unwrap();
        let memory = std::hint::black_box(vec![1_u8; BYTES]);
        let with_it = private_bytes().unwrap();
        // Other tests of this process take and give back memory meanwhile, but not as much.
        assert!(with_it > before + BYTES as u64 / 2, "{before}, then {with_it}");
        drop(memory);
    }

    #[test]
    fn what_is_told_of_a_real_file_system_is_what_it_has() {
        let shm = vas_test_support::shared_memory();
        let room = Room::at(&shm).unwrap();
        let forecast = foretell(&room, SlotCount::DEFAULT, 1);
        assert!(forecast.line.contains("1920x1080 takes 8.9 MiB (3 slots)"), "{}", forecast.line);
        let mount = room.file_system.mount_point.display().to_string();
        assert!(forecast.line.contains(&format!("; {mount} has ")), "{}", forecast.line);
        // More cameras than any machine has memory for.
        if room.spare_bytes() < u64::MAX {
            let many = foretell(&room, SlotCount::DEFAULT, 1 << 30);
            assert!(
                many.warnings[0].starts_with("too little room for 1073741824 cameras of 1920x1080: "),
                "{many:?}"
            );
        }
    }
}
