//! As much of QEMU's monitor protocol as a script would speak.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};

use crate::setting::PATIENCE;

/// A connection to the monitor, in command mode.
#[derive(Debug)]
pub(crate) struct Qmp {
    stream: BufReader<UnixStream>,
}

impl Qmp {
    /// Waits for the greeting.
    pub(crate) fn connect(socket: &Path) -> Result<Self> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut qmp = Self {
            stream: BufReader::new(stream),
        };
        qmp.message()?;
        qmp.execute("qmp_capabilities")?;
        Ok(qmp)
    }

    /// Executes a command without arguments; returns when it was answered.
    pub(crate) fn execute(&mut self, command: &str) -> Result<()> {
        let line = json!({ "execute": command });
        writeln!(self.stream.get_mut(), "{line}")?;
        loop {
            let message = self.message()?;
            if message.get("return").is_some() {
                return Ok(());
            }
            anyhow::ensure!(message.get("error").is_none(), "{command}: {message}");
        }
    }

    fn message(&mut self) -> Result<Value> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        anyhow::ensure!(!line.is_empty(), "qemu closed its monitor");
        Ok(serde_json::from_str(&line)?)
    }
}
