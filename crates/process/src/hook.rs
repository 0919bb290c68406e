//! Hooks of the OCI runtime specification: programs that somebody else wants to be run at a point
//! of a container's life (config.md, "POSIX-platform Hooks").

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, Signal};
use tokio::net::unix::pipe;
use tracing::Instrument as _;

use crate::tail::Limits;
use crate::{Child, Error, ErrorKind, Exit, Launcher, Mark, OutputTail, Stream};

/// What is told of a hook's output: enough for a trace of any script.
const OUTPUT: Limits = Limits {
    bytes: 16 * 1024,
    lines: usize::MAX,
};

/// A program as a configuration names it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hook {
    /// The program, absolute; it is not looked for in `PATH`.
    pub path: PathBuf,
    /// All arguments, the program's own name first. When there are none, that is its path.
    pub args: Vec<OsString>,
    /// The whole environment, `NAME=value`: nothing of ours is added but the [`Mark`].
    pub env: Vec<OsString>,
    /// How long it may run, greater than zero. Without, it runs for as long as it likes.
    pub timeout: Option<Duration>,
}

/// What a hook gets from whoever runs it.
#[derive(Debug, Clone, Copy)]
pub struct HookCall<'a> {
    /// The container's state as JSON, for standard input.
    pub state: &'a [u8],
    /// The working directory, absolute. The specification names none; that of the bundle is usual.
    pub directory: &'a Path,
    /// The network namespace to run in, when it is not ours.
    pub network_namespace: Option<BorrowedFd<'a>>,
    /// What the hook carries in its environment. It has to be written down before this call: when
    /// our process dies during it, [`Mark::end_all`] finds and ends the hook. A hook may leave
    /// processes behind on purpose, which carry the mark too: forget it when the call has returned,
    /// and give each hook a tag of its own.
    pub mark: &'a Mark,
}

/// Runs a hook to its end, in a session and process group of its own, with default signals and no
/// descriptor of ours but the standard streams: the state to read, and its output to us.
///
/// The hook's end counts, not that of its output: what it left running in the background is
/// neither awaited nor ended, and loses its output. A hook need not read its input.
///
/// Dropping the future kills the hook's process group and waits until the hook is gone, which
/// takes the kernel about a millisecond. Needs a tokio runtime with IO and time.
///
/// Errors: `Invalid` for a path that is not absolute, a timeout of zero, or a zero byte;
/// `NotFound` when the program or the directory does not exist; `Denied` when it is not
/// executable; `Failed` when it ended with anything but status 0; `Timeout` when it did not end in
/// time, its process group was killed then; `Internal`. The last 16 KiB of what it wrote to
/// standard output and standard error are in the message of `Failed` and `Timeout`.
pub async fn run_hook(hook: &Hook, call: HookCall<'_>) -> Result<(), Error> {
    let span = tracing::debug_span!("hook", subsystem = "process", path = %hook.path.display());
    run(hook, call).instrument(span).await
}

async fn run(hook: &Hook, call: HookCall<'_>) -> Result<(), Error> {
    check(hook)?;
    let (output, writer) = OutputTail::limited(OUTPUT)?;
    let (input, reader) = input_pipe()?;
    let launcher = launcher(hook, call)?
        .stdin(Stream::Descriptor(reader))
        .stdout(Stream::Descriptor(duplicate(&writer)?))
        .stderr(Stream::Descriptor(writer));
    let group = Group(launcher.spawn()?);
    let exit = tokio::select! {
        biased;
        exit = group.0.wait() => exit?,
        error = attend(input, call.state, &output) => return Err(error),
        () = elapsed(hook.timeout) => match group.0.try_wait() {
            Some(exit) => exit,
            None => return Err(group.end_late(hook, &output)),
        },
    };
    match exit.is_success() {
        true => Ok(()),
        false => Err(failed(hook, exit, &output)),
    }
}

