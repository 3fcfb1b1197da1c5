//! The table, what a camera takes, and what has to hold of it.

use crate::{Row, name};
use std::fmt::Write as _;
use std::path::Path;

/// A camera among many takes at most this much more, in memory and in processor time, than one among few. Threads and descriptors are
/// counted, and have to be the same.
const AT_MOST: f64 = 1.5;

/// The rate of a camera that is decoded may be below that of the camera by this much: its first picture comes after its first word.
const RATE: f64 = 0.9;

pub(crate) fn video(clip: &Path, fps: f64) -> String {
    format!("{} at {fps} pictures a second", name(clip))
}

pub(crate) fn progress(row: &Row) -> String {
    format!("{} cameras, skip {}: {:.1} % of a processor", row.cameras, row.skip, row.usage.cpu * 100.0)
}

/// What the server says at the end: `.. ended; in 20 s: 100 frames decoded (5.0/s)`, a line for each camera.
pub(crate) fn rates(log: &str) -> Vec<f64> {
    let lines = log.lines().filter(|line| line.contains("ended; "));
    lines
        .filter_map(|line| {
            let (_, rest) = line.split_once(" frames decoded (")?;
            rest.split("/s").next()?.parse().ok()
        })
        .collect()
}

/// What each camera more takes, from one row to another.
struct Each {
    threads: f64,
    descriptors: f64,
    private_kib: f64,
    shared_kib: f64,
    cpu_percent: f64,
}

fn each(few: &Row, many: &Row) -> Each {
    let more = (many.cameras - few.cameras) as f64;
    let of = |value: fn(&Row) -> f64| (value(many) - value(few)) / more;
    Each {
        threads: of(|row| row.usage.threads as f64),
        descriptors: of(|row| row.usage.descriptors as f64),
        private_kib: of(|row| row.usage.private_bytes as f64) / 1024.0,
        shared_kib: of(|row| row.usage.shared_bytes as f64) / 1024.0,
        cpu_percent: of(|row| row.usage.cpu) * 100.0,
    }
}

/// Neighbouring rows of the same kind.
fn steps(rows: &[Row]) -> impl Iterator<Item = (&Row, &Row)> {
    rows.windows(2).map(|two| (&two[0], &two[1])).filter(|(few, many)| few.skip == many.skip)
}

pub(crate) fn table(rows: &[Row], video: &str) -> String {
    // Writing to a String cannot fail.
    let mut text = format!("{video}; export on, nobody looking\n\n");
    let _ = writeln!(
        text,
        "{:>7}  {:<9}  {:>7}  {:>11}  {:>14}  {:>13}  {:>9}  {:>9}",
        "cameras",
        "skip",
        "threads",
        "descriptors",
        "private memory",
        "shared memory",
        "processor",
        "decoded"
    );
    for row in rows {
        let usage = &row.usage;
        let _ = writeln!(
            text,
            "{:>7}  {:<9}  {:>7}  {:>11}  {:>10} KiB  {:>9} KiB  {:>7.2} %  {:>6.2} /s",
            row.cameras,
            row.skip,
            usage.threads,
            usage.descriptors,
            usage.private_bytes / 1024,
            usage.shared_bytes / 1024,
            usage.cpu * 100.0,
            row.pictures_per_s
        );
    }
    text.push_str("\neach camera more\n\n");
    for (few, many) in steps(rows) {
        let each = each(few, many);
        let from = format!("{} to {}", few.cameras, many.cameras);
        let _ = writeln!(
            text,
            "{from:>9}  {:<7}  {:>7.2}  {:>11.2}  {:>10.0} KiB  {:>9.0} KiB  {:>7.3} %",
            many.skip, each.threads, each.descriptors, each.private_kib, each.shared_kib, each.cpu_percent
        );
    }
    text
}

/// A sentence for each thing that does not hold.
pub(crate) fn broken(rows: &[Row], fps: f64) -> Vec<String> {
    let mut broken = Vec::new();
    for row in rows.iter().filter(|row| row.skip == "none" && row.pictures_per_s < fps * RATE) {
        broken.push(format!(
            "of {} cameras {:.2} pictures a second are decoded, they send {fps}: this machine is too slow for them",
            row.cameras, row.pictures_per_s
        ));
    }
    let steps: Vec<_> = steps(rows).collect();
    for (before, after) in steps.iter().zip(steps.iter().skip(1)) {
        if before.1.skip != after.1.skip {
            continue;
        }
        let (few, many) = (each(before.0, before.1), each(after.0, after.1));
        let what = format!("skip {}, {} to {} cameras", after.1.skip, after.0.cameras, after.1.cameras);
        for (name, few, many) in
            [("threads", few.threads, many.threads), ("descriptors", few.descriptors, many.descriptors)]
        {
            if (few - many).abs() > 0.01 {
                broken.push(format!("{what}: {many:.2} {name} a camera, {few:.2} among fewer"));
            }
        }
        for (name, few, many) in [
            ("private memory", few.private_kib, many.private_kib),
            ("shared memory", few.shared_kib, many.shared_kib),
            ("processor time", few.cpu_percent, many.cpu_percent),
        ] {
            if many > few * AT_MOST {
                broken.push(format!(
                    "{what}: {:.2} times the {name} a camera that there is among fewer, at most {AT_MOST} is expected",
                    many / few
                ));
            }
        }
    }
    broken
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usage::Usage;

    fn row(cameras: usize, threads: u64, private_kib: u64, cpu: f64) -> Row {
        let usage = Usage {
            threads,
            descriptors: 10 + 3 * cameras as u64,
            private_bytes: private_kib * 1024,
            shared_bytes: cameras as u64 * 1024,
            cpu,
        };
        Row { cameras, skip: "none".to_owned(), usage, pictures_per_s: 5.0 }
    }

    #[test]
    fn what_grows_with_the_cameras_alone_holds() {
        let rows = [row(1, 6, 4000, 0.01), row(16, 21, 7000, 0.16), row(64, 69, 16_600, 0.64)];
        assert_eq!(broken(&rows, 5.0), [""; 0]);
        assert!(
            table(&rows, "a clip").contains(" 16 to 64  none        1.00         3.00         200 KiB"),
            "{}",
            table(&rows, "a clip")
        );
    }

    #[test]
    fn a_second_thread_for_some_and_memory_that_grows_faster_are_found() {
        let rows = [row(1, 6, 4000, 0.01), row(16, 21, 7000, 0.16), row(64, 80, 40_000, 0.64)];
        let broken = broken(&rows, 5.0);
        assert!(broken[0].contains("1.23 threads a camera, 1.00 among fewer"), "{broken:?}");
        assert!(broken[1].contains("3.44 times the private memory"), "{broken:?}");
        assert_eq!(broken.len(), 2);
    }

    #[test]
    fn cameras_that_are_not_kept_up_with_are_found() {
        let broken = broken(&[row(1, 6, 4000, 0.01)], 25.0);
        assert!(broken[0].contains("5.00 pictures a second are decoded, they send 25"), "{broken:?}");
    }

    #[test]
    fn the_rate_is_taken_from_the_last_word_of_each_camera() {
        let log = "INFO camera{id=a}: ended; in 20 s: 100 frames decoded (5.0/s), 0 exported\n\
                   INFO camera{id=b}: in 60 s: 300 frames decoded (4.0/s)\n\
                   INFO camera=c ended; in 20 s: 98 frames decoded (4.9/s)\n";
        assert_eq!(rates(log), [5.0, 4.9]);
    }
}
