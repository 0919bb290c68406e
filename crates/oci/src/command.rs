//! A specification for a command that somebody typed: sensible defaults, no `config.json`.

use std::path::Path;

use oci_spec::runtime::{
    Capabilities, Capability, LinuxBuilder, LinuxCapabilities, LinuxCapabilitiesBuilder,
    LinuxNamespace, LinuxNamespaceBuilder, LinuxNamespaceType, LinuxResourcesBuilder, Mount,
    MountBuilder, PosixRlimitBuilder, PosixRlimitType, Process, ProcessBuilder, RootBuilder, Spec,
    SpecBuilder, User, get_default_maskedpaths, get_default_mounts, get_default_readonly_paths,
};
use virtcontainers_types::Volume;

const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A command and how it is to run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CommandLine {
    /// The program and its arguments.
    pub args: Vec<String>,
    /// `NAME=value` entries, which win over the defaults `PATH` and, with a terminal, `TERM`.
    pub env: Vec<String>,
    /// The working directory; `/` when absent.
    pub cwd: Option<String>,
    /// Who runs it; root when absent.
    pub user: Option<User>,
    /// It gets a terminal.
    pub terminal: bool,
    /// The host name in the container.
    pub hostname: Option<String>,
    /// The root file system cannot be written.
    pub read_only: bool,
}

/// The specification of a container that runs `command` in `rootfs`.
pub fn container_spec(command: &CommandLine, rootfs: &Path, volumes: &[Volume]) -> Spec {
    let mut mounts: Vec<Mount> = get_default_mounts();
    mounts.extend(volumes.iter().map(bind_mount));
    let linux = LinuxBuilder::default()
        .namespaces(namespaces())
        .resources(built(LinuxResourcesBuilder::default().build()))
        .masked_paths(get_default_maskedpaths())
        .readonly_paths(get_default_readonly_paths());
    let mut spec = built(
        SpecBuilder::default()
            .version("1.2.0")
            .process(exec_process(command))
            .root(built(
                RootBuilder::default()
                    .path(rootfs)
                    .readonly(command.read_only)
                    .build(),
            ))
            .mounts(mounts)
            .linux(built(linux.build()))
            .build(),
    );
    spec.set_hostname(command.hostname.clone());
    spec
}

/// The process part alone, for an exec in a container that runs.
pub fn exec_process(command: &CommandLine) -> Process {
    let nofile = PosixRlimitBuilder::default()
        .typ(PosixRlimitType::RlimitNofile)
        .hard(4096u64)
        .soft(1024u64);
    built(
        ProcessBuilder::default()
            .terminal(command.terminal)
            .user(command.user.clone().unwrap_or_default())
            .args(command.args.clone())
            .env(environment(command))
            .cwd(command.cwd.as_deref().unwrap_or("/"))
            .capabilities(capabilities())
            .rlimits(vec![built(nofile.build())])
            .no_new_privileges(true)
            .build(),
    )
}

/// The builders of `oci-spec` fail only for a required field without a default; all are set here.
pub(crate) fn built<T, E: std::fmt::Display>(result: Result<T, E>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => unreachable!("a builder of oci-spec wants a field that is not set: {error}"),
    }
}

fn environment(command: &CommandLine) -> Vec<String> {
    let given = |name: &str| {
        command
            .env
            .iter()
            .any(|entry| entry.split_once('=').is_some_and(|(key, _)| key == name))
    };
    let mut env = Vec::with_capacity(command.env.len() + 2);
    if !given("PATH") {
        env.push(PATH.to_owned());
    }
    if command.terminal && !given("TERM") {
        env.push("TERM=xterm".to_owned());
    }
    env.extend(command.env.iter().cloned());
    env
}

fn bind_mount(volume: &Volume) -> Mount {
    let access = if volume.read_only { "ro" } else { "rw" };
    built(
        MountBuilder::default()
            .destination(&volume.destination)
            .typ("bind")
            .source(&volume.source)
            .options(vec!["rbind".to_owned(), access.to_owned()])
            .build(),
    )
}

fn namespaces() -> Vec<LinuxNamespace> {
    [
        LinuxNamespaceType::Pid,
        LinuxNamespaceType::Ipc,
        LinuxNamespaceType::Uts,
        LinuxNamespaceType::Mount,
        LinuxNamespaceType::Cgroup,
    ]
    .map(|kind| built(LinuxNamespaceBuilder::default().typ(kind).build()))
    .to_vec()
}

/// The capabilities that container managers give by default.
fn capabilities() -> LinuxCapabilities {
    let set: Capabilities = [
        Capability::Chown,
        Capability::DacOverride,
        Capability::Fowner,
        Capability::Fsetid,
        Capability::Kill,
        Capability::Mknod,
        Capability::NetBindService,
        Capability::NetRaw,
        Capability::AuditWrite,
        Capability::Setfcap,
        Capability::Setgid,
        Capability::Setpcap,
        Capability::Setuid,
        Capability::SysChroot,
    ]
    .into_iter()
    .collect();
    built(
        LinuxCapabilitiesBuilder::default()
            .bounding(set.clone())
            .effective(set.clone())
            .permitted(set)
            .inheritable(Capabilities::new())
            .ambient(Capabilities::new())
            .build(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env_of(env: &[&str], terminal: bool) -> Vec<String> {
        let env = env.iter().map(|entry| (*entry).to_owned()).collect();
        environment(&CommandLine {
            env,
            terminal,
            ..CommandLine::default()
        })
    }

    #[test]
    fn given_variables_win_over_defaults() {
        assert_eq!(env_of(&[], false), [PATH]);
        assert_eq!(env_of(&["PATH=/x", "A=b=c"], false), ["PATH=/x", "A=b=c"]);
        assert_eq!(env_of(&[], true), [PATH, "TERM=xterm"]);
        assert_eq!(env_of(&["TERM=dumb"], true), [PATH, "TERM=dumb"]);
    }

    #[test]
    fn volumes_become_bind_mounts_after_the_defaults() {
        let volume = "/srv:/mnt:ro".parse().unwrap();
        let spec = container_spec(&CommandLine::default(), Path::new("/r"), &[volume]);
        let mounts = spec.mounts().clone().unwrap();
        let last = mounts.last().unwrap();
        assert_eq!(last.destination(), Path::new("/mnt"));
        assert_eq!(last.options().clone().unwrap(), ["rbind", "ro"]);
    }

    #[test]
    fn the_network_namespace_stays_the_guests() {
        let spec = container_spec(&CommandLine::default(), Path::new("/r"), &[]);
        let namespaces = spec.linux().clone().unwrap().namespaces().clone().unwrap();
        assert!(
            namespaces
                .iter()
                .all(|ns| ns.typ() != LinuxNamespaceType::Network)
        );
    }
}
