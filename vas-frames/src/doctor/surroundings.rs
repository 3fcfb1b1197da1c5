//! What stands around the server and its readers: containers, systemd's units, logind.

use super::Doctor;
use super::fault::Fault;
use super::names::{quoted, shown, user, user_id};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use vas_shm_proto::DEFAULT_BASE;

/// The number that stands for every group that a user namespace does not have (/proc/sys/kernel/overflowgid).
const OVERFLOW_GID: u32 = 65534;
/// The first user who is a person and not a service, unless /etc/login.defs says otherwise.
const FIRST_PERSON: u32 = 1000;

/// This process runs in a container.
#[derive(Debug)]
pub(super) struct Container {
    /// What says so.
    pub(super) known_by: String,
}

/// Whether this is a container: by the files and the variable that the programs leave which make them.
pub(super) fn container() -> Option<Container> {
    let by_file = ["/.dockerenv", "/run/.containerenv", "/run/systemd/container"];
    let found = by_file.iter().find(|path| Path::new(path).exists()).map(|path| format!("{path} is there"));
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let known_by = found
        .or_else(|| variable("container").map(|value| format!("the variable container is {value}")))
        .or_else(|| {
            variable("KUBERNETES_SERVICE_HOST")
                .map(|_| "the variable KUBERNETES_SERVICE_HOST is set".to_owned())
        });
    known_by.map(|known_by| Container { known_by })
}

/// Whether a file's group is one that this user namespace has no number for.
pub(super) fn is_unmapped_group(gid: u32) -> bool {
    let map = std::fs::read_to_string("/proc/self/gid_map").unwrap_or_default();
    let mut lines = map.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let is_everything = lines.any(|words| words == ["0", "0", "4294967295"]);
    gid == OVERFLOW_GID && !map.is_empty() && !is_everything
}

/// A unit that starts `vas-ingest`, with the drop-ins behind it.
#[derive(Debug)]
pub(super) struct Unit {
    pub(super) name: String,
    path: PathBuf,
    /// The values of the section `[Service]` by key, in order; an empty one takes back those before it.
    service: BTreeMap<String, Vec<String>>,
}

/// Where systemd looks for units, the first one counts: `SYSTEMD_UNIT_PATH` as systemd itself reads it, or its own list.
fn unit_path() -> Vec<PathBuf> {
    const OWN: [&str; 5] = [
        "/etc/systemd/system",
        "/run/systemd/system",
        "/usr/local/lib/systemd/system",
        "/usr/lib/systemd/system",
        "/lib/systemd/system",
    ];
    let own = || OWN.iter().map(PathBuf::from);
    match std::env::var("SYSTEMD_UNIT_PATH") {
        Ok(path) if !path.is_empty() => {
            let named = path.split(':').filter(|part| !part.is_empty()).map(PathBuf::from);
            // A colon at the end appends the usual places, systemd(1).
            if path.ends_with(':') { named.chain(own()).collect() } else { named.collect() }
        }
        _ => own().collect(),
    }
}

/// The server's unit.
pub(super) fn unit() -> Option<Unit> {
    let places = unit_path();
    for place in &places {
        let mut names: Vec<_> =
            std::fs::read_dir(place).into_iter().flatten().flatten().map(|entry| entry.file_name()).collect();
        names.sort();
        for name in names.iter().filter_map(|name| name.to_str()).filter(|name| name.ends_with(".service")) {
            let path = place.join(name);
            let Ok(text) = std::fs::read_to_string(&path) else { continue };
            let mut service = BTreeMap::new();
            read_service(&text, &mut service);
            for text in drop_ins(&places, name) {
                read_service(&text, &mut service);
            }
            let starts = service.get("ExecStart").into_iter().flatten();
            // `-`, `@`, `+` and their like may stand before the program.
            let is_ours = |line: &String| {
                line.split_whitespace().next().is_some_and(|word| word.ends_with("vas-ingest"))
            };
            if starts.clone().any(is_ours) {
                return Some(Unit { name: name.to_owned(), path, service });
            }
        }
    }
    None
}

/// The texts of a unit's drop-ins, in the order in which systemd applies them: by name, wherever they stand.
fn drop_ins(places: &[PathBuf], unit: &str) -> Vec<String> {
    let mut by_name = BTreeMap::new();
    // From the last place to the first, which has the word.
    for place in places.iter().rev() {
        for entry in std::fs::read_dir(place.join(format!("{unit}.d"))).into_iter().flatten().flatten() {
            if entry.path().extension().is_some_and(|extension| extension == "conf") {
                by_name.insert(entry.file_name(), entry.path());
            }
        }
    }
    by_name.values().filter_map(|path| std::fs::read_to_string(path).ok()).collect()
}