fn check(hook: &Hook) -> Result<(), Error> {
    let invalid = |what: String| Err(Error::new(ErrorKind::Invalid, what));
    if !hook.path.is_absolute() {
        let path = hook.path.display();
        return invalid(format!(
            "cannot run the hook {path}: its path has to be absolute"
        ));
    }
    if hook.timeout.is_some_and(|timeout| timeout.is_zero()) {
        return invalid(format!("cannot run {hook}: its timeout has to be positive"));
    }
    Ok(())
}

fn launcher(hook: &Hook, call: HookCall<'_>) -> Result<Launcher, Error> {
    let mut launcher = Launcher::new(&hook.path)
        .exact_environment(hook.env.clone())
        .marked(call.mark)
        .current_dir(call.directory)
        .kill_on_drop();
    if let Some((name, args)) = hook.args.split_first() {
        launcher = launcher.name(name).args(args);
    }
    if let Some(namespace) = call.network_namespace {
        launcher = launcher.network_namespace(duplicate(namespace)?);
    }
    Ok(launcher)
}

fn duplicate(descriptor: impl AsFd) -> Result<OwnedFd, Error> {
    let owned = descriptor.as_fd().try_clone_to_owned();
    owned.map_err(|error| Error::system("cannot duplicate a descriptor for a hook", error))
}

/// A pipe and not a file, which some programs cannot wait for.
fn input_pipe() -> Result<(pipe::Sender, OwnedFd), Error> {
    let failed = |error| Error::system("cannot make a pipe for a hook's input", error);
    let (sender, receiver) = pipe::pipe().map_err(failed)?;
    let reader = receiver.into_blocking_fd().map_err(failed)?;
    Ok((sender, reader))
}

/// Feeds the hook and follows its output for as long as it lives; resolves only with an error.
async fn attend(input: pipe::Sender, state: &[u8], output: &OutputTail) -> Error {
    let feeding = async {
        let fed = feed(&input, state).await;
        // The end of the input.
        drop(input);
        match fed {
            Ok(()) => std::future::pending().await,
            Err(error) => Error::system("cannot give a hook its input", error),
        }
    };
    let following = async {
        match output.follow().await {
            Ok(()) => std::future::pending().await,
            Err(error) => error,
        }
    };
    tokio::select! {
        error = feeding => error,
        error = following => error,
    }
}

async fn feed(input: &pipe::Sender, mut rest: &[u8]) -> io::Result<()> {
    while !rest.is_empty() {
        input.writable().await?;
        match input.try_write(rest) {
            Ok(written) => rest = &rest[written..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            // It does not want to know; that is its business.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

async fn elapsed(timeout: Option<Duration>) {
    match timeout {
        Some(timeout) => tokio::time::sleep(timeout).await,
        None => std::future::pending().await,
    }
}

fn failed(hook: &Hook, exit: Exit, output: &OutputTail) -> Error {
    let said = said(output);
    Error::new(ErrorKind::Failed, format!("{hook} failed: {exit}{said}"))
}

fn said(output: &OutputTail) -> String {
    match output.text() {
        text if text.is_empty() => ", it wrote nothing".to_owned(),
        text => format!(", it wrote: {text}"),
    }
}

/// A hook and what it started in its own group. Dropping it kills all of them.
#[derive(Debug)]
struct Group(Child);

impl Group {
    fn end_late(self, hook: &Hook, output: &OutputTail) -> Error {
        self.kill();
        let milliseconds = hook.timeout.unwrap_or_default().as_millis();
        let said = said(output);
        let message = format!(
            "{hook} did not end within {milliseconds} ms and was killed: raise its timeout or \
             correct it{said}"
        );
        Error::new(ErrorKind::Timeout, message)
    }

    /// Kills the group unless the hook was reaped: only until then its number is the hook's.
    fn kill(&self) {
        if self.0.try_wait().is_some() {
            return;
        }
        let leader = i32::try_from(self.0.identity().pid).ok();
        let Some(leader) = leader.and_then(Pid::from_raw) else {
            return;
        };
        if let Err(error) = rustix::process::kill_process_group(leader, Signal::KILL) {
            tracing::warn!(group = leader.as_raw_nonzero(), %error, "cannot kill a hook's group");
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // The child itself is reaped by its own drop, right after this.
        self.kill();
    }
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "hook {}", self.path.display())
    }
}
