//! Starting programs under test, with deadlines.
#![expect(
    clippy::disallowed_methods,
    reason = "tests start the program from outside, as users do"
)]

use std::ffi::OsString;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open};

/// More than anything here may take.
const PATIENCE: Duration = Duration::from_secs(150);

/// A program to start.
#[derive(Debug)]
pub struct Program {
    program: PathBuf,
    args: Vec<OsString>,
    env: Vec<(String, OsString)>,
    directory: Option<PathBuf>,
    stdin: Option<Stdio>,
    stdout: Option<Stdio>,
    stderr: Option<Stdio>,
}

/// A program that ended.
#[derive(Debug)]
pub struct Finished {
    /// Its exit code, or 128 + signal.
    pub status: i32,
    /// What it wrote.
    pub stdout: Vec<u8>,
    /// What it complained about.
    pub stderr: String,
    /// How long it ran.
    pub took: Duration,
}

/// A program that runs.
#[derive(Debug)]
pub struct Started {
    child: Child,
    since: Instant,
    /// What was read of standard error before its end.
    complaints: Vec<u8>,
}

impl Program {
    /// A program by path.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            env: Vec::new(),
            directory: None,
            stdin: None,
            stdout: None,
            stderr: None,
        }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.env.push((name.to_owned(), value.into()));
        self
    }

    /// Sets the working directory.
    #[must_use]
    pub fn current_dir(mut self, directory: &Path) -> Self {
        self.directory = Some(directory.to_owned());
        self
    }

    /// Replaces standard input, a null device otherwise.
    #[must_use]
    pub fn stdin(mut self, stdin: impl Into<Stdio>) -> Self {
        self.stdin = Some(stdin.into());
        self
    }

    /// Replaces standard output, a pipe otherwise.
    #[must_use]
    pub fn stdout(mut self, stdout: impl Into<Stdio>) -> Self {
        self.stdout = Some(stdout.into());
        self
    }

    /// Gives the program files for its outputs: what it leaves running holds no pipe of the test's,
    /// for whose end the test would wait.
    pub fn output_to(mut self, directory: &Path) -> Result<Self> {
        self.stdout = Some(std::fs::File::create(directory.join("stdout"))?.into());
        self.stderr = Some(std::fs::File::create(directory.join("stderr"))?.into());
        Ok(self)
    }

    /// Puts another program and its arguments in front, such as `unshare`.
    #[must_use]
    pub fn under<'a>(mut self, wrapper: impl IntoIterator<Item = &'a str>) -> Self {
        let mut words = wrapper.into_iter().map(OsString::from);
        if let Some(first) = words.next() {
            let inner = std::mem::replace(&mut self.program, first.into());
            let args = std::mem::take(&mut self.args);
            self.args = words.chain([inner.into_os_string()]).chain(args).collect();
        }
        self
    }

    /// Starts it.
    pub fn start(self) -> Result<Started> {
        let mut command = Command::new(&self.program);
        command
            .args(&self.args)
            .stdin(self.stdin.unwrap_or_else(Stdio::null))
            .stdout(self.stdout.unwrap_or_else(Stdio::piped))
            .stderr(self.stderr.unwrap_or_else(Stdio::piped));
        for (name, value) in &self.env {
            command.env(name, value);
        }
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        let child = command
            .spawn()
            .with_context(|| format!("cannot start {}", self.program.display()))?;
        Ok(Started {
            child,
            since: Instant::now(),
            complaints: Vec::new(),
        })
    }

    /// Runs it to its end, with nothing to read.
    pub fn finish(self) -> Result<Finished> {
        self.start()?.finish()
    }

    /// Runs it to its end with this input.
    pub fn finish_with(mut self, input: &[u8]) -> Result<Finished> {
        self.stdin = Some(Stdio::piped());
        let mut started = self.start()?;
        let mut stdin = started.child.stdin.take().context("no standard input")?;
        let input = input.to_vec();
        std::thread::spawn(move || stdin.write_all(&input));
        started.finish()
    }
}

impl Started {
    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_raw(i32::try_from(self.child.id())?).context("no pid")?;
        Ok(rustix::process::pidfd_send_signal(
            pidfd_open(pid, PidfdFlags::empty())?,
            signal,
        )?)
    }

    /// Its standard output, to read in the test's own time.
    pub fn take_stdout(&mut self) -> Option<std::process::ChildStdout> {
        self.child.stdout.take()
    }

    /// Its standard input.
    pub fn take_stdin(&mut self) -> Option<std::process::ChildStdin> {
        self.child.stdin.take()
    }

    /// Reads its standard error until this was seen.
    pub fn wait_for_stderr(&mut self, text: &str) -> Result<()> {
        let stderr = self.child.stderr.as_mut().context("no standard error")?;
        let mut byte = [0];
        while !self
            .complaints
            .windows(text.len())
            .any(|window| window == text.as_bytes())
        {
            stderr.read_exact(&mut byte).with_context(|| {
                format!(
                    "{text:?} not in {:?}",
                    String::from_utf8_lossy(&self.complaints)
                )
            })?;
            self.complaints.push(byte[0]);
        }
        Ok(())
    }

    /// Waits for its end. Kills it and fails when it takes longer than anything here may.
    pub fn finish(mut self) -> Result<Finished> {
        use std::os::unix::process::ExitStatusExt as _;
        drop(self.child.stdin.take());
        let stdout = collect(self.child.stdout.take());
        let stderr = collect(self.child.stderr.take());
        let pid = Pid::from_raw(i32::try_from(self.child.id())?).context("no pid")?;
        let (ended, end) = mpsc::channel();
        let mut child = self.child;
        std::thread::spawn(move || ended.send(child.wait()));
        let exit = match end.recv_timeout(PATIENCE) {
            Ok(exit) => exit?,
            Err(_) => {
                // Not reaped yet: the thread that would is waiting.
                rustix::process::kill_process(pid, Signal::KILL)?;
                end.recv_timeout(PATIENCE)??;
                bail!("did not end: {}", String::from_utf8_lossy(&stderr.recv()?));
            }
        };
        let took = self.since.elapsed();
        let status = exit
            .code()
            .or_else(|| Some(128 + exit.signal()?))
            .context("no status")?;
        self.complaints.extend(stderr.recv_timeout(PATIENCE)?);
        let stderr = String::from_utf8_lossy(&self.complaints).into_owned();
        Ok(Finished {
            status,
            stdout: stdout.recv_timeout(PATIENCE)?,
            stderr,
            took,
        })
    }
}

impl Finished {
    /// What it wrote, as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Fails unless it ended with this status.
    pub fn expect(self, status: i32) -> Result<Self> {
        anyhow::ensure!(
            self.status == status,
            "status {} instead of {status}; stdout: {:?}; stderr: {}",
            self.status,
            self.text(),
            self.stderr
        );
        Ok(self)
    }
}

/// Reads a stream to its end beside the test.
fn collect(stream: Option<impl Read + Send + 'static>) -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut stream) = stream {
            // What was read until an error is still worth showing.
            stream.read_to_end(&mut bytes).map(drop).unwrap_or_default();
        }
        sender.send(bytes)
    });
    receiver
}
