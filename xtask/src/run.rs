//! `run`: the main job. Sets up what is missing, then runs a command in a container in a virtual
//! machine, as if it had been typed here: its streams, its signals, its exit status.

use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;

use self::child::Child;
use crate::build::{self, Profile};
use crate::cache::Cache;
use crate::setup::{self, Purpose};
use crate::tasks::Usage;
use crate::{guest, real, rootfs};

mod child;
mod state;

const EXAMPLE: &str = "for example: cargo xtask run -- uname -a";

/// The task.
pub(crate) fn task(words: Vec<OsString>) -> Result<ExitCode> {
    let (flags, command) = split(words)?;
    let cache = Cache::open()?;
    setup::ensure(&cache, Purpose::Machines)?;
    let guest = guest::ensure(&cache)?;
    let rootfs = rootfs::ensure(&cache)?;
    let vc = build::vc(Profile::Dev)?;
    // From here on no signal ends this process, so the copy below is always removed.
    let watch = child::Watch::begin()?;
    let copy = rootfs::copy(&rootfs)?;
    let state = state::StateRoot::create()?;
    let interactive = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    let arguments = arguments(flags, interactive, copy.path(), &id(), command);
    let mut environment = real::environment(&guest, &vc, copy.path());
    if std::env::var_os("VC_ROOT").is_none() {
        environment.push(("VC_ROOT", state.path().into()));
    }
    Child::start(watch, &vc, arguments, &environment)?.wait()
}

/// The flags for `vc run`, and the command.
fn split(mut words: Vec<OsString>) -> Result<(Vec<OsString>, Vec<OsString>)> {
    let Some(dashes) = words.iter().position(|word| word == "--") else {
        return Err(Usage(format!("run needs a command after `--`; {EXAMPLE}")).into());
    };
    let command = words.split_off(dashes + 1);
    words.pop();
    if command.is_empty() {
        return Err(Usage(format!("run needs a command to run; {EXAMPLE}")).into());
    }
    Ok((words, command))
}

/// What `vc` is called with.
fn arguments(
    flags: Vec<OsString>,
    interactive: bool,
    rootfs: &Path,
    id: &str,
    command: Vec<OsString>,
) -> Vec<OsString> {
    let wants_terminal = interactive && !flags.iter().any(|flag| flag == "-t" || flag == "--tty");
    let mut words = vec![OsString::from("run")];
    words.extend(flags);
    words.extend(wants_terminal.then(|| OsString::from("-t")));
    words.extend(["--rootfs".into(), rootfs.into(), id.into(), "--".into()]);
    words.extend(command);
    words
}

/// An id that no other sandbox has: this process and the time it is.
fn id() -> String {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    format!("run-{}-{:x}", std::process::id(), now.as_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<OsString> {
        text.split_whitespace().map(OsString::from).collect()
    }

    #[test]
    fn flags_before_the_dashes_are_for_vc_and_later_dashes_for_the_command() {
        let (flags, command) = split(words("--memory 512 -- sh -- x")).expect("a command");
        assert_eq!(flags, words("--memory 512"));
        assert_eq!(command, words("sh -- x"));
    }

    #[test]
    fn without_a_command_it_is_a_usage_error_with_an_example() {
        for line in ["", "uname", "--", "--memory 1 --"] {
            let error = split(words(line)).expect_err(line);
            assert!(error.downcast_ref::<Usage>().is_some(), "{line}");
            assert!(error.to_string().contains("uname -a"), "{line}");
        }
    }

    #[test]
    fn a_terminal_is_asked_for_once_and_only_where_there_is_one() {
        let line = |flags, interactive| {
            arguments(
                words(flags),
                interactive,
                Path::new("/r"),
                "id",
                words("ls -l"),
            )
        };
        assert_eq!(line("", false), words("run --rootfs /r id -- ls -l"));
        assert_eq!(line("", true), words("run -t --rootfs /r id -- ls -l"));
        assert_eq!(line("-t", true), words("run -t --rootfs /r id -- ls -l"));
    }
}
