//! What a configuration may say, what it means, and what is told of the mistakes in it.

use super::keys::{Default as KeyDefault, Key, Kind};
use super::*;
use crate::address::Transport;
use secrecy::ExposeSecret;
use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt;

fn nothing() -> Environment {
    Environment::default()
}

/// Loads `text` as vas.toml in a directory of its own that has a file clip.mp4 and a file password.
fn load_with(text: &str, cameras: &[&str], environment: &Environment) -> std::result::Result<Config, String> {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("vas.toml");
    std::fs::write(&file, text).unwrap();
    std::fs::write(directory.path().join("clip.mp4"), "no video").unwrap();
    std::fs::write(directory.path().join("password"), "from file\n").unwrap();
    let cameras = cameras.iter().map(|&camera| camera.to_owned()).collect();
    let request = Request { file: Some(file), cameras, base: None };
    let prefix = format!("{}/", directory.path().display());
    let mut config =
        Config::load(&request, environment).map_err(|error| error.to_string().replace(&prefix, ""))?;
    for missing in config.cameras.iter_mut().filter_map(|camera| camera.missing.as_mut()) {
        *missing = missing.replace(&prefix, "");
    }
    Ok(config)
}

fn load(text: &str) -> std::result::Result<Config, String> {
    load_with(text, &[], &nothing())
}

fn refusal(text: &str) -> String {
    load(text).unwrap_err()
}

/// Why the first camera cannot be opened, though its configuration is right.
fn missing(config: Config) -> String {
    config.cameras.into_iter().next().unwrap().missing.expect("nothing is missing")
}

fn rtsp(config: &Config) -> &RtspSource {
    match &config.cameras[0].source {
        Source::Rtsp(rtsp) => rtsp,
        Source::File(_) => panic!("a file"),
    }
}

fn password(config: &Config) -> Option<&str> {
    rtsp(config).password().map(ExposeSecret::expose_secret)
}

#[test]
fn a_camera_needs_a_name_and_a_place_and_has_defaults_for_the_rest() {
    let config = load("[[camera]]\nid = \"front\"\nurl = \"rtsp://10.0.0.5/s\"\n").unwrap();
    assert!(config.export.is_none());
    let camera = &config.cameras[0];
    assert_eq!(camera.id.as_str(), "front");
    assert_eq!(camera.ring_frames, 4);
    assert_eq!(camera.open_timeout, Duration::from_secs(10));
    assert_eq!(camera.frame_timeout, Duration::from_secs(10));
    assert_eq!(rtsp(&config).transport, Transport::Tcp);
    assert!(rtsp(&config).username.is_none() && rtsp(&config).password.is_none());
}

#[test]
fn defaults_hold_for_every_camera_that_says_nothing_else() {
    let config = load(
        "[defaults]\ntransport = \"udp\"\nring_frames = 8\nusername = \"admin\"\npassword_file = \"password\"\n\
         [[camera]]\nid = \"a\"\nurl = \"rtsp://h/s\"\nring_frames = 2\n",
    )
    .unwrap();
    assert_eq!(config.cameras[0].ring_frames, 2);
    assert_eq!(rtsp(&config).transport, Transport::Udp);
    assert_eq!(rtsp(&config).username.as_deref(), Some("admin"));
    assert_eq!(password(&config), Some("from file"));
}

#[test]
fn credentials_leave_the_url_and_have_no_text_form() {
    let config = load("[[camera]]\nid = \"a\"\nurl = \"rtsp://ad%40min:p%40ss@10.0.0.5:554/s\"\n").unwrap();
    assert_eq!(rtsp(&config).address.as_str(), "rtsp://10.0.0.5:554/s");
    assert_eq!(rtsp(&config).username.as_deref(), Some("ad@min"));
    assert_eq!(password(&config), Some("p@ss"));
    let debug = format!("{config:?}");
    assert!(!debug.contains("p@ss") && !debug.contains("p%40ss"), "{debug}");
}

#[test]
fn the_environment_has_the_last_word_on_credentials() {
    let environment = Environment::from_iter([
        ("VAS_CAMERA_BACK_DOOR_USERNAME", "eve"),
        ("VAS_CAMERA_BACK_DOOR_PASSWORD", "of the environment"),
    ]);
    let text = "[[camera]]\nid = \"back-door\"\nurl = \"rtsp://h/s\"\npassword = \"of the file\"\n";
    let config = load_with(text, &[], &environment).unwrap();
    assert_eq!(rtsp(&config).username.as_deref(), Some("eve"));
    assert_eq!(password(&config), Some("of the environment"));
}

#[test]
fn the_export_is_off_unless_somebody_says_on() {
    let text = |export: &str| format!("{export}\n[[camera]]\nid = \"a\"\nurl = \"clip.mp4\"\n");
    let exported = |export: &str, variable: Option<&'static str>| {
        let environment = variable.map(|value| (EXPORT_ENABLED_VARIABLE, value)).into_iter().collect();
        load_with(&text(export), &[], &environment).map(|config| config.export.is_some())
    };
    assert_eq!(exported("", None), Ok(false));
    assert_eq!(exported("[export]\nenabled = true", None), Ok(true));
    assert_eq!(exported("[export]\nenabled = true", Some("off")), Ok(false));
    for on in ["1", "true", "yes", "on", "TRUE", "On"] {
        assert_eq!(exported("", Some(on)), Ok(true), "{on}");
    }
    for off in ["0", "false", "no", "off", "False"] {
        assert_eq!(exported("[export]\nenabled = true", Some(off)), Ok(false), "{off}");
    }
    for neither in ["", "2", "enabled", "ja"] {
        let refusal = exported("", Some(neither)).unwrap_err();
        assert!(refusal.starts_with(&format!("AI_FRAME_EXPORT_ENABLED is {neither:?}: use 1")), "{refusal}");
    }
}

