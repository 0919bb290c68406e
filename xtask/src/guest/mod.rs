//! `guest`: what a virtual machine boots. Debian's kernel as the ELF that QEMU starts by PVH, and
//! an initial root file system with `vc-guest-agent` as PID 1, without a shell and with one. The
//! result lands in the cache, keyed by its inputs, beside a manifest of what went in.

mod agent;
mod bzimage;
mod cpio;
mod initrd;
mod kernel;
mod lean;
mod manifest;
mod modules;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use pico_args::Arguments;

use crate::cache::{self, Cache};
use crate::progress::{mebibytes, note, warn};
use crate::rootfs;
use crate::tasks::finish;
use kernel::Source;
use manifest::{AgentEntry, Manifest};

/// The most that the agent's program should weigh: every page of it is read while booting.
const AGENT_LIMIT: u64 = 8 << 20;
/// The most that the initrd should weigh, for the same reason.
const INITRD_LIMIT: u64 = 14 << 20;
/// How many finished guests stay in the cache.
const KEPT: usize = 3;

/// A guest that is ready to boot.
#[derive(Debug)]
pub(crate) struct Guest {
    /// The directory with `vmlinux`, `initrd.img`, `initrd-debug.img` and `manifest.json`.
    pub(crate) dir: PathBuf,
    /// The agent's program as it was built, outside the initrd.
    pub(crate) agent: PathBuf,
}

/// The task.
pub(crate) fn task(mut args: Arguments) -> Result<ExitCode> {
    let source = if args.contains("--update") {
        Source::Archive
    } else {
        Source::CacheFirst
    };
    finish(args)?;
    let cache = Cache::open()?;
    crate::setup::ensure(&cache, crate::setup::Purpose::Machines)?;
    let guest = build(&cache, source)?;
    report(&guest)?;
    Ok(ExitCode::SUCCESS)
}

/// Builds the guest unless the cache has one made from the same inputs.
pub(crate) fn ensure(cache: &Cache) -> Result<Guest> {
    build(cache, Source::CacheFirst)
}

fn build(cache: &Cache, source: Source) -> Result<Guest> {
    let agent = agent::build()?;
    let _lock = cache.lock("guest")?;
    let kernel = kernel::ensure(cache, source)?;
    let agent_sha256 = cache::digest(&agent)?;
    let shell = rootfs::ensure(cache)?;
    let shell_name = shell.file_name().unwrap_or_default().to_string_lossy();
    let inputs = format!(
        "builder {}\nkernel {} {} {}\nmodules {:?}\nagent {agent_sha256}\nshell {shell_name}\n",
        initrd::BUILDER,
        kernel.about.package,
        kernel.about.version,
        kernel.about.sha256,
        modules::GROUPS,
    );
    let key = cache::digest_of_text(&inputs)?[..16].to_owned();
    let dir = cache.path("guest").join(&key);
    if dir.join("manifest.json").is_file() {
        cache::point(&cache.path("guest/current"), Path::new(&key))?;
        return Ok(Guest { dir, agent });
    }
    note("putting the guest's initrd together");
    let staging = cache.staging("guest")?;
    fs::hard_link(kernel.vmlinux(), staging.path().join("vmlinux"))
        .context("cannot link the kernel into the guest's directory")?;
    let picked = modules::pick(&kernel.modules()?)?;
    let image = staging.path().join("initrd.img");
    initrd::write(&image, &agent, &picked, None)?;
    let with_shell = staging.path().join("initrd-debug.img");
    initrd::write(&with_shell, &agent, &picked, Some(&shell))?;
    let manifest = Manifest {
        builder: initrd::BUILDER.to_owned(),
        kernel: kernel.about.clone(),
        modules: manifest::modules(&picked)?,
        agent: AgentEntry::ours(agent_sha256),
        initrd_sha256: cache::digest(&image)?,
        initrd_debug_sha256: cache::digest(&with_shell)?,
        shell: shell_name.into_owned(),
    };
    manifest.write(&staging.path().join("manifest.json"))?;
    let dir = cache.publish(staging, "guest", &key)?;
    cache.prune("guest", KEPT)?;
    let guest = Guest { dir, agent };
    warn_about_sizes(&guest)?;
    Ok(guest)
}

fn warn_about_sizes(guest: &Guest) -> Result<()> {
    let initrd = guest.dir.join("initrd.img");
    for (path, limit) in [(&guest.agent, AGENT_LIMIT), (&initrd, INITRD_LIMIT)] {
        let size = fs::metadata(path)?.len();
        if size > limit {
            let (size, limit) = (mebibytes(size), mebibytes(limit));
            warn(format!("{} has {size}, more than {limit}", path.display()));
        }
    }
    Ok(())
}

fn report(guest: &Guest) -> Result<()> {
    let size = |path: &Path| fs::metadata(path).map(|meta| mebibytes(meta.len()));
    note(format!("guest: {}", guest.dir.display()));
    note(format!("  kernel {}", size(&guest.dir.join("vmlinux"))?));
    note(format!("  initrd {}", size(&guest.dir.join("initrd.img"))?));
    note(format!("  agent  {}", size(&guest.agent)?));
    Ok(())
}
