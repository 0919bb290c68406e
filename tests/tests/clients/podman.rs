//! Podman with everything of its own: storage, state, locks, configuration, cgroup.

mod connect;
mod exec;
mod files;
mod image;
mod life;
mod limits;
mod namespace;
mod network;
mod pod;
mod run;
mod terminal;
mod watch;

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use rustix::fs::{FsWord, statfs};
use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount};
use virtcontainers_tests::program::{Finished, Program};

use self::network::Keeper;
use crate::stage::{Root, Runtime, Stage};

/// What this Podman is told beside its command line. Locks in files: those in shared memory are one set
/// for all Podmans of a host. Limits: the defaults exceed what a small machine allows.
const CONFIGURATION: &str = r#"
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
log_driver = "k8s-file"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
lock_type = "file"
infra_command = "/catatonit"
runtime_supports_json = ["runc", "vc"]
helper_binaries_dir = ["/usr/libexec/podman", "/usr/lib/podman", "/usr/bin"]
[network]
network_backend = "cni"
"#;

/// `OVERLAYFS_SUPER_MAGIC` of `linux/magic.h`.
const OVERLAY: FsWord = 0x794c_7630;

/// A Podman that drives a runtime.
#[derive(Debug)]
pub(crate) struct Podman {
    folder: PathBuf,
    stage: Stage,
    keeper: Option<Keeper>,
}

/// Runs a case with Podman, tells of its failure with the runtime's logs, and looks at what is left.
pub(crate) fn with_podman(runtime: Runtime, case: fn(&Podman) -> Result<()>) -> Result<()> {
    let podman = Podman::new(runtime)?;
    case(&podman).map_err(|error| podman.stage.told(&error))?;
    podman.assert_clean()
}

impl Podman {
    fn new(runtime: Runtime) -> Result<Self> {
        let stage = Stage::new(runtime, Root::Script)?;
        let folder = stage.place().path("podman");
        std::fs::create_dir(&folder)?;
        let (root, run) = (folder.join("root"), folder.join("run"));
        // One overlay does not lie on another.
        let driver = match statfs(&folder)?.f_type {
            OVERLAY => "vfs",
            _ => "overlay",
        };
        let storage = format!(
            "[storage]\ndriver = \"{driver}\"\ngraphroot = \"{}\"\nrunroot = \"{}\"\n",
            root.display(),
            run.display()
        );
        std::fs::write(folder.join("storage.conf"), storage)?;
        std::fs::write(folder.join("containers.conf"), CONFIGURATION)?;
        Ok(Self {
            folder,
            stage,
            keeper: None,
        })
    }

    pub(crate) fn stage(&self) -> &Stage {
        &self.stage
    }

    /// `podman` with these arguments.
    pub(crate) fn call<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Program {
        let path = |name: &str| self.folder.join(name);
        let mut program = Program::new("podman")
            .env("CONTAINERS_CONF", path("containers.conf"))
            .env("CONTAINERS_STORAGE_CONF", path("storage.conf"))
            .arg("--root")
            .arg(path("root"))
            .arg("--runroot")
            .arg(path("run"))
            .arg("--tmpdir")
            .arg(path("tmp"))
            .arg("--network-config-dir")
            .arg(path("network"))
            .arg("--runtime")
            .arg(self.stage.program());
        for word in words {
            program = program.arg(word);
        }
        match &self.keeper {
            Some(keeper) => keeper.inside(program),
            None => program,
        }
    }

    /// `podman run` of a command in the place's root file system, without a network unless the options
    /// name one.
    pub(crate) fn run(&self, options: &[&str], command: &[&str]) -> Program {
        let rootfs = self.stage.place().rootfs().display().to_string();
        let mut options = options.to_vec();
        options.push("--rootfs");
        self.run_of(&rootfs, &options, command)
    }

    /// `podman run` of an image, or of a root file system when that is the last of the options.
    pub(crate) fn run_of(&self, what: &str, options: &[&str], command: &[&str]) -> Program {
        let cgroup = self.stage.cgroup();
        let mut words = vec!["run", "--cgroup-parent", &cgroup];
        // A container of a pod has the pod's network.
        if !options
            .iter()
            .any(|one| *one == "--pod" || one.starts_with("--network"))
        {
            words.extend(["--network", "none"]);
        }
        words.extend(options);
        words.push(what);
        words.extend(command);
        self.call(words)
    }

    /// A container that runs in the background, by name.
    pub(crate) fn detached(&self, name: &str, options: &[&str], command: &[&str]) -> Result<()> {
        let mut all = vec!["--detach", "--name", name];
        all.extend(options);
        self.run(&all, command).finish()?.expect(0)?;
        Ok(())
    }

    /// One that runs until it is removed.
    pub(crate) fn sleeping(&self, name: &str) -> Result<()> {
        self.detached(name, &[], &["sleep", "100000"])
    }

    /// One that runs a script, which makes the file `/ready` when it is where the case wants it.
    pub(crate) fn ready(&self, name: &str, script: &str) -> Result<()> {
        self.detached(name, &[], &["sh", "-c", script])?;
        self.await_file(name, "/ready")
    }

    /// Waits until a file is there in a running container.
    pub(crate) fn await_file(&self, name: &str, file: &str) -> Result<()> {
        let script = format!("until [ -e {file} ]; do sleep 0.1; done");
        self.ok(["exec", name, "sh", "-c", &script]).map(drop)
    }

    /// Runs `podman`, which has to succeed.
    pub(crate) fn ok<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Result<Finished> {
        let words: Vec<&str> = words.into_iter().collect();
        let end = self.call(words.iter().copied()).finish()?.expect(0);
        end.with_context(|| format!("podman {words:?}"))
    }

    /// A fact about a container, by Podman's template.
    pub(crate) fn fact(&self, name: &str, template: &str) -> Result<String> {
        let found = self.ok(["inspect", "--format", template, name])?;
        Ok(found.text().trim().to_owned())
    }

    /// Waits for a container's end; its exit status.
    pub(crate) fn wait(&self, name: &str) -> Result<i32> {
        Ok(self.ok(["wait", name])?.text().trim().parse()?)
    }

    fn assert_clean(&self) -> Result<()> {
        let known = self.ok(["ps", "--all", "--quiet"])?.text();
        ensure!(known.is_empty(), "podman still knows {known}");
        self.stage.await_ends()?;
        // Its storage is mounted onto itself while it is used; of two that leave at the same time, now
        // and then neither unmounts it.
        match unmount(self.folder.join("root/overlay"), UnmountFlags::empty()) {
            Ok(()) | Err(Errno::INVAL | Errno::NOENT) => {}
            Err(error) => return Err(error).context("podman's storage"),
        }
        self.stage.assert_clean()
    }
}

impl Drop for Podman {
    /// What a failed case left.
    fn drop(&mut self) {
        for what in [
            ["pod", "rm", "--all", "--force", "--time=0"].as_slice(),
            &["rm", "--all", "--force", "--time=0"],
        ] {
            match self.call(what.iter().copied()).finish() {
                Ok(end) if end.status == 0 => {}
                other => eprintln!("podman {what:?}: {other:?}"),
            }
        }
    }
}
