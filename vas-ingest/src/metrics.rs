//! The report as a text file for the textfile collector of Prometheus' node_exporter, which nobody has to connect to.
//!
//! Names by Prometheus' conventions: base units, `_total` for what only rises, moments and not ages. The rows of docs/operating.md
//! are held against the table here by a test.

use crate::life::State;
use crate::report::{CameraReport, Report};
use std::fmt::Write as _;

/// What a sample is said of besides the name of its metric.
type Labels<'r> = Vec<(&'static str, &'r str)>;

struct Metric {
    name: &'static str,
    help: &'static str,
    samples: Samples,
}

enum Samples {
    /// Of the server.
    Server(fn(&Report) -> Vec<(Labels<'_>, f64)>),
    /// One a camera, if there is one.
    Camera(fn(&Report, &CameraReport) -> Option<f64>),
    /// Several a camera.
    Several(fn(&CameraReport) -> Vec<(Labels<'_>, f64)>),
}

fn flag(is_so: bool) -> f64 {
    f64::from(u8::from(is_so))
}

fn seconds(unix_ms: u64) -> f64 {
    unix_ms as f64 / 1000.0
}

macro_rules! counter {
    ($name:literal, $help:literal, $field:ident) => {
        Metric {
            name: $name,
            help: $help,
            samples: Samples::Camera(|_, camera| Some(camera.counters.$field as f64)),
        }
    };
}

const METRICS: &[Metric] = &[
    Metric {
        name: "vas_build_info",
        help: "The program's version, as a label; always 1.",
        samples: Samples::Server(|report| vec![(vec![("version", &*report.server.program_version)], 1.0)]),
    },
    Metric {
        name: "vas_start_time_seconds",
        help: "When the server began, since the epoch.",
        samples: Samples::Server(|report| vec![(vec![], seconds(report.server.started_unix_ms))]),
    },
    Metric {
        name: "vas_updated_timestamp_seconds",
        help: "When this file was written, since the epoch.",
        samples: Samples::Server(|report| vec![(vec![], seconds(report.updated_unix_ms))]),
    },
    Metric {
        name: "vas_export_enabled",
        help: "Whether frames are exported.",
        samples: Samples::Server(|report| vec![(vec![], flag(report.export.is_some()))]),
    },
    Metric {
        name: "vas_config_last_reload_successful",
        help: "Whether the last reload of the configuration was carried out; missing before the first one.",
        samples: Samples::Server(|report| {
            report.reload.iter().map(|reload| (vec![], flag(reload.ok))).collect()
        }),
    },
    Metric {
        name: "vas_config_last_reload_timestamp_seconds",
        help: "When that was, since the epoch.",
        samples: Samples::Server(|report| {
            report.reload.iter().map(|reload| (vec![], seconds(reload.at_unix_ms))).collect()
        }),
    },
    Metric {
        name: "vas_camera_state",
        help: "1 for the state that the camera is in, 0 for all others.",
        samples: Samples::Several(|camera| {
            let states = State::ALL.iter().map(|state| state.name());
            states.map(|state| (vec![("state", state)], flag(camera.state == state))).collect()
        }),
    },
    Metric {
        name: "vas_camera_state_since_timestamp_seconds",
        help: "When the camera came into its state, or was lost if it is tried again and again, since the epoch.",
        samples: Samples::Camera(|_, camera| Some(seconds(camera.since_unix_ms))),
    },
    Metric {
        name: "vas_camera_newest_frame_timestamp_seconds",
        help: "When the newest frame was decoded, since the epoch; missing before the first one.",
        samples: Samples::Camera(|_, camera| camera.newest_frame_unix_ms.map(seconds)),
    },
    counter!("vas_camera_received_frames_total", "Coded pictures that came from the source.", received),
    counter!("vas_camera_decoded_frames_total", "Pictures that the decoder gave.", decoded),
    counter!("vas_camera_exported_frames_total", "Pictures that readers could see.", exported),
    counter!(
        "vas_camera_ring_dropped_frames_total",
        "Pictures that were overtaken between decoder and export.",
        dropped_by_ring
    ),
    counter!("vas_camera_unwatched_frames_total", "Pictures that nobody was there to see.", unwatched),
    Metric {
        name: "vas_camera_not_exported_frames_total",
        help: "Pictures without a slot, by reason.",
        samples: Samples::Several(|camera| {
            let reasons = camera.counters.not_exported.iter();
            reasons.map(|(reason, count)| (vec![("reason", &**reason)], *count as f64)).collect()
        }),
    },
    counter!("vas_camera_damaged_frames_total", "Decoded pictures that are marked as damaged.", damaged),
    counter!("vas_camera_decode_errors_total", "Packets that the decoder refused.", decode_errors),
    counter!("vas_camera_lost_packets_total", "RTP packets that never came.", packets_lost),
    counter!("vas_camera_reconnects_total", "Times that the source was lost.", reconnects),
    counter!("vas_camera_stalls_total", "Times that frames stopped while the connection stood.", stalls),
    Metric {
        name: "vas_camera_readers_attached",
        help: "Whether anybody had the camera's files open when last asked; missing while frames are not exported.",
        samples: Samples::Camera(|_, camera| camera.readers_attached.map(flag)),
    },
    Metric {
        name: "vas_camera_shared_memory_bytes",
        help: "What the camera's files take of the tmpfs; missing while frames are not exported.",
        samples: Samples::Camera(|_, camera| camera.shared_memory_bytes.map(|bytes| bytes as f64)),
    },
    Metric {
        name: "vas_camera_cpu_seconds_total",
        help: "Processor time of the camera's thread.",
        samples: Samples::Camera(|_, camera| camera.cpu_ms.map(|ms| ms as f64 / 1000.0)),
    },
];

/// The whole file.
pub(crate) fn text(report: &Report) -> String {
    let mut text = String::new();
    for metric in METRICS {
        let samples: Vec<(Labels<'_>, f64)> = match metric.samples {
            Samples::Server(of) => of(report),
            Samples::Camera(of) => {
                let cameras = report.cameras.iter();
                cameras
                    .filter_map(|camera| Some((vec![("camera", &*camera.id)], of(report, camera)?)))
                    .collect()
            }
            Samples::Several(of) => {
                let mut samples = Vec::new();
                for camera in &report.cameras {
                    for (mut labels, value) in of(camera) {
                        labels.insert(0, ("camera", &camera.id));
                        samples.push((labels, value));
                    }
                }
                samples
            }
        };
        if samples.is_empty() {
            continue;
        }
        let kind = if metric.name.ends_with("_total") { "counter" } else { "gauge" };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "# HELP {} {}\n# TYPE {} {kind}", metric.name, metric.help, metric.name);
        for (labels, value) in samples {
            let labels: Vec<String> =
                labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escape(value))).collect();
            let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
            let _ = writeln!(text, "{}{labels} {value}", metric.name);
        }
    }
    text
}

/// A label's value, as the text format wants it.
fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::example;
    use std::collections::{BTreeMap, BTreeSet};

