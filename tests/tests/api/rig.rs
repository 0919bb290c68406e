//! What the tests of the API work with: a runtime in a place of its own, configurations, and a
//! directory that host and containers share.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify;
use serde_json::Value;
use virtcontainers::oci::{CommandLine, container_spec, exec_process};
use virtcontainers::types::{ContainerConfig, ContainerId, ExitStatus, Lifetime, SandboxConfig};
use virtcontainers::{
    Config, ContainerIo, CreateOptions, ErrorKind, ExecRequest, Runtime, RuntimeError,
    RuntimeOptions, Sandbox, sandbox_config,
};
use virtcontainers_qemu::{QemuBackend, QemuConfig};
use virtcontainers_tests::Place;

/// Where containers see the directory that they share with the test.
pub(crate) const SHARED: &str = "/shared";

/// Writes a growing number to the shared file `counter`, some twenty times a second.
pub(crate) const COUNT: &str =
    "i=0; while :; do i=$((i+1)); echo $i > /shared/counter; usleep 50000; done";

/// A place with a runtime. Its sandboxes are supervised by tasks of this process and live until they
/// are stopped.
pub(crate) struct Rig {
    pub(crate) place: Place,
    pub(crate) runtime: Runtime,
}

impl Rig {
    pub(crate) fn new() -> Result<Self> {
        let place = Place::new()?;
        std::fs::create_dir(place.path("shared"))?;
        let runtime = runtime(&place, 1.0)?;
        Ok(Self { place, runtime })
    }

    /// One more runtime at the same state root: it knows nothing of what the first one did.
    pub(crate) fn another_runtime(&self) -> Result<Runtime> {
        runtime(&self.place, 1.0)
    }

    /// A runtime whose deadlines are a fraction of the usual ones.
    pub(crate) fn impatient_runtime(&self) -> Result<Runtime> {
        runtime(&self.place, 0.05)
    }

    /// The shared directory on the host.
    pub(crate) fn shared(&self) -> PathBuf {
        self.place.path("shared")
    }

    /// What a container wrote into a file of the shared directory.
    pub(crate) fn read_shared(&self, name: &str) -> Result<String> {
        let path = self.shared().join(name);
        std::fs::read_to_string(&path).with_context(|| path.display().to_string())
    }

    pub(crate) fn id(&self, name: &str) -> Result<ContainerId> {
        Ok(ContainerId::new(self.place.id(name))?)
    }

    /// A container that runs a command.
    pub(crate) fn container(&self, name: &str, command: &[&str]) -> Result<ContainerConfig> {
        let command = CommandLine {
            args: words(command),
            ..CommandLine::default()
        };
        let shared = format!("{}:{SHARED}", self.shared().display());
        Ok(ContainerConfig {
            id: self.id(name)?,
            rootfs: self.place.rootfs().into(),
            bundle: None,
            cgroup: None,
            spec: container_spec(&command, &self.place.rootfs(), &[shared.parse()?]),
        })
    }

    /// A container that runs a script.
    pub(crate) fn script(&self, name: &str, script: &str) -> Result<ContainerConfig> {
        self.container(name, &["sh", "-c", script])
    }

    /// A sandbox with this container, that ends only when it is told to.
    pub(crate) fn sandbox(&self, container: ContainerConfig) -> Result<SandboxConfig> {
        let mut config = sandbox_config(&Config::default(), container)?;
        config.lifetime = Lifetime::Explicit;
        Ok(config)
    }

    /// A running sandbox with a container that sleeps.
    pub(crate) async fn run_sleeping(&self, name: &str) -> Result<Sandbox> {
        self.run(self.container(name, &["sleep", "100000"])?).await
    }

    /// A running sandbox with this container.
    pub(crate) async fn run(&self, container: ContainerConfig) -> Result<Sandbox> {
        let config = self.sandbox(container)?;
        let options = CreateOptions::default();
        Ok(self.runtime.run_sandbox(config, options).await?)
    }