fn read_service(text: &str, service: &mut BTreeMap<String, Vec<String>>) {
    let mut is_service = false;
    for line in text.replace("\\\n", " ").lines().map(str::trim) {
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if line.starts_with('[') {
            is_service = line == "[Service]";
        } else if let (true, Some((key, value))) = (is_service, line.split_once('=')) {
            let values = service.entry(key.trim().to_owned()).or_default();
            match value.trim() {
                "" => values.clear(),
                value => values.push(value.to_owned()),
            }
        }
    }
}

/// The words of a value, as systemd splits it: quotes hold one together, a backslash keeps the next letter, and `%%` is a `%`.
fn words_of(value: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut letters = value.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            _ if quote == Some(letter) => quote = None,
            '"' | '\'' if quote.is_none() => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            _ if quote.is_none() && letter.is_whitespace() => words.extend(word.take()),
            '\\' => word.get_or_insert_default().extend(letters.next()),
            _ => {
                if letter == '%' {
                    letters.next_if_eq(&'%');
                }
                word.get_or_insert_default().push(letter);
            }
        }
    }
    words.extend(word);
    words
}

impl Unit {
    /// Whether the last word on a switch is yes.
    fn is_on(&self, key: &str) -> bool {
        let last = self.service.get(key).and_then(|values| values.last());
        last.is_some_and(|value| matches!(value.to_ascii_lowercase().as_str(), "yes" | "true" | "on" | "1"))
    }

    /// The words of all values of a list, without what may stand before or behind a path.
    fn words(&self, key: &str) -> impl Iterator<Item = String> {
        let values = self.service.get(key).into_iter().flatten();
        values.flat_map(|value| words_of(value)).map(|word| {
            let word = word.trim_start_matches(['-', '+']);
            word.split_once(':').map_or(word, |(path, _)| path).to_owned()
        })
    }

    /// The command by which somebody changes the unit by hand, with what there is to be done.
    fn edit(&self, what: &str) -> String {
        let word = quoted(&self.name);
        format!("systemctl edit {word} && systemctl restart {word}   # {what}")
    }

    /// The last word on a key.
    fn last(&self, key: &str) -> Option<&str> {
        self.service.get(key).and_then(|values| values.last()).map(String::as_str)
    }

    /// Who has to own the base directory of this unit, by name and number. None where systemd makes up a user at each start, or
    /// there is nobody of that name.
    pub(super) fn user(&self) -> Option<(&str, u32)> {
        let name = self.last("User").unwrap_or("root");
        if self.is_on("DynamicUser") { None } else { Some((name, user_id(name)?)) }
    }

    /// The base directory of this unit's server: an argument, else a variable, else its configuration, else the usual one. A look at
    /// another one says nothing of this unit's.
    pub(super) fn base(&self) -> PathBuf {
        let words: Vec<&str> = self.last("ExecStart").unwrap_or_default().split_whitespace().collect();
        let argument = |key: &str| {
            let next = words.windows(2).find(|pair| pair[0] == key).map(|pair| pair[1]);
            next.or_else(|| words.iter().find_map(|word| word.strip_prefix(key)?.strip_prefix('=')))
        };
        let variable = || {
            let values = self.service.get("Environment").into_iter().flatten();
            let words = values.flat_map(|value| value.split_whitespace());
            words.filter_map(|word| word.trim_matches(['"', '\'']).strip_prefix("VAS_SHM_BASE=")).next_back()
        };
        let of_file = || configured_base(&std::fs::read_to_string(argument("--config")?).ok()?);
        let named = argument("--base").or_else(variable).map(PathBuf::from).or_else(of_file);
        named.unwrap_or_else(|| PathBuf::from(DEFAULT_BASE))
    }

    /// The command that adds lines to the unit, in a file of its own for each fault: another's stays. By its name it is read after
    /// the others, and has the last word.
    fn fix(&self, fault: &str, lines: &[&str]) -> String {
        // Where systemd looks first: /etc/systemd/system, unless it was told otherwise.
        let folder = unit_path().first().cloned().unwrap_or_default().join(format!("{}.d", self.name));
        let lines: Vec<_> = lines.iter().map(quoted).collect();
        format!(
            "mkdir -p {} && printf '%s\\n' '[Service]' {} > {} && systemctl daemon-reload && systemctl restart {}",
            quoted(&folder),
            lines.join(" "),
            quoted(folder.join(format!("zz-vas-frames-{fault}.conf"))),
            quoted(&self.name)
        )
    }
}

