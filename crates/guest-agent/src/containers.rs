//! The table of containers and, in each, the table of its processes.
//!
//! Locks here are held for look-ups only, never across an await. What changes a container's life
//! cycle takes its turn ([`Container::turn`]), so that start, remove and the rest of one container
//! follow each other while other containers and all stream calls go on.

use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::oom::OomGuard;
use crate::process::Process;
use crate::status::{Failure, Result};

/// Longest container id accepted; it becomes a file name.
const LONGEST_ID: usize = 128;

/// How many processes whose status was collected are kept for their unread output. The oldest goes
/// first, so that whoever reads nothing cannot fill the guest.
const MOST_ENDED: usize = 32;

/// Folder names below the run directory that are not containers.
const RESERVED: [&str; 5] = [
    "shared",
    "sandbox",
    "image",
    "virtual-volumes",
    "sandbox-ns",
];

/// How far a container has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Its init waits for the start.
    Created,
    /// Started, whether or not its init still runs.
    Running,
    /// All its processes are frozen.
    Paused {
        /// Whether it was running before.
        started: bool,
    },
    /// On its way out; only another remove is accepted.
    Removing,
}

/// One container.
#[derive(Debug)]
pub(crate) struct Container {
    /// Its id, valid as a file name.
    pub(crate) id: String,
    /// Mount points of its storages, for their release.
    pub(crate) storages: Vec<PathBuf>,
    /// Its watch for out-of-memory kills, where the kernel counts them.
    #[expect(dead_code, reason = "held, so that the watch ends with the container")]
    oom: Option<OomGuard>,
    /// Source of its termination message, if a runtime asked for one by annotation.
    pub(crate) termination_log: Option<PathBuf>,
    /// Written by what changes the life cycle, read by what must not meet such a change.
    pub(crate) turn: tokio::sync::RwLock<()>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    processes: HashMap<String, Slot>,
    /// Waited for, with output that may be unread.
    ended: VecDeque<(String, Arc<Process>)>,
    /// The status of the init, once it was collected.
    init_status: Option<i32>,
}

#[derive(Debug, Clone)]
enum Slot {
    Starting,
    Here(Arc<Process>),
}

