//! Specifications for busybox containers.

use virtcontainers_agent_proto::agent::CreateContainerRequest;
use virtcontainers_agent_proto::oci;
pub(crate) use virtcontainers_agent_proto::oci::Process;

/// A folder with busybox in `bin`, from the environment.
pub(crate) fn rootfs() -> String {
    std::env::var("VC_TEST_ROOTFS").expect(
        "VC_TEST_ROOTFS must name a root file system with busybox; `cargo xtask test` sets it",
    )
}

/// `sh -c SCRIPT`.
pub(crate) fn sh(script: &str) -> Process {
    command(&["/bin/sh", "-c", script])
}

/// A program with arguments, as root with a few capabilities.
pub(crate) fn command(words: &[&str]) -> Process {
    let capabilities: Vec<String> = ["CAP_KILL", "CAP_SETUID", "CAP_SETGID", "CAP_SYS_CHROOT"]
        .map(str::to_owned)
        .to_vec();
    let mut process = Process::new();
    process.Args = words.iter().map(|word| (*word).to_owned()).collect();
    process.Cwd = "/".to_owned();
    process.Env = vec!["PATH=/bin:/usr/bin".to_owned(), "TERM=xterm".to_owned()];
    process.User = Some(oci::User::new()).into();
    process.Capabilities = Some(oci::LinuxCapabilities {
        Bounding: capabilities.clone(),
        Effective: capabilities.clone(),
        Permitted: capabilities,
        ..Default::default()
    })
    .into();
    process
}

/// The same on a terminal.
pub(crate) fn on_terminal(mut process: Process) -> Process {
    process.Terminal = true;
    process
}

/// A request for a container in namespaces of its own with the usual mounts.
pub(crate) fn container(id: &str, process: Process) -> CreateContainerRequest {
    let mount = |kind: &str, target: &str, options: &[&str]| oci::Mount {
        destination: target.to_owned(),
        source: kind.to_owned(),
        type_: kind.to_owned(),
        options: options.iter().map(|word| (*word).to_owned()).collect(),
        ..Default::default()
    };
    let namespace = |kind: &str| oci::LinuxNamespace {
        Type: kind.to_owned(),
        ..Default::default()
    };
    let mut spec = oci::Spec::new();
    spec.Version = "1.0.2".to_owned();
    spec.Process = Some(process).into();
    spec.Root = Some(oci::Root {
        Path: rootfs(),
        Readonly: true,
        ..Default::default()
    })
    .into();
    spec.Mounts = vec![
        mount("proc", "/proc", &["nosuid", "noexec", "nodev"]),
        mount("tmpfs", "/dev", &["nosuid", "mode=755", "size=65536k"]),
        mount(
            "devpts",
            "/dev/pts",
            &[
                "nosuid",
                "noexec",
                "newinstance",
                "ptmxmode=0666",
                "mode=0620",
            ],
        ),
        mount("tmpfs", "/tmp", &["nosuid", "nodev", "mode=1777"]),
    ];
    spec.Linux = Some(oci::Linux {
        Resources: Some(oci::LinuxResources::new()).into(),
        Namespaces: ["mount", "ipc", "uts"].map(namespace).to_vec(),
        ..Default::default()
    })
    .into();
    CreateContainerRequest {
        container_id: id.to_owned(),
        OCI: Some(spec).into(),
        ..Default::default()
    }
}
