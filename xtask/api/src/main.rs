//! Prints the public interface of the crate whose rustdoc JSON is named, one item a line, sorted.
//!
//! Left out, because they are the compiler's and not the crate's: blanket implementations, the methods of derived ones (the
//! `impl` lines stay, since losing one is a break), and traits that no stable program can name.

use std::collections::BTreeSet;
use std::process::ExitCode;

use public_api::Builder;

/// Traits that only the compiler and the standard library know; each new compiler may add one.
const UNNAMEABLE: [&str; 3] =
    ["core::marker::Freeze", "core::marker::UnsafeUnpin", "core::marker::StructuralPartialEq"];

fn main() -> ExitCode {
    let Some(path) = std::env::args_os().nth(1) else {
        eprintln!("usage: vas-api-listing FILE.json");
        return ExitCode::from(2);
    };
    let build = |omit_derived: bool| {
        Builder::from_rustdoc_json(&path)
            .omit_blanket_impls(true)
            .omit_auto_derived_impls(omit_derived)
            .build()
            .map(|api| api.items().map(ToString::to_string).collect::<Vec<_>>())
    };
    let (all, written) = match (build(false), build(true)) {
        (Ok(all), Ok(written)) => (all, written.into_iter().collect::<BTreeSet<_>>()),
        (Err(error), _) | (_, Err(error)) => {
            eprintln!("{}: {error}", path.display());
            return ExitCode::FAILURE;
        }
    };
    for line in all {
        let is_derived = !written.contains(&line);
        let is_impl = line.starts_with("impl");
        let is_unnameable = is_impl && UNNAMEABLE.iter().any(|name| line.contains(&format!(" {name} for ")));
        if (is_impl || !is_derived) && !is_unnameable {
            println!("{line}");
        }
    }
    ExitCode::SUCCESS
}
