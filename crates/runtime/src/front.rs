//! The thread by which the host sees a process that stands for a container. `/proc/PID/ns` and
//! `/proc/PID/root` of a process are those of its first thread (proc(5)), and tools that enter them
//! take what they find for the container's. So the first thread takes on the container's network
//! namespace and files and does nothing else, and the work is done by another, which keeps the
//! host's.

use std::os::fd::OwnedFd;
use std::sync::mpsc;

use virtcontainers_process::enter_network_namespace;
use virtcontainers_share::View;

use crate::error::{Context, Error, ErrorKind};

/// What the working thread needs of a stack, in bytes; only what is used takes room.
const STACK: usize = 8 << 20;

/// The working thread's hold on the first one.
#[derive(Debug, Clone)]
pub(crate) struct Front(mpsc::Sender<Change>);

#[derive(Debug)]
struct Change {
    what: What,
    done: mpsc::Sender<Result<(), Error>>,
}

#[derive(Debug)]
enum What {
    Network(OwnedFd),
    View(View),
}

impl Front {
    /// Lets the process be seen in a network namespace.
    pub(crate) fn enter_network(&self, namespace: OwnedFd) -> Result<(), Error> {
        self.change(What::Network(namespace))
    }

    /// Lets the process be seen with a container's files. Only once.
    pub(crate) fn show(&self, view: View) -> Result<(), Error> {
        self.change(What::View(view))
    }

    /// Blocks for some system calls.
    fn change(&self, what: What) -> Result<(), Error> {
        let gone = || {
            Error::new(
                ErrorKind::Internal,
                "the first thread of the process is gone",
            )
        };
        let (done, changed) = mpsc::channel();
        let change = Change { what, done };
        self.0.send(change).map_err(|_| gone())?;
        changed.recv().map_err(|_| gone())?
    }
}

/// Runs `work` on a thread of its own, and makes its changes to the calling one, which is to be the
/// process's first, until it is done.
///
/// Errors: `Internal` when the thread cannot be started, or panicked.
pub(crate) fn behind<T: Send>(work: impl FnOnce(Front) -> T + Send) -> Result<T, Error> {
    let (front, changes) = mpsc::channel();
    std::thread::scope(|scope| {
        let worker = std::thread::Builder::new()
            .name("vc-work".to_owned())
            .stack_size(STACK)
            .spawn_scoped(scope, || work(Front(front)))
            .map_err(|error| {
                Error::new(ErrorKind::Internal, "cannot start the working thread").because(error)
            })?;
        // Ends with the worker, who has the only sender.
        for Change { what, done } in changes {
            let made = match what {
                What::Network(namespace) => enter_network_namespace(namespace)
                    .during(|| "cannot enter the network namespace".to_owned()),
                What::View(view) => view
                    .enter()
                    .during(|| "cannot show the container's files".to_owned()),
            };
            // It waits for this.
            done.send(made).unwrap_or_default();
        }
        worker
            .join()
            .map_err(|_| Error::new(ErrorKind::Internal, "the working thread panicked"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_thread_changes_and_the_worker_stays() {
        // On a thread of its own, which is left with nothing to see.
        let first = std::thread::spawn(|| {
            let seen = behind(|front| {
                front.show(View::default()).unwrap();
                std::path::Path::new("/proc/self").exists()
            });
            (seen.unwrap(), std::path::Path::new("/proc/self").exists())
        });
        assert_eq!(first.join().unwrap(), (true, false));
    }
}
