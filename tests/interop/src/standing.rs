//! What stands below a base directory: names, and the bytes under them, so that a reader that writes or makes names is found out.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

/// One name, and what it leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    is_directory: bool,
    /// Kind and permissions.
    mode: u32,
    inode: u64,
    /// Moves when bytes are written, even if they stood there already, and when a name comes or goes in a directory. Not when
    /// somebody stores through a mapping.
    modified: (i64, i64),
    /// Of a regular file that this process may read.
    bytes: Option<Vec<u8>>,
}

/// Everything below a directory, and itself, which is the empty path.
#[derive(Clone, Debug, Default)]
pub(crate) struct Standing(BTreeMap<PathBuf, Entry>);

impl Standing {
    /// Looks. A file with a lease on it is read by the descriptor that has the lease, as an open would break it.
    pub(crate) fn look(base: &Path, leased: Option<&fs::File>) -> io::Result<Self> {
        let leased = leased.map(|file| Ok::<_, io::Error>((file.metadata()?.ino(), file))).transpose()?;
        let mut standing = Self::default();
        let mut paths = vec![PathBuf::new()];
        while let Some(path) = paths.pop() {
            let whole = base.join(&path);
            let found = fs::symlink_metadata(&whole)?;
            if found.is_dir() {
                for entry in fs::read_dir(&whole)? {
                    paths.push(path.join(entry?.file_name()));
                }
            }
            let bytes = match leased {
                _ if !found.is_file() => None,
                Some((inode, file)) if inode == found.ino() => {
                    let mut bytes = vec![0; found.len() as usize];
                    file.read_exact_at(&mut bytes, 0)?;
                    Some(bytes)
                }
                _ => read(&whole)?,
            };
            standing.0.insert(
                path,
                Entry {
                    is_directory: found.is_dir(),
                    mode: found.mode(),
                    inode: found.ino(),
                    modified: (found.mtime(), found.mtime_nsec()),
                    bytes,
                },
            );
        }
        Ok(standing)
    }

    /// What a reader has done since `before`, one sentence for each thing.
    pub(crate) fn changes_since(&self, before: &Self) -> Vec<String> {
        let mut changes = Vec::new();
        let mut listings = Vec::new();
        for path in self.0.keys().filter(|path| !before.0.contains_key(*path)) {
            changes.push(format!("the reader made {} (FILE-1)", path.display()));
            listings.extend(path.parent());
        }
        for (path, then) in &before.0 {
            let name = if path.as_os_str().is_empty() { Path::new("the base directory") } else { path };
            let name = name.display();
            let Some(now) = self.0.get(path) else {
                changes.push(format!("the reader took {name} away (TRUST-1)"));
                listings.extend(path.parent());
                continue;
            };
            if now.inode != then.inode {
                changes.push(format!("the reader put another file under the name {name} (FILE-1)"));
                listings.extend(path.parent());
            } else if now.mode != then.mode {
                changes.push(format!(
                    "the reader changed the mode of {name} from {:o} to {:o} (TRUST-1)",
                    then.mode, now.mode
                ));
            } else if let Some(at) = first_difference(then.bytes.as_deref(), now.bytes.as_deref()) {
                changes
                    .push(format!("the reader wrote into {name}, which differs from byte {at} on (TRUST-1)"));
            } else if now.modified != then.modified && !now.is_directory {
                changes.push(format!("the reader wrote into {name} the bytes that stood there (TRUST-1)"));
            }
        }
        for (path, now) in self.0.iter().filter(|(path, _)| !listings.contains(&path.as_path())) {
            if now.is_directory && before.0.get(path).is_some_and(|then| then.modified != now.modified) {
                let name = path.display();
                changes.push(format!("the reader made a name in BASE/{name} and took it away (FILE-1)"));
            }
        }
        changes
    }
}

/// The bytes of a regular file; `None` if its mode holds this process back.
fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    match fs::File::open(path).and_then(|mut file| file.read_to_end(&mut bytes)) {
        Ok(_) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(None),
        Err(error) => Err(error),
    }
}

fn first_difference(a: Option<&[u8]>, b: Option<&[u8]>) -> Option<usize> {
    let (a, b) = (a?, b?);
    let shorter = a.len().min(b.len());
    let at = a.iter().zip(b).position(|(a, b)| a != b);
    at.or_else(|| (a.len() != b.len()).then_some(shorter))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, SystemTime};

    #[test]
    fn whatever_a_reader_does_to_the_files_is_told() {
        let base = tempfile::tempdir().unwrap();
        let path = |name: &str| base.path().join(name);
        let look = || Standing::look(base.path(), None).unwrap();
        fs::create_dir(path("front")).unwrap();
        fs::write(path("front/frame.meta"), [0; 99]).unwrap();
        fs::write(path("front/frame.data"), "data").unwrap();
        let told = |act: &dyn Fn()| {
            let before = look();
            act();
            look().changes_since(&before)
        };
        let open = |name: &str| fs::File::options().write(true).open(path(name)).unwrap();
        let later = SystemTime::now() + Duration::from_secs(5);

        assert_eq!(told(&|| ()), Vec::<String>::new());
        assert_eq!(
            told(&|| open("front/frame.meta").write_all_at(&[1], 42).unwrap()),
            ["the reader wrote into front/frame.meta, which differs from byte 42 on (TRUST-1)"]
        );
        assert_eq!(
            told(&|| open("front/frame.data").set_len(9).unwrap()),
            ["the reader wrote into front/frame.data, which differs from byte 4 on (TRUST-1)"]
        );
        assert_eq!(
            told(&|| open("front/frame.data").set_modified(later).unwrap()),
            ["the reader wrote into front/frame.data the bytes that stood there (TRUST-1)"]
        );
        assert_eq!(
            told(&|| fs::write(path("front/mine"), "").unwrap()),
            ["the reader made front/mine (FILE-1)"]
        );
        assert_eq!(
            told(&|| fs::File::open(path("front")).unwrap().set_modified(later).unwrap()),
            ["the reader made a name in BASE/front and took it away (FILE-1)"]
        );
        assert_eq!(
            told(&|| fs::remove_file(path("front/frame.data")).unwrap()),
            ["the reader took front/frame.data away (TRUST-1)"]
        );
        assert_eq!(told(&|| fs::rename(path("front/mine"), path("front/frame.meta")).unwrap()).len(), 2);
    }
}
