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

fn private(path: &std::path::Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_rotated_ring_keeps_its_old_keys_its_permissions_and_its_comments() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.yaml");
    check(&["keys", "new", "--out", argument(&path)], 0, "");
    let text = fs::read_to_string(&path).unwrap() + "# mine\n";
    fs::write(&path, &text).unwrap();
    private(&path, 0o400);

    check(&["keys", "rotate", "--keys", argument(&path)], 0, "key `k2` is active");
    check(&["keys", "rotate", "--keys", argument(&path), "--stage"], 0, "key `k3` waits");
    let ring = mask::load(&path).unwrap();
    assert_eq!(ring.active().as_str(), "k2");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o400);
    let now = fs::read_to_string(&path).unwrap();
    let old_key = text.lines().find(|line| line.contains("secret:")).unwrap();
    assert!(now.contains(old_key) && now.ends_with("# mine\n"), "{now}");

    check(&["keys", "activate", "k3", "--keys", argument(&path)], 0, "key `k3` is active");
    check(&["keys", "retire", "k1", "--keys", argument(&path)], 0, "key `k1` is retired");
    let listed = check(&["keys", "list", "--keys", argument(&path)], 0, "").out;
    let rows: Vec<Vec<&str>> =
        listed.lines().skip(1).map(|line| line.split_whitespace().collect()).collect();
    assert_eq!((rows[0][0], rows[0][2]), ("k1", "retired"));
    assert_eq!((rows[1][0], rows[1][2]), ("k2", "reverses"));
    assert_eq!((rows[2][0], rows[2][2]), ("k3", "active"));
    for line in now.lines().filter(|line| line.contains("secret:")) {
        let secret = line.split("secret: \"").nth(1).unwrap().split('"').next().unwrap();
        assert!(!listed.contains(secret), "no secret is listed");
    }
    // Nothing is left behind but the lock.
    let mut left: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, [".keys.yaml.lock", "keys.yaml"]);
}

#[test]
fn a_ring_that_cannot_be_changed_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.yaml");
    check(&["keys", "new", "--out", argument(&path)], 0, "");
    let text = fs::read_to_string(&path).unwrap();
    let ring = argument(&path);
    check(&["keys", "rotate", "--keys", ring, "--id", "k1"], 1, "a key `k1` already");
    check(&["keys", "rotate", "--keys", ring, "--id", "k-1"], 2, "a key id has");
    check(&["keys", "activate", "k9", "--keys", ring], 1, "no key `k9`");
    check(&["keys", "retire", "k1", "--keys", ring], 1, "is the active one");
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
    private(&path, 0o644);
    check(&["keys", "rotate", "--keys", ring], 1, "open to others");
    private(&path, 0o600);
    fs::write(&path, "active: k1\nkeys: { k1: { secret: short } }").unwrap();
    check(&["keys", "rotate", "--keys", ring], 1, "secret");
    assert_eq!(fs::read_to_string(&path).unwrap(), "active: k1\nkeys: { k1: { secret: short } }");
    let nowhere = folder.path().join("none.yaml");
    check(&["keys", "rotate", "--keys", argument(&nowhere)], 3, "cannot be read");
}

#[test]
fn two_changes_at_once_both_count() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.yaml");
    check(&["keys", "new", "--out", argument(&path)], 0, "");
    let both = ["a1", "a2", "a3", "a4"].map(|id| {
        let path = path.clone();
        std::thread::spawn(move || {
            check(&["keys", "rotate", "--keys", argument(&path), "--id", id], 0, "is active");
        })
    });
    for one in both {
        one.join().unwrap();
    }
    let ring = mask::load(&path).unwrap();
    let ids: Vec<_> = ring.facts().map(|key| key.id.as_str().to_owned()).collect();
    assert_eq!(ids, ["a1", "a2", "a3", "a4", "k1"]);
}
