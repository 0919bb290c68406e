//! A sandbox that is held open to look at: `vc run` of a shell that waits for orders.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout};

use anyhow::{Context, Result};
use virtcontainers_process::{NONCE_VARIABLE, TAG_VARIABLE, find_by_nonce};
use virtcontainers_tests::{Place, Started};

use crate::setting::{Setting, vc_run};

/// Runs each line that it reads.
const SHELL: &[&str] = &["sh", "-c", "echo up; while read -r line; do $line; done"];

/// A running sandbox.
#[derive(Debug)]
pub(crate) struct Held {
    caller: Started,
    orders: ChildStdin,
    /// What the container writes.
    pub(crate) output: BufReader<ChildStdout>,
    machine: PathBuf,
    /// The pids of the sandbox's processes by what they are for.
    helpers: BTreeMap<String, u32>,
}

impl Held {
    /// Starts a sandbox, and returns when its shell reads.
    pub(crate) fn start(setting: &Setting, place: &Place, name: &str) -> Result<Self> {
        let id = place.id(name);
        let run = vc_run(setting, place, &id, &[], SHELL);
        let mut caller = run.stdin(std::process::Stdio::piped()).start()?;
        let orders = caller.take_stdin().context("no standard input")?;
        let stdout = caller.take_stdout().context("no standard output")?;
        let mut output = BufReader::with_capacity(1 << 20, stdout);
        let mut line = String::new();
        output.read_line(&mut line)?;
        if line != "up\n" {
            let finished = caller.finish()?;
            anyhow::bail!("the sandbox did not come up: {}", finished.stderr);
        }
        let helpers = helpers(caller.pid())?;
        let machine = place.root().join("machines").join(&id);
        Ok(Self {
            caller,
            orders,
            output,
            machine,
            helpers,
        })
    }

    /// Where the machine's sockets are.
    pub(crate) fn machine(&self) -> &Path {
        &self.machine
    }

    /// Has the shell run a command.
    pub(crate) fn order(&mut self, command: &str) -> Result<()> {
        writeln!(self.orders, "{command}")?;
        Ok(self.orders.flush()?)
    }

    /// The process that holds this role: `qemu`, `supervisor`, `virtiofsd`.
    pub(crate) fn helper(&self, role: &str) -> Result<u32> {
        let found = self.helpers.get(role).copied();
        found.with_context(|| format!("no process is the sandbox's {role}"))
    }

    /// Our own processes on the host: neither QEMU nor the file system daemon.
    pub(crate) fn ours(&self) -> Result<Vec<(String, u32)>> {
        let mut ours = vec![("caller".to_owned(), self.caller.pid())];
        for (role, pid) in &self.helpers {
            if role != "qemu" && role != "virtiofsd" {
                ours.push((role.clone(), *pid));
            }
        }
        Ok(ours)
    }

    /// Lets the shell end, and with it all.
    pub(crate) fn end(self) -> Result<()> {
        drop(self.orders);
        self.caller.finish()?.expect(0).map(drop)
    }
}

/// The sandbox of a caller is known by the nonce of the caller's child.
fn helpers(caller: u32) -> Result<BTreeMap<String, u32>> {
    let mut nonce = None;
    for entry in fs::read_dir("/proc")? {
        let path = entry?.path();
        // A process may end while it is looked at.
        let Ok(status) = fs::read_to_string(path.join("status")) else {
            continue;
        };
        if status
            .lines()
            .any(|line| line == format!("PPid:\t{caller}"))
        {
            nonce = nonce.or(variable(&path, NONCE_VARIABLE)?);
        }
    }
    let nonce = nonce.context("the caller has no supervisor")?;
    let mut helpers = BTreeMap::new();
    let mut found = find_by_nonce(&nonce)?;
    found.sort_by_key(|identity| identity.start_time);
    for identity in found {
        let path = Path::new("/proc").join(identity.pid.to_string());
        if let Some(tag) = variable(&path, TAG_VARIABLE)? {
            // Of a helper with several processes, the first.
            helpers.entry(tag).or_insert(identity.pid);
        }
    }
    Ok(helpers)
}

fn variable(process: &Path, name: &str) -> Result<Option<String>> {
    let environment = fs::read(process.join("environ"))?;
    let prefix = format!("{name}=");
    let mut entries = environment.split(|byte| *byte == 0);
    let found = entries.find_map(|entry| entry.strip_prefix(prefix.as_bytes()));
    Ok(found.map(|value| String::from_utf8_lossy(value).into_owned()))
}
