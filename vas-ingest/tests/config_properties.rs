//! What holds for every configuration: an answer in one sentence, what was written is what is meant, and no password anywhere.

use proptest::prelude::*;
use std::ffi::OsString;
use std::fmt::Write;
use std::path::Path;
use vas_ingest::config::{
    CameraConfig, Config, EXPORT_ENABLED_VARIABLE, Environment, Request, UsualStatusFile,
};
use vas_ingest::redact;

/// The two halves of every password here: no other text holds them.
const HALVES: [&str; 2] = ["qzhunterqz", "qzsecretqz"];

/// Between the two forms of an error.
const SEPARATOR: &str = "\n---\n";

fn load_with(text: &str, arguments: &[String], environment: &Environment) -> Result<Config, String> {
    print_with(text, arguments, environment).map(|(config, _)| config)
}

/// The configuration, and what `print-config` shows of it.
fn print_with(
    text: &str,
    arguments: &[String],
    environment: &Environment,
) -> Result<(Config, String), String> {
    print_in(tempfile::tempdir().unwrap().path(), text, arguments, environment)
}

fn print_in(
    directory: &Path,
    text: &str,
    arguments: &[String],
    environment: &Environment,
) -> Result<(Config, String), String> {
    let file = directory.join("vas.toml");
    std::fs::write(&file, text).unwrap();
    std::fs::write(directory.join("clip.mp4"), "no video").unwrap();
    let request = Request { file: Some(file), cameras: arguments.to_vec(), base: None };
    let prefix = format!("{}/", directory.display());
    Config::load_and_print(&request, environment, &UsualStatusFile::default()).map_err(|error| {
        let (shown, debug) = (error.to_string(), format!("{error:?}"));
        assert!(!shown.is_empty());
        // A test that looks at one of them has looked at both.
        format!("{shown}{SEPARATOR}{debug}").replace(&prefix, "")
    })
}

fn load(text: &str) -> Result<Config, String> {
    load_with(text, &[], &Environment::default())
}

/// The sentence alone, without its other form.
fn sentence(both: &str) -> &str {
    both.split(SEPARATOR).next().unwrap_or_default()
}

// ---- Any text -----------------------------------------------------------------------------------------------------------

/// Lines that a configuration is made of, whole and spoilt.
fn any_line() -> impl Strategy<Value = String> {
    let key = prop_oneof![
        Just("id"),
        Just("url"),
        Just("username"),
        Just("password"),
        Just("password_file"),
        Just("transport"),
        Just("loop"),
        Just("ring_frames"),
        Just("open_timeout_ms"),
        Just("frame_timeout_ms"),
        Just("max_pixels"),
        Just("rtsp_client"),
        Just("tls_verify"),
        Just("decoder_threads"),
        Just("skip"),
        Just("status_file"),
        Just("enabled"),
        Just("base"),
        Just("group"),
        Just("slots"),
        Just("when"),
        Just("camera"),
        Just("nonsense"),
    ];
    let value = prop_oneof![
        Just("\"front\"".to_owned()),
        Just("\"rtsp://10.0.0.5/s\"".to_owned()),
        Just("\"clip.mp4\"".to_owned()),
        Just("\"tcp\"".to_owned()),
        Just("\"always\"".to_owned()),
        Just("true".to_owned()),
        any::<i64>().prop_map(|number| number.to_string()),
        Just("1.5".to_owned()),
        Just("[1, \"a\"]".to_owned()),
        Just("{ a = 1 }".to_owned()),
        Just("2026-01-01".to_owned()),
        "\\PC{0,12}",
        "\"\\PC{0,12}\"",
    ];
    prop_oneof![
        1 => prop_oneof![Just("[export]"), Just("[server]"), Just("[defaults]"), Just("[[camera]]"), Just("[camera]"), Just("[a.b]")]
            .prop_map(str::to_owned),
        4 => (key, value).prop_map(|(key, value)| format!("{key} = {value}")),
        1 => "\\PC{0,20}",
    ]
}

