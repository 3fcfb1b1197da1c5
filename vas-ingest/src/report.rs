//! What the server tells of itself and its cameras: one structure, of which the status file, the table of `vas-ingest status` and
//! the metrics are made. It holds no passwords: sentences in it were made for the log, and are redacted once more.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The version of the status file. A field may be added without a new one; none changes its meaning or goes.
pub const VERSION: u32 = 1;

/// Everything, at one moment. The fields are explained in docs/operating.md.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`VERSION`].
    pub version: u32,
    /// When this was written.
    pub updated_unix_ms: u64,
    /// Who wrote it.
    pub server: ServerReport,
    /// None: frames are not exported.
    pub export: Option<ExportReport>,
    /// How the last reload ended; None: there was none.
    pub reload: Option<ReloadReport>,
    /// In the order of the configuration.
    pub cameras: Vec<CameraReport>,
}

/// The process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerReport {
    /// Its number.
    pub pid: u32,
    /// When that number was given to it, as field 22 of `/proc/PID/stat` has it: another process with this number has another.
    pub start_ticks: u64,
    /// The version of the program.
    pub program_version: String,
    /// When it began.
    pub started_unix_ms: u64,
}

/// The export.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportReport {
    /// Its base directory.
    pub base: String,
}

/// A reload of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReloadReport {
    /// When it ended.
    pub at_unix_ms: u64,
    /// The new configuration is in force.
    pub ok: bool,
    /// What was done, or why nothing was.
    pub sentence: String,
}

/// One camera.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CameraReport {
    /// Its name.
    pub id: String,
    /// connecting, live, stalled, backoff, auth_failed, stopped, finished or failed.
    pub state: String,
    /// Since when; while it is away and tried again and again: since it was lost.
    pub since_unix_ms: u64,
    /// Why it is not live.
    pub reason: Option<String>,
    /// When it is tried again, while it waits for that.
    pub retry_in_ms: Option<u64>,
    /// Its last trouble, also when that is over.
    pub last_error: Option<String>,
    /// When it had that.
    pub last_error_unix_ms: Option<u64>,
    /// Coded pictures that came, a second.
    pub received_per_s: f64,
    /// Pictures that were decoded, a second.
    pub decoded_per_s: f64,
    /// How old its newest picture is.
    pub newest_frame_age_ms: Option<u64>,
    /// When its newest picture was decoded.
    pub newest_frame_unix_ms: Option<u64>,
    /// Since the camera was started.
    pub counters: CountersReport,
    /// Somebody had its files open when last asked; None: frames are not exported.
    pub readers_attached: Option<bool>,
    /// What its files take of the tmpfs; None: frames are not exported.
    pub shared_memory_bytes: Option<u64>,
    /// Processor time of its thread; None: the kernel does not say.
    pub cpu_ms: Option<u64>,
    /// The transport that its newest pictures came by; None: a file, or nothing came so far.
    pub transport: Option<String>,
    /// Who talked with the camera then: `retina` or `ffmpeg`.
    pub client: Option<String>,
}

/// What a camera has done since it was started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CountersReport {
    /// Coded pictures that came from the source.
    pub received: u64,
    /// Pictures that the decoder gave.
    pub decoded: u64,
    /// Pictures that readers could see.
    pub exported: u64,
    /// Pictures that were overtaken between decoder and export.
    pub dropped_by_ring: u64,
    /// Pictures that nobody was there to see.
    pub unwatched: u64,
    /// Pictures without a slot, by reason.
    pub not_exported: BTreeMap<String, u64>,
    /// Pictures marked as damaged.
    pub damaged: u64,
    /// What the decoder refused.
    pub decode_errors: u64,
    /// RTP packets that never came.
    pub packets_lost: u64,
    /// Times that the source was lost.
    pub reconnects: u64,
    /// Times that frames stopped while the connection stood.
    pub stalls: u64,
}

impl Report {
    /// Is every camera live?
    #[must_use]
    pub fn is_all_live(&self) -> bool {
        self.cameras.iter().all(|camera| camera.state == "live")
    }

