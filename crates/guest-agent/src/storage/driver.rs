//! The storage drivers: what each does to make its mount point usable.

use std::ffi::CString;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use virtcontainers_agent_proto::agent::Storage;

use super::{group, options};
use crate::agent::Agent;
use crate::blocking::blocking;
use crate::device;
use crate::modules::BLOCK;
use crate::status::{Doing as _, Failure, Result};

/// Names of all drivers, as reported to the host.
pub(crate) const HANDLERS: [&str; 8] = [
    "virtio-fs",
    "blk",
    "mmioblk",
    "scsi",
    "nvdimm",
    "ephemeral",
    "local",
    "overlayfs",
];

/// Source of the folder that is shared with the host.
const SHARE_TAG: &str = "kataShared";

/// Driver option of overlays: a folder to be made first.
const OVERLAY_FOLDER: &str = "io.katacontainers.volume.overlayfs.create_directory=";

/// Makes one storage. `false`: there is nothing to unmount later.
pub(super) async fn mount(agent: &Agent, storage: &Storage, target: &Path) -> Result<bool> {
    let mounted = match storage.driver.as_str() {
        "virtio-fs" => share(agent, storage, target).await?,
        "ephemeral" if storage.fstype == "hugetlbfs" => {
            huge_pages(agent, storage, target).await?;
            true
        }
        "ephemeral" => {
            ephemeral(agent, storage, target).await?;
            true
        }
        "local" => {
            local(storage, target)?;
            return Ok(false);
        }
        "overlayfs" => {
            for option in &storage.driver_options {
                if let Some(folder) = option.strip_prefix(OVERLAY_FOLDER) {
                    std::fs::create_dir_all(folder).doing(|| format!("create {folder}"))?;
                }
            }
            filesystem(
                agent,
                storage,
                "overlay",
                Path::new(&storage.source),
                target,
            )
            .await?;
            true
        }
        "blk" | "mmioblk" | "scsi" | "nvdimm" => {
            agent.modules.load([BLOCK]).await?;
            let source = device::find(agent, &storage.driver, &storage.source).await?;
            filesystem(agent, storage, &storage.fstype, &source.node, target).await?;
            true
        }
        driver => {
            return Err(Failure::invalid(format!(
                "no storage driver {driver:?}; there are {}",
                HANDLERS.join(", ")
            )));
        }
    };
    if let Some(wanted) = storage.fs_group.as_ref() {
        group::apply(target, wanted)?;
    }
    Ok(mounted)
}

/// Mounts the folder shared with the host; one that is mounted already is taken as it is.
async fn share(agent: &Agent, storage: &Storage, target: &Path) -> Result<bool> {
    if storage.source == SHARE_TAG && is_mount_point(target) {
        return Ok(false);
    }
    filesystem(
        agent,
        storage,
        &storage.fstype,
        Path::new(&storage.source),
        target,
    )
    .await?;
    Ok(true)
}

/// A tmpfs with the options asked for. `fsgid=N` is not the file system's: it gives the folder to
/// a group.
async fn ephemeral(agent: &Agent, storage: &Storage, target: &Path) -> Result<()> {
    let mut plain = storage.clone();
    let group = take_group(&mut plain.options)?;
    filesystem(agent, &plain, "tmpfs", Path::new("tmpfs"), target).await?;
    group.map_or(Ok(()), |group| give_to_group(target, group))
}

/// Reserves huge pages and mounts them. The option word is `pagesize=BYTES,size=BYTES`.
async fn huge_pages(agent: &Agent, storage: &Storage, target: &Path) -> Result<()> {
    let words: Vec<&str> = storage
        .options
        .iter()
        .flat_map(|word| word.split(','))
        .collect();
    let bytes = |key: &str| -> Result<u64> {
        words
            .iter()
            .find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
            .and_then(|value| value.parse().ok())
            .filter(|value| *value > 0)
            .ok_or_else(|| Failure::invalid(format!("huge pages need {key}=BYTES")))
    };
    let (page, size) = (bytes("pagesize")?, bytes("size")?);
    let wanted = size / page;
    let counter = format!(
        "/sys/kernel/mm/hugepages/hugepages-{}kB/nr_hugepages",
        page / 1024
    );
    std::fs::write(&counter, wanted.to_string()).doing(|| format!("write {counter}"))?;
    let got = std::fs::read_to_string(&counter).doing(|| format!("read {counter}"))?;
    if got.trim().parse().ok() != Some(wanted) {
        return Err(Failure::internal(format!(
            "{wanted} huge pages of {page} bytes wanted, the guest has room for {}",
            got.trim()
        )));
    }
    let mut plain = storage.clone();
    plain.options = vec![format!("pagesize={page}"), format!("size={size}")];
    filesystem(agent, &plain, "hugetlbfs", Path::new("nodev"), target).await
}

