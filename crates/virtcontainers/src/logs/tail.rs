//! Reading a log that grows, and whose file is exchanged when it is large.

use std::fs::{File, Metadata};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::time::{Clock, Timed};
use super::{LogLine, LogSource};

/// The end of one log that was read so far.
#[derive(Debug)]
pub(super) struct Tail {
    source: LogSource,
    newer: PathBuf,
    /// The file before, for a log that has two.
    older: Option<PathBuf>,
    file: Option<File>,
    /// Bytes of a line that is not complete.
    partial: Vec<u8>,
    clock: Clock,
}

impl Tail {
    /// The log of `source` in a machine's directory, which need not exist yet.
    pub(super) fn new(directory: &Path, source: LogSource) -> Self {
        let (newer, older) = match source {
            LogSource::Console => ("console.log", Some("console.log.1")),
            LogSource::Supervisor => ("supervisor.log", None),
        };
        Self {
            source,
            newer: directory.join(newer),
            older: older.map(|name| directory.join(name)),
            file: None,
            partial: Vec::new(),
            clock: Clock::default(),
        }
    }

    /// The lines that were completed since the last call.
    pub(super) fn read(&mut self) -> io::Result<Vec<Timed>> {
        let mut bytes = Vec::new();
        if self.file.is_none() {
            self.begin(&mut bytes)?;
        }
        if let Some(file) = &mut self.file {
            read_on(file, &mut bytes)?;
            if let Some(next) = exchanged(file, &self.newer)? {
                // Its last bytes may have been written just before it was exchanged.
                read_on(file, &mut bytes)?;
                read_on(self.file.insert(next), &mut bytes)?;
            }
        }
        Ok(self.take_lines(&bytes))
    }

    /// What is there of a line that was not completed.
    pub(super) fn rest(&mut self) -> Option<LogLine> {
        let text = std::mem::take(&mut self.partial);
        let source = self.source;
        (!text.is_empty()).then_some(LogLine { source, text })
    }

    /// Opens the file, and reads the one before it.
    fn begin(&mut self, bytes: &mut Vec<u8>) -> io::Result<()> {
        loop {
            let newer = open(&self.newer)?;
            let older = match &self.older {
                Some(older) => open(older)?,
                None => None,
            };
            // Exchanged meanwhile: the older one is another than the one before `newer`.
            if let Some(newer) = &newer
                && exchanged(newer, &self.newer)?.is_some()
            {
                continue;
            }
            for file in [&older, &newer].into_iter().flatten() {
                self.clock
                    .began(file.metadata().and_then(|m| birth(&m)).ok());
            }
            if let Some(mut older) = older {
                older.read_to_end(bytes)?;
                // Once, also when there is no newer one yet.
                self.older = None;
            }
            self.file = newer;
            return Ok(());
        }
    }

    fn take_lines(&mut self, bytes: &[u8]) -> Vec<Timed> {
        self.partial.extend_from_slice(bytes);
        let Some(end) = self.partial.iter().rposition(|byte| *byte == b'\n') else {
            return Vec::new();
        };
        let rest = self.partial.split_off(end + 1);
        let complete = std::mem::replace(&mut self.partial, rest);
        let texts = complete[..end].split(|byte| *byte == b'\n');
        texts
            .map(|text| {
                let text = text.strip_suffix(b"\r").unwrap_or(text).to_vec();
                let line = LogLine {
                    source: self.source,
                    text,
                };
                self.clock.stamp(line)
            })
            .collect()
    }
}

fn open(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The file that is at `path` now, if it is another one than `file`.
fn exchanged(file: &File, path: &Path) -> io::Result<Option<File>> {
    let Some(now) = open(path)? else {
        return Ok(None);
    };
    let same = now.metadata()?.ino() == file.metadata()?.ino();
    Ok((!same).then_some(now))
}

/// Reads from where the last read ended; from the beginning when the file was begun anew.
fn read_on(file: &mut File, bytes: &mut Vec<u8>) -> io::Result<()> {
    if file.metadata()?.len() < file.stream_position()? {
        file.seek(SeekFrom::Start(0))?;
    }
    file.read_to_end(bytes).map(drop)
}

fn birth(metadata: &Metadata) -> io::Result<SystemTime> {
    metadata.created()
}
