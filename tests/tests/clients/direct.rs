//! The runtime's own command line, as managers call it: bundles and containers of them.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use rustix::process::Pid;
use serde_json::{Value, json};
use virtcontainers_tests::program::{Finished, Program};

use crate::left::await_end;
use crate::stage::{Root, Runtime, Stage};

/// Type, destination, options.
const MOUNTS: [(&str, &str, &[&str]); 4] = [
    ("proc", "/proc", &[]),
    ("tmpfs", "/dev", &["nosuid", "mode=755", "size=65536k"]),
    ("devpts", "/dev/pts", &["newinstance", "ptmxmode=0666"]),
    ("sysfs", "/sys", &["nosuid", "noexec", "nodev", "ro"]),
];

/// Runs a case with the runtime alone, tells of its failure with the runtime's logs, and looks at what
/// is left.
pub(crate) fn with_runtime(runtime: Runtime, case: fn(&Stage) -> Result<()>) -> Result<()> {
    let stage = Stage::new(runtime, Root::Script)?;
    case(&stage).map_err(|error| stage.told(&error))?;
    stage.assert_clean()
}

/// A bundle, and the container that is made from it.
#[derive(Debug)]
pub(crate) struct Direct<'a> {
    stage: &'a Stage,
    bundle: PathBuf,
    id: String,
}

impl<'a> Direct<'a> {
    /// The bundle of a command, with or without a terminal.
    pub(crate) fn bundle(
        stage: &'a Stage,
        name: &str,
        terminal: bool,
        args: &[&str],
    ) -> Result<Self> {
        let id = stage.place().id(name);
        let bundle = stage.place().path(name);
        std::fs::create_dir(&bundle)?;
        let mounts = MOUNTS.iter().map(|(kind, destination, options)| {
            json!({ "type": kind, "source": kind, "destination": destination, "options": options })
        });
        let namespaces = ["pid", "ipc", "uts", "mount", "network"];
        let namespaces = namespaces.iter().map(|kind| json!({ "type": kind }));
        let capabilities = json!(["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]);
        let config = json!({
            "ociVersion": "1.0.2",
            "hostname": "direct",
            "process": {
                "args": args, "cwd": "/", "env": ["PATH=/bin", "TERM=xterm"],
                "terminal": terminal, "user": { "uid": 0, "gid": 0 }, "noNewPrivileges": true,
                "capabilities": {
                    "bounding": capabilities, "effective": capabilities, "permitted": capabilities,
                },
            },
            "root": { "path": stage.place().rootfs() },
            "mounts": mounts.collect::<Vec<_>>(),
            "linux": {
                "cgroupsPath": format!("{}/{name}", stage.cgroup()),
                "namespaces": namespaces.collect::<Vec<_>>(),
            },
        });
        std::fs::write(bundle.join("config.json"), config.to_string())?;
        Ok(Self { stage, bundle, id })
    }

    /// One that runs until it is killed.
    pub(crate) fn running(stage: &'a Stage, name: &str) -> Result<Self> {
        let direct = Self::bundle(stage, name, false, &["sleep", "100000"])?;
        direct.create()?;
        direct.ok(["start", &direct.id])?;
        Ok(direct)
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// `create` with these options. What it leaves running has files for its outputs, in the bundle.
    pub(crate) fn creation(&self, options: &[&str]) -> Result<Program> {
        let mut program = self.stage.call(["create", "--bundle"]).arg(&self.bundle);
        program = program.arg("--pid-file").arg(self.pid_file());
        for option in options {
            program = program.arg(*option);
        }
        program.arg(&self.id).output_to(&self.bundle)
    }

    /// What a program that was given files for its outputs wrote there, and what it complained of.
    pub(crate) fn outputs(&self) -> Result<(String, String)> {
        let read = |name: &str| std::fs::read_to_string(self.bundle.join(name));
        Ok((read("stdout")?, read("stderr")?))
    }

    /// Creates the container.
    pub(crate) fn create(&self) -> Result<()> {
        let status = self.creation(&[])?.finish()?.status;
        let (stdout, stderr) = self.outputs()?;
        ensure!(status == 0, "create: status {status}: {stderr}");
        ensure!(stdout.is_empty(), "create wrote {stdout:?}");
        Ok(())
    }

    fn pid_file(&self) -> PathBuf {
        self.bundle.join("pid")
    }

    /// The process that stands for the container, by the file that was asked for.
    pub(crate) fn pid(&self) -> Result<Pid> {
        let text = std::fs::read_to_string(self.pid_file())?;
        Pid::from_raw(text.trim().parse()?).context("no pid")
    }

    /// Runs the runtime, which has to succeed.
    pub(crate) fn ok<'b>(&self, words: impl IntoIterator<Item = &'b str>) -> Result<Finished> {
        let words: Vec<&str> = words.into_iter().collect();
        let end = self.stage.call(words.iter().copied()).finish()?.expect(0);
        end.with_context(|| words.join(" "))
    }

    /// The runtime's state of it, `None` where there is none.
    pub(crate) fn state(&self) -> Result<Option<Value>> {
        let state = self.stage.call(["state", &self.id]).finish()?;
        match state.status {
            0 => Ok(Some(serde_json::from_slice(&state.stdout)?)),
            _ => Ok(None),
        }
    }

    /// Its status in words of the runtime specification.
    pub(crate) fn status(&self) -> Result<Option<String>> {
        let state = self.state()?;
        let status = state.as_ref().and_then(|state| state["status"].as_str());
        Ok(status.map(str::to_owned))
    }

    /// Kills it, and waits for the end of the process that stands for it.
    pub(crate) fn kill(&self) -> Result<()> {
        self.ok(["kill", &self.id, "KILL"])?;
        await_end(self.pid()?)
    }

    pub(crate) fn delete(&self) -> Result<()> {
        self.ok(["delete", &self.id]).map(drop)
    }
}
