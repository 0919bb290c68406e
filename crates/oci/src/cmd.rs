//! From a command as the API takes it to a process for the guest.

use std::collections::BTreeSet;
use std::path::Path;
use std::str::FromStr as _;

use oci_spec::runtime::{
    Capabilities, Capability, LinuxCapabilitiesBuilder, Process, ProcessBuilder, UserBuilder,
};
use virtcontainers_types::{CapabilityName, Cmd};

use crate::command::built;
use crate::{Error, ErrorKind};

/// The process that runs `cmd`.
///
/// Users and groups become numbers here; somebody who can see the container's files looks names up
/// before ([`resolve_user`](crate::resolve_user)). Without any, root runs it.
///
/// Errors: `Invalid`, naming the part, without a program, for a working directory that is not
/// absolute, a user or group that is no number, and a group that is given twice and differently.
pub fn cmd_process(cmd: &Cmd) -> Result<Process, Error> {
    if cmd.args.first().is_none_or(String::is_empty) {
        return Err(invalid(
            "the command names no program: give it args".to_owned(),
        ));
    }
    let cwd = match cmd.work_dir.as_os_str().is_empty() {
        true => Path::new("/"),
        false => &cmd.work_dir,
    };
    if !cwd.is_absolute() {
        let shown = cwd.display();
        return Err(invalid(format!(
            "the working directory {shown} is not absolute"
        )));
    }
    let (uid, gid) = user(cmd)?;
    let groups = cmd.supplementary_groups.iter();
    let groups: Vec<u32> = groups
        .map(|group| number("supplementary group", group))
        .collect::<Result<_, _>>()?;
    let user = UserBuilder::default()
        .uid(uid)
        .gid(gid)
        .additional_gids(groups);
    let sets = LinuxCapabilitiesBuilder::default()
        .bounding(capabilities(&cmd.capabilities.bounding)?)
        .effective(capabilities(&cmd.capabilities.effective)?)
        .inheritable(capabilities(&cmd.capabilities.inheritable)?)
        .permitted(capabilities(&cmd.capabilities.permitted)?)
        .ambient(capabilities(&cmd.capabilities.ambient)?);
    Ok(built(
        ProcessBuilder::default()
            .terminal(cmd.interactive)
            .user(built(user.build()))
            .args(cmd.args.clone())
            .env(cmd.envs.iter().map(ToString::to_string).collect::<Vec<_>>())
            .cwd(cwd)
            .capabilities(built(sets.build()))
            .no_new_privileges(cmd.no_new_privileges)
            .build(),
    ))
}

/// User and primary group.
fn user(cmd: &Cmd) -> Result<(u32, u32), Error> {
    let (user, group) = match cmd.user.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (&cmd.user[..], None),
    };
    let uid = match (user, group) {
        ("", None) => 0,
        (user, _) => number("user", user)?,
    };
    let own = group
        .map(|group| number("group of the user", group))
        .transpose()?;
    let primary = match cmd.primary_group.is_empty() {
        true => None,
        false => Some(number("primary group", &cmd.primary_group)?),
    };
    match (own, primary) {
        (Some(own), Some(primary)) if own != primary => Err(invalid(format!(
            "the command has two groups, {own} with its user and {primary}: give one"
        ))),
        (own, primary) => Ok((uid, own.or(primary).unwrap_or(0))),
    }
}

fn number(what: &str, text: &str) -> Result<u32, Error> {
    // `parse` would take a sign, and the last number stands for "none" in the kernel.
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let number = text
        .parse()
        .ok()
        .filter(|number| digits && *number != u32::MAX);
    number.ok_or_else(|| {
        invalid(format!(
            "the {what} {text:?} is no number: look the name up in the container's files first"
        ))
    })
}