    type Parsed = BTreeMap<(String, Vec<(String, String)>), f64>;

    fn is_name(name: &str) -> bool {
        name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    }

    /// Labels as they stand between braces, each value up to its closing quote.
    fn labels(mut text: &str) -> Vec<(String, String)> {
        let mut found = Vec::new();
        while !text.is_empty() {
            let (name, rest) = text.split_once("=\"").expect("a label has a value in quotes");
            assert!(is_name(name), "{name}");
            let (mut value, mut escaped, mut end) = (String::new(), false, None);
            for (at, c) in rest.char_indices() {
                match (escaped, c) {
                    (true, '\\' | '"') => value.push(c),
                    (true, 'n') => value.push('\n'),
                    (true, other) => panic!("\\{other} is no escape"),
                    (false, '"') => {
                        end = Some(at);
                        break;
                    }
                    (false, '\\') => {}
                    (false, c) => value.push(c),
                }
                escaped = !escaped && c == '\\';
            }
            let rest = &rest[end.expect("a closing quote") + 1..];
            text = rest.strip_prefix(',').unwrap_or(rest);
            assert!(rest.is_empty() || rest.starts_with(','), "{rest}");
            found.push((name.to_owned(), value));
        }
        found
    }

    /// As strict as promtool where this file could go wrong.
    fn parse(text: &str) -> Parsed {
        assert!(text.ends_with('\n'));
        let mut parsed = Parsed::new();
        let mut families = BTreeSet::new();
        let mut family: Option<(String, String)> = None;
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                let (name, help) = help.split_once(' ').unwrap();
                assert!(!help.is_empty() && families.insert(name.to_owned()), "{name} is there twice");
                let of_type = lines.next().unwrap().strip_prefix("# TYPE ").expect("HELP, then TYPE");
                let (typed, kind) = of_type.split_once(' ').unwrap();
                assert_eq!(typed, name);
                assert_eq!(kind == "counter", name.ends_with("_total"), "{name}");
                assert!(["counter", "gauge"].contains(&kind));
                assert!(is_name(name) && name.starts_with("vas_"), "{name}");
                for unit in ["_ms", "_kb", "_mb", "_percent", "_minutes"] {
                    assert!(!name.contains(unit), "{name}: base units only");
                }
                family = Some((name.to_owned(), kind.to_owned()));
                continue;
            }
            let (series, value) = line.rsplit_once(' ').expect("a value");
            let (name, braces) = match series.split_once('{') {
                Some((name, rest)) => (name, rest.strip_suffix('}').expect("a closing brace")),
                None => (series, ""),
            };
            let (expected, kind) = family.as_ref().expect("HELP and TYPE come first");
            assert_eq!(name, expected, "samples of a metric stand together");
            let value: f64 = value.parse().unwrap();
            assert!(value.is_finite() && (kind == "gauge" || value >= 0.0), "{line}");
            let old = parsed.insert((name.to_owned(), labels(braces)), value);
            assert!(old.is_none(), "{line} is there twice");
        }
        parsed
    }

    fn of(parsed: &Parsed, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let labels = labels.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        parsed.get(&(name.to_owned(), labels)).copied()
    }

    #[test]
    fn the_file_is_what_prometheus_reads_and_has_each_counter_of_each_camera() {
        let parsed = parse(&text(&example()));
        let front = |name: &str| of(&parsed, name, &[("camera", "front")]);
        let counters = [
            ("received_frames", 3130.0),
            ("decoded_frames", 3120.0),
            ("exported_frames", 3100.0),
            ("ring_dropped_frames", 1.0),
            ("unwatched_frames", 7.0),
            ("damaged_frames", 4.0),
            ("decode_errors", 5.0),
            ("lost_packets", 6.0),
            ("reconnects", 2.0),
            ("stalls", 3.0),
        ];
        for (name, value) in counters {
            assert_eq!(front(&format!("vas_camera_{name}_total")), Some(value), "{name}");
        }
        let labels = [("camera", "front"), ("reason", "no_room")];
        assert_eq!(of(&parsed, "vas_camera_not_exported_frames_total", &labels), Some(13.0));
        assert_eq!(front("vas_camera_cpu_seconds_total"), Some(12.345));
        assert_eq!(front("vas_camera_shared_memory_bytes"), Some(9_342_976.0));
        assert_eq!(front("vas_camera_newest_frame_timestamp_seconds"), Some(1_699_999_999.988));
        assert_eq!(of(&parsed, "vas_build_info", &[("version", "0.1.0")]), Some(1.0));
        // One-hot.
        for (camera, state) in [("front", "live"), ("yard-north", "backoff")] {
            let hot = |state| of(&parsed, "vas_camera_state", &[("camera", camera), ("state", state)]);
            assert_eq!(hot(state), Some(1.0));
            let sum: f64 = State::ALL.iter().map(|state| hot(state.name()).unwrap()).sum();
            assert!((sum - 1.0).abs() < f64::EPSILON, "{camera}");
        }
        // What is not known is missing, and not 0.
        assert_eq!(of(&parsed, "vas_camera_cpu_seconds_total", &[("camera", "yard-north")]), None);
    }

    #[test]
    fn labels_are_escaped() {
        let mut report = example();
        report.server.program_version = "a\\b\"c\nd".into();
        let parsed = parse(&text(&report));
        assert_eq!(of(&parsed, "vas_build_info", &[("version", "a\\b\"c\nd")]), Some(1.0));
    }

    #[test]
    fn metrics_that_nothing_is_known_of_are_left_out() {
        let mut report = example();
        report.cameras.clear();
        (report.export, report.reload) = (None, None);
        let parsed = parse(&text(&report));
        assert_eq!(of(&parsed, "vas_export_enabled", &[]), Some(0.0));
        assert_eq!(of(&parsed, "vas_config_last_reload_successful", &[]), None);
    }

    #[test]
    fn every_metric_is_in_the_manual_and_no_other_is() {
        let manual = include_str!("../../docs/operating.md");
        let rows: BTreeSet<&str> = manual
            .lines()
            .filter_map(|line| line.strip_prefix("| `vas_")?.split_once("` | "))
            .map(|(name, _)| name)
            .collect();
        let names: BTreeSet<&str> =
            METRICS.iter().map(|metric| metric.name.strip_prefix("vas_").unwrap()).collect();
        assert_eq!(rows, names);
        for metric in METRICS {
            assert!(manual.contains(&format!("| `{}` | {} |", metric.name, metric.help)), "{}", metric.name);
        }
    }
}
