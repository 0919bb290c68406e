//! containerd with everything of its own, and its runc shim in front of the runtime.

mod tasks;

use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use virtcontainers_tests::program::{Finished, Program, Started};

use crate::stage::{Root, Runtime, Stage};

/// The namespace of `ctr`, which the shim adds to the state root.
const NAMESPACE: &str = "default";

/// How long containerd may take to serve.
const PATIENCE: Duration = Duration::from_secs(60);

/// A containerd that drives a runtime. Only its shims' sockets are where all of them are, in
/// `/run/containerd/s`.
#[derive(Debug)]
pub(crate) struct Containerd {
    daemon: Option<Started>,
    folder: PathBuf,
    stage: Stage,
}

/// Runs a case with containerd, tells of its failure with all logs, and looks at what is left.
pub(crate) fn with_containerd(runtime: Runtime, case: fn(&Containerd) -> Result<()>) -> Result<()> {
    let mut containerd = Containerd::start(runtime)?;
    let result = case(&containerd);
    result.map_err(|error| containerd.stage.told(&error.context(containerd.log())))?;
    containerd.assert_clean()
}

impl Containerd {
    fn start(runtime: Runtime) -> Result<Self> {
        let stage = Stage::new(runtime, Root::Caller(NAMESPACE))?;
        let folder = stage.place().path("containerd");
        std::fs::create_dir(&folder)?;
        let at = folder.display();
        let configuration = format!(
            "version = 2\nroot = \"{at}/root\"\nstate = \"{at}/state\"\n\
             disabled_plugins = [\"io.containerd.grpc.v1.cri\", \"io.containerd.internal.v1.opt\"]\n\
             [grpc]\naddress = \"{at}/socket\"\n"
        );
        let file = folder.join("config.toml");
        std::fs::write(&file, configuration)?;
        // It tells its service manager when it serves, and that is us.
        let notify = folder.join("notify");
        let notified = UnixDatagram::bind(&notify)?;
        notified.set_read_timeout(Some(PATIENCE))?;
        let daemon = Program::new("containerd")
            .arg("--config")
            .arg(&file)
            .env("NOTIFY_SOCKET", &notify)
            .output_to(&folder)?
            .start()?;
        let containerd = Self {
            daemon: Some(daemon),
            folder,
            stage,
        };
        let mut word = [0; 64];
        let told = notified.recv(&mut word).with_context(|| containerd.log())?;
        ensure!(word[..told].starts_with(b"READY=1"), "{}", containerd.log());
        Ok(containerd)
    }

    pub(crate) fn stage(&self) -> &Stage {
        &self.stage
    }

    /// `ctr` with these arguments.
    pub(crate) fn call<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Program {
        let mut program = Program::new("ctr")
            .arg("--address")
            .arg(self.folder.join("socket"));
        for word in words {
            program = program.arg(word);
        }
        program
    }

    /// `ctr run` of a command in the place's root file system.
    pub(crate) fn run(&self, id: &str, options: &[&str], command: &[&str]) -> Program {
        let mut program = self
            .call(["run", "--runtime", "io.containerd.runc.v2", "--rootfs"])
            .arg("--runc-binary")
            .arg(self.stage.program())
            .arg("--runc-root")
            .arg(self.stage.place().root())
            .arg("--fifo-dir")
            .arg(self.folder.join("fifo"))
            .arg("--cgroup")
            .arg(format!("{}/{id}", self.stage.cgroup()));
        for option in options {
            program = program.arg(*option);
        }
        program = program.arg(self.stage.place().rootfs()).arg(id);
        for word in command {
            program = program.arg(*word);
        }
        program
    }

    /// `ctr task exec` of a command.
    pub(crate) fn exec(&self, id: &str, exec: &str, options: &[&str], command: &[&str]) -> Program {
        let mut program = self.call(["task", "exec", "--exec-id", exec]);
        program = program.arg("--fifo-dir").arg(self.folder.join("fifo"));
        for word in options.iter().chain(&[id]).chain(command) {
            program = program.arg(*word);
        }
        program
    }

    /// Runs `ctr`, which has to succeed.
    pub(crate) fn ok<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Result<Finished> {
        let words: Vec<&str> = words.into_iter().collect();
        let end = self.call(words.iter().copied()).finish()?.expect(0);
        end.with_context(|| format!("ctr {words:?}"))
    }

    /// What `ctr task list` says of a task.
    pub(crate) fn status(&self, id: &str) -> Result<Option<String>> {
        let list = self.ok(["task", "list"])?.text();
        let line = list
            .lines()
            .find(|line| line.split_whitespace().next() == Some(id));
        Ok(line.and_then(|line| Some(line.split_whitespace().nth(2)?.to_owned())))
    }

    fn log(&self) -> String {
        let log = std::fs::read_to_string(self.folder.join("stderr")).unwrap_or_default();
        let lines: Vec<&str> = log
            .lines()
            .filter(|line| !line.contains("loading plugin"))
            .collect();
        lines.join("\n")
    }

    fn stop(&mut self) -> Result<()> {
        let Some(daemon) = self.daemon.take() else {
            return Ok(());
        };
        daemon.signal(Signal::TERM)?;
        daemon.finish().map(drop)
    }

    fn assert_clean(&mut self) -> Result<()> {
        for what in ["task", "container"] {
            let known = self.ok([what, "list", "--quiet"])?.text();
            ensure!(known.is_empty(), "containerd still knows {known}");
        }
        self.stop()?;
        self.stage.assert_clean()
    }
}

impl Drop for Containerd {
    /// After a failure. Shims outlive their daemon; the stage ends them.
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            eprintln!("containerd does not stop: {error:#}");
        }
    }
}
