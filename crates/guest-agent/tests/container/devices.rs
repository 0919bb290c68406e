//! Device nodes and device rules.

use virtcontainers_agent_proto::oci;

use crate::harness::Agent;
use crate::{refusal, run, strings};

fn node(path: &str, kind: &str, major: i64, minor: i64) -> oci::LinuxDevice {
    oci::LinuxDevice {
        Path: path.to_owned(),
        Type: kind.to_owned(),
        Major: major,
        Minor: minor,
        FileMode: 0o640,
        GID: 6,
        ..Default::default()
    }
}

#[tokio::test]
async fn dev_has_what_programs_expect() {
    let agent = Agent::start().await;
    let script = "cd /dev; ls -d full null ptmx random stderr stdin stdout tty urandom zero fd \
                  && head -c 4 /dev/zero | wc -c && echo gone > /dev/null && echo x > /dev/stdout \
                  && readlink ptmx";
    let (output, status) = run(&agent, script, |_| {}).await;
    assert_eq!(status, 0, "{output}");
    assert!(output.ends_with("4\nx\npts/ptmx\n"), "{output}");
}

#[tokio::test]
async fn devices_of_the_specification_are_there_and_usable() {
    let agent = Agent::start().await;
    let script = "ls -l /dev/own /dev/deep/pipe | cut -c1-10; stat -c '%t:%T %g' /dev/own; \
                  head -c 2 /dev/own | wc -c";
    let (output, _) = run(&agent, script, |spec| {
        spec.Linux.as_mut().unwrap().Devices = vec![
            node("/dev/own", "c", 1, 9),
            node("/dev/deep/pipe", "p", 0, 0),
        ];
    })
    .await;
    assert_eq!(output, "prw-r-----\ncrw-r-----\n1:9 6\n2\n");
}

/// What happens on making and reading the memory device.
const PROBE: &str = "mknod /tmp/mem c 1 1 && echo made; head -c 1 /tmp/mem > /dev/null \
                     && echo read; head -c 1 /dev/urandom > /dev/null && echo usual";

fn may_make_nodes(spec: &mut oci::Spec) {
    let all = strings(&["CAP_MKNOD", "CAP_SYS_RAWIO", "CAP_DAC_OVERRIDE"]);
    let sets = spec
        .Process
        .as_mut()
        .unwrap()
        .Capabilities
        .as_mut()
        .unwrap();
    (sets.Bounding, sets.Effective, sets.Permitted) = (all.clone(), all.clone(), all);
    // Nodes work only where that is not switched off.
    spec.Mounts.retain(|mount| mount.destination != "/tmp");
    spec.Mounts
        .push(crate::mount("tmpfs", "tmpfs", "/tmp", &["mode=1777"]));
}

fn rule(allow: bool, kind: &str, major: i64, minor: i64, access: &str) -> oci::LinuxDeviceCgroup {
    oci::LinuxDeviceCgroup {
        Allow: allow,
        Type: kind.to_owned(),
        Major: major,
        Minor: minor,
        Access: access.to_owned(),
        ..Default::default()
    }
}

#[tokio::test]
async fn other_devices_cannot_be_opened() {
    let agent = Agent::start().await;
    let (output, _) = run(&agent, PROBE, may_make_nodes).await;
    assert!(
        output.starts_with("made\n") && output.ends_with("usual\n"),
        "{output}"
    );
    assert!(
        output.contains("Operation not permitted") && !output.contains("read\n"),
        "{output}"
    );
}

#[tokio::test]
async fn rules_allow_and_deny() {
    let agent = Agent::start().await;
    let (output, _) = run(&agent, PROBE, |spec| {
        may_make_nodes(spec);
        spec.Linux
            .as_mut()
            .unwrap()
            .Resources
            .as_mut()
            .unwrap()
            .Devices = vec![
            rule(false, "", 0, 0, "rwm"),
            rule(true, "c", 1, 1, "r"),
            rule(false, "c", -1, -1, "m"),
        ];
    })
    .await;
    assert!(
        output.contains("mknod: /tmp/mem: Operation not permitted"),
        "{output}"
    );
    let (output, _) = run(&agent, PROBE, |spec| {
        may_make_nodes(spec);
        spec.Linux
            .as_mut()
            .unwrap()
            .Resources
            .as_mut()
            .unwrap()
            .Devices = vec![rule(true, "a", -1, -1, "rwm"), rule(false, "c", 1, 9, "r")];
    })
    .await;
    assert!(
        output.starts_with("made\n") && !output.contains("usual"),
        "{output}"
    );
}

#[tokio::test]
async fn nonsense_is_refused() {
    let agent = Agent::start().await;
    for device in [
        node("/dev/x", "z", 1, 1),
        node("/dev/x", "", 1, 1),
        node("dev/x", "c", 1, 1),
        node("/dev/../etc/x", "c", 1, 1),
        node("/dev/x", "c", -5, 1),
        node("/dev/x", "c", 1 << 40, 1),
        node("/dev/x", "a", 1, 1),
    ] {
        let (code, message) = refusal(&agent, |spec| {
            spec.Linux.as_mut().unwrap().Devices = vec![device.clone()];
        })
        .await;
        assert_eq!(code, ttrpc::Code::INVALID_ARGUMENT, "{device:?}: {message}");
    }
    for rule in [
        rule(true, "q", 1, 1, "r"),
        rule(true, "c", 1, 1, "rx"),
        rule(true, "p", 1, 1, "r"),
    ] {
        let (code, message) = refusal(&agent, |spec| {
            let resources = spec.Linux.as_mut().unwrap().Resources.as_mut().unwrap();
            resources.Devices = vec![rule.clone()];
        })
        .await;
        assert_eq!(code, ttrpc::Code::INVALID_ARGUMENT, "{rule:?}: {message}");
    }
}
