//! The one place where this tool starts programs: no shell strings, nothing of a program's output
//! on our stdout, and an error that names the command line and how it ended.

use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use anyhow::{Context, Result, bail};

/// A program about to be started.
#[derive(Debug)]
pub(crate) struct Cmd {
    command: Command,
    shown: String,
}

impl Cmd {
    /// A command for `program`, looked up in `PATH` unless it is a path.
    #[expect(
        clippy::disallowed_methods,
        reason = "the build tool starts programs here and only here"
    )]
    pub(crate) fn new(program: impl AsRef<OsStr>) -> Self {
        let shown = program.as_ref().to_string_lossy().into_owned();
        let mut command = Command::new(program);
        command.stdin(Stdio::null());
        Self { command, shown }
    }

    /// Adds one argument.
    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.shown.push(' ');
        self.shown.push_str(&arg.as_ref().to_string_lossy());
        self.command.arg(arg);
        self
    }

    /// Adds arguments in order.
    pub(crate) fn args(self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        args.into_iter().fold(self, Self::arg)
    }

    /// Sets a variable of the program's environment.
    pub(crate) fn env(mut self, key: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(key, value);
        self
    }

    /// Sets several variables of the program's environment.
    pub(crate) fn envs(mut self, pairs: &[(&'static str, OsString)]) -> Self {
        self.command
            .envs(pairs.iter().map(|(key, value)| (key, value)));
        self
    }

    /// Keeps a variable of our environment from the program.
    pub(crate) fn env_remove(mut self, key: &str) -> Self {
        self.command.env_remove(key);
        self
    }

    /// Starts the program in `dir`.
    pub(crate) fn cwd(mut self, dir: &Path) -> Self {
        self.command.current_dir(dir);
        self
    }

    /// Runs the program to its end; all that it prints goes to our stderr.
    pub(crate) fn run(mut self) -> Result<()> {
        self.command.stdout(Stdio::from(std::io::stderr()));
        let status = self
            .command
            .status()
            .with_context(|| cannot_start(&self.shown))?;
        check(&self.shown, status)
    }

    /// Runs the program and returns its stdout; its stderr becomes part of the error.
    pub(crate) fn output(mut self) -> Result<Vec<u8>> {
        let output = self
            .command
            .output()
            .with_context(|| cannot_start(&self.shown))?;
        finish(&self.shown, output)
    }

    /// Runs the program with `input` on its stdin and returns its stdout.
    pub(crate) fn filter(mut self, input: &[u8]) -> Result<Vec<u8>> {
        self.command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = self
            .command
            .spawn()
            .with_context(|| cannot_start(&self.shown))?;
        let stdin = child.stdin.take();
        let output = std::thread::scope(|scope| {
            // A program may end without reading all; its status says whether that was right.
            scope.spawn(move || stdin.map(|mut pipe| pipe.write_all(input)));
            child.wait_with_output()
        });
        finish(
            &self.shown,
            output.with_context(|| cannot_start(&self.shown))?,
        )
    }

    /// Runs the program, hands each line of its output (both streams) to `line` and copies to our
    /// stderr those for which it answers true.
    pub(crate) fn run_lines(self, mut line: impl FnMut(&str) -> bool) -> Result<()> {
        let Self { mut command, shown } = self;
        let (reader, writer) = std::io::pipe().context("cannot make a pipe")?;
        command
            .stdout(writer.try_clone().context("cannot make a pipe")?)
            .stderr(writer);
        let mut child = command.spawn().with_context(|| cannot_start(&shown))?;
        // The command holds the writing ends; the pipe only ends once they are closed here.
        drop(command);
        let mut reader = BufReader::new(reader);
        let mut buffer = Vec::new();
        while reader
            .read_until(b'\n', &mut buffer)
            .context("cannot read output")?
            > 0
        {
            let text = String::from_utf8_lossy(&buffer);
            if line(text.trim_end()) {
                eprint!("{text}");
            }
            buffer.clear();
        }
        let status = child.wait().with_context(|| cannot_start(&shown))?;
        check(&shown, status)
    }

    /// Starts the program with our own stdin, stdout and stderr.
    pub(crate) fn spawn_attached(mut self) -> Result<Child> {
        self.command
            .stdin(Stdio::inherit())
            .spawn()
            .with_context(|| cannot_start(&self.shown))
    }
}

fn finish(shown: &str, output: std::process::Output) -> Result<Vec<u8>> {
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    bail!("`{shown}` ended with {}: {}", output.status, said.trim());
}

fn check(shown: &str, status: ExitStatus) -> Result<()> {
    if status.success() {
        return Ok(());
    }
    bail!("`{shown}` ended with {status}");
}

fn cannot_start(shown: &str) -> String {
    format!("cannot run `{shown}`")
}

/// Whether `program` is in one of the directories of `PATH`, or where administration programs are.
pub(crate) fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(Into::into))
        .any(|dir| dir.join(program).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_the_command_line_and_what_the_program_said() {
        let error = Cmd::new("ls")
            .arg("/does-not-exist")
            .output()
            .expect_err("ls must fail");
        let text = error.to_string();
        assert!(
            text.contains("`ls /does-not-exist`") && text.contains("exit status"),
            "{text}"
        );
    }

    #[test]
    fn lines_of_both_streams_arrive() {
        let mut seen = Vec::new();
        Cmd::new("sh")
            .args(["-c", "echo one; echo two >&2"])
            .run_lines(|line| {
                seen.push(line.to_owned());
                false
            })
            .expect("sh runs");
        assert_eq!(seen, ["one", "two"]);
    }

    #[test]
    fn a_filter_survives_a_program_that_does_not_read() {
        let output = Cmd::new("true")
            .filter(&vec![0; 1 << 20])
            .expect("true succeeds");
        assert!(output.is_empty());
    }
}