#[test]
fn the_export_has_its_own_keys() {
    let config = load(
        "[export]\nenabled = true\nbase = \"/dev/shm/other\"\ngroup = 0\nslots = 5\nwhen = \"always\"\n\
         [[camera]]\nid = \"a\"\nurl = \"clip.mp4\"\n",
    )
    .unwrap();
    let export = config.export.unwrap();
    assert_eq!(export.base, Path::new("/dev/shm/other"));
    assert_eq!(export.group, Some(0));
    assert_eq!(export.slots, SlotCount::new(5).unwrap());
    assert_eq!(export.when, ExportWhen::Always);
    let by_name = "[export]\nenabled = true\ngroup = \"root\"\n[[camera]]\nid = \"a\"\nurl = \"clip.mp4\"\n";
    let export = load(by_name).unwrap().export.unwrap();
    assert_eq!((export.group, export.when), (Some(0), ExportWhen::Attached));
}

#[test]
fn mistakes_are_told_with_line_and_what_to_do() {
    for (text, sentence) in [
        (
            "[[camera]]\nid = \"a\"\ntransprt = \"udp\"\nurl = \"clip.mp4\"\n",
            "vas.toml line 3: unknown key \"transprt\"; did you mean \"transport\"?",
        ),
        ("[exports]\nenabled = true\n", "vas.toml line 1: unknown key \"exports\"; did you mean \"export\"?"),
        (
            "[export]\nqqqqqqqqqqqq = true\n",
            "vas.toml line 2: unknown key \"qqqqqqqqqqqq\"; known here: enabled, base, group, slots, when",
        ),
        (
            "[[camera]]\nid = \"../x\"\nurl = \"clip.mp4\"\n",
            "vas.toml line 2: id \"../x\": a camera id has only letters, digits, '_' and '-' (ASCII) and begins with \
             a letter or digit; found '.' at position 0",
        ),
        ("[[camera]]\nurl = \"clip.mp4\"\n", "vas.toml line 1: this camera has no id"),
        ("\n[[camera]]\nid = \"a\"\n", "vas.toml line 2: camera a has no url"),
        (
            "[[camera]]\nid = \"a\"\nurl = \"clip.mp4\"\n[[camera]]\nid = \"a\"\nurl = \"clip.mp4\"\n",
            "vas.toml line 4: camera a is there already",
        ),
        (
            "[[camera]]\nid = \"a\"\nurl = \"rtmp://h/s\"\n",
            "vas.toml line 3: camera a: rtmp:// is not supported: give rtsp://HOST/PATH or the name of a video file",
        ),
        (
            "[[camera]]\nid = \"a\"\nurl = \"clip.mp4\"\nring_frames = 0\n",
            "vas.toml line 4: ring_frames is 0, it can be 1 to 64",
        ),
        (
            "[[camera]]\nid = \"a\"\nurl = \"rtsp://h/s\"\nloop = true\n",
            "vas.toml line 4: loop is for files, camera a is a stream",
        ),
        (
            "[[camera]]\nid = \"a\"\nurl = \"rtsp://h/s\"\ntransport = \"tpc\"\n",
            "vas.toml line 4: \"tcp\", \"udp\" or \"auto\" is wanted here",
        ),
        (
            "[[camera]]\nid = \"a\"\nurl = \"rtsps://h/s\"\ntransport = \"udp\"\n",
            "vas.toml line 3: camera a: transport is \"udp\", but rtsps:// sends everything inside one connection",
        ),
        (
            "[[camera]]\nid = \"a\"\nurl = \"http://h/s\"\nrtsp_client = \"retina\"\n",
            "vas.toml line 3: camera a: rtsp_client is \"retina\", which cannot play http://: leave that key out",
        ),
        (
            "[defaults]\nid = \"a\"\n[[camera]]\nid = \"a\"\nurl = \"rtsp://h/s\"\n",
            "vas.toml line 2: id and url belong to a [[camera]], not to [defaults]",
        ),
        (
            "[export]\nenabled = true\ngroup = \"no such group\"\n[[camera]]\nid = \"a\"\nurl = \"clip.mp4\"\n",
            "vas.toml line 3: group: there is no group \"no such group\" on this machine",
        ),
        (
            "[[camera]]\nid = \"a\"\nurl = \"rtsp://h/s\"\npassword = \"x\"\npassword_file = \"password\"\n",
            "vas.toml line 5: password and password_file are both there: keep one",
        ),
        (
            "[[camera]]\nid = \"a\"\nurl = \"rtsp://u:p@h/s\"\npassword_file = \"password\"\n",
            "vas.toml line 4: the url of camera a has a password already: keep one",
        ),
        ("", "no camera: give --camera ID=URL_OR_FILE, or --config with a file that has [[camera]]"),
    ] {
        assert_eq!(refusal(text), sentence, "{text}");
    }
}

#[test]
fn a_file_that_is_not_there_is_told_of_one_camera_and_keeps_no_other_from_being_loaded() {
    let good = "[[camera]]\nid = \"good\"\nurl = \"rtsp://h/s\"\n";
    for (keys, sentence) in [
        (
            "url = \"none.mp4\"",
            "vas.toml line 3: camera a: open none.mp4: No such file or directory (os error 2)",
        ),
        (
            "url = \".\"",
            "vas.toml line 3: camera a: . is not a regular file: give a video file or rtsp://HOST/PATH",
        ),
        (
            "url = \"rtsp://h/s\"\npassword_file = \"none\"",
            "vas.toml line 4: password_file none: No such file or directory (os error 2)",
        ),
    ] {
        let config = load(&format!("[[camera]]\nid = \"a\"\n{keys}\n{good}")).unwrap();
        assert_eq!(config.cameras.len(), 2);
        assert_eq!(config.cameras[1].missing, None, "{keys}");
        assert_eq!(missing(config), sentence, "{keys}");
    }
    let environment: Environment =
        [("VAS_CAMERAS", "a"), ("VAS_CAMERA_A_URL", "none.mp4")].into_iter().collect();
    assert_eq!(
        missing(load_with("", &[], &environment).unwrap()),
        "VAS_CAMERA_A_URL: camera a: open none.mp4: No such file or directory (os error 2)"
    );
    // Whoever types it sees it.
    assert_eq!(
        load_with("", &["a=none.mp4"], &nothing()).unwrap_err(),
        "--camera a: camera a: open none.mp4: No such file or directory (os error 2)"
    );
}

