//! The programs of a real sandbox and their arguments, read while it runs.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;

use anyhow::{Context, Result};
use virtcontainers_tests::Place;

use crate::held::Held;
use crate::setting::Setting;

/// A program and its arguments.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<OsString>,
}

/// All programs of a machine.
#[derive(Debug, Clone)]
pub(crate) struct Recipe {
    pub(crate) qemu: Line,
    pub(crate) vsock_helper: Line,
    pub(crate) file_system_daemon: Line,
}

impl Recipe {
    /// Starts a sandbox and looks at its processes.
    pub(crate) fn of_a_sandbox(setting: &Setting) -> Result<Self> {
        let place = Place::new()?;
        let held = Held::start(setting, &place, "recipe")?;
        let recipe = Self {
            qemu: line(held.helper("qemu")?)?,
            vsock_helper: line(held.helper("vhost-device-vsock")?).context(
                "bare machines take the vsock helper: set vsock = \"vhost-user\" in the \
                 configuration where the kernel has a vsock of its own",
            )?,
            file_system_daemon: line(held.helper("virtiofsd")?)?,
        };
        held.end()?;
        place.assert_clean()?;
        Ok(recipe)
    }

    /// The same machine with another initial RAM disk.
    pub(crate) fn with_initrd(mut self, initrd: impl Into<OsString>) -> Result<Self> {
        *self.qemu.value_of("-initrd")? = initrd.into();
        Ok(self)
    }
}

impl Line {
    /// The argument after `option`.
    fn value_of(&mut self, option: &str) -> Result<&mut OsString> {
        let at = self.args.iter().position(|arg| arg == option);
        let value = at.and_then(|at| self.args.get_mut(at + 1));
        value.with_context(|| format!("no {option} among the arguments"))
    }

    /// The arguments, with the one that begins with `start` replaced.
    pub(crate) fn replacing(&self, start: &str, by: &OsStr) -> Result<Vec<OsString>> {
        let mut args = self.args.clone();
        let found = args
            .iter_mut()
            .find(|arg| arg.as_encoded_bytes().starts_with(start.as_bytes()));
        *found.with_context(|| format!("no argument begins with {start}"))? = by.to_owned();
        Ok(args)
    }
}

fn line(pid: u32) -> Result<Line> {
    let program = fs::read_link(format!("/proc/{pid}/exe"))?;
    let line = fs::read(format!("/proc/{pid}/cmdline"))?;
    let line = line.strip_suffix(&[0]).unwrap_or(&line);
    let words = line.split(|byte| *byte == 0);
    let args = words.skip(1).map(|word| OsString::from_vec(word.to_vec()));
    Ok(Line {
        program,
        args: args.collect(),
    })
}
