//! A command for a container, as a caller gives it.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::text::stored_as_text;
use crate::{Error, LinuxCapabilities};

/// An environment variable, in text `VAR=value`. The value may be empty and have equal signs.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EnvVar {
    name: String,
    value: String,
}

impl EnvVar {
    /// Errors: `Invalid` for an empty name, one with an equal sign, and a zero byte anywhere.
    pub fn new(name: impl Into<String>, value: impl Into<String>) -> Result<Self, Error> {
        let variable = Self {
            name: name.into(),
            value: value.into(),
        };
        let refuse = |reason: &str| {
            Err(Error::invalid(
                "environment variable",
                variable.to_string(),
                reason,
            ))
        };
        if variable.name.is_empty() {
            return refuse("the name is empty, write VAR=value");
        }
        if variable.name.contains('=') {
            return refuse("the name has an equal sign");
        }
        if variable.name.contains('\0') || variable.value.contains('\0') {
            return refuse("it has a zero byte, which ends it");
        }
        Ok(variable)
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The value.
    pub fn value(&self) -> &str {
        &self.value
    }
}

impl fmt::Display for EnvVar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.name, self.value)
    }
}

impl FromStr for EnvVar {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text.split_once('=') {
            Some((name, value)) => Self::new(name, value),
            None => Err(Error::invalid(
                "environment variable",
                text,
                "the equal sign is missing, write VAR=value",
            )),
        }
    }
}

stored_as_text!(EnvVar);

/// A command and how it is to run in a container.
///
/// Users and groups are text, because only somebody with access to the container's files can look
/// up names; where the command becomes a process for the guest, they must be numbers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Cmd {
    /// The program and its arguments.
    pub args: Vec<String>,
    /// The environment.
    pub envs: Vec<EnvVar>,
    /// `uid` or `uid:gid`; root when empty.
    pub user: String,
    /// The group, if not in `user`; that of root when neither says.
    pub primary_group: String,
    /// Further groups.
    pub supplementary_groups: Vec<String>,
    /// The working directory; `/` when empty.
    pub work_dir: PathBuf,
    /// The terminal on the host that it is connected to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub console: Option<PathBuf>,
    /// What it may do beyond an ordinary user.
    pub capabilities: LinuxCapabilities,
    /// It gets a terminal.
    pub interactive: bool,
    /// The caller does not wait for it.
    pub detach: bool,
    /// No program that it executes gets more privileges than it has.
    pub no_new_privileges: bool,
}
