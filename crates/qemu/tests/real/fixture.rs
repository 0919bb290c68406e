//! A sandbox of one test: its directory, its nonce, its ledger; nothing of it may be left.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use virtcontainers_hypervisor::{Backend, Handoffs, Launched, Machine, MachinePlan};
use virtcontainers_process::find_by_nonce;
use virtcontainers_qemu::{AcceleratorChoice, QemuBackend, QemuConfig, VsockChoice};
use virtcontainers_types::{
    BootConfig, Deadlines, GuestRoot, Mebibytes, ProcessIdentity, SandboxId, UndoEntry, UndoSink,
    VcpuCount,
};

use crate::guest::Guest;

pub(crate) const SOON: Duration = Duration::from_secs(60);

/// A ledger in memory.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ledger(Arc<Mutex<Vec<UndoEntry>>>);

impl Ledger {
    pub(crate) fn entries(&self) -> Vec<UndoEntry> {
        self.0.lock().expect("no test panics within").clone()
    }
}

impl UndoSink for Ledger {
    fn record(&self, entry: UndoEntry) -> std::io::Result<()> {
        self.0.lock().expect("no test panics within").push(entry);
        Ok(())
    }
}

#[derive(Debug)]
pub(crate) struct Fixture {
    _root: tempfile::TempDir,
    pub(crate) plan: MachinePlan,
    pub(crate) nonce: String,
    pub(crate) ledger: Ledger,
    pub(crate) backend: QemuBackend,
}

impl Fixture {
    pub(crate) fn new(guest: Guest) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let root = tempfile::tempdir().expect("a folder");
        let kernel = root.path().join("kernel");
        std::fs::write(&kernel, guest.image()).expect("a kernel");
        let initrd = root.path().join("initrd");
        std::fs::write(&initrd, "not looked at").expect("an initrd");
        // Longer than the path of a socket may be.
        let directory = root.path().join("d".repeat(120));
        std::fs::create_dir(&directory).expect("a folder");
        let plan = MachinePlan {
            id: SandboxId::new(format!("test-{number}")).expect("a good id"),
            directory,
            memory: Mebibytes::MINIMUM,
            vcpus: VcpuCount::ONE,
            boot: BootConfig {
                kernel,
                root: GuestRoot::Initrd(initrd),
                kernel_params: Vec::new(),
                hypervisor: Default::default(),
            },
            share: None,
            network_devices: Vec::new(),
            agent_announces: true,
            deadlines: Deadlines::EMULATED,
        };
        Self {
            _root: root,
            plan,
            nonce: format!("qemu-real-{}-{number}", std::process::id()),
            ledger: Ledger::default(),
            backend: Self::backend(),
        }
    }

    /// A backend, as a second process would have one.
    pub(crate) fn backend() -> QemuBackend {
        QemuBackend::new(QemuConfig {
            accelerator: AcceleratorChoice::Tcg,
            vsock: VsockChoice::VhostUser,
            ..QemuConfig::default()
        })
    }

    pub(crate) fn handoffs(&self) -> Handoffs {
        Handoffs {
            nonce: self.nonce.clone(),
            ..Handoffs::default()
        }
    }

    pub(crate) async fn launch_with(&self, handoffs: Handoffs) -> Box<dyn Launched> {
        let launch = self
            .backend
            .launch(self.plan.clone(), handoffs, &self.ledger);
        launch.await.expect("a launch")
    }

    pub(crate) async fn launch(&self) -> Box<dyn Launched> {
        self.launch_with(self.handoffs()).await
    }

    pub(crate) async fn start(&self) -> Arc<dyn Machine> {
        self.launch().await.start().await.expect("a start")
    }

    /// The names that are in the machine's directory now.
    pub(crate) fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.plan.directory).expect("a folder");
        let name = |entry: std::io::Result<std::fs::DirEntry>| {
            let name = entry.expect("an entry").file_name();
            name.into_string().expect("text")
        };
        let mut names: Vec<String> = entries.map(name).collect();
        names.sort();
        names
    }

    /// No process carries the nonce, no file is left.
    pub(crate) fn assert_nothing_is_left(&self) {
        let left = find_by_nonce(&self.nonce).expect("a search");
        assert!(left.is_empty(), "{left:?} are left");
        let files = self.files();
        assert!(files.is_empty(), "{files:?} are left");
    }
}

impl Drop for Fixture {
    /// A test that failed leaves nothing behind either.
    fn drop(&mut self) {
        for process in find_by_nonce(&self.nonce).unwrap_or_default() {
            drop(virtcontainers_process::kill_and_wait(process, SOON));
        }
    }
}

/// A console: what the guest writes, and the end to hand over.
pub(crate) fn console() -> (File, OwnedFd) {
    let flags = rustix::pipe::PipeFlags::CLOEXEC;
    let (reader, writer) = rustix::pipe::pipe_with(flags).expect("a pipe");
    (File::from(reader), writer)
}

/// Reads until the guest has said that it runs.
pub(crate) async fn until_up(mut console: File) -> File {
    let reading = tokio::task::spawn_blocking(move || {
        let mut seen = Vec::new();
        let mut byte = [0];
        while !seen.ends_with(b"up\n") {
            let read = console.read(&mut byte).expect("a console");
            assert_eq!(read, 1, "the console ended after {seen:?}");
            seen.push(byte[0]);
        }
        console
    });
    let read = tokio::time::timeout(SOON, reading).await;
    read.expect("in time").expect("a thread")
}

pub(crate) fn lives(process: ProcessIdentity) -> bool {
    virtcontainers_process::Identity {
        pid: process.pid,
        start_time: process.start_time,
    }
    .is_alive()
}

/// What the descriptors of a process point to.
pub(crate) fn descriptors(process: ProcessIdentity) -> Vec<PathBuf> {
    let folder = Path::new("/proc").join(process.pid.to_string()).join("fd");
    let entries = std::fs::read_dir(folder).expect("a process");
    entries
        .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
        .collect()
}
