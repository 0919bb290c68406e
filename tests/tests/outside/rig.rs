//! A state root, a sandbox's id, and actors on it.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;
use virtcontainers_tests::history::{Journal, Line};
use virtcontainers_tests::inventory::works_in;
use virtcontainers_tests::program::{Finished, Program};

use crate::host::Host;

static COUNT: AtomicU32 = AtomicU32::new(0);

/// What a sandbox is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sandbox {
    /// Processes, sockets and files.
    Plain,
    /// Also mounts, a file system daemon and a network namespace.
    Sharing,
}

/// A place of one sandbox. Remembers what there was before.
pub(crate) struct Rig {
    directory: TempDir,
    sandbox: Sandbox,
    id: String,
    /// Whether a history is written.
    journal: bool,
    host: Host,
}

impl Rig {
    pub(crate) fn new(sandbox: Sandbox, journal: bool) -> Result<Self> {
        // In memory: who waits for a disk meets nobody.
        let directory = tempfile::Builder::new()
            .prefix("vco")
            .tempdir_in("/dev/shm")?;
        for name in ["reports", "rootfs"] {
            std::fs::create_dir(directory.path().join(name))?;
        }
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let id = format!("o{}-{number}", std::process::id());
        let host = Host::look(&directory.path().join("state"), &id)?;
        Ok(Self {
            directory,
            sandbox,
            id,
            journal,
            host,
        })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn setting(&self) -> Value {
        let mut setting = json!({
            "root": self.path("state"),
            "id": self.id,
            "reports": self.path("reports"),
            "patience": 2.0,
        });
        if self.journal {
            setting["journal"] = json!(self.path("journal"));
        }
        if self.sandbox == Sandbox::Sharing {
            setting["rootfs"] = json!(self.path("rootfs"));
        }
        setting
    }

    /// An actor with this command.
    pub(crate) fn actor<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Program {
        let actor = Program::new(env!("CARGO_BIN_EXE_actor")).arg(self.setting().to_string());
        words.into_iter().fold(actor, |actor, word| actor.arg(word))
    }

    /// The arguments of an actor with this command, the program first.
    pub(crate) fn words(&self, command: &str) -> Vec<String> {
        let program = env!("CARGO_BIN_EXE_actor").to_owned();
        vec![program, self.setting().to_string(), command.to_owned()]
    }

    /// Carries out one operation, and fails if it does; what is not there need not be deleted.
    pub(crate) fn do_one<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Result<Finished> {
        let finished = self.actor(words).finish()?;
        let gone = refusal(&finished).is_some_and(|kind| kind == "not-found");
        if gone {
            Ok(finished)
        } else {
            finished.expect(0)
        }
    }

    /// Whoever is left is told to recover, then to remove the sandbox.
    pub(crate) fn clear(&self) -> Result<()> {
        self.do_one(["recover"])?;
        self.do_one(["delete", "force"])?;
        Ok(())
    }

    /// Leaves everything where it is, for somebody to look at, and says where.
    pub(crate) fn keep(&mut self) -> PathBuf {
        self.directory.disable_cleanup(true);
        self.directory.path().to_owned()
    }

    pub(crate) fn history(&self) -> Result<Vec<Line>> {
        Journal::read(&self.path("journal"))
    }

    /// What was done against the rules of guests' agents.
    pub(crate) fn violations(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.path("reports/violations"));
        let text = text.unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Fails if there is anything that there was not before.
    pub(crate) fn assert_clean(&self) -> Result<()> {
        self.host.assert_same()
    }

    /// Kills the sandbox's supervisor.
    pub(crate) fn kill_supervisor(&self) -> Result<()> {
        let state = self.path("state");
        for entry in std::fs::read_dir("/proc")? {
            let path = entry?.path();
            // Most processes are others', and some end meanwhile.
            let line = std::fs::read(path.join("cmdline")).unwrap_or_default();
            let supervises = line.split(|byte| *byte == 0).nth(1) == Some(b"supervise");
            if supervises && works_in(&path, &state) {
                let pid = path
                    .file_name()
                    .and_then(|name| name.to_str()?.parse().ok());
                let pid = pid.and_then(Pid::from_raw).context("no pid")?;
                kill_process(pid, Signal::KILL)?;
                return Ok(());
            }
        }
        bail!("no supervisor")
    }
}

impl Drop for Rig {
    /// What a failed test left is removed, so that it does not disturb the next.
    fn drop(&mut self) {
        if let Err(error) = self.do_one(["delete", "force"]) {
            eprintln!("cannot remove {}: {error:#}", self.id);
        }
    }
}

/// The kind of the error that an actor's last operation ended with.
pub(crate) fn refusal(finished: &Finished) -> Option<String> {
    let text = finished.text();
    let last: Value = serde_json::from_str(text.lines().last()?).ok()?;
    Some(last["ending"]["refused"]["kind"].as_str()?.to_owned())
}

/// Runs programs side by side to their ends, and calls `after_each` when one of them has ended.
pub(crate) fn together(
    programs: Vec<Program>,
    mut after_each: impl FnMut() -> Result<()>,
) -> Result<Vec<Finished>> {
    let (ended, ends) = mpsc::channel();
    let count = programs.len();
    for program in programs {
        let (started, ended) = (program.start()?, ended.clone());
        std::thread::spawn(move || ended.send(started.finish()));
    }
    let mut all = Vec::with_capacity(count);
    for _ in 0..count {
        all.push(ends.recv()??);
        after_each()?;
    }
    Ok(all)
}
