//! The container file, as far as it can be held to something without building a container.

use std::path::Path;
use std::process::Command;

fn text() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("dist/Containerfile");
    std::fs::read_to_string(path).unwrap().replace("\\\n", " ")
}

/// The instructions, one a line, by their stages.
fn stages(text: &str) -> Vec<Vec<(&str, &str)>> {
    let mut stages = Vec::new();
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    for (instruction, rest) in lines.filter_map(|line| line.split_once(' ')) {
        if instruction == "FROM" {
            stages.push(Vec::new());
        }
        stages.last_mut().expect("FROM is the first instruction").push((instruction, rest.trim()));
    }
    stages
}

/// The packages that a stage installs.
fn packages<'t>(stage: &[(&str, &'t str)]) -> Vec<&'t str> {
    let runs = stage.iter().filter(|(instruction, _)| *instruction == "RUN").map(|(_, rest)| *rest);
    runs.flat_map(|run| run.split("&&"))
        .filter_map(|step| step.trim().strip_prefix("apt-get install -y --no-install-recommends"))
        .flat_map(str::split_whitespace)
        .collect()
}

#[test]
fn it_listens_nowhere_runs_as_nobody_special_and_has_a_health_check_that_a_lost_camera_does_not_fail() {
    let text = text();
    let stages = stages(&text);
    let [_, run] = stages.as_slice() else { panic!("a stage to build and one to run: {stages:?}") };
    let of = |name: &str| -> Vec<&str> {
        run.iter().filter(|(instruction, _)| *instruction == name).map(|(_, rest)| *rest).collect()
    };
    assert!(!text.contains("EXPOSE"));
    assert_eq!(of("USER"), ["996:996"]);
    let health = of("HEALTHCHECK");
    assert!(health[0].contains("vas-ingest status") && health[0].ends_with("test $? -le 1"), "{health:?}");
    assert!(
        of("ENV").iter().all(|variable| !variable.contains("AI_FRAME_EXPORT_ENABLED")),
        "off unless somebody says on"
    );
    assert!(
        of("COPY").iter().all(|copy| copy.starts_with("--from=build")),
        "nothing of the build but its programs"
    );
}

#[test]
fn the_status_file_of_its_health_check_is_the_one_that_its_server_writes() {
    let text = text();
    let variable = "VAS_SERVER_STATUS_FILE=";
    let written = text.split(variable).nth(1).and_then(|rest| rest.split_whitespace().next()).unwrap();
    assert!(text.contains(&format!("status --file {written} ")), "{written}");
    // The server takes the variable for what the container file takes it for.
    let output = Command::new(env!("CARGO_BIN_EXE_vas-ingest"))
        .args(["print-config", "--camera", "a=rtsp://127.0.0.1/s"])
        .env("VAS_SERVER_STATUS_FILE", written)
        .output()
        .unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(printed.contains(&format!("status_file = {written:?} ")), "{printed}");
}

#[test]
fn every_library_of_ffmpegs_that_the_program_links_is_installed_and_no_other() {
    if !Path::new("/etc/debian_version").exists()
        || !std::fs::read_to_string("/etc/debian_version").is_ok_and(|version| version.starts_with("12"))
    {
        vas_test_support::skipped("this is no Debian 12: its libraries have other numbers");
        return;
    }
    let output = match Command::new("readelf").arg("-d").arg(env!("CARGO_BIN_EXE_vas-ingest")).output() {
        Ok(output) => output,
        Err(why) => {
            vas_test_support::skipped(&format!("readelf cannot be started: {why}"));
            return;
        }
    };
    let needed = String::from_utf8(output.stdout).unwrap();
    // libavcodec.so.59 is in libavcodec59.
    let mut linked: Vec<String> = needed
        .lines()
        .filter(|line| line.contains("NEEDED"))
        .filter_map(|line| line.split(['[', ']']).nth(1))
        .filter(|name| name.starts_with("libav") || name.starts_with("libsw"))
        .map(|name| name.replace(".so.", ""))
        .collect();
    let text = text();
    let stages = stages(&text);
    let mut installed: Vec<String> = packages(&stages[1])
        .into_iter()
        .filter(|package| package.starts_with("libav") || package.starts_with("libsw"))
        .map(str::to_owned)
        .collect();
    linked.sort();
    installed.sort();
    assert_eq!(linked, installed);
    for library in &installed {
        let name = library.trim_end_matches(|c: char| c.is_ascii_digit());
        assert!(packages(&stages[0]).contains(&format!("{name}-dev").as_str()), "{name} is built against");
    }
}
