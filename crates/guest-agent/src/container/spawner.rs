//! The spawner: a process forked while the agent has a single thread, which clones the processes
//! of containers for it.
//!
//! It holds nothing but its socket, does nothing slow, and the processes it clones are children
//! of the agent, not its own. It ends with the agent.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::thread::{LinkNameSpaceType, ThreadNameSpaceType};

use super::error::{EngineError, Result, Step as _};
use super::setup::{self, Inheritance};
use super::sys::{self, Side, SingleThread};
use super::wire::{self, Reply, Role, SpawnRequest};

/// The agent's end of the spawner. A clone speaks to the same process.
#[derive(Debug, Clone)]
pub(crate) struct Spawner {
    socket: Arc<Mutex<OwnedFd>>,
}

/// What a new process is given.
#[derive(Debug)]
pub(crate) struct Order<'a> {
    /// Which set-up it runs.
    pub(crate) role: Role,
    /// `CLONE_NEW*` flags.
    pub(crate) namespaces: u64,
    /// Its cgroup.
    pub(crate) cgroup: BorrowedFd<'a>,
    /// The pid namespace to start in; of an exec, the pidfd of the container's init.
    pub(crate) join_pid: Option<BorrowedFd<'a>>,
    /// The plan in a memory file.
    pub(crate) plan: BorrowedFd<'a>,
    /// Its standard streams, unless it gets a terminal.
    pub(crate) pipes: Option<[BorrowedFd<'a>; 3]>,
}

impl Spawner {
    /// Forks the spawner.
    ///
    /// To be called once, before the agent starts any thread and after its root directory is
    /// final. Descriptors beyond the standard ones are not kept in the spawner.
    ///
    /// # Errors
    /// When there is more than one thread already, or the kernel refuses.
    pub(crate) fn start() -> std::io::Result<Self> {
        let single = SingleThread::witness()?;
        let (ours, theirs) = socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )?;
        if sys::fork(&single)?.is_none() {
            Process {
                socket: theirs,
                single,
                own_pids: None,
            }
            .serve();
        }
        Ok(Self {
            socket: Arc::new(Mutex::new(ours)),
        })
    }

    /// Asks for a process and returns the socket on which its replies come. Does not wait.
    ///
    /// # Errors
    /// When the spawner is gone.
    pub(crate) fn spawn(&self, order: &Order<'_>) -> Result<OwnedFd> {
        let (ours, theirs) = socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )
        .step(|| "make the socket of a new process".to_owned())?;
        let mut fds = vec![theirs.as_fd(), order.plan, order.cgroup];
        fds.extend(order.join_pid);
        fds.extend(order.pipes.iter().flatten());
        let request = SpawnRequest {
            role: order.role,
            namespaces: order.namespaces,
            join_pid: order.join_pid.is_some(),
            pipes: order.pipes.is_some(),
        };
        let socket = self.socket.lock().unwrap_or_else(PoisonError::into_inner);
        wire::send(&*socket, &request, &fds).step(|| "ask the spawner for a process".to_owned())?;
        Ok(ours)
    }
}

/// The spawner itself.
struct Process {
    socket: OwnedFd,
    single: SingleThread,
    own_pids: Option<File>,
}

impl Process {
    /// The spawner's life.
    fn serve(mut self) -> ! {
        if self.settle().is_err() {
            sys::exit_now(1);
        }
        loop {
            let (request, fds) = match wire::receive::<SpawnRequest>(&self.socket) {
                Ok(Some(received)) => received,
                Err(Errno::BADMSG) => continue,
                Ok(None) | Err(_) => sys::exit_now(0),
            };
            if let Some(task) = Task::from(request, fds) {
                self.spawn(task);
            }
        }
    }

    fn settle(&self) -> std::io::Result<()> {
        sys::default_signals();
        rustix::thread::set_name(c"vc-spawner")?;
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
        sys::close_inherited(&self.single, &[self.socket.as_raw_fd()])
    }

    /// Clones a process and says so, or says why not. In the new process this does not return.
    fn spawn(&mut self, task: Task) {
        let told = match self.clone(&task) {
            Ok(Side::Child) => {
                let Task {
                    role,
                    reply,
                    plan,
                    join_pid,
                    pipes,
                    ..
                } = task;
                let keep: Vec<_> = [&reply, &plan]
                    .into_iter()
                    .chain(&join_pid)
                    .chain(pipes.iter().flatten())
                    .map(AsRawFd::as_raw_fd)
                    .collect();
                if sys::close_inherited(&self.single, &keep).is_err() {
                    sys::exit_now(1);
                }
                setup::main(Inheritance {
                    role,
                    reply,
                    plan,
                    join_pid,
                    pipes,
                })
            }
            Ok(Side::Parent(pid, pidfd)) => {
                wire::send(&task.reply, &Reply::Cloned { pid }, &[pidfd.as_fd()])
            }
            Err(error) => wire::send(&task.reply, &Reply::Failed(error), &[]),
        };
        // If nobody listens any more, the new process finds the same out by itself and ends.
        told.ok();
    }

    fn clone(&mut self, task: &Task) -> Result<Side> {
        let Some(target) = &task.join_pid else {
            return sys::clone_sibling(&self.single, task.namespaces, &task.cgroup)
                .step(|| "clone a process".to_owned());
        };
        let own = match self.own_pids.take() {
            Some(own) => own,
            None => File::open("/proc/self/ns/pid").step(|| "open /proc/self/ns/pid".to_owned())?,
        };
        enter_pids(target.as_fd(), task.role).map_err(|errno| match errno {
            Errno::SRCH => EngineError::wrong_state("the container's init has ended"),
            errno => EngineError::internal(format!("enter the pid namespace: {errno}")),
        })?;
        let side = sys::clone_sibling(&self.single, task.namespaces, &task.cgroup);
        if matches!(side, Ok(Side::Child)) {
            return Ok(Side::Child);
        }
        // Were this to fail, later containers would be born in a wrong namespace.
        if enter_pids(own.as_fd(), Role::Init).is_err() {
            sys::exit_now(1);
        }
        self.own_pids = Some(own);
        side.map_err(|error| match error.raw_os_error() {
            // A pid namespace takes no more processes once its init has ended.
            Some(libc::ENOMEM) => EngineError::wrong_state("the container's init has ended"),
            _ => EngineError::internal(format!("clone a process: {error}")),
        })
    }
}

/// A request with its descriptors told apart.
struct Task {
    role: Role,
    namespaces: u64,
    reply: OwnedFd,
    plan: OwnedFd,
    cgroup: OwnedFd,
    join_pid: Option<OwnedFd>,
    pipes: Option<[OwnedFd; 3]>,
}

impl Task {
    fn from(request: SpawnRequest, fds: Vec<OwnedFd>) -> Option<Self> {
        let mut fds = fds.into_iter();
        Some(Self {
            role: request.role,
            namespaces: request.namespaces,
            reply: fds.next()?,
            plan: fds.next()?,
            cgroup: fds.next()?,
            join_pid: if request.join_pid {
                Some(fds.next()?)
            } else {
                None
            },
            pipes: if request.pipes {
                Some([fds.next()?, fds.next()?, fds.next()?])
            } else {
                None
            },
        })
    }
}

fn enter_pids(target: BorrowedFd<'_>, role: Role) -> std::result::Result<(), Errno> {
    match role {
        Role::Init => {
            rustix::thread::move_into_link_name_space(target, Some(LinkNameSpaceType::ProcessID))
        }
        Role::Exec => {
            rustix::thread::move_into_thread_name_spaces(target, ThreadNameSpaceType::PROCESS_ID)
        }
    }
}