#[test]
fn a_password_that_could_not_be_read_is_read_once_its_file_is_there_and_then_it_is_the_password() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("late");
    let text = format!("[[camera]]\nid = \"a\"\nurl = \"rtsp://h/s\"\npassword_file = {file:?}\n");
    let config = load(&text).unwrap();
    let camera = &config.cameras[0];
    let sentence = format!("password_file {}: No such file or directory (os error 2)", file.display());
    assert_eq!((camera.make_ready(), password(&config)), (Err(sentence), None));
    // Nobody writes to it: whoever opened it to read would wait.
    make_pipe(&file);
    let sentence = format!("password_file {}: it is not a regular file", file.display());
    assert_eq!(camera.make_ready(), Err(sentence));
    std::fs::remove_file(&file).unwrap();
    std::fs::write(&file, "late-hunter2\n").unwrap();
    assert_eq!((camera.make_ready(), password(&config)), (Ok(()), Some("late-hunter2")));
    assert_eq!(redact::text("late-hunter2"), "***", "from then on it is taken out of everything");
    // It was read: another one is a matter of a reload.
    std::fs::write(&file, "another\n").unwrap();
    assert_eq!((camera.make_ready(), password(&config)), (Ok(()), Some("late-hunter2")));
}

fn make_pipe(path: &Path) {
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
}

#[test]
fn a_mistake_beside_a_password_does_not_print_it() {
    for line in [
        "password = 12345678",
        "password = hunter2secret",
        "password = \"hunter2secret",
        "password = ['hunter2secret']",
        "password_file = { path = \"hunter2secret\" }",
        "url = \"rtsp://admin:hunter2secret@\"",
        "url = \"rtsp://admin:hunter2/secret@h/s\"",
        "url = \"rtsp://admin:12/34hunter2secret@h/s\"",
        "url = \"rtsp:/admin:hunter2secret@h/s\"",
        "url = \"rtsp:admin:hunter2 secret@h/s\"",
        "url = \"admin:hunter2secret@h/s\"",
        "url = \"admin:hunter2 secret@rtsp://h/s\"",
        "url = \"rtmp://admin:hunter2secret@h/s\"",
        "transport = \"rtsp://admin:hunter2secret@h/s\"",
        "loop = \"hunter2secret\"",
        "ring_frames = \"hunter2secret\"",
    ] {
        let sentence = refusal(&format!("[[camera]]\nid = \"a\"\n{line}\n"));
        assert!(!sentence.contains("hunter2") && !sentence.contains("1234"), "{line}: {sentence}");
        assert!(sentence.contains("vas.toml line 3"), "{line}: {sentence}");
    }
}

#[test]
fn the_command_line_adds_cameras_and_never_takes_a_password() {
    let clip = tempfile::NamedTempFile::new().unwrap();
    let argument = format!("yard={}", clip.path().display());
    let config =
        load_with("[defaults]\nring_frames = 9\n", &[&argument, "b=rtsp://bob@h/s"], &nothing()).unwrap();
    assert_eq!(config.cameras.len(), 2);
    assert_eq!(config.cameras[1].ring_frames, 9);

    let refusal = |argument: &str| load_with("", &[argument], &nothing()).unwrap_err();
    assert_eq!(
        refusal("front-door=rtsp://admin:hunter2secret@h/s"),
        "--camera front-door: a password on the command line can be read by every user of this machine: put it into \
         VAS_CAMERA_FRONT_DOOR_PASSWORD or into a configuration file"
    );
    assert!(refusal("a=rtsp://h/s?password=hunter2secret").starts_with("--camera a: a password"));
    assert!(refusal("../x=clip.mp4").starts_with("--camera \"../x\": a camera id has only"));
    assert!(refusal("clip.mp4").starts_with("--camera clip.mp4: wanted is ID=URL_OR_FILE"));
    assert_eq!(refusal("rtsp://u:hunter2secret@h/s"), BAD_ARGUMENT);
    assert_eq!(refusal("admin:hunter2secret@h/s"), BAD_ARGUMENT);
    assert_eq!(refusal("admin:hunter2=secret@h/s"), BAD_ARGUMENT);
    for place in [
        "rtsp:/admin:hunter2@h/s",
        "admin:hunter2@h/s",
        "rtsp:admin:hun ter2@h/s",
        "rtsp:/h/s",
        "192.0.2.10/s",
        "192.0.2.10:554",
    ] {
        let sentence = "--camera a: this looks like a camera's address: write rtsp://HOST/PATH";
        assert_eq!(refusal(&format!("a={place}")), sentence, "{place}");
    }
    for password in ["hun'ter2", "hun ter2", "hun\"ter2", "hun/ter2"] {
        let sentence = refusal(&format!("a=rtsp://admin:{password}@h/s"));
        assert!(sentence.starts_with("--camera a: a password on the command line"), "{sentence}");
    }
    assert_eq!(
        load_with("", &["a=rtsp://h/s", "a=rtsp://h/t"], &nothing()).unwrap_err(),
        "--camera a: a camera of that name is there already"
    );
}

#[test]
fn a_password_that_everybody_may_read_is_warned_of() {
    let text = "[[camera]]\nid = \"a\"\nurl = \"rtsp://h/s\"\npassword_file = \"password\"\n";
    assert!(load(text).unwrap().warnings[0].contains("password holds a password and everybody may read it"));
    let text = "[[camera]]\nid = \"a\"\nurl = \"rtsp://h/s\"\n";
    assert!(load(text).unwrap().warnings.is_empty());
}