/// A folder of the guest's own, with a mode and a group.
fn local(storage: &Storage, target: &Path) -> Result<()> {
    std::fs::create_dir_all(target).doing(|| format!("create {}", target.display()))?;
    let mut words = storage.options.clone();
    let group = take_group(&mut words)?;
    if let Some(text) = words.iter().find_map(|word| word.strip_prefix("mode=")) {
        let mode = u32::from_str_radix(text, 8)
            .map_err(|_| Failure::invalid(format!("mode={text} is not octal")))?;
        std::fs::set_permissions(target, Permissions::from_mode(mode & 0o7777))
            .doing(|| format!("set the mode of {}", target.display()))?;
    }
    group.map_or(Ok(()), |group| give_to_group(target, group))
}

/// The plain case: modules, mount point, mount(2).
async fn filesystem(
    agent: &Agent,
    storage: &Storage,
    fstype: &str,
    source: &Path,
    target: &Path,
) -> Result<()> {
    let options = options::parse(storage.options.iter().map(String::as_str))?;
    let data = CString::new(options.data)
        .map_err(|_| Failure::invalid("a mount option contains a zero byte"))?;
    let modules = agent.modules.clone();
    let (fstype, source, target) = (fstype.to_owned(), source.to_owned(), target.to_owned());
    // A mount may wait for a server on the host.
    blocking(move || {
        modules.load_group(&fstype);
        make_mount_point(&source, &target)?;
        rustix::mount::mount(&source, &target, &*fstype, options.flags, &*data).doing(|| {
            format!(
                "mount {} of type {fstype} on {}",
                source.display(),
                target.display()
            )
        })
    })
    .await
}

/// A file for the bind of a file, else a folder.
fn make_mount_point(source: &Path, target: &Path) -> Result<()> {
    let what = || format!("create mount point {}", target.display());
    if source.is_absolute() && source.is_file() {
        if let Some(parent) = target.parent() {
            std::fs::create_dir_all(parent).doing(what)?;
        }
        return std::fs::File::options()
            .create(true)
            .append(true)
            .open(target)
            .map(drop)
            .doing(what);
    }
    std::fs::create_dir_all(target).doing(what)
}

/// Whether something is mounted exactly here.
fn is_mount_point(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let device = |path: &Path| std::fs::metadata(path).map(|data| data.dev()).ok();
    let here = device(path);
    here.is_some() && here != device(&path.join(".."))
}

/// Takes `fsgid=N` out of the options.
fn take_group(words: &mut Vec<String>) -> Result<Option<u32>> {
    let Some(index) = words.iter().position(|word| word.starts_with("fsgid=")) else {
        return Ok(None);
    };
    let word = words.remove(index);
    let group = word.trim_start_matches("fsgid=").parse();
    group
        .map(Some)
        .map_err(|_| Failure::invalid(format!("{word} is not a group id")))
}

/// Gives a folder to a group, whose files inherit it.
fn give_to_group(folder: &Path, group: u32) -> Result<()> {
    let what = || format!("give {} to group {group}", folder.display());
    std::os::unix::fs::chown(folder, None, Some(group)).doing(what)?;
    let mode = std::fs::metadata(folder).doing(what)?.permissions().mode();
    std::fs::set_permissions(folder, Permissions::from_mode(mode & 0o7777 | 0o2000)).doing(what)
}

/// Mounts an ephemeral storage again with other options, after memory was added.
pub(crate) fn update_ephemeral(storage: &Storage) -> Result<()> {
    if storage.driver != "ephemeral" {
        return Err(Failure::invalid(format!(
            "only ephemeral storages can be updated, not {:?}",
            storage.driver
        )));
    }
    if storage.options.is_empty() {
        return Ok(());
    }
    let words = storage
        .options
        .iter()
        .map(String::as_str)
        .filter(|word| !word.starts_with("fsgid="));
    let options = options::parse(words)?;
    let data = CString::new(options.data)
        .map_err(|_| Failure::invalid("a mount option contains a zero byte"))?;
    let target = PathBuf::from(&storage.mount_point);
    rustix::mount::mount_remount(&target, options.flags - options::remount(), &*data)
        .doing(|| format!("remount {}", target.display()))
}
