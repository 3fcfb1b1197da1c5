//! Readers in every language through the same two events: the server's death and another size of the picture.

use vas_e2e::follow::{CAMERA, restart_and_size_change};
use vas_e2e::python;
use vas_e2e::reader;
use vas_e2e::require;

#[test]
fn a_reader_in_rust_goes_on_through_a_restart_and_a_change_of_size() {
    require!(restart_and_size_change("vas-frames watch", |scene| {
        Ok(reader::command(scene, &["watch", CAMERA, "--json", "--hash", "md5"]))
    }));
}

#[test]
fn a_reader_in_python_goes_on_through_a_restart_and_a_change_of_size() {
    require!(restart_and_size_change("watch.py", |scene| {
        python::command(scene, "bindings/python/examples/watch.py", &[CAMERA])
    }));
}
