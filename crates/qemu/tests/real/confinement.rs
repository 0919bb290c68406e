//! What QEMU and its helper may do and may see.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::Path;

use virtcontainers_process::{Launcher, Stream};

use crate::fixture::{Fixture, SOON, descriptors};
use crate::guest::Guest;

#[tokio::test]
async fn both_programs_are_confined() {
    let fixture = Fixture::new(Guest::Halts);
    let machine = fixture.start().await;
    for process in machine.processes() {
        let folder = Path::new("/proc").join(process.pid.to_string());
        let status = std::fs::read_to_string(folder.join("status")).expect("a process");
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.map(|value| value.trim().to_owned())
        };
        assert_eq!(field("NoNewPrivs:").as_deref(), Some("1"));
        if process == machine.processes()[0] {
            assert_eq!(
                field("Seccomp:").as_deref(),
                Some("2"),
                "filters are in force"
            );
        }
        let environment = std::fs::read_to_string(folder.join("environ")).expect("a process");
        let mut names: Vec<&str> = environment
            .split_terminator('\0')
            .filter_map(|variable| variable.split('=').next())
            .collect();
        names.sort_unstable();
        assert_eq!(names, ["PATH", "VC_NONCE", "VC_TAG"]);
    }
    machine.shutdown(SOON).await.expect("an end");
}

#[tokio::test]
async fn no_descriptor_of_ours_is_inherited() {
    let secret = tempfile::NamedTempFile::new().expect("a file");
    // A duplicate that an exec would keep.
    let _leaky = rustix::io::dup(secret.as_file()).expect("a duplicate");
    let fixture = Fixture::new(Guest::Halts);
    let machine = fixture.start().await;
    for process in machine.processes() {
        let inherited = descriptors(process);
        assert!(!inherited.is_empty());
        assert!(
            !inherited.iter().any(|path| path == secret.path()),
            "{inherited:?}"
        );
    }
    // What we handed over is closed here: the listening sockets would be a second listener.
    let ours = descriptors(virtcontainers_types::ProcessIdentity {
        pid: std::process::id(),
        start_time: 0,
    });
    let qemu = descriptors(machine.processes()[0]);
    let shared = |path: &&std::path::PathBuf| {
        path.to_string_lossy().starts_with("socket:") && qemu.contains(path)
    };
    assert_eq!(ours.iter().find(shared), None);
    machine.shutdown(SOON).await.expect("an end");
}

#[tokio::test]
async fn both_programs_are_in_the_network_namespace() {
    let flags = rustix::pipe::PipeFlags::CLOEXEC;
    let (reader, writer) = rustix::pipe::pipe_with(flags).expect("a pipe");
    let holder = Launcher::new("/usr/bin/unshare")
        .args(["--net", "/bin/sh", "-c", "echo; exec sleep 1000"])
        .stdout(Stream::Descriptor(writer))
        .kill_on_drop()
        .spawn()
        .expect("unshare");
    File::from(reader)
        .read_exact(&mut [0])
        .expect("a namespace");
    let path = format!("/proc/{}/ns/net", holder.identity().pid);
    let namespace: OwnedFd = File::open(&path).expect("a namespace").into();

    let fixture = Fixture::new(Guest::Halts);
    let mut handoffs = fixture.handoffs();
    handoffs.network_namespace = Some(namespace);
    let launched = fixture.launch_with(handoffs).await;
    let machine = launched.start().await.expect("a start");
    let expected = std::fs::read_link(&path).expect("a link");
    for process in machine.processes() {
        let entered = std::fs::read_link(format!("/proc/{}/ns/net", process.pid));
        assert_eq!(entered.expect("a link"), expected);
    }
    machine.shutdown(SOON).await.expect("an end");
    fixture.assert_nothing_is_left();
}