#[test]
fn a_configuration_with_a_password_that_everybody_may_read_is_warned_of() {
    // The file is made with what the umask leaves, so its mode is set here.
    let warnings = |text: &str, mode: u32| {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(mode)).unwrap();
        let request = Request { file: Some(file.path().to_owned()), ..Request::default() };
        let warnings = Config::load(&request, &nothing()).unwrap().warnings;
        warnings.iter().filter(|warning| warning.contains("everybody may read it")).count()
    };
    for text in [
        "[[camera]]\nid = \"a\"\nurl = \"rtsp://h/s\"\npassword = \"x\"\n",
        "[defaults]\npassword = \"x\"\n[[camera]]\nid = \"a\"\nurl = \"rtsp://h/s\"\n",
        "[[camera]]\nid = \"a\"\nurl = \"rtsp://u:x@h/s\"\n",
        "[[camera]]\nid = \"a\"\nurl = \"rtsp://h/s?password=x\"\n",
    ] {
        assert_eq!((warnings(text, 0o644), warnings(text, 0o640)), (1, 0), "{text}");
    }
    assert_eq!(warnings("[[camera]]\nid = \"a\"\nurl = \"rtsp://u@h/s\"\n", 0o644), 0);
}

#[test]
fn a_variable_that_means_two_cameras_is_refused() {
    let text =
        "[[camera]]\nid = \"a-b\"\nurl = \"rtsp://h/s\"\n[[camera]]\nid = \"A_b\"\nurl = \"rtsp://h/t\"\n";
    assert!(load(text).is_ok());
    let set = |value: &str| Environment::from_iter([("VAS_CAMERA_A_B_PASSWORD", value)]);
    assert!(load_with(text, &[], &set("")).is_ok());
    let sentence = load_with(text, &[], &set("hunter2")).unwrap_err();
    assert!(
        sentence.starts_with("VAS_CAMERA_A_B_PASSWORD is set, and means camera a-b as well as"),
        "{sentence}"
    );
}

#[test]
fn an_empty_variable_is_not_set() {
    let empty =
        environment::camera_keys().map(|key| (format!("VAS_CAMERA_A_{}", key.name.to_uppercase()), ""));
    let empty = empty.collect();
    let text = "[[camera]]\nid = \"a\"\nurl = \"rtsp://h/s\"\nusername = \"u\"\npassword = \"of the file\"\n";
    let config = load_with(text, &[], &empty).unwrap();
    assert_eq!((rtsp(&config).username.as_deref(), password(&config)), (Some("u"), Some("of the file")));
}

#[test]
fn a_missing_configuration_is_named() {
    let request = Request { file: Some("/nonexistent/vas.toml".into()), ..Request::default() };
    assert_eq!(
        Config::load(&request, &nothing()).unwrap_err().to_string(),
        "read the configuration /nonexistent/vas.toml: No such file or directory (os error 2)"
    );
}

// ---- Every key --------------------------------------------------------------------------------------------------------------

/// Everything that a configuration says, passwords too; a field that is missing here does not compile.
fn everything(config: &Config) -> String {
    let Config { export, server, cameras, warnings: _ } = config;
    let ServerConfig { status_file, metrics_file } = server;
    let mut all = format!("{export:?} {status_file:?} {metrics_file:?}");
    for camera in cameras {
        let CameraConfig {
            id,
            source,
            ring_frames,
            open_timeout,
            frame_timeout,
            max_pixels,
            decoder_threads,
            skip,
            missing: _,
        } = camera;
        let _ = write!(all, "\n{id} {ring_frames} {open_timeout:?} {frame_timeout:?} {max_pixels} ");
        let _ = write!(all, "{decoder_threads} {skip:?} ");
        match source {
            Source::File(FileSource { path, repeat }) => {
                let _ = write!(all, "{:?} {repeat}", path.file_name());
            }
            Source::Rtsp(RtspSource { address, username, password, transport, client, tls_verify }) => {
                let password = password.as_ref().and_then(Password::known).map(ExposeSecret::expose_secret);
                let _ =
                    write!(all, "{address} {username:?} {password:?} {transport:?} {client:?} {tls_verify}");
            }
        }
    }
    all
}

/// A value that is not the default, as it stands in a file and as it stands in a variable.
fn another(key: &Key) -> (String, String) {
    let both = |text: &str| (text.to_owned(), text.to_owned());
    let quoted = |text: &str| (format!("{text:?}"), text.to_owned());
    match (&key.kind, key.default) {
        (Kind::Number(range), Some(KeyDefault::Number(default))) => {
            both(&(if default == *range.start() { range.end() } else { range.start() }).to_string())
        }
        (Kind::Switch, Some(KeyDefault::Switch(default))) => both(&(!default).to_string()),
        (Kind::Choice(names), _) => quoted(names[1]),
        (Kind::Group, _) => both("0"),
        (Kind::Path, _) if key.name == keys::METRICS_FILE.name => quoted("/dev/shm/vas.prom"),
        // A file that is there.
        (Kind::Path, _) => quoted("/dev/null"),
        (Kind::Address, _) => quoted("rtsp://10.0.0.6/other"),
        (Kind::Text | Kind::Secret, _) => quoted("someone"),
        (kind, default) => panic!("{}: a {kind:?} with the default {default:?}", key.name),
    }
}

/// A configuration with one camera that this key means something for, and `line` in that table.
fn with_line(table: Table, key: &Key, line: &str) -> String {
    let url = if key.cameras == Cameras::Files { "clip.mp4" } else { "rtsp://10.0.0.5/s" };
    let mut text = "[export]\nenabled = true\n".to_owned();
    if table == Table::Export {
        text = if key.name == "enabled" { format!("[export]\n{line}\n") } else { format!("{text}{line}\n") };
    } else if table != Table::Camera {
        let _ = writeln!(text, "{}\n{line}", table.heading());
    }
    let own = if table == Table::Camera { line } else { "" };
    let url = if own.starts_with("url") { String::new() } else { format!("url = {url:?}") };
    let _ = writeln!(text, "[[camera]]\nid = \"a-b\"\n{url}\n{own}");
    text
}

