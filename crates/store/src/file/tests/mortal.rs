//! A disk on which a process dies, or a host: the effects before that happened, none does after it.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::Mutex;

use crate::file::disk::{Disk, Kernel};

/// The kernel's file system, without waiting for a real disk, for so many effects.
#[derive(Debug)]
pub(super) struct Mortal {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// How many effects still happen.
    effects: usize,
    /// How much of the first effect that does not happen does, if it is a write.
    bytes: usize,
    /// How long that write is, once it was tried.
    cut: Option<usize>,
    died: bool,
    /// Files that were written and not synced, by inode.
    unsynced: HashMap<u64, File>,
    /// Directories in which a name changed by a rename that was not synced.
    unsynced_names: usize,
    syncs: usize,
}

/// What a power failure makes of content that was not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Loss {
    /// Only the process died.
    Nothing,
    /// The length arrived, the content did not.
    Zeros,
    /// Nothing arrived.
    Everything,
}

impl Mortal {
    /// Dies after `effects` effects, in the middle of the next if that is a write of more than
    /// `bytes` bytes.
    pub(super) fn after(effects: usize, bytes: usize) -> Self {
        Self {
            state: Mutex::new(State {
                effects,
                bytes,
                cut: None,
                died: false,
                unsynced: HashMap::new(),
                unsynced_names: 0,
                syncs: 0,
            }),
        }
    }

    /// Never dies.
    pub(super) fn never() -> Self {
        Self::after(usize::MAX, 0)
    }

    pub(super) fn died(&self) -> bool {
        self.state.lock().unwrap().died
    }

    /// How long the write was in which it died.
    pub(super) fn cut(&self) -> Option<usize> {
        self.state.lock().unwrap().cut
    }

    /// Whether all that was written would survive the host.
    pub(super) fn is_durable(&self) -> bool {
        let state = self.state.lock().unwrap();
        state.unsynced.is_empty() && state.unsynced_names == 0
    }

    /// How often was waited for the disk.
    pub(super) fn syncs(&self) -> usize {
        self.state.lock().unwrap().syncs
    }

    /// The power fails: what was not synced is lost.
    pub(super) fn lose(&self, loss: Loss) {
        for file in self.state.lock().unwrap().unsynced.values() {
            let length = file.metadata().unwrap().len();
            match loss {
                Loss::Nothing => {}
                Loss::Zeros => file.write_all_at(&vec![0; length as usize], 0).unwrap(),
                Loss::Everything => file.set_len(0).unwrap(),
            }
        }
    }

    fn live<T>(&self, effect: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.state.lock().unwrap();
        if state.died || state.effects == 0 {
            state.died = true;
            return Err(io::Error::other("dead"));
        }
        state.effects -= 1;
        effect(&mut state)
    }
}

impl Disk for Mortal {
    fn make_directory(&self, path: &Path) -> io::Result<()> {
        self.live(|_| Kernel.make_directory(path))
    }

    fn create(&self, at: BorrowedFd<'_>, name: &Path) -> io::Result<File> {
        self.live(|_| Kernel.create(at, name))
    }

    fn write(&self, file: &File, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        let inode = file.metadata()?.ino();
        if !state.died {
            state.unsynced.insert(inode, file.try_clone()?);
        }
        if !state.died && state.effects == 0 {
            state.cut = Some(bytes.len());
            Kernel.write(file, &bytes[..state.bytes.min(bytes.len())])?;
        }
        drop(state);
        self.live(|_| Kernel.write(file, bytes))
    }

    fn sync(&self, what: BorrowedFd<'_>) -> io::Result<()> {
        self.live(|state| {
            state.syncs += 1;
            let found = rustix::fs::fstat(what)?;
            match rustix::fs::FileType::from_raw_mode(found.st_mode).is_dir() {
                true => state.unsynced_names = 0,
                false => drop(state.unsynced.remove(&found.st_ino)),
            }
            Ok(())
        })
    }

    fn rename(&self, at: BorrowedFd<'_>, from: &Path, to: &Path) -> io::Result<()> {
        self.live(|state| {
            state.unsynced_names += 1;
            Kernel.rename(at, from, to)
        })
    }

    fn remove(&self, at: BorrowedFd<'_>, name: &Path) -> io::Result<()> {
        self.live(|_| Kernel.remove(at, name))
    }

    fn remove_directory(&self, path: &Path) -> io::Result<()> {
        self.live(|_| Kernel.remove_directory(path))
    }
}
