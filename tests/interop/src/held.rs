//! What a reader under test has open and mapped below a directory, as the kernel tells it in `/proc`.

use std::fs;
use std::io;
use std::path::Path;

/// One mapping or one descriptor of a file below the directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    /// Such as `a mapping of /dev/shm/base/front/frame.meta`.
    pub(crate) what: String,
    /// What a reader may not do in holding it, and by which clause.
    pub(crate) faults: Vec<&'static str>,
}

/// Everything that a process holds below a directory, which is given without symbolic links in it.
pub(crate) fn by(process: u32, directory: &Path) -> io::Result<Vec<Held>> {
    let directory = directory.to_string_lossy();
    let of = |name: &str| format!("/proc/{process}/{name}");
    // Only the longer list has the flags; not every kernel is built with it.
    let list = fs::read_to_string(of("smaps")).or_else(|_| fs::read_to_string(of("maps")))?;
    let mut held = mappings(&list, &directory);
    for entry in fs::read_dir(of("fd"))? {
        let number = entry?.file_name().to_string_lossy().into_owned();
        // A descriptor may be closed between two looks.
        let Ok(path) = fs::read_link(of(&format!("fd/{number}"))) else { continue };
        let path = path.to_string_lossy();
        if path.starts_with(&*directory) {
            let Ok(info) = fs::read_to_string(of(&format!("fdinfo/{number}"))) else { continue };
            held.push(Held {
                what: format!("descriptor {number} of {path}"),
                faults: descriptor_faults(&info).ok_or_else(|| {
                    io::Error::other(format!(
                        "{} has no line of flags in octal",
                        of(&format!("fdinfo/{number}"))
                    ))
                })?,
            });
        }
    }
    Ok(held)
}

/// The mappings of files below a directory, out of `maps` or `smaps`.
fn mappings(list: &str, directory: &str) -> Vec<Held> {
    let mut held: Vec<Held> = Vec::new();
    // Whether the lines that follow are about the last of `held`, and it is a shared one.
    let mut is_of_last = false;
    for line in list.lines() {
        let mut words = line.split_ascii_whitespace();
        let first = words.next().unwrap_or_default();
        if first == "VmFlags:" {
            // VM_MAYWRITE: the kernel takes it from shared mappings of files that were opened for reading only.
            if is_of_last && words.any(|flag| flag == "mw") {
                if let Some(last) = held.last_mut() {
                    last.faults.push("the file was open for writing when it was mapped (OPEN-1, TRUST-1)");
                }
            }
        } else if !first.ends_with(':') {
            is_of_last = false;
            let (permissions, Some(at)) = (words.next().unwrap_or_default(), line.find(directory)) else {
                continue;
            };
            let mut faults = Vec::new();
            if permissions.contains('w') {
                faults.push("it is mapped for writing (TRUST-1)");
            }
            is_of_last = permissions.ends_with('s');
            if !is_of_last {
                faults.push("it is mapped without MAP_SHARED (OPEN-18)");
            }
            held.push(Held { what: format!("a mapping of {}", &line[at..]), faults });
        }
    }
    held
}

/// What is wrong with a descriptor, by its `fdinfo`. `None`: that has no flags.
fn descriptor_faults(info: &str) -> Option<Vec<&'static str>> {
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"))?;
    let flags = libc::c_int::from_str_radix(flags.trim(), 8).ok()?;
    let mut faults = Vec::new();
    if flags & libc::O_ACCMODE != libc::O_RDONLY {
        faults.push("it is open for writing (OPEN-1, TRUST-1)");
    }
    if flags & libc::O_CLOEXEC == 0 {
        faults.push("it was opened without O_CLOEXEC (OPEN-1)");
    }
    Some(faults)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapping_is_judged_by_its_permissions_and_its_flags() {
        let list = "\
            7f00-7f01 r--s 00000000 00:1a 11      /shm/base/front/frame.meta\n\
            Size:                  4 kB\n\
            VmFlags: rd mr me ms\n\
            7f01-7f02 r--s 00000000 00:1a 12      /shm/base/front/frame.data (deleted)\n\
            VmFlags: rd sh mr mw me ms\n\
            7f02-7f03 rw-p 00000000 00:1a 12      /shm/base/front/frame.data\n\
            VmFlags: rd wr mr mw me\n\
            7f03-7f04 rw-p 00000000 00:00 0\n\
            VmFlags: rd wr mr mw me\n";
        let held = mappings(list, "/shm/base/");
        let faults: Vec<_> = held.iter().map(|held| held.faults.join(", ")).collect();
        assert_eq!(held[1].what, "a mapping of /shm/base/front/frame.data (deleted)");
        assert_eq!(
            faults,
            [
                "",
                "the file was open for writing when it was mapped (OPEN-1, TRUST-1)",
                "it is mapped for writing (TRUST-1), it is mapped without MAP_SHARED (OPEN-18)",
            ]
        );
    }
}
