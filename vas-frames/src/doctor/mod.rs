//! `doctor`: looks for what keeps readers from a camera, names each finding, and says the command that ends it.
//!
//! It only reads. `base` looks at the base directory and at who asks, `camera` at what is beneath it, `space` at the file
//! system, `surroundings` at containers and systemd.

mod base;
mod camera;
mod fault;
mod names;
mod space;
mod surroundings;

use crate::cli::OwnerArgument;
use crate::failure::Failure;
use crate::human;
use base::Look;
use fault::{Fault, Severity};
use names::{Caller, printable};
use serde::Serialize;
use std::io::Write;
use std::path::{Path, PathBuf};
use surroundings::{Container, Unit};
use vas_shm_reader::{CameraId, Status};

/// Arguments of `doctor`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Look at this camera alone [default: at all]
    #[arg(value_name = "CAMERA")]
    camera: Option<String>,
    /// Print a JSON object instead of text
    #[arg(long)]
    json: bool,
    /// Print the name, the severity and the meaning of everything that can be found, and look at nothing
    #[arg(long, conflicts_with = "camera")]
    names: bool,
    #[command(flatten)]
    owner: OwnerArgument,
}

/// What was found, and what to do about it.
#[derive(Debug, Serialize)]
struct Finding {
    name: &'static str,
    severity: Severity,
    /// The camera, if it is about one.
    camera: Option<String>,
    path: String,
    sentence: String,
    /// A line for a shell.
    fix: String,
}

/// A camera that was looked at.
#[derive(Debug, Serialize)]
struct CameraRow {
    camera: String,
    state: &'static str,
    memory_bytes: Option<u64>,
}

/// The file system that the base directory is on.
#[derive(Debug, Serialize)]
struct Space {
    size_bytes: u64,
    free_bytes: u64,
    /// What one more pair of the largest camera takes, as at a change of its size.
    needed_bytes: u64,
}

#[derive(Debug, Serialize)]
struct CallerRow {
    uid: u32,
    gid: u32,
    groups: Vec<u32>,
}

/// Everything, as `--json` shows it.
#[derive(Debug, Serialize)]
struct Report {
    base: String,
    caller: CallerRow,
    /// What says that this is a container, if something does.
    container: Option<String>,
    /// The server's unit, if systemd has one.
    unit: Option<String>,
    space: Option<Space>,
    cameras: Vec<CameraRow>,
    findings: Vec<Finding>,
}

/// A look that is under way.
#[derive(Debug)]
struct Doctor {
    base: PathBuf,
    caller: Caller,
    /// Who has to own everything: the user that was asked for, else the base directory's owner.
    owner_asked: Option<u32>,
    container: Option<Container>,
    unit: Option<Unit>,
    findings: Vec<Finding>,
}

impl Doctor {
    fn find(&mut self, fault: Fault, camera: Option<&CameraId>, path: &Path, sentence: String, fix: String) {
        self.findings.push(Finding {
            name: fault.name(),
            severity: fault.severity(),
            camera: camera.map(ToString::to_string),
            path: path.display().to_string(),
            // Whatever names came into it: it is one line for a terminal.
            sentence: printable(&sentence),
            fix: printable(&fix),
        });
    }

    /// The command that starts the server anew.
    fn restart(&self) -> String {
        match &self.unit {
            Some(unit) => format!("systemctl restart {}", unit.name),
            None => "AI_FRAME_EXPORT_ENABLED=true vas-ingest run --config /etc/vas/vas.toml".to_owned(),
        }
    }
}

pub(crate) fn run(base: &Path, arguments: &Arguments, out: &mut dyn Write) -> Result<(), Failure> {
    if arguments.names {
        return print_names(arguments.json, out);
    }
    let camera = match &arguments.camera {
        Some(given) => {
            let id = CameraId::new(given).map_err(|why| Failure::CameraId { given: given.clone(), why })?;
            Some(id)
        }
        None => None,
    };
    let mut doctor = Doctor {
        base: std::path::absolute(base).unwrap_or_else(|_| base.to_owned()),
        caller: Caller::current(),
        owner_asked: arguments.owner.uid(),
        container: surroundings::container(),
        unit: surroundings::unit(),
        findings: Vec::new(),
    };
    let mut cameras = Vec::new();
    let mut space = None;
    let looked = base::look(&mut doctor);
    if let Look::Into(stat) = &looked {
        let (rows, largest_pair) = camera::look(&mut doctor, stat, camera);
        cameras = rows;
        space = space::look(&mut doctor, largest_pair);
        surroundings::look_logind(&mut doctor, stat.st_uid);
    }
    if !matches!(looked, Look::Elsewhere) {
        surroundings::look_unit(&mut doctor);
    }
    // The worst first; what belongs together stays together.
    doctor.findings.sort_by_key(|finding| finding.severity);
    let report = Report {
        base: doctor.base.display().to_string(),
        caller: CallerRow { uid: doctor.caller.uid, gid: doctor.caller.gid, groups: doctor.caller.groups },
        container: doctor.container.map(|container| container.known_by),
        unit: doctor.unit.map(|unit| unit.name),
        space,
        cameras,
        findings: doctor.findings,
    };
    if arguments.json {
        serde_json::to_writer_pretty(&mut *out, &report)?;
        writeln!(out)?;
    } else {
        print(&report, out)?;
    }
    out.flush()?;
    if report.findings.is_empty() { Ok(()) } else { Err(Failure::Findings { count: report.findings.len() }) }
}

fn print(report: &Report, out: &mut dyn Write) -> Result<(), Failure> {
    for finding in &report.findings {
        writeln!(out, "{}: {}", finding.severity.name(), finding.name)?;
        writeln!(out, "    {}", finding.sentence)?;
        writeln!(out, "    fix: {}", finding.fix)?;
        writeln!(out)?;
    }
    let live =
        report.cameras.iter().filter(|row| [Status::Live.name(), Status::Idle.name()].contains(&row.state));
    let mut line =
        format!("{}: {} of {} cameras live", printable(&report.base), live.count(), report.cameras.len());
    if let Some(space) = &report.space {
        let (free, size) = (human::bytes(space.free_bytes), human::bytes(space.size_bytes));
        line.push_str(&format!(
            "; {free} free of {size}, one more pair takes {}",
            human::bytes(space.needed_bytes)
        ));
    }
    line.push_str(match report.findings.len() {
        0 => "; nothing found",
        _ => "",
    });
    Ok(writeln!(out, "{line}")?)
}

#[derive(Debug, Serialize)]
struct NameRow {
    name: &'static str,
    severity: Severity,
    meaning: &'static str,
}

fn print_names(json: bool, out: &mut dyn Write) -> Result<(), Failure> {
    if json {
        let rows: Vec<_> = Fault::ALL
            .iter()
            .map(|fault| NameRow { name: fault.name(), severity: fault.severity(), meaning: fault.meaning() })
            .collect();
        serde_json::to_writer_pretty(&mut *out, &rows)?;
        writeln!(out)?;
    } else {
        let cells =
            |fault: &Fault| vec![fault.name().into(), fault.severity().name().into(), fault.meaning().into()];
        out.write_all(human::table(&Fault::ALL.iter().map(cells).collect::<Vec<_>>()).as_bytes())?;
    }
    Ok(())
}