    /// For people: a row a camera.
    #[must_use]
    pub fn table(&self) -> String {
        let mut rows: Vec<Vec<String>> = vec![COLUMNS.iter().map(|&(name, _)| name.to_owned()).collect()];
        rows.extend(self.cameras.iter().map(|camera| self.row(camera)));
        let widths: Vec<usize> = (0..COLUMNS.len())
            .map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0))
            .collect();
        let mut text = String::new();
        for row in rows {
            let mut line = String::new();
            for ((cell, width), (_, is_number)) in row.iter().zip(&widths).zip(COLUMNS) {
                // Writing to a String cannot fail.
                let _ = if is_number {
                    write!(line, "{cell:>width$}  ")
                } else {
                    write!(line, "{cell:<width$}  ")
                };
            }
            let _ = writeln!(text, "{}", line.trim_end());
        }
        let live = self.cameras.iter().filter(|camera| camera.state == "live").count();
        let _ = write!(
            text,
            "{live} of {} live; pid {}, up {}; {}",
            self.cameras.len(),
            self.server.pid,
            time(self.updated_unix_ms.saturating_sub(self.server.started_unix_ms)),
            self.export
                .as_ref()
                .map_or("not exported".to_owned(), |export| format!("exported to {}", export.base)),
        );
        if let Some(reload) = &self.reload {
            let ago = time(self.updated_unix_ms.saturating_sub(reload.at_unix_ms));
            let failed = if reload.ok { "" } else { "FAILED " };
            let _ = write!(text, "; reload {failed}{ago} ago: {}", reload.sentence);
        }
        text.push('\n');
        text
    }

    fn row(&self, camera: &CameraReport) -> Vec<String> {
        let counters = &camera.counters;
        let dropped: u64 = counters.not_exported.values().sum::<u64>() + counters.dropped_by_ring;
        let none = || "-".to_owned();
        let error = match camera.retry_in_ms {
            Some(ms) => format!("{} (again in {})", camera.last_error.as_deref().unwrap_or("-"), time(ms)),
            None => camera.last_error.clone().unwrap_or_else(none),
        };
        vec![
            camera.id.clone(),
            camera.state.clone(),
            time(self.updated_unix_ms.saturating_sub(camera.since_unix_ms)),
            format!("{:.1}", camera.received_per_s),
            format!("{:.1}", camera.decoded_per_s),
            camera.newest_frame_age_ms.map_or_else(none, time),
            dropped.to_string(),
            counters.damaged.to_string(),
            counters.reconnects.to_string(),
            camera.readers_attached.map_or("-", |yes| if yes { "yes" } else { "no" }).to_owned(),
            camera
                .shared_memory_bytes
                .map_or_else(none, |bytes| format!("{:.1}M", bytes as f64 / f64::from(1 << 20))),
            camera.cpu_ms.map_or_else(none, |ms| format!("{:.1}s", ms as f64 / 1000.0)),
            match (&camera.transport, &camera.client) {
                (Some(transport), Some(client)) => format!("{transport}/{client}"),
                _ => none(),
            },
            error,
        ]
    }
}

/// Names, and whether numbers stand below, which end at the same place.
const COLUMNS: [(&str, bool); 14] = [
    ("CAMERA", false),
    ("STATE", false),
    ("SINCE", true),
    ("FPS IN", true),
    ("DECODED", true),
    ("AGE", true),
    ("DROPPED", true),
    ("DAMAGED", true),
    ("RECONNECTS", true),
    ("READERS", false),
    ("TMPFS", true),
    ("CPU", true),
    ("VIA", false),
    ("LAST ERROR", false),
];

