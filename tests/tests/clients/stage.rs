//! The runtime under test as managers are given it: a script that calls it with the test's own state
//! root, because a manager hands on neither environment nor flags to all of its calls.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use rustix::process::Pid;
use virtcontainers_tests::Place;
use virtcontainers_tests::place::vc_program;
use virtcontainers_tests::program::Program;

use crate::left::{self, Left};

/// Variables by which the programs of this workspace find what was built.
const HANDED_ON: [&str; 3] = ["VC_GUEST_DIR", "XDG_CACHE_HOME", "HOME"];

/// The configuration that a case may write, in the place.
const CONFIGURATION: &str = "configuration.toml";

/// Which runtime a case is tried with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Runtime {
    /// The reference: what a case expects of it, managers rely on.
    Runc,
    /// Ours.
    Vc,
}

/// Who says where the runtime's state is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Root {
    /// The script does.
    Script,
    /// Whoever calls the script; it will be this folder of the stage's state root.
    Caller(&'static str),
}

/// A place, a runtime in it, and what was on the host before.
#[derive(Debug)]
pub(crate) struct Stage {
    place: Place,
    runtime: Runtime,
    program: PathBuf,
    root: PathBuf,
    left: Left,
}

impl Stage {
    pub(crate) fn new(runtime: Runtime, root: Root) -> Result<Self> {
        let place = Place::new()?;
        let (name, target) = match runtime {
            Runtime::Runc => ("runc", PathBuf::from("runc")),
            Runtime::Vc => ("vc", vc_program()),
        };
        let mut script = String::from("#!/bin/sh\n");
        for name in HANDED_ON {
            if let Some(value) = std::env::var_os(name) {
                script += &format!("export {name}='{}'\n", value.display());
            }
        }
        let configuration = place.path(CONFIGURATION).display().to_string();
        script += &format!("[ ! -e '{configuration}' ] || export VC_CONFIG='{configuration}'\n");
        script += &format!("exec '{}'", target.display());
        if root == Root::Script {
            script += &format!(" --root '{}'", place.root().display());
        }
        script += " \"$@\"\n";
        let program = place.path(name);
        std::fs::write(&program, script)?;
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755))?;
        let left = Left::look(&place)?;
        let root = match root {
            Root::Script => place.root().to_owned(),
            Root::Caller(folder) => place.root().join(folder),
        };
        Ok(Self {
            place,
            runtime,
            program,
            root,
            left,
        })
    }

    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    pub(crate) fn runtime(&self) -> Runtime {
        self.runtime
    }

    /// The script.
    pub(crate) fn program(&self) -> &Path {
        &self.program
    }

    /// Writes the configuration that `vc` finds from now on.
    pub(crate) fn configure(&self, configuration: &str) -> Result<()> {
        let path = self.place.path(CONFIGURATION);
        std::fs::write(&path, configuration).with_context(|| path.display().to_string())
    }

    /// The cgroup under which managers put what they make.
    pub(crate) fn cgroup(&self) -> String {
        format!("/{}", self.place.prefix())
    }

    /// The runtime with these arguments, on this stage's state root.
    pub(crate) fn call<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Program {
        let mut program = Program::new(&self.program);
        if self.root != self.place.root() {
            program = program.arg("--root").arg(&self.root);
        }
        for word in words {
            program = program.arg(word);
        }
        program
    }

    /// The processes in a cgroup below ours, and what they are called.
    pub(crate) fn processes_of(&self, cgroup: &str) -> Result<Vec<(Pid, String)>> {
        let mut found = Vec::new();
        for folder in left::hierarchies()? {
            let path = folder.join(&self.cgroup()[1..]).join(cgroup);
            let list = std::fs::read_to_string(path.join("cgroup.procs"));
            for line in list.unwrap_or_default().lines() {
                let name = std::fs::read_to_string(format!("/proc/{line}/comm"));
                let pid = Pid::from_raw(line.parse()?).context("a process we cannot see")?;
                found.push((pid, name.unwrap_or_default().trim().to_owned()));
            }
        }
        Ok(found)
    }

    /// How many machines there are.
    pub(crate) fn machines(&self) -> Result<usize> {
        let folder = self.root.join("machines");
        let entries = std::fs::read_dir(&folder).with_context(|| folder.display().to_string())?;
        Ok(entries.count())
    }

    /// The error, and what the runtime's own processes have to say about it.
    pub(crate) fn told(&self, error: &anyhow::Error) -> anyhow::Error {
        anyhow!("{error:?}\n{}", self.logs())
    }

    fn logs(&self) -> String {
        let mut text = String::new();
        let machines = std::fs::read_dir(self.root.join("machines"));
        for machine in machines.into_iter().flatten().flatten() {
            for name in ["supervisor.log", "console.log"] {
                let path = machine.path().join(name);
                if let Ok(log) = std::fs::read(&path) {
                    let log = String::from_utf8_lossy(&log);
                    text += &format!("--- {}\n{log}\n", path.display());
                }
            }
        }
        text
    }

    /// Waits for the processes that are about to end.
    pub(crate) fn await_ends(&self) -> Result<()> {
        self.left.await_ends(&self.place)
    }

    /// Waits for the processes that are about to end, removes the cgroups that are the managers', and
    /// fails if anything is left.
    pub(crate) fn assert_clean(&self) -> Result<()> {
        self.left.assert_nothing(&self.place)?;
        self.place.assert_clean()
    }
}

impl Drop for Stage {
    /// What a failed case left is ended here, so that it does not disturb the next.
    fn drop(&mut self) {
        let listed = self.call(["list", "--quiet"]).finish();
        for id in listed.map(|list| list.text()).unwrap_or_default().lines() {
            match self.call(["delete", "--force", id]).finish() {
                Ok(end) if end.status == 0 => {}
                other => eprintln!("cannot delete {id}: {other:?}"),
            }
        }
        if let Err(error) = self.left.end_everything(&self.place) {
            eprintln!("cannot clean up: {error:#}");
        }
    }
}
