//! Calls to systemd's manager, by the program `busctl` that comes with systemd. (The interface is
//! org.freedesktop.systemd1(5).)

use std::io::{self, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Instant;

use rustix::process::Pid;

use crate::event::{Events, Woken};
use crate::{Error, ErrorKind};

/// What names the manager; the words after it are the method, its signature and its arguments. The
/// dashes end busctl's own options: a slice's name may begin with one.
const MANAGER: [&str; 6] = [
    "--system",
    "--",
    "call",
    "org.freedesktop.systemd1",
    "/org/freedesktop/systemd1",
    "org.freedesktop.systemd1.Manager",
];

/// The words that start a scope around a process. Its cgroups are ours from then on (`Delegate`),
/// it is not stopped before other units at a shutdown, and systemd forgets it when it has ended,
/// however it did.
pub(crate) fn start_scope(unit: &str, slice: &str, about: &str, pid: u32) -> Vec<String> {
    let pid = pid.to_string();
    let properties: [&[&str]; 6] = [
        &["Description", "s", about],
        &["Slice", "s", slice],
        &["Delegate", "b", "true"],
        &["DefaultDependencies", "b", "false"],
        &["CollectMode", "s", "inactive-or-failed"],
        &["PIDs", "au", "1", &pid],
    ];
    let count = properties.len().to_string();
    let head = [
        "StartTransientUnit",
        "ssa(sv)a(sa(sv))",
        unit,
        "fail",
        &count,
    ];
    let no_further_units = ["0"];
    let words = head.iter().chain(properties.into_iter().flatten());
    words
        .chain(&no_further_units)
        .map(|&word| word.to_owned())
        .collect()
}

/// The words that stop a unit.
pub(crate) fn stop_unit(unit: &str) -> Vec<String> {
    ["StopUnit", "ss", unit, "replace"]
        .map(str::to_owned)
        .to_vec()
}

/// Calls a method of systemd's manager and waits for the reply, which is not looked at.
///
/// Errors: `Unsupported` without the program; `Timeout`; `Internal` with what the program said.
pub(crate) fn call(busctl: &Path, words: &[String], deadline: Instant) -> Result<(), Error> {
    let method = words.first().map_or("a method", String::as_str);
    let failed = |kind, source: io::Error| {
        let message = format!("cannot call {method} of systemd by {}", busctl.display());
        Error::new(kind, message).with_source(source)
    };
    let mut child = start(busctl, words).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => {
            let message = format!(
                "{}, which calls systemd, is not there: install systemd, or start without \
                 --systemd-cgroup",
                busctl.display()
            );
            Error::new(ErrorKind::Unsupported, message).with_source(source)
        }
        _ => failed(ErrorKind::Internal, source),
    })?;
    let waited = wait(&mut child, deadline);
    let status = match waited {
        Ok(Some(status)) => status,
        Ok(None) => return Err(failed(ErrorKind::Timeout, io::ErrorKind::TimedOut.into())),
        Err(error) => return Err(failed(ErrorKind::Internal, error)),
    };
    if status.success() {
        return Ok(());
    }
    let mut said = String::new();
    if let Some(mut stderr) = child.stderr.take() {
        // What cannot be read is not told; that it failed is.
        stderr.read_to_string(&mut said).ok();
    }
    let source = io::Error::other(format!("{status}: {}", said.trim()));
    Err(failed(ErrorKind::Internal, source))
}

#[expect(
    clippy::disallowed_methods,
    reason = "this crate is below the one that starts programs; this one ends with its call"
)]
fn start(busctl: &Path, words: &[String]) -> io::Result<Child> {
    Command::new(busctl)
        .args(MANAGER)
        .args(words)
        .env("LC_ALL", "C")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
}

/// `None`: the deadline passed, and the program was killed.
fn wait(child: &mut Child, deadline: Instant) -> io::Result<Option<ExitStatus>> {
    let ended = watch(child).and_then(|events| events.wait(deadline));
    if !matches!(ended, Ok(Woken::Ended)) {
        child.kill()?;
    }
    let status = child.wait()?;
    Ok((ended? == Woken::Ended).then_some(status))
}

fn watch(child: &Child) -> io::Result<Events> {
    let mut events = Events::new()?;
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    // Not reaped yet, so it cannot be gone.
    events.watch_task(pid.ok_or(io::ErrorKind::InvalidData)?)?;
    Ok(events)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_a_scope() {
        let words = start_scope("vc-web.scope", "-.slice", "container web", 17);
        assert_eq!(
            words.join("|"),
            "StartTransientUnit|ssa(sv)a(sa(sv))|vc-web.scope|fail|6\
             |Description|s|container web|Slice|s|-.slice|Delegate|b|true\
             |DefaultDependencies|b|false|CollectMode|s|inactive-or-failed|PIDs|au|1|17|0"
        );
    }
}