/// Each key in each of its tables; passwords in files are tried elsewhere.
fn every_key() -> Vec<(Table, &'static Key)> {
    let all = Table::ALL.into_iter().flat_map(|table| table.keys().iter().map(move |key| (table, key)));
    all.filter(|(table, key)| {
        let is_there = !(key.is_of_one && *table == Table::Defaults) && key.name != keys::ID.name;
        is_there && key.name != keys::PASSWORD_FILE.name
    })
    .collect()
}

#[test]
fn every_key_of_the_table_changes_the_configuration() {
    assert!(every_key().len() > 30);
    for (table, key) in every_key() {
        // The export is switched on in all the others.
        let value = if key.name == "enabled" { "true".to_owned() } else { another(key).0 };
        let changed = load(&with_line(table, key, &format!("{} = {value}", key.name))).unwrap();
        let plain = load(&with_line(table, key, "")).unwrap();
        assert_ne!(everything(&changed), everything(&plain), "{table:?} {} changes nothing", key.name);
    }
}

#[test]
fn every_variable_means_what_its_key_means_and_beats_it() {
    for (table, key) in every_key() {
        let (in_file, in_variable) = another(key);
        let (in_file, in_variable) = match key.name {
            "enabled" => ("true".to_owned(), "true".to_owned()),
            _ => (in_file, in_variable),
        };
        let prefix = if table == Table::Camera { "VAS_CAMERA_A_B" } else { environment::prefix(table) };
        let meant = load(&with_line(table, key, &format!("{} = {in_file}", key.name))).unwrap();
        for name in key.variables(prefix) {
            let environment = Environment::from_iter([(name.as_str(), in_variable.as_str())]);
            let beaten = match (&key.kind, key.default) {
                (_, Some(KeyDefault::Number(number))) => Some(number.to_string()),
                (_, Some(KeyDefault::Switch(on))) => Some(on.to_string()),
                (Kind::Choice(names), _) => Some(format!("{:?}", names[0])),
                (Kind::Secret | Kind::Text, _) => Some("\"nobody\"".to_owned()),
                (Kind::Path, _) => Some("\"elsewhere\"".to_owned()),
                (Kind::Address, _) => Some("\"rtsp://10.0.0.7/x\"".to_owned()),
                _ => None,
            };
            let line = beaten.map_or_else(String::new, |value| format!("{} = {value}", key.name));
            let by_variable = load_with(&with_line(table, key, &line), &[], &environment).unwrap();
            assert_eq!(everything(&by_variable), everything(&meant), "{name}");
            assert!(by_variable.warnings.iter().all(|warning| !warning.contains("variable")), "{name}");
        }
    }
}

#[test]
fn the_shipped_example_shows_every_key_with_its_default_and_no_other() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("dist/vas.toml");
    let example = std::fs::read_to_string(path).unwrap();
    let mut shown: Vec<(Table, String, String, bool)> = Vec::new();
    let mut table = None;
    for line in example.lines() {
        let is_commented = line.starts_with('#');
        let line = line.trim_start_matches('#');
        if let Some(found) = Table::ALL.into_iter().find(|table| table.heading() == line) {
            table = Some(found);
        } else if let (Some((name, value)), Some(table)) = (line.split_once(" = "), table)
            && name.chars().all(|c| c.is_ascii_lowercase() || c == '_')
        {
            assert!(table.keys().iter().any(|key| key.name == name), "{table:?} has no key {name:?}");
            shown.push((table, name.to_owned(), value.to_owned(), is_commented));
        }
    }
    for table in [Table::Server, Table::Export, Table::Defaults] {
        for key in table.keys().iter().filter(|key| !(key.is_of_one && table == Table::Defaults)) {
            let of_key =
                |(where_, name, ..): &&(Table, String, String, bool)| *where_ == table && name == key.name;
            let found: Vec<_> = shown.iter().filter(of_key).collect();
            // A password has no place among the defaults of an example.
            if found.is_empty() && matches!(key.kind, Kind::Secret) {
                continue;
            }
            let [(.., value, is_commented)] = &found[..] else {
                panic!("{}: {} is there {} times", table.heading(), key.name, found.len());
            };
            let default = match key.default {
                None => {
                    assert!(is_commented, "{} has no default, but is set", key.name);
                    continue;
                }
                Some(KeyDefault::Number(number)) => number.to_string(),
                Some(KeyDefault::Switch(on)) => on.to_string(),
                Some(KeyDefault::Choice(text) | KeyDefault::Path(text)) => format!("{text:?}"),
            };
            assert_eq!((value, is_commented), (&default, &false), "{}: {}", table.heading(), key.name);
        }
    }
    for key in Table::Camera.keys() {
        assert!(shown.iter().any(|(_, name, ..)| name == key.name), "{} is nowhere", key.name);
    }
}

#[test]
fn no_variable_can_mean_two_keys() {
    for key in Table::Camera.keys() {
        let inside = |other: &&Key| other.name.ends_with(&format!("_{}", key.name));
        let other = Table::Camera.keys().iter().find(inside);
        assert!(other.is_none(), "a camera .._{other:?} and a key {}", key.name);
    }
}

#[test]
fn the_names_of_choices_are_those_of_their_types() {
    fn names<T: Default + std::fmt::Debug + for<'de> Deserialize<'de>>(key: &Key) {
        use serde::de::{IntoDeserializer, value::StrDeserializer};
        let Kind::Choice(names) = key.kind else { panic!("{} is no choice", key.name) };
        let parse = |name| {
            let text: StrDeserializer<'_, serde::de::value::Error> =
                IntoDeserializer::into_deserializer(name);
            T::deserialize(text).map(|name| format!("{name:?}")).map_err(|error| error.to_string())
        };
        let error = parse("?").unwrap_err();
        let mut known: Vec<&str> = error.split('`').skip(3).step_by(2).collect();
        let mut told = names.to_vec();
        known.sort_unstable();
        told.sort_unstable();
        assert_eq!(told, known, "{}", key.name);
        assert!(names.iter().all(|name| parse(name).is_ok()));
        assert_eq!(parse(names[0]), Ok(format!("{:?}", T::default())), "{}", key.name);
    }
    names::<ExportWhen>(&keys::WHEN);
    names::<Transport>(&keys::TRANSPORT);
    names::<crate::address::RtspClient>(&keys::RTSP_CLIENT);
    names::<Skip>(&keys::SKIP);
}

