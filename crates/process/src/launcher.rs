//! What a program gets when it is started, all of it chosen, and the start itself.

use std::ffi::{CString, OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::io::fcntl_dupfd_cloexec;
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions};

use crate::sys::{self, Image, Options};
use crate::{Child, Error, ErrorKind, Identity, Mark, NONCE_VARIABLE, TAG_VARIABLE, Watch};

/// The first descriptor number after the standard streams.
const FIRST_PASSED: RawFd = 3;
/// `PATH` of a child when we have none ourselves.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A standard stream of a child.
#[derive(Debug, Default)]
pub enum Stream {
    /// `/dev/null`.
    #[default]
    Null,
    /// Our own stream of the same number.
    Inherit,
    /// This descriptor.
    Descriptor(OwnedFd),
}

/// The variables of a child.
#[derive(Debug)]
enum Environment {
    /// These, and `PATH` when it is not among them.
    WithPath(Vec<(OsString, OsString)>),
    /// These entries as they are.
    Exact(Vec<OsString>),
}

/// A program to be started.
///
/// Unless told otherwise the child gets null streams, an environment of nothing but `PATH`, a
/// session of its own, default signal handling, our working directory, and no descriptor of ours.
#[derive(Debug)]
pub struct Launcher {
    program: PathBuf,
    name: Option<OsString>,
    args: Vec<OsString>,
    environment: Environment,
    directory: Option<PathBuf>,
    streams: [Stream; 3],
    passed: Vec<OwnedFd>,
    network_namespace: Option<OwnedFd>,
    options: Options,
    kill_on_drop: bool,
}

impl Launcher {
    /// A program by its path; [`find_program`](crate::find_program) turns a name into one.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            name: None,
            args: Vec::new(),
            environment: Environment::WithPath(Vec::new()),
            directory: None,
            streams: Default::default(),
            passed: Vec::new(),
            network_namespace: None,
            options: Options::default(),
            kill_on_drop: false,
        }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets an environment variable; a later one of the same name wins.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        let (name, value) = (name.into(), value.into());
        match &mut self.environment {
            Environment::WithPath(variables) => {
                variables.retain(|(known, _)| *known != name);
                variables.push((name, value));
            }
            Environment::Exact(entries) => {
                let mut entry = name;
                entry.push("=");
                entry.push(value);
                entries.push(entry);
            }
        }
        self
    }

    /// Lets the program see this as its own name (`argv[0]`) instead of its path.
    #[must_use]
    pub(crate) fn name(mut self, name: impl Into<OsString>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Gives the child these entries as they are, in their order, without `PATH` unless it is
    /// among them; what was set before is forgotten.
    #[must_use]
    pub(crate) fn exact_environment(mut self, entries: Vec<OsString>) -> Self {
        self.environment = Environment::Exact(entries);
        self
    }

    /// Lets the child carry a mark, by which it is found when its pid was never recorded.
    #[must_use]
    pub fn marked(self, mark: &Mark) -> Self {
        self.env(NONCE_VARIABLE, &mark.nonce)
            .env(TAG_VARIABLE, &mark.tag)
    }

    /// Sets the working directory.
    #[must_use]
    pub fn current_dir(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = Some(directory.into());
        self
    }

    /// Sets standard input.
    #[must_use]
    pub fn stdin(mut self, stream: Stream) -> Self {
        self.streams[0] = stream;
        self
    }

    /// Sets standard output.
    #[must_use]
    pub fn stdout(mut self, stream: Stream) -> Self {
        self.streams[1] = stream;
        self
    }

    /// Sets standard error.
    #[must_use]
    pub fn stderr(mut self, stream: Stream) -> Self {
        self.streams[2] = stream;
        self
    }

    /// Passes a descriptor; returns the number it has in the child. Numbers count up from 3 in the
    /// order of the calls, whatever ours are. Our copy is closed by the start.
    pub fn pass(&mut self, descriptor: OwnedFd) -> RawFd {
        let number = FIRST_PASSED + RawFd::try_from(self.passed.len()).unwrap_or(RawFd::MAX);
        self.passed.push(descriptor);
        number
    }

    /// Starts the program inside this network namespace. That it cannot be entered is fatal.
    #[must_use]
    pub fn network_namespace(mut self, namespace: OwnedFd) -> Self {
        self.network_namespace = Some(namespace);
        self
    }

    /// Leaves the child in our session and process group, so that it gets the terminal's signals.
    #[must_use]
    pub fn in_our_session(mut self) -> Self {
        self.options.own_session = false;
        self
    }

    /// The kernel kills the child when the *thread* that calls [`spawn`](Self::spawn) ends, not
    /// only when the process does: `PR_SET_PDEATHSIG`, prctl(2). Call it from a thread that lives
    /// as long as the child shall.
    #[must_use]
    pub fn die_with_thread(mut self) -> Self {
        self.options.die_with_thread = true;
        self
    }

    /// The child and its descendants can never gain privileges by an exec: `PR_SET_NO_NEW_PRIVS`.
    #[must_use]
    pub fn no_new_privileges(mut self) -> Self {
        self.options.no_new_privileges = true;
        self
    }

    /// Kills and reaps the child when its [`Child`] is dropped.
    #[must_use]
    pub fn kill_on_drop(mut self) -> Self {
        self.kill_on_drop = true;
        self
    }

    /// Starts the program and returns when it has replaced the fork of ours, or has failed to.
    /// Blocks for as long as that takes, about a millisecond.
    ///
    /// Errors: `NotFound` when the program does not exist, `Denied` when it is not executable,
    /// `Invalid` for a zero byte in an argument; others by the system's error of the step that
    /// failed, which the message names. No process is left.
    pub fn spawn(self) -> Result<Child, Error> {
        let program = self.program.clone();
        let kill_on_drop = self.kill_on_drop;
        let image = self.into_image()?;
        let pid = sys::start(&image).map_err(|failure| failure.into_error(&program))?;
        drop(image);
        let watch = watch(pid).inspect_err(|_| end_unwatched(pid))?;
        tracing::debug!(program = %program.display(), pid = watch.identity().pid, "started");
        Ok(Child::new(watch, kill_on_drop))
    }

    fn into_image(self) -> Result<Image, Error> {
        let name = self.name.as_deref().unwrap_or(self.program.as_os_str());
        let mut argv = vec![c_string(name)?];
        for arg in &self.args {
            argv.push(c_string(arg)?);
        }
        let environment = self.environment.entries()?;
        let directory = self.directory.as_deref().map(Path::as_os_str);
        let first_free =
            FIRST_PASSED + RawFd::try_from(self.passed.len()).unwrap_or(RawFd::MAX - FIRST_PASSED);
        let mut descriptors = Vec::new();
        for (number, stream) in (0..).zip(self.streams) {
            descriptors.push(open_stream(number, stream, first_free)?);
        }
        for passed in self.passed {
            descriptors.push(lift(passed, first_free)?);
        }
        Ok(Image {
            program: c_string(self.program.as_os_str())?,
            argv,
            environment,
            directory: directory.map(c_string).transpose()?,
            descriptors,
            network_namespace: self.network_namespace,
            options: self.options,
        })
    }
}