/// A span of time in at most two units.
fn time(ms: u64) -> String {
    let s = ms / 1000;
    match s {
        0 => format!("{ms}ms"),
        1..60 => format!("{s}s"),
        60..3600 => format!("{}m{:02}s", s / 60, s % 60),
        3600..86_400 => format!("{}h{:02}m", s / 3600, s / 60 % 60),
        _ => format!("{}d{:02}h", s / 86_400, s / 3600 % 24),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A report of two cameras with something in every field.
    pub(crate) fn example() -> Report {
        let live = CameraReport {
            id: "front".into(),
            state: "live".into(),
            since_unix_ms: 1_700_000_000_000 - 125_000,
            reason: None,
            retry_in_ms: None,
            last_error: None,
            last_error_unix_ms: None,
            received_per_s: 25.0,
            decoded_per_s: 24.95,
            newest_frame_age_ms: Some(12),
            newest_frame_unix_ms: Some(1_699_999_999_988),
            counters: CountersReport {
                received: 3130,
                decoded: 3120,
                exported: 3100,
                dropped_by_ring: 1,
                unwatched: 7,
                not_exported: [("no_room".to_owned(), 13)].into(),
                damaged: 4,
                decode_errors: 5,
                packets_lost: 6,
                reconnects: 2,
                stalls: 3,
            },
            readers_attached: Some(true),
            shared_memory_bytes: Some(9_342_976),
            cpu_ms: Some(12_345),
            transport: Some("tcp".into()),
            client: Some("retina".into()),
        };
        let away = CameraReport {
            id: "yard-north".into(),
            state: "backoff".into(),
            since_unix_ms: 1_700_000_000_000 - 4_000_000,
            reason: Some("rtsp://192.0.2.11/s over tcp: no answer within 10 s".into()),
            retry_in_ms: Some(41_500),
            last_error: Some("rtsp://192.0.2.11/s over tcp: no answer within 10 s".into()),
            last_error_unix_ms: Some(1_700_000_000_000 - 4_500),
            received_per_s: 0.0,
            decoded_per_s: 0.0,
            newest_frame_age_ms: None,
            newest_frame_unix_ms: None,
            counters: CountersReport { reconnects: 60, ..CountersReport::default() },
            readers_attached: Some(false),
            shared_memory_bytes: Some(0),
            cpu_ms: None,
            transport: None,
            client: None,
        };
        Report {
            version: VERSION,
            updated_unix_ms: 1_700_000_000_000,
            server: ServerReport {
                pid: 4711,
                start_ticks: 123_456,
                program_version: "0.1.0".into(),
                started_unix_ms: 1_700_000_000_000 - 90_061_000,
            },
            export: Some(ExportReport { base: "/dev/shm/vas".into() }),
            reload: Some(ReloadReport {
                at_unix_ms: 1_700_000_000_000 - 60_000,
                ok: true,
                sentence: "cameras: 1 started again (front); 1 unchanged".into(),
            }),
            cameras: vec![live, away],
        }
    }

    #[test]
    fn the_table_is_the_manuals() {
        let table = example().table();
        let manual = include_str!("../../docs/operating.md");
        assert!(
            manual.contains(&format!("```text\n{table}```")),
            "docs/operating.md shows another table:\n{table}"
        );
        // Numbers end in one place, whatever the names' lengths.
        let lines: Vec<&str> = table.lines().collect();
        let end = |line: &str, word: &str| line.find(word).unwrap() + word.len();
        assert_eq!(end(lines[0], "RECONNECTS"), end(lines[2], " 60 ") - 1);
    }

    #[test]
    fn a_reload_that_failed_is_told_as_one() {
        let mut report = example();
        assert!(report.table().contains("; reload 1m00s ago: cameras: 1 started again"));
        report.reload = Some(ReloadReport { ok: false, sentence: "line 3".into(), ..report.reload.unwrap() });
        assert!(report.table().contains("; reload FAILED 1m00s ago: line 3"), "{}", report.table());
    }

    #[test]
    fn every_field_of_the_status_file_is_in_the_manual() {
        let manual = include_str!("../../docs/operating.md");
        let mut names = Vec::new();
        fn collect(value: &serde_json::Value, names: &mut Vec<String>) {
            match value {
                serde_json::Value::Object(fields) => {
                    for (name, value) in fields {
                        // The names of these are the reasons, which have a table of their own.
                        if name == "not_exported" {
                            names.push(name.clone());
                            continue;
                        }
                        names.push(name.clone());
                        collect(value, names);
                    }
                }
                serde_json::Value::Array(values) => values.iter().for_each(|value| collect(value, names)),
                _ => {}
            }
        }
        collect(&serde_json::to_value(example()).unwrap(), &mut names);
        assert!(names.len() > 30, "{names:?}");
        let chapter =
            manual.split("\n### The status file\n").nth(1).expect("the chapter").split("\n#").next().unwrap();
        let missing: Vec<_> = names.iter().filter(|name| !chapter.contains(&format!("`{name}`"))).collect();
        assert!(missing.is_empty(), "docs/operating.md does not explain {missing:?}");
    }

    #[test]
    fn what_a_later_server_adds_does_not_hinder_an_older_program() {
        let mut value = serde_json::to_value(example()).unwrap();
        value["something"] = "new".into();
        value["cameras"][0]["something"] = 1.into();
        assert_eq!(serde_json::from_value::<Report>(value).unwrap(), example());
    }

    #[test]
    fn spans_of_time_have_two_units_at_most() {
        let texts = [7, 59_999, 60_000, 3_599_999, 3_600_000, 90_000_000].map(time);
        assert_eq!(texts, ["7ms", "59s", "1m00s", "59m59s", "1h00m", "1d01h"]);
    }
}