// ---- Who has the word -------------------------------------------------------------------------------------------------------

#[test]
fn the_order_of_those_who_have_a_word_is_the_one_that_is_told() {
    let file = "[defaults]\nring_frames = 2\n[[camera]]\nid = \"a\"\nurl = \"rtsp://h/file\"\nring_frames = 3\n\
                [[camera]]\nid = \"b\"\nurl = \"rtsp://h/b\"\n";
    let rings = |text: &str, variables: &[(&str, &str)]| {
        let environment = variables.iter().copied().collect();
        let config = load_with(text, &[], &environment).unwrap();
        [config.cameras[0].ring_frames, config.cameras[1].ring_frames]
    };
    assert_eq!(rings(&file.replace("[defaults]\nring_frames = 2\n", ""), &[]), [3, 4], "built-in last");
    assert_eq!(rings(file, &[]), [3, 2], "a camera's table before [defaults]");
    // A variable beats the key that it names, and no other.
    assert_eq!(rings(file, &[("VAS_DEFAULTS_RING_FRAMES", "5")]), [3, 5]);
    assert_eq!(rings(file, &[("VAS_DEFAULTS_RING_FRAMES", "5"), ("VAS_CAMERA_A_RING_FRAMES", "6")]), [6, 5]);

    let variables = [("VAS_CAMERA_C_URL", "rtsp://h/variable"), ("VAS_EXPORT_BASE", "/dev/shm/variable")];
    let request = Request {
        cameras: vec!["c=rtsp://h/argument".into()],
        base: Some("/dev/shm/argument".into()),
        ..Request::default()
    };
    let environment: Environment = variables.into_iter().chain([(EXPORT_ENABLED_VARIABLE, "1")]).collect();
    let config = Config::load(&request, &environment).unwrap();
    assert_eq!(rtsp(&config).address.as_str(), "rtsp://h/argument", "the command line first");
    assert_eq!(config.export.unwrap().base, Path::new("/dev/shm/argument"));
    let request = Request { base: None, ..request };
    let base = |more: &[(&'static str, &'static str)]| {
        let all = variables.into_iter().chain([(EXPORT_ENABLED_VARIABLE, "1")]).chain(more.iter().copied());
        Config::load(&request, &all.collect()).unwrap().export.unwrap().base
    };
    assert_eq!(base(&[]), Path::new("/dev/shm/variable"));
    assert_eq!(base(&[(BASE_VARIABLE, "/dev/shm/old")]), Path::new("/dev/shm/old"), "the older name first");
    assert_eq!(base(&[(BASE_VARIABLE, "")]), Path::new("/dev/shm/variable"), "empty is not set");
}

#[test]
fn the_first_place_that_has_a_password_has_the_word() {
    let credentials = tempfile::tempdir().unwrap();
    std::fs::write(credentials.path().join("vas-camera-a-password"), "of systemd\n").unwrap();
    let directory = credentials.path().to_str().unwrap();
    let other = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(other.path(), "of a file\r\n").unwrap();
    let file = other.path().to_str().unwrap();
    let keys = |password: &str| {
        format!(
            "[defaults]\npassword = \"of the defaults\"\n[[camera]]\nid = \"a\"\nurl = \"rtsp://h/s\"\n{password}\n"
        )
    };
    let found = |text: &str, variables: &[(&str, &str)]| {
        let environment = variables.iter().copied().collect();
        load_with(text, &[], &environment).map(|config| password(&config).unwrap_or_default().to_owned())
    };
    let systemd = ("CREDENTIALS_DIRECTORY", directory);
    let own = ("VAS_CAMERA_A_PASSWORD", "of a variable");
    let own_file = ("VAS_CAMERA_A_PASSWORD_FILE", file);
    let defaults = ("VAS_DEFAULTS_PASSWORD", "of the defaults' variable");
    let (here, nowhere) = (keys("password = \"of the table\""), keys(""));
    let in_url = nowhere.replace("rtsp://h", "rtsp://u:of%20the%20url@h");
    for (text, variables, expected) in [
        (&here, vec![systemd, own, defaults], "of a variable"),
        (&here, vec![systemd, own_file, defaults], "of a file"),
        (&here, vec![systemd, defaults], "of systemd"),
        (&in_url, vec![systemd, defaults], "of systemd"),
        (&here, vec![defaults], "of the table"),
        (&in_url, vec![defaults], "of the url"),
        (&in_url, vec![own], "of a variable"),
        (&nowhere, vec![defaults], "of the defaults' variable"),
        (&nowhere, vec![], "of the defaults"),
    ] {
        assert_eq!(found(text, &variables), Ok(expected.to_owned()), "{text} {variables:?}");
    }
    assert_eq!(
        found(&nowhere, &[own, own_file]),
        Err("VAS_CAMERA_A_PASSWORD_FILE: password and password_file are both there: keep one".to_owned())
    );
    // A url of the environment with a password, and a password beside it there.
    let url = ("VAS_CAMERA_A_URL", "rtsp://u:of%20its%20url@h/s");
    assert_eq!(found(&here, &[url]), Ok("of its url".to_owned()));
    assert_eq!(
        found(&here, &[url, own]),
        Err("VAS_CAMERA_A_PASSWORD: the url of camera a has a password already: keep one".to_owned())
    );
    // Nothing for this camera: as if there were no directory. An empty one is a mistake.
    std::fs::write(credentials.path().join("vas-camera-a-password"), "\n").unwrap();
    let config = load_with(&here, &[], &[systemd].into_iter().collect()).unwrap();
    assert_eq!(password(&config), None, "that it is broken gives the word to nobody else");
    assert_eq!(missing(config), format!("credential {directory}/vas-camera-a-password: the file is empty"));
    std::fs::remove_file(credentials.path().join("vas-camera-a-password")).unwrap();
    assert_eq!(found(&here, &[systemd]), Ok("of the table".to_owned()));
}