impl Container {
    /// A container whose init waits to be started.
    pub(crate) fn new(
        id: String,
        init: Process,
        storages: Vec<PathBuf>,
        oom: Option<OomGuard>,
        termination_log: Option<PathBuf>,
    ) -> Self {
        let processes = HashMap::from([(id.clone(), Slot::Here(Arc::new(init)))]);
        Self {
            id,
            storages,
            oom,
            termination_log,
            turn: tokio::sync::RwLock::new(()),
            state: Mutex::new(State {
                phase: Phase::Created,
                processes,
                ended: VecDeque::new(),
                init_status: None,
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the container is in its life.
    pub(crate) fn phase(&self) -> Phase {
        self.lock().phase
    }

    /// Moves it on. Only for the holder of [`Self::turn`].
    pub(crate) fn set_phase(&self, phase: Phase) {
        self.lock().phase = phase;
    }

    /// Whether this exec id names the init process.
    pub(crate) fn is_init(&self, exec_id: &str) -> bool {
        exec_id.is_empty() || exec_id == self.id
    }

    fn key<'a>(&'a self, exec_id: &'a str) -> &'a str {
        if exec_id.is_empty() {
            &self.id
        } else {
            exec_id
        }
    }

    /// A process by exec id; the init by "" or the container's id.
    ///
    /// # Errors
    /// NOT_FOUND when it never was, is just being started, or its status was collected.
    pub(crate) fn process(&self, exec_id: &str) -> Result<Arc<Process>> {
        match self.lock().processes.get(self.key(exec_id)) {
            Some(Slot::Here(process)) => Ok(Arc::clone(process)),
            _ => Err(Failure::not_found(format!(
                "container {}: no process {exec_id:?}; it may have been waited for already",
                self.id
            ))),
        }
    }

    /// As [`process`](Self::process), and one whose status was collected while it has unread output.
    ///
    /// # Errors
    /// NOT_FOUND.
    pub(crate) fn readable(&self, exec_id: &str) -> Result<Arc<Process>> {
        let key = self.key(exec_id);
        let ended = |state: &State| {
            let newest = state.ended.iter().rev().find(|(ended, _)| ended == key);
            newest.map(|(_, process)| Arc::clone(process))
        };
        self.process(exec_id)
            .or_else(|error| ended(&self.lock()).ok_or(error))
    }

    /// The status of the init, when somebody has collected it before. It stays as long as the
    /// container: several processes of a host may wait for it, one after the other.
    pub(crate) fn collected_status(&self, exec_id: &str) -> Option<i32> {
        self.lock().init_status.filter(|_| self.is_init(exec_id))
    }

    /// Lets go of a process that was waited for and whose output is read to its end.
    pub(crate) fn release(&self, process: &Arc<Process>) {
        let mut state = self.lock();
        state
            .ended
            .retain(|(_, ended)| !Arc::ptr_eq(ended, process));
    }

    /// All processes whose status nobody has collected.
    pub(crate) fn processes(&self) -> Vec<Arc<Process>> {
        let here = |slot: &Slot| match slot {
            Slot::Here(process) => Some(Arc::clone(process)),
            Slot::Starting => None,
        };
        self.lock().processes.values().filter_map(here).collect()
    }

    /// Exec ids (of the init, the container's) and numbers of the processes that were started and
    /// have not ended.
    pub(crate) fn running(&self) -> Vec<(String, i32)> {
        let running = |(exec, slot): (&String, &Slot)| match slot {
            Slot::Here(process) if process.exit.status().is_none() => {
                Some((exec.clone(), process.pid))
            }
            _ => None,
        };
        self.lock().processes.iter().filter_map(running).collect()
    }

    /// Takes an exec id for a process about to be started.
    ///
    /// # Errors
    /// ALREADY_EXISTS, INVALID_ARGUMENT for an id that names the init.
    pub(crate) fn reserve(self: &Arc<Self>, exec_id: &str) -> Result<ExecReservation> {
        if self.is_init(exec_id) {
            return Err(Failure::invalid(
                "an exec id must differ from the container's id",
            ));
        }
        let mut state = self.lock();
        if state.processes.contains_key(exec_id) {
            return Err(Failure::exists(format!(
                "exec_id {exec_id:?} already exists"
            )));
        }
        state.processes.insert(exec_id.to_owned(), Slot::Starting);
        Ok(ExecReservation {
            container: Arc::clone(self),
            exec_id: exec_id.to_owned(),
        })
    }

    /// Forgets a process whose status was delivered; a later one of the same name stays. Its output
    /// can still be read to the end.
    pub(crate) fn forget(&self, exec_id: &str, process: &Arc<Process>) {
        let mut state = self.lock();
        let key = self.key(exec_id);
        if let Some(Slot::Here(here)) = state.processes.get(key)
            && Arc::ptr_eq(here, process)
        {
            state.processes.remove(key);
            if key == self.id {
                state.init_status = process.exit.status();
            }
            if !process.is_drained() {
                let ended = (key.to_owned(), Arc::clone(process));
                state.ended.push_back(ended);
            }
            while state.ended.len() > MOST_ENDED {
                state.ended.pop_front();
            }
        }
    }

    /// Forgets every process, when the container is gone.
    pub(crate) fn forget_all(&self) {
        let mut state = self.lock();
        state.processes.clear();
        state.ended.clear();
    }
}

/// An exec id taken for a process that is being started; dropped unfilled it is free again.
#[derive(Debug)]
pub(crate) struct ExecReservation {
    container: Arc<Container>,
    exec_id: String,
}

impl ExecReservation {
    /// The process runs.
    pub(crate) fn fill(self, process: Process) {
        let slot = Slot::Here(Arc::new(process));
        self.container
            .lock()
            .processes
            .insert(self.exec_id.clone(), slot);
    }
}

impl Drop for ExecReservation {
    fn drop(&mut self) {
        let mut state = self.container.lock();
        if let Some(Slot::Starting) = state.processes.get(&self.exec_id) {
            state.processes.remove(&self.exec_id);
        }
    }
}

/// All containers of the sandbox. A clone shares the same table.
#[derive(Debug, Clone, Default)]
pub(crate) struct Containers {
    table: Arc<Mutex<HashMap<String, Option<Arc<Container>>>>>,
}

impl Containers {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Option<Arc<Container>>>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A container by id.
    ///
    /// # Errors
    /// INVALID_ARGUMENT when there is none, or it is still being created.
    pub(crate) fn get(&self, id: &str) -> Result<Arc<Container>> {
        self.lock()
            .get(id)
            .cloned()
            .flatten()
            .ok_or_else(|| Failure::no_container(id))
    }

    /// All that are complete.
    pub(crate) fn all(&self) -> Vec<Arc<Container>> {
        self.lock().values().flatten().cloned().collect()
    }

    /// Takes an id for a container about to be created.
    ///
    /// # Errors
    /// INVALID_ARGUMENT for an id that is no file name, ALREADY_EXISTS.
    pub(crate) fn reserve(&self, id: &str) -> Result<Reservation> {
        check_id(id)?;
        let mut table = self.lock();
        if table.contains_key(id) {
            return Err(Failure::exists(format!("container {id:?} already exists")));
        }
        table.insert(id.to_owned(), None);
        Ok(Reservation {
            containers: self.clone(),
            id: id.to_owned(),
        })
    }

    /// Drops a removed container from the table.
    pub(crate) fn forget(&self, container: &Arc<Container>) {
        let mut table = self.lock();
        if let Some(Some(here)) = table.get(&container.id)
            && Arc::ptr_eq(here, container)
        {
            table.remove(&container.id);
        }
    }
}

/// An id taken for a container that is being created; dropped unfilled it is free again.
#[derive(Debug)]
pub(crate) struct Reservation {
    containers: Containers,
    id: String,
}

impl Reservation {
    /// The container exists.
    pub(crate) fn fill(self, container: Container) {
        self.containers
            .lock()
            .insert(self.id.clone(), Some(Arc::new(container)));
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut table = self.containers.lock();
        if let Some(None) = table.get(&self.id) {
            table.remove(&self.id);
        }
    }
}

/// `[A-Za-z0-9][A-Za-z0-9_.+-]{0,127}`, and not the name of a folder of our own.
fn check_id(id: &str) -> Result<()> {
    let starts_well = id.starts_with(|first: char| first.is_ascii_alphanumeric());
    let body = |letter: char| letter.is_ascii_alphanumeric() || "_.+-".contains(letter);
    if !starts_well || id.len() > LONGEST_ID || !id.chars().all(body) || RESERVED.contains(&id) {
        return Err(Failure::invalid(format!(
            "{id:?} is not a container id: letters, digits and _.+- after a letter or digit, at \
             most {LONGEST_ID}, and none of {}",
            RESERVED.join(", ")
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
