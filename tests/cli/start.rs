//! What keeps `fieldgate run` and `fieldgate demo` from starting.

use std::net::TcpListener;

use crate::harness::{argument, check, folder};

#[test]
fn a_configuration_with_faults() {
    check(&["run", "--config", "no/such.yaml"], 3, "cannot read `no/such.yaml`: no such file");
    check(&["run", "--config", "src"], 3, "it is a folder");
    let folder = folder(&[("fieldgate.yaml", "upstrem: http://127.0.0.1:1\n")]);
    let path = folder.path().join("fieldgate.yaml");
    let ran = check(&["run", "--config", argument(&path)], 1, "did you mean `upstream`?");
    assert_eq!(ran.out, "", "findings go to standard error");
}

#[test]
fn a_port_of_the_demo_crm_that_is_in_use() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let free = "127.0.0.1:0";
    let arguments =
        ["demo", "--once", "--crm-listen", &address, "--listen", free, "--admin-listen", free];
    let ran = check(&arguments, 3, &format!("cannot listen on {address}: the port is in use"));
    assert!(ran.err.contains("`--crm-listen`"), "{ran:?}");
}

#[test]
fn a_state_folder_that_is_not_the_demos_own() {
    let folder = folder(&[("fieldgate.yaml", "upstream: http://crm\n"), ("file", "")]);
    let start = |data_dir: &str, said: &str| {
        let free = "127.0.0.1:0";
        let listen = ["--listen", free, "--crm-listen", free, "--admin-listen", free];
        check(&[&["demo", "--once", "--data-dir", data_dir], &listen[..]].concat(), 3, said);
    };
    start(argument(folder.path()), "was not written by the demo");
    start(argument(&folder.path().join("file/state")), "cannot be used");
    let kept = std::fs::read_to_string(folder.path().join("fieldgate.yaml")).unwrap();
    assert_eq!(kept, "upstream: http://crm\n");
}
