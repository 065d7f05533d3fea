//! `fieldgate keys new`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use fieldgate::mask;

use crate::harness::{argument, check};

#[test]
fn a_new_ring_is_private_and_can_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.yaml");
    let ran = check(&["keys", "new", "--id", "2026q4", "--out", argument(&path)], 0, "");
    assert_eq!((ran.out.as_str(), ran.err.as_str()), ("", ""));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(mask::load(&path).unwrap().active().as_str(), "2026q4");
}

#[test]
fn printed_rings_differ_and_are_what_would_be_written() {
    let one = check(&["keys", "new"], 0, "").out;
    assert_ne!(one, check(&["keys", "new"], 0, "").out);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.yaml");
    fs::write(&path, one).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(mask::load(&path).unwrap().active().as_str(), "k1");
}

#[test]
fn nothing_is_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.yaml");
    fs::write(&path, "precious").unwrap();
    let ran = check(&["keys", "new", "--out", argument(&path)], 3, "exists already");
    assert_eq!(ran.out, "");
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    let nowhere = folder.path().join("no/keys.yaml");
    check(&["keys", "new", "--out", argument(&nowhere)], 3, "cannot be written");
}