// ---- Good configurations ------------------------------------------------------------------------------------------------

#[derive(Clone, Debug)]
struct GoodCamera {
    id: String,
    path: String,
    username: Option<String>,
    password: Option<String>,
    is_udp: Option<bool>,
    numbers: Numbers,
}

/// ring_frames, open_timeout_ms, frame_timeout_ms, max_pixels.
#[derive(Clone, Copy, Debug)]
struct Numbers([Option<i64>; 4]);

const NUMBER_KEYS: [&str; 4] = ["ring_frames", "open_timeout_ms", "frame_timeout_ms", "max_pixels"];
const NUMBER_DEFAULTS: [i64; 4] = [4, 10_000, 10_000, 8192 * 4320];

fn numbers() -> impl Strategy<Value = Numbers> {
    let one = |least: i64, most: i64| prop::option::of(prop_oneof![Just(least), Just(most), least..=most]);
    (one(1, 64), one(100, 600_000), one(100, 600_000), one(1, 16_384 * 16_384))
        .prop_map(|(a, b, c, d)| Numbers([a, b, c, d]))
}

fn good_camera() -> impl Strategy<Value = GoodCamera> {
    (
        "[a-z][a-z0-9_-]{0,10}",
        "[a-z0-9]{1,8}",
        prop::option::of("[a-z@:/ é]{1,8}"),
        prop::option::of("[a-z@:/ é\"\\\\]{0,8}"),
        prop::option::of(any::<bool>()),
        numbers(),
    )
        .prop_map(|(id, path, username, password, is_udp, numbers)| GoodCamera {
            id,
            path,
            username,
            password,
            is_udp,
            numbers,
        })
}

impl GoodCamera {
    fn write(&self, out: &mut String) {
        let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
        writeln!(out, "[[camera]]\nid = \"{}\"\nurl = \"rtsp://10.0.0.5:8554/{}\"", self.id, self.path)
            .unwrap();
        if let Some(username) = &self.username {
            writeln!(out, "username = {}", quoted(username)).unwrap();
        }
        if let Some(password) = &self.password {
            writeln!(out, "password = {}", quoted(password)).unwrap();
        }
        if let Some(is_udp) = self.is_udp {
            writeln!(out, "transport = \"{}\"", if is_udp { "udp" } else { "tcp" }).unwrap();
        }
        self.numbers.write(out);
    }
}

impl Numbers {
    fn write(self, out: &mut String) {
        for (key, value) in NUMBER_KEYS.iter().zip(self.0) {
            if let Some(value) = value {
                writeln!(out, "{key} = {value}").unwrap();
            }
        }
    }
}

fn numbers_of(camera: &CameraConfig) -> [i64; 4] {
    [
        camera.ring_frames as i64,
        camera.open_timeout.as_millis() as i64,
        camera.frame_timeout.as_millis() as i64,
        camera.max_pixels as i64,
    ]
}

// ---- Passwords ----------------------------------------------------------------------------------------------------------

/// A password as somebody might type it, with a character in its middle that means something in a URL.
fn any_password() -> impl Strategy<Value = String> {
    let middle = prop_oneof![
        Just(""),
        Just("@"),
        Just("/"),
        Just(":"),
        Just("?"),
        Just("#"),
        Just("%"),
        Just(" "),
        Just("="),
        Just("ü"),
        Just("%40"),
        Just("+"),
        Just("@@"),
        Just("//"),
        Just("["),
        Just("'"),
        Just("://"),
        Just("@/"),
        Just("/@"),
        Just(": "),
    ];
    middle.prop_map(|middle| format!("{}{middle}{}", HALVES[0], HALVES[1]))
}