impl Environment {
    fn entries(&self) -> Result<Vec<CString>, Error> {
        let variables = match self {
            Self::WithPath(variables) => variables,
            Self::Exact(entries) => return entries.iter().map(|entry| c_string(entry)).collect(),
        };
        let mut entries = Vec::new();
        if !variables.iter().any(|(name, _)| name == "PATH") {
            let path = std::env::var_os("PATH").unwrap_or_else(|| DEFAULT_PATH.into());
            entries.push(variable(OsStr::new("PATH"), &path)?);
        }
        for (name, value) in variables {
            entries.push(variable(name, value)?);
        }
        Ok(entries)
    }
}

/// A duplicate above all numbers that the child assigns, so that assigning one never overwrites
/// another before its turn.
fn lift(descriptor: impl AsFd, first_free: RawFd) -> Result<OwnedFd, Error> {
    fcntl_dupfd_cloexec(descriptor, first_free)
        .map_err(|error| Error::system("cannot duplicate a descriptor for a child", error))
}

fn open_stream(number: RawFd, stream: Stream, first_free: RawFd) -> Result<OwnedFd, Error> {
    match stream {
        Stream::Descriptor(descriptor) => lift(descriptor, first_free),
        Stream::Inherit => match number {
            0 => lift(std::io::stdin(), first_free),
            1 => lift(std::io::stdout(), first_free),
            _ => lift(std::io::stderr(), first_free),
        },
        Stream::Null => {
            let null = std::fs::OpenOptions::new()
                .read(true)
                .write(true)
                .open("/dev/null")
                .map_err(|error| Error::system("cannot open /dev/null", error))?;
            lift(null, first_free)
        }
    }
}

fn c_string(text: &OsStr) -> Result<CString, Error> {
    CString::new(text.as_bytes()).map_err(|_| {
        let message = format!("{text:?} holds a zero byte and cannot be given to a program");
        Error::new(ErrorKind::Invalid, message)
    })
}

fn variable(name: &OsStr, value: &OsStr) -> Result<CString, Error> {
    if name.is_empty() || name.as_bytes().contains(&b'=') {
        let message = format!("{name:?} cannot be the name of an environment variable");
        return Err(Error::new(ErrorKind::Invalid, message));
    }
    let mut entry = name.to_owned();
    entry.push("=");
    entry.push(value);
    c_string(&entry)
}

/// The child cannot have been reaped yet, so its pid is still its own.
fn watch(pid: Pid) -> Result<Watch, Error> {
    let number = pid.as_raw_nonzero().get().unsigned_abs();
    let failed = |error| Error::system(format!("cannot watch the new process {number}"), error);
    let pidfd = rustix::process::pidfd_open(pid, PidfdFlags::empty()).map_err(failed)?;
    let stat = crate::procfs::stat(number)
        .map_err(|error| Error::system(format!("cannot read /proc/{number}/stat"), error))?;
    let start_time = stat.map_or(0, |stat| stat.start_time);
    let identity = Identity {
        pid: number,
        start_time,
    };
    Ok(Watch::new(identity, pidfd))
}

fn end_unwatched(pid: Pid) {
    let killed = rustix::process::kill_process(pid, Signal::KILL);
    let reaped = rustix::process::waitpid(Some(pid), WaitOptions::empty());
    if let Err(error) = killed.and(reaped) {
        tracing::warn!(%error, "cannot end a process that cannot be watched");
    }
}
