//! What `cargo xtask bench` built, and how much is to be measured.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::runtime::{Builder, Runtime};
use virtcontainers_tests::Place;
use virtcontainers_tests::program::Program;

/// More than any single step may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Where things are, and how often they are measured.
#[derive(Debug)]
pub(crate) struct Setting {
    /// Fewer repetitions.
    pub(crate) quick: bool,
    /// The guest's initial RAM disk.
    pub(crate) initrd: PathBuf,
    /// The guest's kernel.
    pub(crate) kernel: PathBuf,
    /// The guest agent's program.
    pub(crate) agent: PathBuf,
    /// A root file system with busybox.
    pub(crate) rootfs: PathBuf,
    /// The program that connects network namespaces, and has a script do the same.
    pub(crate) network_speed: PathBuf,
}

impl Setting {
    /// As `cargo xtask bench` says it.
    pub(crate) fn from_environment(quick: bool) -> Result<Self> {
        let path = |name: &str| -> Result<PathBuf> {
            let path = std::env::var_os(name)
                .with_context(|| format!("{name} is not set: run `cargo xtask bench`"))?;
            Ok(PathBuf::from(path))
        };
        let guest = path("VC_GUEST_DIR")?;
        path("VC_BIN")?;
        Ok(Self {
            quick,
            initrd: guest.join("initrd.img"),
            kernel: guest.join("vmlinux"),
            agent: path("VC_AGENT_BIN")?,
            rootfs: path("VC_TEST_ROOTFS")?,
            network_speed: path("VC_NETWORK_SPEED")?,
        })
    }

    /// How many pairs, where one takes seconds.
    pub(crate) const fn pairs(&self) -> usize {
        if self.quick { 3 } else { 11 }
    }

    /// How many pairs, where one takes milliseconds.
    pub(crate) const fn many_pairs(&self) -> usize {
        if self.quick { 10 } else { 50 }
    }

    /// `vc run`'s options for the guest that was built.
    pub(crate) fn guest_options(&self) -> [String; 4] {
        let kernel = self.kernel.display().to_string();
        let initrd = self.initrd.display().to_string();
        ["--kernel".to_owned(), kernel, "--initrd".to_owned(), initrd]
    }
}

/// An event loop on this thread.
pub(crate) fn event_loop() -> Result<Runtime> {
    Ok(Builder::new_current_thread().enable_all().build()?)
}

/// `vc run` of a command in the guest that was built.
pub(crate) fn vc_run(
    setting: &Setting,
    place: &Place,
    id: &str,
    options: &[&str],
    command: &[&str],
) -> Program {
    let guest = setting.guest_options();
    let options = guest
        .iter()
        .map(String::as_str)
        .chain(options.iter().copied());
    place.run(id, options, command.iter().copied())
}
