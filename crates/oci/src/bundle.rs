//! Reading an OCI bundle: a directory with `config.json` and a root file system.

use std::io::ErrorKind as IoKind;
use std::path::{Path, PathBuf};

use oci_spec::runtime::Spec;
use virtcontainers_types::{ContainerConfig, ContainerId};

use crate::vm::VmWishes;
use crate::{Error, ErrorKind};

mod read;

/// A bundle that was read and found complete (OCI runtime-spec 1.2, `bundle.md`).
#[derive(Debug, Clone, PartialEq)]
pub struct Bundle {
    /// The bundle's directory, absolute.
    pub directory: PathBuf,
    /// The root file system, absolute.
    pub rootfs: PathBuf,
    /// The content of `config.json`.
    pub spec: Spec,
    /// The machine that `config.json` wishes, if it says anything about it.
    pub vm: Option<VmWishes>,
}

impl Bundle {
    /// Reads the bundle in `directory`, which may be relative to the working directory.
    ///
    /// Errors: `NotFound` for a missing directory, `config.json` or root file system; `Invalid`
    /// for JSON that cannot be understood, with line, column and field, for a specification without
    /// process or root, and for a `vm` object that contradicts itself; `Unsupported` for a machine
    /// that cannot be had; `Denied` when something cannot be read.
    pub fn load(directory: &Path) -> Result<Self, Error> {
        let directory = directory.canonicalize().map_err(|error| {
            unreadable(
                "bundle",
                directory,
                error,
                "name an OCI bundle with --bundle",
            )
        })?;
        let config = directory.join("config.json");
        let text = std::fs::read(&config).map_err(|error| {
            unreadable("bundle configuration", &config, error, "a bundle holds config.json and a root file system; to run without one, use --rootfs")
        })?;
        let (spec, vm) = read::specification(&text, &config)?;
        let rootfs = rootfs_of(&spec, &directory, &config)?;
        require_process(&spec, &config)?;
        Ok(Self {
            directory,
            rootfs,
            spec,
            vm,
        })
    }

    /// The configuration of a container made from this bundle.
    pub fn into_container(self, id: ContainerId) -> ContainerConfig {
        ContainerConfig {
            id,
            rootfs: self.rootfs.into(),
            bundle: Some(self.directory),
            cgroup: None,
            spec: self.spec,
        }
    }
}

fn rootfs_of(spec: &Spec, directory: &Path, config: &Path) -> Result<PathBuf, Error> {
    let Some(root) = spec.root() else {
        let message = format!(
            "{} has no root: add {{\"root\": {{\"path\": \"rootfs\"}}}}",
            config.display()
        );
        return Err(Error::new(ErrorKind::Invalid, message));
    };
    existing_rootfs(&directory.join(root.path()))
}

fn require_process(spec: &Spec, config: &Path) -> Result<(), Error> {
    let invalid = |what: &str| {
        Err(Error::new(
            ErrorKind::Invalid,
            format!("{} {what}", config.display()),
        ))
    };
    let Some(process) = spec.process() else {
        return invalid("has no process: add one with args and cwd");
    };
    if process.args().as_ref().is_none_or(Vec::is_empty) {
        return invalid("names no program: process.args is empty");
    }
    if !process.cwd().is_absolute() {
        return invalid("has a working directory that is not absolute: correct process.cwd");
    }
    Ok(())
}

/// The absolute path of a root file system that exists and is a directory.
pub(crate) fn existing_rootfs(path: &Path) -> Result<PathBuf, Error> {
    let absolute = path.canonicalize().map_err(|error| {
        unreadable(
            "root file system",
            path,
            error,
            "name a directory that holds the container's files",
        )
    })?;
    if absolute.is_dir() {
        return Ok(absolute);
    }
    let message = format!("root file system {} is not a directory", absolute.display());
    Err(Error::new(ErrorKind::Invalid, message))
}

fn unreadable(what: &str, path: &Path, error: std::io::Error, advice: &str) -> Error {
    let (kind, state) = match error.kind() {
        IoKind::NotFound | IoKind::NotADirectory => (ErrorKind::NotFound, "does not exist"),
        IoKind::PermissionDenied => (ErrorKind::Denied, "cannot be read"),
        _ => (ErrorKind::Internal, "cannot be read"),
    };
    Error::new(kind, format!("{what} {} {state}: {advice}", path.display())).because(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bundle(config: Option<&str>, rootfs: bool) -> Result<Bundle, Error> {
        let directory = tempfile::tempdir().unwrap();
        if let Some(config) = config {
            std::fs::write(directory.path().join("config.json"), config).unwrap();
        }
        if rootfs {
            std::fs::create_dir(directory.path().join("rootfs")).unwrap();
        }
        Bundle::load(directory.path())
    }

    const GOOD: &str = r#"{"ociVersion":"1.2.0","root":{"path":"rootfs"},
        "process":{"args":["true"],"cwd":"/","user":{"uid":0,"gid":0}}}"#;

    #[test]
    fn a_complete_bundle_is_read() {
        let bundle = bundle(Some(GOOD), true).unwrap();
        assert!(bundle.rootfs.ends_with("rootfs"));
        assert!(bundle.rootfs.is_absolute());
    }

    #[test]
    fn what_is_missing_is_named() {
        let rows = [
            (None, true, ErrorKind::NotFound, "config.json"),
            (Some(GOOD), false, ErrorKind::NotFound, "rootfs"),
            (
                Some("{\n \"root\": }"),
                true,
                ErrorKind::Invalid,
                "line 2 column 10",
            ),
            (Some("{}"), true, ErrorKind::Invalid, "has no root"),
            (
                Some(r#"{"root":{"path":"rootfs"}}"#),
                true,
                ErrorKind::Invalid,
                "has no process",
            ),
        ];
        for (config, rootfs, kind, part) in rows {
            let error = bundle(config, rootfs).unwrap_err();
            assert_eq!(error.kind(), kind, "{error}");
            assert!(error.to_string().contains(part), "{error}");
        }
    }

    #[test]
    fn a_missing_bundle_is_not_found() {
        let error = Bundle::load(Path::new("/nonexistent/bundle")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }
}