fn capabilities(names: &BTreeSet<CapabilityName>) -> Result<Capabilities, Error> {
    let convert = |name: &CapabilityName| {
        Capability::from_str(name.bare())
            .map_err(|_| invalid(format!("the specification has no capability {name}")))
    };
    names.iter().map(convert).collect()
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::Invalid, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use virtcontainers_types::LinuxCapabilities;

    fn cmd(user: &str, primary: &str, groups: &[&str]) -> Cmd {
        Cmd {
            args: vec!["true".to_owned()],
            user: user.to_owned(),
            primary_group: primary.to_owned(),
            supplementary_groups: groups.iter().map(ToString::to_string).collect(),
            ..Cmd::default()
        }
    }

    /// User, primary group and further groups of a command.
    type Who = (&'static str, &'static str, &'static [&'static str]);

    #[test]
    fn users_and_groups_become_numbers() {
        let rows: [(Who, (u32, u32)); 6] = [
            (("", "", &[]), (0, 0)),
            (("1000", "", &[]), (1000, 0)),
            (("1000:1001", "", &["7", "8"]), (1000, 1001)),
            (("1000", "1001", &[]), (1000, 1001)),
            (("1000:1001", "1001", &[]), (1000, 1001)),
            (("", "5", &[]), (0, 5)),
        ];
        for ((user, primary, groups), expected) in rows {
            let process = cmd_process(&cmd(user, primary, groups)).unwrap();
            let got = process.user();
            assert_eq!((got.uid(), got.gid()), expected, "{user} {primary}");
            let additional = got.additional_gids().clone().unwrap();
            let texts: Vec<String> = additional.iter().map(ToString::to_string).collect();
            assert_eq!(texts, groups);
        }
    }

    #[test]
    fn what_is_no_number_is_refused_by_name() {
        let rows: [(&str, &str, &[&str], &str); 10] = [
            ("web", "", &[], "user \"web\""),
            ("+1", "", &[], "user \"+1\""),
            ("-1", "", &[], "user \"-1\""),
            (":7", "", &[], "user \"\""),
            ("4294967295", "", &[], "user \"4294967295\""),
            ("1:www", "", &[], "group of the user \"www\""),
            ("1:", "", &[], "group of the user \"\""),
            ("1", "www", &[], "primary group \"www\""),
            ("1", "", &["7", "logs"], "supplementary group \"logs\""),
            ("1:2", "3", &[], "two groups, 2 with its user and 3"),
        ];
        for (user, primary, groups, part) in rows {
            let error = cmd_process(&cmd(user, primary, groups)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid);
            assert!(error.to_string().contains(part), "{error}, and not: {part}");
        }
    }

    #[test]
    fn everything_else_is_carried_over() {
        let names: BTreeSet<_> = CapabilityName::all().collect();
        let cmd = Cmd {
            args: vec!["sh".to_owned()],
            envs: vec!["A=b=c".parse().unwrap()],
            work_dir: "/srv".into(),
            capabilities: LinuxCapabilities {
                bounding: names.clone(),
                ..LinuxCapabilities::default()
            },
            interactive: true,
            no_new_privileges: true,
            ..Cmd::default()
        };
        let process = cmd_process(&cmd).unwrap();
        assert_eq!(process.terminal(), Some(true));
        assert_eq!(process.env().clone().unwrap(), ["A=b=c"]);
        assert_eq!(process.cwd(), Path::new("/srv"));
        assert_eq!(process.no_new_privileges(), Some(true));
        let sets = process.capabilities().clone().unwrap();
        assert_eq!(sets.bounding().clone().unwrap().len(), names.len());
        assert_eq!(sets.ambient().clone().unwrap().len(), 0);
    }

    #[test]
    fn a_program_and_an_absolute_directory_are_needed() {
        let none = cmd_process(&Cmd::default()).unwrap_err();
        assert!(none.to_string().contains("no program"), "{none}");
        let mut relative = cmd("", "", &[]);
        assert_eq!(cmd_process(&relative).unwrap().cwd(), Path::new("/"));
        relative.work_dir = "srv".into();
        let relative = cmd_process(&relative).unwrap_err();
        assert!(
            relative.to_string().contains("srv is not absolute"),
            "{relative}"
        );
    }
}
