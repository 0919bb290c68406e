//! The guest's kernel: Debian's cloud kernel, downloaded and unpacked, not installed. The cache
//! keeps the unpacked ELF and the tree of modules per package version.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use super::{bzimage, modules};
use crate::apt::{self, Apt, Package};
use crate::cache::{self, Cache};
use crate::cmd::Cmd;
use crate::progress::note;

const META_PACKAGE: &str = "linux-image-cloud-amd64";
const PART: &str = "kernel";
const KEPT: usize = 2;

/// Where to look for the kernel first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// Take the kernel that the cache has; ask the archive only when it has none.
    CacheFirst,
    /// Ask the archive for its newest.
    Archive,
}

/// Where a kernel comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct About {
    /// The Debian package.
    pub(super) package: String,
    /// The package's version.
    pub(super) version: String,
    /// The kernel's own name for itself (`uname -r`).
    pub(super) release: String,
    /// The digest of the package file.
    pub(super) sha256: String,
}

/// A kernel in the cache.
#[derive(Debug)]
pub(super) struct Kernel {
    /// What it is.
    pub(super) about: About,
    dir: PathBuf,
}

impl Kernel {
    fn open(dir: PathBuf) -> Result<Self> {
        let text = fs::read(dir.join("kernel.json"))?;
        let about = serde_json::from_slice(&text)
            .with_context(|| format!("{} is damaged: remove it", dir.display()))?;
        Ok(Self { about, dir })
    }

    /// The kernel as the ELF that QEMU boots.
    pub(super) fn vmlinux(&self) -> PathBuf {
        self.dir.join("vmlinux")
    }

    /// Its modules and what they depend on.
    pub(super) fn modules(&self) -> Result<modules::Tree> {
        modules::Tree::open(&self.dir.join("lib/modules").join(&self.about.release))
    }
}

/// The kernel from the cache, or from the archive.
pub(super) fn ensure(cache: &Cache, source: Source) -> Result<Kernel> {
    if let (Source::CacheFirst, Some(dir)) = (source, cache.current(PART)) {
        return Kernel::open(dir);
    }
    if !cfg!(target_arch = "x86_64") {
        bail!("guests are built for x86_64 only so far: bring your own kernel and initrd");
    }
    apt::require("the guest's kernel")?;
    let apt = Apt::default();
    let package = apt.behind(META_PACKAGE)?;
    let key = key(&package);
    let dir = cache.path(PART).join(&key);
    if dir.join("kernel.json").is_file() {
        cache::point(&cache.path(PART).join("current"), Path::new(&key))?;
        return Kernel::open(dir);
    }
    let staging = cache.staging(PART)?;
    unpack(&apt, &package, staging.path())?;
    let dir = cache.publish(staging, PART, &key)?;
    cache.prune(PART, KEPT)?;
    Kernel::open(dir)
}

fn key(package: &Package) -> String {
    format!("{}_{}", package.name, package.version.replace(':', "%"))
}

fn unpack(apt: &Apt, package: &Package, dir: &Path) -> Result<()> {
    let deb = apt.download(package, dir)?;
    let sha256 = cache::digest(&deb)?;
    let tree = dir.join("tree");
    apt::unpack(&deb, &tree)?;
    let (release, image) = find_image(&tree.join("boot"))?;
    note(format!("unpacking kernel {release}"));
    let elf = bzimage::unpack(&fs::read(&image)?)
        .with_context(|| format!("cannot unpack the kernel image of {}", package.name))?;
    fs::write(dir.join("vmlinux"), elf)?;
    // Newer packages put the modules below /usr/lib.
    let modules = ["lib/modules", "usr/lib/modules"].map(|place| tree.join(place));
    let modules = modules
        .iter()
        .find(|path| path.is_dir())
        .context("package without modules")?;
    fs::create_dir(dir.join("lib"))?;
    fs::rename(modules, dir.join("lib/modules"))?;
    Cmd::new("depmod").arg("-b").arg(dir).arg(&release).run()?;
    fs::remove_dir_all(&tree)?;
    fs::remove_file(&deb)?;
    let about = About {
        package: package.name.clone(),
        version: package.version.clone(),
        release,
        sha256,
    };
    fs::write(dir.join("kernel.json"), serde_json::to_vec_pretty(&about)?)?;
    Ok(())
}

/// The one `vmlinuz-RELEASE` of a package.
fn find_image(boot: &Path) -> Result<(String, PathBuf)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(boot).context("package without /boot")? {
        let entry = entry?;
        if let Some(release) = entry.file_name().to_string_lossy().strip_prefix("vmlinuz-") {
            found.push((release.to_owned(), entry.path()));
        }
    }
    ensure!(
        found.len() == 1,
        "expected one kernel in the package, found {}",
        found.len()
    );
    found.pop().context("package without a kernel")
}