/// Forms of a camera's address with a password, right and wrong ones.
fn address(form: usize, password: &str) -> String {
    match form {
        0 => format!("rtsp://admin:{password}@10.0.0.5/s"),
        1 => format!("rtsp://:{password}@10.0.0.5:554/s?x=1"),
        2 => format!("rtsp:/admin:{password}@10.0.0.5/s"),
        3 => format!("rtsp:admin:{password}@10.0.0.5/s"),
        4 => format!("admin:{password}@10.0.0.5/s"),
        5 => format!("rtsps://admin:{password}@10.0.0.5/s"),
        6 => format!("http://admin:{password}@10.0.0.5/s"),
        7 => format!("//admin:{password}@10.0.0.5/s"),
        8 => format!("rtsp://admin:{password}@"),
        9 => format!("rtsp://admin:{password}@:99999/s"),
        _ => format!("RTSP://admin:{password}@10.0.0.5/s"),
    }
}

fn shows(text: &str) -> Option<&'static str> {
    let text = text.to_lowercase();
    HALVES.into_iter().find(|half| text.contains(half))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_gets_an_answer(text in "\\PC{0,200}", lines in prop::collection::vec(any_line(), 0..12)) {
        for text in [text, lines.join("\n")] {
            if let Err(both) = load(&text) {
                prop_assert!(!sentence(&both).is_empty() && !sentence(&both).contains(char::is_control), "{}", both);
            }
        }
    }

    #[test]
    fn what_was_written_is_what_is_meant(
        cameras in prop::collection::vec(good_camera(), 1..5),
        defaults in numbers(),
        slots in prop::option::of(2..=8u32),
        base in prop::option::of("[a-z]{1,8}"),
        gid in prop::option::of(0..u32::MAX),
        enabled in prop::option::of(any::<bool>()),
        switch in prop::option::of(any::<bool>()),
    ) {
        let mut text = "[export]\n".to_owned();
        if let Some(enabled) = enabled { writeln!(text, "enabled = {enabled}").unwrap(); }
        if let Some(slots) = slots { writeln!(text, "slots = {slots}").unwrap(); }
        if let Some(base) = &base { writeln!(text, "base = \"/dev/shm/{base}\"").unwrap(); }
        if let Some(gid) = gid { writeln!(text, "group = {gid}").unwrap(); }
        text.push_str("[defaults]\n");
        defaults.write(&mut text);
        cameras.iter().for_each(|camera| camera.write(&mut text));

        let switch_text = switch.map(|switch| if switch { "on" } else { "0" });
        let environment = switch_text.map(|text| (EXPORT_ENABLED_VARIABLE, text)).into_iter().collect();
        let loaded = load_with(&text, &[], &environment);
        let mut ids: Vec<_> = cameras.iter().map(|camera| &camera.id).collect();
        ids.sort();
        let is_doubled = ids.windows(2).any(|two| two[0] == two[1]);
        if is_doubled {
            let both = loaded.map(drop).unwrap_err();
            prop_assert!(sentence(&both).ends_with("is there already"), "{}", both);
            return Ok(());
        }
        let config = loaded.map_err(TestCaseError::fail)?;
        prop_assert_eq!(config.export.is_some(), switch.or(enabled).unwrap_or(false));
        if let Some(export) = &config.export {
            let base = base.map_or_else(|| "/dev/shm/vas".to_owned(), |base| format!("/dev/shm/{base}"));
            prop_assert_eq!(&export.base, Path::new(&base));
            prop_assert_eq!((export.group, export.slots.get()), (gid, slots.unwrap_or(3)));
        }
        prop_assert_eq!(config.cameras.len(), cameras.len());
        for (found, written) in config.cameras.iter().zip(&cameras) {
            prop_assert_eq!(found.id.as_str(), &written.id);
            for (at, value) in numbers_of(found).into_iter().enumerate() {
                let expected = written.numbers.0[at].or(defaults.0[at]).unwrap_or(NUMBER_DEFAULTS[at]);
                prop_assert_eq!(value, expected, "{}", NUMBER_KEYS[at]);
            }
            let source = format!("{:?}", found.source);
            let address = format!("rtsp://10.0.0.5:8554/{}", written.path);
            prop_assert!(source.contains(&address), "{}", source);
        }
    }

    // What is printed is a configuration, and it means what the first one means.
    #[test]
    fn what_is_printed_is_read_as_it_was_meant(
        cameras in prop::collection::vec(good_camera(), 1..4),
        defaults in numbers(),
        variable in prop::option::of(1..=64i64),
        line in any_line(),
    ) {
        let mut text = "[export]\nenabled = true\nbase = \"of/tests\"\n[defaults]\n".to_owned();
        defaults.write(&mut text);
        cameras.iter().for_each(|camera| camera.write(&mut text));
        text.push_str(&line);
        let directory = tempfile::tempdir().unwrap();
        let environment = variable.map(|frames| ("VAS_DEFAULTS_RING_FRAMES", frames.to_string()));
        let Ok((_, printed)) = print_in(directory.path(), &text, &[], &environment.into_iter().collect()) else {
            return Ok(());
        };
        let (_, again) = print_in(directory.path(), &printed, &[], &Environment::default()).map_err(TestCaseError::fail)?;
        // But for where it comes from, and for passwords.
        let values = |text: &str| -> Vec<String> {
            let lines = text.lines().filter(|line| !line.starts_with('#'));
            lines.map(|line| line.rsplit_once(" # ").map_or(line, |(value, _)| value).to_owned()).collect()
        };
        prop_assert_eq!(values(&again), values(&printed), "{}", text);
    }

    #[test]
    fn a_number_out_of_its_range_is_refused_with_the_range(
        key in 0..4usize,
        by in 1..1000i64,
        is_below in any::<bool>(),
        line in 0..5usize,
    ) {
        let (least, most) = [(1, 64), (100, 600_000), (100, 600_000), (1, 16_384 * 16_384)][key];
        let value = if is_below { least - by } else { most + by };
        let name = NUMBER_KEYS[key];
        let text = format!("{}[[camera]]\nid = \"a\"\nurl = \"clip.mp4\"\n{name} = {value}\n", "\n".repeat(line));
        let both = load(&text).map(drop).unwrap_err();
        let expected = format!("vas.toml line {}: {name} is {value}, it can be {least} to {most}", line + 4);
        prop_assert_eq!(sentence(&both), expected);
    }

    // A key that nobody reads is a wish that nobody hears.
    #[test]
    fn unknown_keys_are_always_refused_with_their_line(
        key in "[a-z_]{1,16}",
        section in 0..3usize,
        value in prop_oneof![Just("1"), Just("true"), Just("\"text\""), Just("[]"), Just("{}")],
        lines_before in 0..6usize,
    ) {
        const EXPORT: [&str; 5] = ["enabled", "base", "group", "slots", "when"];
        const CAMERA: [&str; 15] = [
            "id", "url", "username", "password", "password_file", "transport", "loop", "ring_frames",
            "open_timeout_ms", "frame_timeout_ms", "max_pixels", "rtsp_client", "tls_verify", "decoder_threads", "skip",
        ];
        let known: &[&str] = if section == 0 { &EXPORT } else { &CAMERA };
        prop_assume!(!known.contains(&key.as_str()));
        let header = ["[export]", "[defaults]", "[[camera]]\nid = \"a\"\nurl = \"clip.mp4\""][section];
        let text = format!("{}{header}\n{key} = {value}\n", "# a comment\n".repeat(lines_before));
        let both = load(&text).map(drop).unwrap_err();
        let line = lines_before + 1 + header.matches('\n').count() + 1;
        let beginning = format!("vas.toml line {line}: unknown key \"{key}\"");
        prop_assert!(sentence(&both).starts_with(&beginning), "{} instead of {}", both, beginning);
    }

    // Wherever it was put, and whatever else is wrong with the file.
    #[test]
    fn a_password_is_in_no_sentence_and_in_no_configuration_that_is_shown(
        password in any_password(),
        place in 0..9usize,
        form in 0..11usize,
        lines in prop::collection::vec(any_line(), 0..4),
        is_first in any::<bool>(),
    ) {
        let mut arguments = Vec::new();
        let mut variable = None;
        let key = if form % 2 == 0 { "password" } else { "username = \"admin\"\npassword" };
        let inserted = match place {
            0 => format!("{key} = \"{password}\""),
            1 => format!("{key} = \"{password}"),
            2 => format!("{key} = {password}"),
            3 => format!("{key} = [\"{password}\"]"),
            4 => format!("{key} = {{ \"{password}\" = 1 }}"),
            5 => format!("url = \"{}\"", address(form, &password)),
            6 => format!("transport = \"{}\"", address(form, &password)),
            7 => {
                arguments.push(format!("yard={}", address(form, &password)));
                String::new()
            }
            _ => {
                variable = Some(OsString::from(&password));
                String::new()
            }
        };
        let others = lines.join("\n");
        // Where a string goes on over lines, the line with the password may be a part of anything, such as a camera's id.
        prop_assume!(!others.contains("\"\"\"") && !others.contains("'''"));
        let camera = "[[camera]]\nid = \"front\"\n";
        let address = if place == 5 { "" } else { "url = \"rtsp://10.0.0.5/s\"\n" };
        let text = if is_first {
            format!("{camera}{address}{inserted}\n{others}\n")
        } else {
            format!("{camera}{address}{others}\n{inserted}\n")
        };
        let variable = variable.map(|password: OsString| ("VAS_CAMERA_FRONT_PASSWORD", password));
        let environment = variable.into_iter().collect();
        let shown = match print_with(&text, &arguments, &environment) {
            Ok((config, printed)) => format!("{config:?}\n{}\n{printed}", config.warnings.join("\n")),
            Err(both) => both,
        };
        prop_assert_eq!(shows(&shown), None, "{}", shown);
        let arguments: String = arguments.iter().map(|argument| redact::argument(argument)).collect();
        prop_assert_eq!(shows(&arguments), None, "{}", arguments);
    }

    // Words from outside: FFmpeg's, a camera's.
    #[test]
    fn a_password_in_running_text_is_taken_out(
        before in "[a-z ]{0,12}",
        after in "[a-z ]{0,12}",
        middle in prop_oneof![Just(""), Just("%40"), Just("%2F"), Just("+"), Just("."), Just("-"), Just("!"), Just("~")],
        form in 0..9usize,
    ) {
        let password = format!("{}{middle}{}", HALVES[0], HALVES[1]);
        let inside = match form {
            0 => format!("rtsp://admin:{password}@10.0.0.5/s"),
            1 => format!("\"rtsp://:{password}@cam:554/s\""),
            2 => format!("//admin:{password}@cam"),
            3 => format!("admin:{password}@cam/s"),
            4 => format!("rtsp://cam/s?password={password}&x=1"),
            5 => format!("rtsp://cam/user=admin_password={password}_channel=1"),
            6 => format!("Authorization: Basic {password}"),
            7 => format!("Bearer {password}"),
            _ => format!("Digest username=\"admin\", response=\"{password}\""),
        };
        let text = format!("{before} {inside} {after}");
        let masked = redact::text(&text);
        prop_assert_eq!(shows(&masked), None, "{} from {}", masked, text);
        prop_assert!(masked.contains("***"));
        prop_assert!(masked.starts_with(&before), "{} from {}", masked, text);
        prop_assert_eq!(redact::text(&masked), masked, "what is taken out stays out");
    }

    #[test]
    fn text_without_a_password_passes_unharmed(text in "[a-zA-Z0-9 .,;()/-]{0,60}") {
        // A word behind the name of an authentication scheme is taken for its credentials.
        let lower = text.to_lowercase();
        prop_assume!(!["basic", "bearer"].iter().any(|scheme| lower.contains(scheme)));
        prop_assert_eq!(redact::text(&text), text);
    }
}
