//! A state root, a sandbox's id, and actors on it.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde_json::{Value, json};
use tempfile::TempDir;
use virtcontainers_testkit::inventory::{Inventory, Scope};
use virtcontainers_tests::history::{Journal, Line};
use virtcontainers_tests::program::{Finished, Program};

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
    before: Inventory,
}

impl Rig {
    pub(crate) fn new(sandbox: Sandbox, journal: bool) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("vco").tempdir()?;
        for name in ["reports", "rootfs"] {
            std::fs::create_dir(directory.path().join(name))?;
        }
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let id = format!("o{}-{number}", std::process::id());
        let before = Inventory::take(&scope(directory.path(), &id))?;
        Ok(Self {
            directory,
            sandbox,
            id,
            journal,
            before,
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
    pub(crate) fn keep(self) -> PathBuf {
        self.directory.keep()
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
    ///
    /// Whoever removed a sandbox on their own account may still be about to end.
    pub(crate) fn assert_clean(&self) -> Result<()> {
        let scope = scope(self.directory.path(), &self.id);
        for item in Inventory::take(&scope)?.compared_with(&self.before) {
            if let Some((_, process)) = item.split_once("process ") {
                let (pid, _) = process.split_once(':').unwrap_or((process, ""));
                await_end(pid.parse()?)?;
            }
        }
        let after = Inventory::take(&scope)?;
        let other = after.compared_with(&self.before);
        ensure!(other.is_empty(), "{other:#?}");
        Ok(())
    }
}

/// Waits for the end of a process, for a while.
fn await_end(pid: i32) -> Result<()> {
    let pid = Pid::from_raw(pid).context("no pid")?;
    let patience = Timespec {
        tv_sec: 5,
        tv_nsec: 0,
    };
    match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(process) => {
            poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&patience))?;
            Ok(())
        }
        // It has ended.
        Err(Errno::SRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn scope(directory: &Path, id: &str) -> Scope {
    Scope {
        root: directory.join("state"),
        prefix: id.to_owned(),
        descriptors: false,
    }
}

/// The kind of the error that an actor's last operation ended with.
pub(crate) fn refusal(finished: &Finished) -> Option<String> {
    let text = finished.text();
    let last: Value = serde_json::from_str(text.lines().last()?).ok()?;
    Some(last["ending"]["refused"]["kind"].as_str()?.to_owned())
}

/// Runs programs side by side to their ends.
pub(crate) fn together(programs: Vec<Program>) -> Result<Vec<Finished>> {
    let started: Result<Vec<_>> = programs.into_iter().map(Program::start).collect();
    let waiting: Vec<_> = started?
        .into_iter()
        .map(|one| std::thread::spawn(move || one.finish()))
        .collect();
    waiting
        .into_iter()
        .map(|one| one.join().ok().context("a thread panicked")?)
        .collect()
}