#[test]
fn a_file_with_more_than_the_line_of_a_password_is_refused() {
    const WHY: &str = "the file has more than one line: a password is one line, and nothing stands behind it";
    // A blank line behind it, another line, a blank one as other systems write it, and one before it.
    for text in ["hunter2\n\n", "hunter2\nof the yard\n", "hunter2\r\n\r\n", "\nhunter2\n"] {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let name = file.path().display();
        let keys = format!("[[camera]]\nid = \"a\"\nurl = \"rtsp://h/s\"\npassword_file = \"{name}\"\n");
        let found = missing(load(&keys).unwrap());
        assert_eq!(found, format!("vas.toml line 4: password_file {name}: {WHY}"), "{text:?}");

        let credentials = tempfile::tempdir().unwrap();
        std::fs::write(credentials.path().join("vas-camera-a-password"), text).unwrap();
        let directory = credentials.path().to_str().unwrap();
        let environment: Environment = [("CREDENTIALS_DIRECTORY", directory)].into_iter().collect();
        let config = load_with("[[camera]]\nid = \"a\"\nurl = \"rtsp://h/s\"\n", &[], &environment).unwrap();
        assert_eq!(
            missing(config),
            format!("credential {directory}/vas-camera-a-password: {WHY}"),
            "{text:?}"
        );
    }
}

#[test]
fn a_password_in_a_url_is_taken_out_with_a_warning() {
    let text = "[[camera]]\nid = \"a\"\nurl = \"rtsp://u:hunter2@h/s\"\n";
    let warnings = load(text).unwrap().warnings;
    let told = warnings.iter().filter(|warning| {
        warning.ends_with(
            "vas.toml line 3: the url of camera a has a password in it, which is taken out: write username and \
             password_file beside it instead",
        )
    });
    assert_eq!(told.count(), 1, "{warnings:?}");
    let text = "[[camera]]\nid = \"a\"\nurl = \"rtsp://u@h/s\"\n";
    assert!(load(text).unwrap().warnings.is_empty());
}

#[test]
fn where_only_keyframes_are_decoded_a_minute_may_lie_between_two_frames() {
    let timeout = |more: &str| {
        let text = format!("[[camera]]\nid = \"a\"\nurl = \"rtsp://h/s\"\n{more}\n");
        load(&text).unwrap().cameras[0].frame_timeout
    };
    assert_eq!(timeout("skip = \"nonref\""), Duration::from_secs(10));
    assert_eq!(timeout("skip = \"keyframes\""), Duration::from_secs(60));
    // What somebody says is what holds.
    assert_eq!(timeout("skip = \"keyframes\"\nframe_timeout_ms = 10000"), Duration::from_secs(10));
}

#[test]
fn cameras_can_come_from_the_environment_alone() {
    let environment = Environment::from_iter([
        ("VAS_CAMERAS", "front, back-door"),
        ("VAS_CAMERA_FRONT_URL", "rtsp://10.0.0.5/s"),
        ("VAS_CAMERA_BACK_DOOR_URL", "rtsp://10.0.0.6/s"),
        ("VAS_CAMERA_BACK_DOOR_SKIP", "keyframes"),
        ("VAS_DEFAULTS_TRANSPORT", "udp"),
    ]);
    let config = Config::load(&Request::default(), &environment).unwrap();
    let ids: Vec<_> = config.cameras.iter().map(|camera| camera.id.as_str()).collect();
    assert_eq!(ids, ["front", "back-door"]);
    assert_eq!(config.cameras[1].skip, Skip::Keyframes);
    assert_eq!(rtsp(&config).transport, Transport::Udp);
    assert_eq!(config.warnings, [""; 0]);

    let refusal = |variables: &[(&str, &str)]| {
        let environment = variables.iter().copied().collect();
        Config::load(&Request::default(), &environment).unwrap_err().to_string()
    };
    assert_eq!(
        refusal(&[("VAS_CAMERAS", "front")]),
        "VAS_CAMERAS has camera front, and VAS_CAMERA_FRONT_URL is not set"
    );
    assert_eq!(refusal(&[("VAS_CAMERAS", "a,b,a")]), "VAS_CAMERAS has camera a twice");
    assert!(
        refusal(&[("VAS_CAMERAS", "../x")]).starts_with("VAS_CAMERAS: id \"../x\": a camera id has only")
    );
    assert_eq!(
        refusal(&[("VAS_CAMERAS", "a"), ("VAS_CAMERA_A_URL", "gopher://h/")]),
        "VAS_CAMERA_A_URL: camera a: gopher:// is not supported: give rtsp://HOST/PATH or the name of a video file"
    );
}

#[test]
fn a_mistake_in_a_variable_is_told_with_its_name() {
    let text = "[[camera]]\nid = \"a\"\nurl = \"rtsp://h/s\"\n";
    let told = |name: &str, value: &str| {
        load_with(text, &[], &Environment::from_iter([(name, value)])).map(|config| config.warnings)
    };
    for (name, value, sentence) in [
        ("VAS_CAMERA_A_RING_FRAMES", "0", "VAS_CAMERA_A_RING_FRAMES: ring_frames is 0, it can be 1 to 64"),
        ("VAS_DEFAULTS_SLOTS", "hunter2", ""),
        ("VAS_EXPORT_SLOTS", "hunter2", "VAS_EXPORT_SLOTS: a number from 2 to 8 is wanted here"),
        (
            "VAS_DEFAULTS_TRANSPORT",
            "hunter2",
            "VAS_DEFAULTS_TRANSPORT: \"tcp\", \"udp\" or \"auto\" is wanted here",
        ),
        (
            "VAS_CAMERA_A_TLS_VERIFY",
            "perhaps",
            "VAS_CAMERA_A_TLS_VERIFY is \"perhaps\": use 1, true, yes or on to switch it on, 0, false, no or off not to",
        ),
        ("VAS_CAMERA_A_LOOP", "1", "VAS_CAMERA_A_LOOP: loop is for files, camera a is a stream"),
    ] {
        match told(name, value) {
            Err(told) => assert_eq!(told, sentence, "{name}"),
            Ok(warnings) => assert!(sentence.is_empty() && warnings.len() == 1, "{name}: {warnings:?}"),
        }
    }
}

