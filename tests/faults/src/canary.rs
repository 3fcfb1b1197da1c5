//! A password that is looked for in everything that a server shows or writes.
//!
//! Not looked into: the process's memory and its environment. Whoever may read those (root, and the server's own user) may
//! read the configuration as well, and a server that logs in has to have the password somewhere.

use base64::prelude::{BASE64_STANDARD_NO_PAD, Engine as _};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use std::path::{Path, PathBuf};

/// The user name that goes with it: no secret.
pub(crate) const USER: &str = "viewer";

/// What stands in it and nowhere else. Each is looked for by itself, so that half of a password is found too.
const FRAGMENTS: [&str; 3] = ["Kanarien7", "Vogelzug8", "Nestbau9"];

/// The password: characters that must be encoded in URLs, that end a host name, that parts user names from passwords.
pub(crate) fn password() -> String {
    format!("{}/{}@#%:{}&", FRAGMENTS[0], FRAGMENTS[1], FRAGMENTS[2])
}

/// As it stands in a URL.
pub(crate) fn in_url() -> String {
    utf8_percent_encode(&password(), NON_ALPHANUMERIC).to_string()
}

/// What was searched, and what was found.
#[derive(Debug, Default)]
pub(crate) struct Search {
    pub(crate) files: u64,
    pub(crate) bytes: u64,
    pub(crate) hits: Vec<String>,
}

impl Search {
    pub(crate) fn add(&mut self, other: Self) {
        self.files += other.files;
        self.bytes += other.bytes;
        self.hits.extend(other.hits);
    }

    /// Looks through some bytes; `place` is what a hit is called.
    pub(crate) fn bytes(&mut self, place: &str, bytes: &[u8]) {
        self.files += 1;
        self.bytes += bytes.len() as u64;
        let lower = bytes.to_ascii_lowercase();
        for form in forms() {
            if let Some(from) = memchr::memmem::find(&lower, form.to_ascii_lowercase().as_bytes()) {
                let line = bytes[..from].iter().filter(|&&byte| byte == b'\n').count() + 1;
                // The form and not the text around it: this is a log as well.
                self.hits.push(format!("{place} line {line}: a form of {} bytes", form.len()));
                return;
            }
        }
    }

    /// Looks through a file. One that is gone has nothing in it any more.
    pub(crate) fn file(&mut self, path: &Path) {
        if let Ok(bytes) = std::fs::read(path) {
            self.bytes(&path.display().to_string(), &bytes);
        }
        // A name can hold it as well as a content.
        self.bytes("the name of a file", path.as_os_str().as_encoded_bytes());
        self.files -= 1;
    }

    /// Looks through every file of a folder, except for these.
    pub(crate) fn folder(&mut self, folder: &Path, except: &[PathBuf]) {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                self.folder(&path, except);
            } else if !except.contains(&path) {
                self.file(&path);
            }
        }
    }

    /// Looks at what the system shows of a process to every user: its command line, its name, those of its threads.
    pub(crate) fn process(&mut self, id: u32) {
        for name in ["cmdline", "comm", "status", "stat"] {
            self.file(Path::new(&format!("/proc/{id}/{name}")));
        }
        for task in std::fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten() {
            self.file(&task.path().join("comm"));
        }
    }
}

/// Each form in which it may stand somewhere. Case is ignored, so both of a percent-encoded digit are found.
fn forms() -> Vec<String> {
    let mut forms: Vec<String> = FRAGMENTS.iter().map(|&fragment| fragment.to_owned()).collect();
    // In base64 the text before it decides how it looks: three ways, without the ends that belong to what stands beside.
    let texts = [password(), format!("{USER}:{}", password())];
    for text in texts {
        for before in 0..3 {
            let encoded = BASE64_STANDARD_NO_PAD.encode(format!("{}{text}", &"   "[..before]));
            let begin = if before == 0 { 0 } else { 4 };
            forms.push(encoded[begin..encoded.len() - 4].to_owned());
        }
    }
    forms
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hits(text: &str) -> usize {
        let mut search = Search::default();
        search.bytes("here", text.as_bytes());
        search.hits.len()
    }

    #[test]
    fn every_form_is_found_and_a_hit_does_not_repeat_it() {
        let base64 = |text: &str| base64::prelude::BASE64_STANDARD.encode(text);
        for text in [
            password(),
            in_url(),
            in_url().to_ascii_lowercase(),
            format!("rtsp://{USER}:{}@host/", in_url()),
            format!("the end of one: {}", &password()[10..]),
            base64(&password()),
            base64(&format!("{USER}:{}", password())),
            format!("Basic {}", base64(&format!("x{}", password()))),
            format!("Basic {}", base64(&format!("xy{}", password()))),
        ] {
            assert_eq!(hits(&text), 1, "{text}");
            let mut search = Search::default();
            search.bytes("here", text.as_bytes());
            assert!(FRAGMENTS.iter().all(|fragment| !search.hits[0].contains(fragment)));
        }
        assert_eq!(hits("rtsp://***@127.0.0.1/cam refuses user \"viewer\" and its password"), 0);
    }
}
