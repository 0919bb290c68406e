//! The process of an exec: that of the container, or one from a file, with what the flags say.

use std::path::Path;

use anyhow::{Context, bail, ensure};
use oci_spec::runtime::{Capability, LinuxCapabilities, Process, User, UserBuilder};
use virtcontainers::oci::{CommandLine, resolve_user};
use virtcontainers::types::ContainerConfig;

use crate::args::oci as args;
use crate::input;

/// The command to run in `rootfs`, its user looked up in the container's own files.
pub(super) fn command_line(
    process: &args::Process,
    words: &[String],
    rootfs: &Path,
) -> anyhow::Result<CommandLine> {
    check(process)?;
    Ok(CommandLine {
        args: words.to_vec(),
        env: process.env.clone(),
        cwd: process.cwd.clone(),
        user: user(process, rootfs)?,
        terminal: process.tty,
        ..CommandLine::default()
    })
}

/// The process that `exec` asks for in a container.
pub(super) fn of_exec(exec: &args::Exec, container: &ContainerConfig) -> anyhow::Result<Process> {
    check(&exec.process)?;
    let mut process = match &exec.file {
        Some(path) => of_file(path)?,
        None => of_command(container, &exec.command, exec.process.tty)?,
    };
    if exec.process.tty {
        process.set_terminal(Some(true));
    }
    let mut env = process.env().clone().unwrap_or_default();
    env.extend(exec.process.env.iter().cloned());
    if process.terminal() == Some(true) && !env.iter().any(|entry| entry.starts_with("TERM=")) {
        env.push("TERM=xterm".to_owned());
    }
    process.set_env(Some(env));
    if let Some(cwd) = &exec.process.cwd {
        process.set_cwd(cwd.into());
    }
    // Names of users are in the container's own files, which only then are here.
    let rootfs = container.rootfs.host().unwrap_or(Path::new(""));
    if let Some(user) = user(&exec.process, rootfs)? {
        process.set_user(user);
    }
    if !exec.additional_gids.is_empty() {
        process.set_user(with_groups(process.user(), &exec.additional_gids)?);
    }
    for name in &exec.cap {
        let capability = capability(name)?;
        let mut all = process.capabilities().clone().unwrap_or_default();
        grant(&mut all, capability);
        process.set_capabilities(Some(all));
    }
    if exec.no_new_privs {
        process.set_no_new_privileges(Some(true));
    }
    Ok(process)
}

/// A command that runs as the container's own process does.
pub(super) fn of_command(
    container: &ContainerConfig,
    words: &[String],
    terminal: bool,
) -> anyhow::Result<Process> {
    let process = container.spec.process().clone();
    let mut process = process.context("the container has no process of its own")?;
    process.set_args(Some(words.to_vec()));
    process.set_terminal(Some(terminal));
    process.set_console_size(None);
    Ok(process)
}

fn of_file(path: &Path) -> anyhow::Result<Process> {
    let process: Process = input::json("process file", path)?;
    ensure!(
        process.args().as_ref().is_some_and(|args| !args.is_empty()),
        "the process file {} names no program: fill in args",
        path.display()
    );
    ensure!(
        process.cwd().is_absolute(),
        "the process file {} has a working directory that is not absolute: correct cwd",
        path.display()
    );
    Ok(process)
}

fn check(process: &args::Process) -> anyhow::Result<()> {
    for entry in &process.env {
        let name = entry.split_once('=').map(|(name, _)| name);
        if name.is_none_or(str::is_empty) {
            bail!("environment variable {entry:?} is not valid: write NAME=VALUE");
        }
    }
    if let Some(cwd) = process.cwd.as_deref().filter(|cwd| !cwd.starts_with('/')) {
        bail!("working directory {cwd:?} is not absolute: write the whole path in the container");
    }
    Ok(())
}

fn user(process: &args::Process, rootfs: &Path) -> anyhow::Result<Option<User>> {
    let user = process.user.as_deref();
    user.map(|user| resolve_user(rootfs, user))
        .transpose()
        .context("cannot run as that user")
}

fn with_groups(user: &User, further: &[u32]) -> anyhow::Result<User> {
    let mut groups = user.additional_gids().clone().unwrap_or_default();
    groups.extend(further);
    let mut new = UserBuilder::default()
        .uid(user.uid())
        .gid(user.gid())
        .additional_gids(groups);
    if let Some(umask) = user.umask() {
        new = new.umask(umask);
    }
    Ok(new.build()?)
}