/// `base` of the section `[export]`, as far as it stands in one line, which is how it is written.
fn configured_base(text: &str) -> Option<PathBuf> {
    let mut section = "";
    for line in text.lines().map(str::trim) {
        if line.starts_with('[') {
            section = line;
        } else if let (true, Some((key, value))) = (section.starts_with("[export]"), line.split_once('='))
            && key.trim() == "base"
        {
            let value = value.trim();
            let quote = value.chars().next().filter(|first| "\"'".contains(*first))?;
            return value[1..].split(quote).next().map(PathBuf::from);
        }
    }
    None
}

/// A path as one word of a unit's list: `%` begins a specifier, and a blank the next word.
fn unit_word(path: &str) -> String {
    let path = path.replace('%', "%%");
    if path.contains(|letter: char| letter.is_whitespace() || "\"'\\".contains(letter)) {
        format!("\"{}\"", path.replace('\\', r"\\").replace('"', "\\\""))
    } else {
        path
    }
}

/// The command that takes `DynamicUser=` away. Only a user who is there already can take its place: which, is not for a guess.
fn static_user(unit: &Unit) -> String {
    /// Whom systemd makes up for `DynamicUser=`; while the unit runs they have names.
    const MADE_UP: std::ops::RangeInclusive<u32> = 61184..=65519;
    match unit.last("User").filter(|name| user_id(name).is_some_and(|uid| !MADE_UP.contains(&uid))) {
        Some(_) => unit.fix(Fault::UnitRemovesBase.name(), &["DynamicUser=no"]),
        None => unit.edit(
            "[Service], DynamicUser=no, and User= with a user who is there (docs/operating.md, \"systemd\")",
        ),
    }
}

/// Looks for options of the server's unit that stand in the export's way (docs/operating.md, "systemd").
pub(super) fn look_unit(doctor: &mut Doctor) {
    let Some(unit) = &doctor.unit else { return };
    let (name, path) = (unit.name.clone(), unit.path.clone());
    let base = doctor.base.clone();
    let mut found = Vec::new();
    let is_in_shm = base.starts_with("/dev/shm");
    if unit.is_on("DynamicUser") {
        let sentence = format!(
            "{name} has DynamicUser=yes, which removes everything of its user in /dev/shm when it stops, and gives it another user each time"
        );
        found.push((Fault::UnitRemovesBase, sentence, static_user(unit)));
    } else if unit.is_on("RemoveIPC") && is_in_shm {
        let sentence = format!(
            "{name} has RemoveIPC=yes, which removes everything of its user in /dev/shm when it stops, the base directory with it"
        );
        let fix = unit.fix(Fault::UnitRemovesBase.name(), &["RemoveIPC=no"]);
        found.push((Fault::UnitRemovesBase, sentence, fix));
    }
    for key in ["TemporaryFileSystem", "InaccessiblePaths", "ReadOnlyPaths"] {
        let is_on_the_way = |word: &String| word != "/" && base.starts_with(word);
        if unit.words(key).any(|word| is_on_the_way(&word)) {
            let sentence = format!(
                "{name} has {key}= on the way to {}: readers see nothing of what the server makes there, or it makes nothing",
                shown(&base)
            );
            let others: Vec<_> = unit.words(key).filter(|word| !is_on_the_way(word)).collect();
            let fix = if others.is_empty() {
                // The same fault by two keys is two files.
                unit.fix(&format!("{}-{key}", Fault::UnitHidesBase.name()), &[&format!("{key}=")])
            } else {
                unit.edit(&format!(
                    "take what is on the way to {} out of {key}=: an empty {key}=, and one with the others, {}",
                    shown(&base),
                    shown(others.join(" "))
                ))
            };
            found.push((Fault::UnitHidesBase, sentence, fix));
        }
    }
    let is_strict = unit
        .service
        .get("ProtectSystem")
        .and_then(|values| values.last())
        .is_some_and(|value| value == "strict");
    // That option leaves /dev, /proc and /sys as they are.
    let is_writable =
        base.starts_with("/dev") || unit.words("ReadWritePaths").any(|word| base.starts_with(word));
    let runtime = unit.words("RuntimeDirectory").any(|word| base.starts_with(Path::new("/run").join(word)));
    if is_strict && !is_writable && !runtime {
        let sentence = format!(
            "{name} has ProtectSystem=strict, which leaves /dev/shm writable and not {}",
            shown(&base)
        );
        // The unit starts without the directory too; the server's own words then say what is not there.
        let fix = match base.to_str() {
            Some(path) => unit.fix(
                Fault::UnitReadOnlyBase.name(),
                &[&format!("ReadWritePaths={}", unit_word(&format!("-{path}")))],
            ),
            None => unit.edit(&format!("ReadWritePaths= with {}", shown(&base))),
        };
        found.push((Fault::UnitReadOnlyBase, sentence, fix));
    }
    if unit.is_on("PrivateUsers") {
        let sentence = format!(
            "{name} has PrivateUsers=yes: the readers' group becomes 65534 for the server, which refuses the base directory"
        );
        let fix = unit.fix(Fault::UnitPrivateUsers.name(), &["PrivateUsers=no"]);
        found.push((Fault::UnitPrivateUsers, sentence, fix));
    }
    if unit.is_on("RestrictSUIDSGID") {
        let sentence = format!(
            "{name} has RestrictSUIDSGID=yes, which forbids the set-group-id bit: new cameras may not get the readers' group"
        );
        let fix = unit.fix(Fault::UnitRestrictsSetgid.name(), &["RestrictSUIDSGID=no"]);
        found.push((Fault::UnitRestrictsSetgid, sentence, fix));
    }
    for (fault, sentence, fix) in found {
        doctor.find(fault, None, &path, sentence, fix);
    }
}