    /// Deletes a sandbox, and fails if anything of this place is left.
    pub(crate) async fn finish(self, sandbox: Sandbox) -> Result<()> {
        sandbox.delete(true).await?;
        self.place.assert_clean()
    }
}

fn runtime(place: &Place, deadline_factor: f64) -> Result<Runtime> {
    let options = RuntimeOptions {
        deadline_factor,
        ..RuntimeOptions::new(place.root())
    };
    let backend = Arc::new(QemuBackend::new(QemuConfig::default()));
    Ok(Runtime::new(options, backend)?)
}

pub(crate) fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// Changes a container's specification as JSON.
pub(crate) fn with_spec(
    mut config: ContainerConfig,
    change: impl FnOnce(&mut Value),
) -> Result<ContainerConfig> {
    let mut spec = serde_json::to_value(&config.spec)?;
    change(&mut spec);
    config.spec = serde_json::from_value(spec)?;
    Ok(config)
}

pub(crate) fn pipe() -> Result<(File, OwnedFd)> {
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    Ok((read.into(), write))
}

/// A command for a container, with its output to `stdout`.
pub(crate) fn request(
    container: &ContainerId,
    command: &[&str],
    stdout: Option<OwnedFd>,
) -> ExecRequest {
    let command = CommandLine {
        args: words(command),
        ..CommandLine::default()
    };
    ExecRequest {
        container: container.clone(),
        process: exec_process(&command),
        io: ContainerIo::new(None, stdout, None),
    }
}

/// Runs a command in a container to its end, and gives what it wrote.
pub(crate) async fn exec(
    sandbox: &Sandbox,
    container: &ContainerId,
    command: &[&str],
) -> Result<String> {
    let (mut output, stdout) = pipe()?;
    let process = sandbox
        .enter_container(request(container, command, Some(stdout)))
        .await?;
    let status = process.wait().await?;
    let mut text = String::new();
    output.read_to_string(&mut text)?;
    anyhow::ensure!(status == ExitStatus(0), "{command:?}: {status:?} {text}");
    Ok(text)
}

/// One line of a stream, as soon as it is there.
pub(crate) fn line(stream: &mut BufReader<impl Read>) -> Result<String> {
    let mut text = String::new();
    stream.read_line(&mut text)?;
    Ok(text)
}

/// Fails unless something was refused for this reason, with a message that has all `parts`.
pub(crate) fn refused<T>(
    result: Result<T, RuntimeError>,
    kind: ErrorKind,
    parts: &[&str],
) -> Result<()> {
    let error = result.err().context("it should have been refused")?;
    anyhow::ensure!(error.kind() == kind, "{:?}: {error}", error.kind());
    for part in parts {
        anyhow::ensure!(error.to_string().contains(part), "{part:?} in {error}");
    }
    Ok(())
}

/// Tells whether files in a directory are being written.
pub(crate) struct Writes(OwnedFd);

impl Writes {
    pub(crate) fn to(directory: &Path) -> Result<Self> {
        let flags = inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK;
        let watch = inotify::init(flags)?;
        inotify::add_watch(&watch, directory, inotify::WatchFlags::CLOSE_WRITE)?;
        Ok(Self(watch))
    }

    /// Waits for the next writes; fails when none come.
    pub(crate) fn go_on(&self) -> Result<()> {
        anyhow::ensure!(self.within(30, 0)?, "nothing is written");
        Ok(())
    }

    /// Fails unless there is half a second without writes: what was under way may still arrive.
    pub(crate) fn stand_still(&self) -> Result<()> {
        for _ in 0..10 {
            if !self.within(0, 500_000_000)? {
                return Ok(());
            }
        }
        anyhow::bail!("something goes on writing")
    }

    fn within(&self, tv_sec: i64, tv_nsec: i64) -> Result<bool> {
        let patience = Timespec { tv_sec, tv_nsec };
        let events = poll(&mut [PollFd::new(&self.0, PollFlags::IN)], Some(&patience))?;
        let mut seen = [0; 4096];
        while rustix::io::read(&self.0, &mut seen).is_ok() {}
        Ok(events > 0)
    }
}