fn capability(name: &str) -> anyhow::Result<Capability> {
    let upper = name.to_ascii_uppercase();
    let whole = match upper.starts_with("CAP_") {
        true => upper,
        false => format!("CAP_{upper}"),
    };
    serde_json::from_value(whole.into()).with_context(|| {
        format!("capability {name:?} is unknown: write a name such as CAP_NET_ADMIN")
    })
}

/// In every set, so that a process that is not root has it too.
fn grant(all: &mut LinuxCapabilities, capability: Capability) {
    let with = |set: &Option<std::collections::HashSet<Capability>>| {
        let mut set = set.clone().unwrap_or_default();
        set.insert(capability);
        Some(set)
    };
    all.set_bounding(with(all.bounding()));
    all.set_effective(with(all.effective()));
    all.set_permitted(with(all.permitted()));
    all.set_inheritable(with(all.inheritable()));
    all.set_ambient(with(all.ambient()));
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use virtcontainers::oci::container_spec;

    use super::*;
    use crate::args::{Arguments, Command};

    fn container() -> ContainerConfig {
        let command = CommandLine {
            args: vec!["sleep".to_owned()],
            env: vec!["OF=container".to_owned()],
            cwd: Some("/srv".to_owned()),
            terminal: true,
            ..CommandLine::default()
        };
        ContainerConfig {
            id: "web".parse().unwrap(),
            rootfs: std::path::PathBuf::from("/nosuch").into(),
            bundle: None,
            cgroup: None,
            spec: container_spec(&command, Path::new("/nosuch"), &[]),
        }
    }

    fn process(line: &str) -> anyhow::Result<Process> {
        let words = ["vc", "exec"].into_iter().chain(line.split_whitespace());
        let arguments = Arguments::try_parse_from(words).unwrap();
        let Command::Oci(args::Command::Exec(exec)) = arguments.command else {
            panic!("{line}")
        };
        of_exec(&exec, &container())
    }

    #[test]
    fn what_is_not_said_is_as_for_the_container() {
        let process = process("web true").unwrap();
        assert_eq!(process.args().clone().unwrap(), ["true"]);
        assert_eq!(process.cwd(), Path::new("/srv"));
        assert_eq!(process.terminal(), Some(false));
        let env = process.env().clone().unwrap();
        assert!(env.contains(&"OF=container".to_owned()), "{env:?}");
    }

    #[test]
    fn flags_say_the_rest() {
        let line =
            "--env A=1 --cwd /tmp --user 7:8 -g 9 -g 10 --cap net_admin --no-new-privs -t web sh";
        let process = process(line).unwrap();
        assert_eq!(process.cwd(), Path::new("/tmp"));
        assert_eq!((process.user().uid(), process.user().gid()), (7, 8));
        let groups = process.user().additional_gids().clone().unwrap();
        assert!(groups.ends_with(&[9, 10]), "{groups:?}");
        assert_eq!(process.terminal(), Some(true));
        let env = process.env().clone().unwrap();
        assert!(env.contains(&"A=1".to_owned()) && env.contains(&"TERM=xterm".to_owned()));
        let capabilities = process.capabilities().clone().unwrap();
        assert!(
            capabilities
                .ambient()
                .clone()
                .unwrap()
                .contains(&Capability::NetAdmin)
        );
        assert_eq!(process.no_new_privileges(), Some(true));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for line in [
            "--env =1 web true",
            "--cwd tmp web true",
            "--cap nosuch web true",
            "--user nosuch web true",
            "--process /nosuch web",
        ] {
            assert!(process(line).is_err(), "{line}");
        }
    }

    #[test]
    fn a_process_from_a_file_is_taken_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("process.json");
        let write = |text: &str| std::fs::write(&path, text).unwrap();
        let line = format!("--process {} web", path.display());
        write(r#"{"args":["id"],"cwd":"/","terminal":true,"user":{"uid":5,"gid":6}}"#);
        let process_of_file = process(&line).unwrap();
        assert_eq!(process_of_file.terminal(), Some(true));
        assert_eq!(process_of_file.user().uid(), 5);
        for (text, part) in [
            (
                r#"{"args":[],"cwd":"/","user":{"uid":0,"gid":0}}"#,
                "names no program",
            ),
            (
                r#"{"args":["id"],"cwd":"x","user":{"uid":0,"gid":0}}"#,
                "not absolute",
            ),
            (r#"{"args":"id","cwd":"/"}"#, "args"),
        ] {
            write(text);
            let error = format!("{:#}", process(&line).unwrap_err());
            assert!(error.contains(part), "{error}");
        }
    }
}
