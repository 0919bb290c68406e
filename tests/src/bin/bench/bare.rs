//! A machine as a script would start it: QEMU and its helpers with the arguments of a real sandbox,
//! in a network namespace, and nothing of ours beside them.

use std::ffi::OsString;
use std::fs::File;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify;
use tempfile::TempDir;
use virtcontainers_agent::{Agent, AgentEndpoint, AnnounceListener, Timeouts, connect};
use virtcontainers_network::{Namespace, create_namespace_in};
use virtcontainers_process::{Child, Launcher};
use virtcontainers_types::{UndoEntry, UndoSink};

use crate::qmp::Qmp;
use crate::recipe::{Line, Recipe};
use crate::setting::PATIENCE;

/// A machine whose processors run. Dropped, its programs are killed.
#[derive(Debug)]
pub(crate) struct Bare {
    qmp: Qmp,
    announcement: Option<AnnounceListener>,
    endpoint: AgentEndpoint,
    /// When QEMU was started.
    since: Instant,
    qemu: Child,
    vsock_helper: Child,
    file_system_daemon: Child,
    _network: Network,
    _directory: TempDir,
}

impl Bare {
    /// Starts a machine that shares `served`. Within an event loop.
    pub(crate) fn start(recipe: &Recipe, served: &Path) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("vcb").tempdir()?;
        let folder = directory.path();
        let network = Network::make(folder)?;
        let endpoint = AgentEndpoint::HybridVsock {
            path: folder.join("vm.vsock"),
        };
        let announcement = AnnounceListener::bind(&endpoint)?;

        let line = &recipe.file_system_daemon;
        let mut source = OsString::from("source=");
        source.push(served);
        let mut daemon = Launcher::new(&line.program).args(line.replacing("source=", &source)?);
        daemon.pass(UnixListener::bind(folder.join("fs.sock"))?.into());
        let file_system_daemon = daemon.die_with_thread().kill_on_drop().spawn()?;

        let appears = NewFile::watch(folder)?;
        let vsock_helper = launcher(&recipe.vsock_helper, folder, &network)?.spawn()?;
        appears.wait_for("vhost.sock")?;

        let mut qemu = launcher(&recipe.qemu, folder, &network)?;
        // In the order of their numbers in the arguments.
        for socket in ["ctl", "mon"] {
            qemu.pass(UnixListener::bind(folder.join(socket))?.into());
        }
        qemu.pass(File::create(folder.join("console"))?.into());
        let since = Instant::now();
        let qemu = qemu.spawn()?;
        let mut qmp = Qmp::connect(&folder.join("mon"))?;
        qmp.execute("cont")?;
        Ok(Self {
            qmp,
            announcement: Some(announcement),
            endpoint,
            since,
            qemu,
            vsock_helper,
            file_system_daemon,
            _network: network,
            _directory: directory,
        })
    }

    /// Waits until the guest's agent says that it listens.
    pub(crate) async fn announced(&mut self) -> Result<()> {
        let announcement = self.announcement.take();
        let announcement = announcement.context("the agent announces itself once")?;
        Ok(announcement.wait(PATIENCE, std::future::pending()).await?)
    }

    /// Connects to the agent, which says that it serves.
    pub(crate) async fn connect(&self) -> Result<Agent> {
        Ok(connect(&self.endpoint, Timeouts::default(), PATIENCE).await?)
    }

    /// Waits until the guest has powered itself off.
    pub(crate) async fn powered_off(&self) -> Result<()> {
        let exit = tokio::time::timeout(PATIENCE, self.qemu.wait()).await??;
        anyhow::ensure!(exit.is_success(), "qemu: {exit}");
        Ok(())
    }

    /// The time since QEMU was started.
    pub(crate) fn running_for(&self) -> Duration {
        self.since.elapsed()
    }

    /// Quits, and waits until all have ended and nothing is left.
    pub(crate) fn quit(mut self) -> Result<()> {
        self.qmp.execute("quit")?;
        self.qemu.wait_blocking(PATIENCE)?;
        // It would wait for the next machine.
        self.vsock_helper.kill()?;
        self.vsock_helper.wait_blocking(PATIENCE)?;
        self.file_system_daemon.wait_blocking(PATIENCE)?;
        Ok(())
    }
}

fn launcher(line: &Line, folder: &Path, network: &Network) -> Result<Launcher> {
    let launcher = Launcher::new(&line.program)
        .args(line.args.iter().cloned())
        .current_dir(folder)
        .network_namespace(network.namespace.descriptor()?)
        .die_with_thread()
        .kill_on_drop();
    Ok(launcher)
}

/// A network namespace, removed when it is dropped.
#[derive(Debug)]
struct Network {
    namespace: Namespace,
    made: Made,
}

/// What was made, in order.
#[derive(Debug, Default)]
struct Made(Mutex<Vec<UndoEntry>>);

impl UndoSink for Made {
    fn record(&self, entry: UndoEntry) -> std::io::Result<()> {
        let made = self.0.lock();
        made.map_err(|_| std::io::Error::other("poisoned"))?
            .push(entry);
        Ok(())
    }
}

impl Network {
    fn make(folder: &Path) -> Result<Self> {
        let made = Made::default();
        let directory = folder.join("netns");
        let namespace = create_namespace_in(&directory, "bare", &made)?;
        Ok(Self { namespace, made })
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let made = std::mem::take(&mut self.made.0);
        for entry in made.into_inner().unwrap_or_default().iter().rev() {
            if let Err(error) = virtcontainers_network::undo(entry) {
                eprintln!("bench: {error}");
            }
        }
    }
}

/// Waits for a file to appear in a folder.
#[derive(Debug)]
struct NewFile(OwnedFd);

impl NewFile {
    fn watch(folder: &Path) -> Result<Self> {
        let descriptor = inotify::init(inotify::CreateFlags::CLOEXEC)?;
        inotify::add_watch(&descriptor, folder, inotify::WatchFlags::CREATE)?;
        Ok(Self(descriptor))
    }

    fn wait_for(&self, name: &str) -> Result<()> {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut events = inotify::Reader::new(&self.0, &mut buffer);
        let deadline = Timespec::try_from(PATIENCE)?;
        loop {
            if events.is_buffer_empty() {
                let mut ready = [PollFd::new(&self.0, PollFlags::IN)];
                let count = poll(&mut ready, Some(&deadline))?;
                anyhow::ensure!(count > 0, "{name} does not appear");
            }
            if events
                .next()?
                .file_name()
                .is_some_and(|file| file.to_bytes() == name.as_bytes())
            {
                return Ok(());
            }
        }
    }
}
