//! Namespaces, host name, kernel parameters.

use virtcontainers_agent_proto::oci;

use crate::harness::Agent;
use crate::{refusal, run};

fn listed(kind: &str, path: &str) -> oci::LinuxNamespace {
    oci::LinuxNamespace {
        Type: kind.to_owned(),
        Path: path.to_owned(),
        ..Default::default()
    }
}

#[tokio::test]
async fn processes_of_others_are_not_seen() {
    let agent = Agent::start().await;
    let (output, _) = run(&agent, "echo $$; ls -d /proc/[0-9]* | head -n 3", |_| {}).await;
    assert!(output.starts_with("1\n/proc/1\n"), "{output}");
}

#[tokio::test]
async fn the_network_is_the_sandboxs_unless_listed() {
    let agent = Agent::start().await;
    let ours = std::fs::read_link("/proc/self/ns/net")
        .unwrap()
        .display()
        .to_string();
    let script = "readlink /proc/self/ns/net; cat /sys/class/net/lo/operstate; ls /sys/class/net";
    let with_sys = |spec: &mut oci::Spec| {
        spec.Mounts
            .push(crate::mount("sysfs", "sysfs", "/sys", &["ro", "nosuid"]));
    };
    let (output, _) = run(&agent, script, with_sys).await;
    assert!(output.starts_with(&ours), "{output}");
    let (output, _) = run(&agent, script, |spec| {
        with_sys(spec);
        spec.Linux
            .as_mut()
            .unwrap()
            .Namespaces
            .push(listed("network", ""));
    })
    .await;
    assert!(!output.starts_with(&ours), "{output}");
    // Up, as far as a loopback says so.
    assert!(output.contains("\nunknown\n"), "{output}");
    assert!(output.ends_with("\nlo\n"), "{output}");
}

#[tokio::test]
async fn namespaces_are_joined_by_path() {
    let agent = Agent::start().await;
    let path = "/proc/self/ns/net";
    let (output, _) = run(&agent, "readlink /proc/self/ns/net", |spec| {
        spec.Linux
            .as_mut()
            .unwrap()
            .Namespaces
            .push(listed("net", path));
    })
    .await;
    let ours = std::fs::read_link(path).unwrap().display().to_string();
    assert_eq!(output.trim(), ours);
}

#[tokio::test]
async fn a_cgroup_namespace_hides_what_is_above() {
    let agent = Agent::start().await;
    let (output, _) = run(
        &agent,
        "grep ^0: /proc/self/cgroup; ls /sys/fs/cgroup",
        |spec| {
            spec.Linux
                .as_mut()
                .unwrap()
                .Namespaces
                .push(listed("cgroup", ""));
            spec.Mounts
                .push(crate::mount("sysfs", "sysfs", "/sys", &["ro"]));
            spec.Mounts.push(crate::mount(
                "cgroup",
                "cgroup",
                "/sys/fs/cgroup",
                &["ro", "nosuid"],
            ));
        },
    )
    .await;
    assert!(
        output.starts_with("0::/\n") && output.contains("cgroup.freeze"),
        "{output}"
    );
    // Without the namespace the mount still shows the container's own only.
    let (output, _) = run(
        &agent,
        "grep ^0: /proc/self/cgroup; ls /sys/fs/cgroup",
        |spec| {
            spec.Mounts
                .push(crate::mount("sysfs", "sysfs", "/sys", &["ro"]));
            spec.Mounts.push(crate::mount(
                "cgroup",
                "cgroup",
                "/sys/fs/cgroup",
                &["ro", "nosuid"],
            ));
        },
    )
    .await;
    assert!(
        output.contains("/c1\n") && output.contains("cgroup.freeze"),
        "{output}"
    );
}

#[tokio::test]
async fn names_of_the_machine() {
    let agent = Agent::start().await;
    let (output, _) = run(&agent, "hostname; sleep 0", |spec| {
        spec.Hostname = "of-the-container".to_owned();
    })
    .await;
    assert_eq!(output, "of-the-container\n");
}

#[tokio::test]
async fn kernel_parameters() {
    let agent = Agent::start().await;
    let (output, _) = run(&agent, "cat /proc/sys/kernel/shm_rmid_forced", |spec| {
        let sysctl = &mut spec.Linux.as_mut().unwrap().Sysctl;
        sysctl.insert("kernel.shm_rmid_forced".to_owned(), "1".to_owned());
    })
    .await;
    assert_eq!(output, "1\n");
    let (output, _) = run(&agent, "cat /proc/sys/net/ipv4/ip_default_ttl", |spec| {
        let linux = spec.Linux.as_mut().unwrap();
        linux.Namespaces.push(listed("network", ""));
        linux
            .Sysctl
            .insert("net.ipv4.ip_default_ttl".to_owned(), "33".to_owned());
    })
    .await;
    assert_eq!(output, "33\n");
    for name in [
        "kernel.core_pattern",
        "vm.swappiness",
        "net/../kernel/core_pattern",
    ] {
        let (code, message) = refusal(&agent, |spec| {
            let sysctl = &mut spec.Linux.as_mut().unwrap().Sysctl;
            sysctl.insert(name.to_owned(), "1".to_owned());
        })
        .await;
        assert_eq!(code, ttrpc::Code::INVALID_ARGUMENT, "{message}");
        assert!(message.contains(name), "{message}");
    }
}

#[tokio::test]
async fn what_cannot_be_had_is_refused() {
    let agent = Agent::start().await;
    for (kind, path) in [
        ("user", ""),
        ("time", ""),
        ("mount", "/proc/1/ns/mnt"),
        ("magic", ""),
    ] {
        let (code, message) = refusal(&agent, |spec| {
            let namespaces = &mut spec.Linux.as_mut().unwrap().Namespaces;
            namespaces.retain(|namespace| namespace.Type != kind);
            namespaces.push(listed(kind, path));
        })
        .await;
        assert_eq!(code, ttrpc::Code::INVALID_ARGUMENT, "{message}");
        assert!(message.contains(kind), "{message}");
    }
}
