//! Which annotations the configuration allows.

use std::path::{Component, Path};

use super::{glob, settable};
use crate::{Error, ErrorKind};

/// The lists of the configuration. The default allows nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AnnotationPolicy {
    names: Vec<String>,
    paths: Vec<String>,
}

impl AnnotationPolicy {
    /// `names` are last parts of annotations' names, such as `kernel` or `default_*`; `paths` are
    /// patterns for the files that annotations may name, such as `/opt/kernels/*`. In both, `*` and
    /// `?` are wild; in paths they stay within one folder.
    ///
    /// Errors: `Invalid` for a name that matches no annotation, and a path that is not absolute.
    pub fn new(names: Vec<String>, paths: Vec<String>) -> Result<Self, Error> {
        let useless = |name: &&String| !settable().any(|known| glob::matches(name, known, None));
        if let Some(name) = names.iter().find(useless) {
            let known: Vec<&str> = settable().collect();
            return Err(invalid(format!(
                "enable_annotations has {name:?}, which no annotation is called: use {}",
                known.join(", ")
            )));
        }
        if let Some(path) = paths.iter().find(|path| !path.starts_with('/')) {
            return Err(invalid(format!(
                "annotation_paths has {path:?}, which is not absolute: write the whole path"
            )));
        }
        Ok(Self { names, paths })
    }

    /// Fails with `Denied` unless the list of names has `name`, the last part of `key`.
    pub(super) fn allow(&self, key: &str, name: &str) -> Result<(), Error> {
        match self
            .names
            .iter()
            .any(|allowed| glob::matches(allowed, name, None))
        {
            true => Ok(()),
            false => Err(denied(
                format!("annotation {key} is not enabled"),
                &line("enable_annotations", &self.names, name),
            )),
        }
    }

    /// Fails with `Invalid` for a path that is not plain, with `Denied` for one that the list of
    /// paths does not have.
    pub(super) fn allow_path(&self, key: &str, value: &str) -> Result<(), Error> {
        if !value.starts_with('/') {
            return Err(invalid(format!(
                "annotation {key} names {value:?}, which is not absolute: write the whole path"
            )));
        }
        // A pattern is compared with text, and text with dots does not say where it leads.
        let plain = Path::new(value)
            .components()
            .all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
        if !plain || value.contains("//") || value.contains("/./") || value.contains('\0') {
            return Err(invalid(format!(
                "annotation {key} names {value:?}: write the path without dots and empty parts"
            )));
        }
        match self
            .paths
            .iter()
            .any(|allowed| glob::matches(allowed, value, Some('/')))
        {
            true => Ok(()),
            false => Err(denied(
                format!("annotation {key} names {value}, which no allowed path matches"),
                &line("annotation_paths", &self.paths, value),
            )),
        }
    }
}

/// The line that a list would be with one entry more, as it is written in the configuration.
fn line(list: &str, entries: &[String], more: &str) -> String {
    let entries = entries.iter().map(String::as_str).chain([more]);
    let entries: Vec<String> = entries.map(|entry| format!("{entry:?}")).collect();
    format!("{list} = [{}]", entries.join(", "))
}

fn denied(what: String, line: &str) -> Error {
    let message =
        format!("{what}: whoever trusts it writes {line} under [runtime] in configuration.toml");
    Error::new(ErrorKind::Denied, message)
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::Invalid, message)
}
