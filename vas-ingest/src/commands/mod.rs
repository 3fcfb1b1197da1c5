//! The commands beside `run`: they look at a configuration, a camera or a running server, and start nothing.

mod reload;

pub(crate) use reload::reload;

use crate::{EXIT_FAILED, EXIT_USAGE, EXIT_WELL, say};
use std::io::Write;
use vas_ingest::config::{CameraConfig, Config, Environment, ProbeRequest, Request};
use vas_ingest::{memory, probe};

/// `check-config`: is it right, and what will it cost?
pub(crate) fn check_config(request: &Request) -> u8 {
    let config = match Config::load(request, &Environment::of_process()) {
        Ok(config) => config,
        Err(error) => return refuse(&error),
    };
    warn(&config);
    let code = tell_missing(&config);
    let ids: Vec<&str> = config.cameras.iter().map(|camera| camera.id.as_str()).collect();
    let export = if config.export.is_some() { "on" } else { "off" };
    let name = request.file.as_ref().map_or_else(|| "no file".into(), |file| file.to_string_lossy());
    let mut out = std::io::stdout();
    let _ = writeln!(out, "{name}: cameras {}; export {export}", ids.join(", "));
    // Of this machine, as it is now: no reason for another exit code.
    match config.export.as_ref().map(|export| memory::forecast(export, ids.len())) {
        Some(Ok(forecast)) => {
            let _ = writeln!(out, "{}", forecast.line);
            forecast.warnings.iter().for_each(|warning| say(&format!("vas-ingest: {warning}")));
        }
        Some(Err(error)) => {
            say(&format!("vas-ingest: how much room there is for the export is not known: {error}"));
        }
        None => {}
    }
    code
}

/// `print-config`: what is in effect, and who says so?
pub(crate) fn print_config(request: &Request) -> u8 {
    match Config::load_and_print(request, &Environment::of_process(), &crate::usual_status_file()) {
        Ok((config, text)) => {
            warn(&config);
            let _ = std::io::stdout().write_all(text.as_bytes());
            tell_missing(&config)
        }
        Err(error) => refuse(&error),
    }
}

/// `probe`: what does this camera offer?
pub(crate) fn probe(request: &ProbeRequest, json: bool) -> u8 {
    let (camera, warnings) = match CameraConfig::of_probe(request, &Environment::of_process()) {
        Ok(camera) => camera,
        Err(error) => return refuse(&error),
    };
    warnings.iter().for_each(|warning| say(&format!("vas-ingest: {warning}")));
    let found = probe::probe(&camera, request.transport.is_some());
    let text = if json {
        serde_json::to_string_pretty(&found).map(|text| text + "\n").unwrap_or_default()
    } else {
        found.text()
    };
    let _ = std::io::stdout().write_all(text.as_bytes());
    if found.works() { EXIT_WELL } else { EXIT_FAILED }
}

fn warn(config: &Config) {
    config.warnings.iter().for_each(|warning| say(&format!("vas-ingest: {warning}")));
}

/// A server would run its other cameras; a mistake it is all the same.
fn tell_missing(config: &Config) -> u8 {
    let missing: Vec<&String> = config.cameras.iter().filter_map(|camera| camera.missing.as_ref()).collect();
    missing.iter().for_each(|sentence| say(&format!("vas-ingest: {sentence}")));
    if missing.is_empty() { EXIT_WELL } else { EXIT_USAGE }
}

fn refuse(error: &dyn std::error::Error) -> u8 {
    say(&format!("vas-ingest: {error}"));
    EXIT_USAGE
}