/// logind removes what a person has in /dev/shm when his last session ends. Services' users are spared.
pub(super) fn look_logind(doctor: &mut Doctor, owner: u32) {
    let is_there = Path::new("/run/systemd/sessions").exists() || Path::new("/run/systemd/users").exists();
    if !is_there || owner < FIRST_PERSON || owner == OVERFLOW_GID || !doctor.base.starts_with("/dev/shm") {
        return;
    }
    let name = user(owner);
    if Path::new("/var/lib/systemd/linger").join(&name).exists() || logind_spares() {
        return;
    }
    let base = doctor.base.clone();
    let sentence = format!(
        "{} belongs to {name}, who is a person: logind removes it when his last session ends (RemoveIPC= of logind.conf)",
        shown(&base)
    );
    doctor.find(Fault::LogindRemovesBase, None, &base, sentence, format!("loginctl enable-linger {name}"));
}

/// Whether logind was told to leave such files alone. The last word counts, drop-ins after the file.
fn logind_spares() -> bool {
    let mut texts = Vec::new();
    for place in ["/usr/lib/systemd", "/run/systemd", "/etc/systemd"] {
        texts.push(PathBuf::from(place).join("logind.conf"));
        let drop_ins = std::fs::read_dir(format!("{place}/logind.conf.d")).into_iter().flatten().flatten();
        texts.extend(drop_ins.map(|entry| entry.path()));
    }
    let lines: String = texts.iter().filter_map(|path| std::fs::read_to_string(path).ok()).collect();
    let last = lines.lines().filter_map(|line| line.trim().strip_prefix("RemoveIPC=")).next_back();
    last.is_some_and(|value| matches!(value.trim(), "no" | "false" | "off" | "0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(text: &str) -> Unit {
        let mut service = BTreeMap::new();
        read_service(text, &mut service);
        Unit { name: "vas-ingest.service".into(), path: PathBuf::new(), service }
    }

    #[test]
    fn the_last_word_on_a_switch_counts_and_only_in_its_section() {
        let read =
            unit("[Unit]\nRemoveIPC=yes\n[Service]\nPrivateUsers=no\n# PrivateUsers=no\nPrivateUsers= Yes\n");
        assert!(read.is_on("PrivateUsers") && !read.is_on("RemoveIPC"));
    }

    #[test]
    fn a_list_goes_on_over_lines_and_an_empty_value_takes_it_back() {
        let read = unit("[Service]\nInaccessiblePaths=/a \\\n -/b\nTemporaryFileSystem=/c:ro\n");
        assert_eq!(read.words("InaccessiblePaths").collect::<Vec<_>>(), ["/a", "/b"]);
        assert_eq!(read.words("TemporaryFileSystem").collect::<Vec<_>>(), ["/c"]);
        let read = unit("[Service]\nReadWritePaths=\"-/a b%%\" /c\\\\d\n");
        assert_eq!(read.words("ReadWritePaths").collect::<Vec<_>>(), ["/a b%", "/c\\d"]);
        let path = "-/a b%\\\"c'";
        assert_eq!(words_of(&unit_word(path)), [path]);
        assert_eq!(unit("[Service]\nReadOnlyPaths=/a\nReadOnlyPaths=\n").words("ReadOnlyPaths").count(), 0);
    }
}