#[test]
fn a_variable_that_nothing_reads_is_told_of_with_the_nearest_name() {
    let text = "[[camera]]\nid = \"front\"\nurl = \"rtsp://h/s\"\n";
    for (name, sentence) in [
        (
            "VAS_EXPORT_SLOT",
            "the variable VAS_EXPORT_SLOT means nothing here; did you mean VAS_EXPORT_SLOTS?",
        ),
        (
            "VAS_CAMERA_FORNT_PASSWORD",
            "the variable VAS_CAMERA_FORNT_PASSWORD means nothing here; did you mean VAS_CAMERA_FRONT_PASSWORD?",
        ),
        (
            "AI_FRAME_EXPORT_ENABLE",
            "the variable AI_FRAME_EXPORT_ENABLE means nothing here; did you mean AI_FRAME_EXPORT_ENABLED?",
        ),
        (
            "VAS_CAMERA_YARD_URL",
            "the variable VAS_CAMERA_YARD_URL is for a camera that is not there; VAS_CAMERAS names cameras that no file has",
        ),
        ("VAS_LOG", ""),
        ("VAS_TEST_SHM", ""),
        ("HOME", ""),
    ] {
        let config = load_with(text, &[], &Environment::from_iter([(name, "hunter2")])).unwrap();
        assert_eq!(config.warnings.concat(), sentence, "{name}");
    }
}

#[test]
fn a_key_in_the_wrong_table_is_told_where_it_belongs() {
    for (text, sentence) in [
        (
            "[export]\ntransport = \"udp\"\n",
            "vas.toml line 2: unknown key \"transport\" here; it belongs to [defaults] or [[camera]]",
        ),
        (
            "status_file = \"x\"\n",
            "vas.toml line 1: unknown key \"status_file\" here; it belongs to [server]",
        ),
        (
            "[[camera]]\nid = \"a\"\nslots = 3\n",
            "vas.toml line 3: unknown key \"slots\" here; it belongs to [export]",
        ),
        ("[server]\nurl = \"x\"\n", "vas.toml line 2: unknown key \"url\" here; it belongs to [[camera]]"),
        ("[exprot]\n", "vas.toml line 1: unknown key \"exprot\"; did you mean \"export\"?"),
        ("[[cameras]]\nid = \"a\"\n", "vas.toml line 1: unknown key \"cameras\"; did you mean \"camera\"?"),
        ("[camera]\nid = \"a\"\n", "vas.toml line 1: a camera begins with [[camera]], in two brackets"),
        ("export = true\n", "vas.toml line 1: this is a table, it begins with [export]"),
        (
            "[[camera]]\nid = \"a\"\nurl = \"clip.mp4\"\ntransport = \"udp\"\n",
            "vas.toml line 4: transport is for streams, camera a is a file",
        ),
        ("[export]\nslots = 3\n\nslots = 4\n", "vas.toml line 4: slots is there already: keep one"),
        ("[export]\n[server]\n[export]\n", "vas.toml line 3: export is there already: keep one"),
        (
            "[export]\nslots = \"three\"\n",
            "vas.toml line 2: this is text, but a number from 2 to 8 is wanted here",
        ),
        (
            "[[camera]]\npassword = 12345\n",
            "vas.toml line 2: this is a number, but text in quotation marks is wanted here",
        ),
        ("[export]\nenabled = 1\n", "vas.toml line 2: this is a number, but true or false is wanted here"),
    ] {
        assert_eq!(refusal(text), sentence, "{text}");
    }
    // What is for streams may stand among the defaults of files.
    assert!(load("[defaults]\ntransport = \"udp\"\n[[camera]]\nid = \"a\"\nurl = \"clip.mp4\"\n").is_ok());
}

#[test]
fn metrics_that_nobody_would_read_or_that_would_overwrite_the_status_are_refused() {
    const CAMERA: &str = "[[camera]]\nid = \"a\"\nurl = \"rtsp://192.0.2.1/s\"\n";
    let with = |server: &str| format!("[server]\n{server}{CAMERA}");
    let why = refusal(&with("status_file = \"vas.prom\"\nmetrics_file = \"vas.prom\"\n"));
    assert!(why.starts_with("vas.toml line 3: metrics_file is the same as status_file"), "{why}");
    for name in ["vas.txt", "vas", "prom", "vas.prom.new"] {
        let why = refusal(&with(&format!("metrics_file = \"{name}\"\n")));
        assert!(why.contains(" does not end with .prom, and node_exporter reads no other file"), "{why}");
    }
    assert!(load(&with("status_file = \"a.prom\"\nmetrics_file = \"b.prom\"\n")).is_ok());
}

#[test]
fn the_status_file_of_a_configuration_is_found_whatever_else_is_wrong_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("vas.toml");
    let found = |text: &str, environment: &Environment| {
        std::fs::write(&file, text).unwrap();
        status_file(&file, environment).unwrap()
    };
    let nothing = Environment::default();
    let place = Some(directory.path().join("s.json"));
    const SERVER: &str = "[server]\nstatus_file = \"s.json\"\n";
    assert_eq!(found(SERVER, &nothing), place);
    for half in ["[[camera]]\nid = \"a\"\nur", "[[camera]]\nid = \"a\"\nurl = \"rtsp://", "unknown = 1\n"] {
        assert_eq!(found(&format!("{SERVER}{half}"), &nothing), place, "{half}");
    }
    assert_eq!(found("[[camera]]\nid = \"a\"\n", &nothing), None);
    let variable: Environment = [("VAS_SERVER_STATUS_FILE", "/run/x.json")].into_iter().collect();
    assert_eq!(found(SERVER, &variable), Some("/run/x.json".into()));
    assert!(status_file(&directory.path().join("none"), &nothing).is_err());
}
