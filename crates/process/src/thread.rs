//! Work that is bound to a thread, such as being in another network namespace: it gets a thread of
//! its own, which ends with it, so that no pooled thread is left in the wrong place.

use std::os::fd::{AsFd, OwnedFd};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::sync::oneshot;

use crate::{Error, ErrorKind};

/// Runs `work` on a new thread called `name`, in the given network namespace if there is one.
///
/// Dropping the future does not stop work that has begun.
///
/// Errors: `Denied`, `Internal` when the thread cannot be started or cannot enter the namespace
/// (`work` has not run then); `Internal` when `work` panicked.
pub async fn on_thread<T: Send + 'static>(
    name: &str,
    network_namespace: Option<OwnedFd>,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Error> {
    let result = start(name, network_namespace, work)?.await;
    result.unwrap_or_else(|_| Err(panicked(name)))
}

/// As [`on_thread`], blocking the calling thread.
///
/// Errors: as [`on_thread`].
pub fn on_thread_blocking<T: Send + 'static>(
    name: &str,
    network_namespace: Option<OwnedFd>,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Error> {
    let result = start(name, network_namespace, work)?.blocking_recv();
    result.unwrap_or_else(|_| Err(panicked(name)))
}

fn start<T: Send + 'static>(
    name: &str,
    network_namespace: Option<OwnedFd>,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<oneshot::Receiver<Result<T, Error>>, Error> {
    let (sender, receiver) = oneshot::channel();
    let body = move || {
        let result = enter(network_namespace).map(|()| work());
        // Nobody waits any more when the receiver is gone; the work was done all the same.
        drop(sender.send(result));
    };
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(body)
        .map_err(|error| Error::system(format!("cannot start the thread {name}"), error))?;
    Ok(receiver)
}

fn enter(network_namespace: Option<OwnedFd>) -> Result<(), Error> {
    network_namespace.map_or(Ok(()), enter_network_namespace)
}

/// Moves the calling thread into a network namespace, with the threads and processes that it starts
/// from now on. For a program with one thread, which then is in that namespace as a whole
/// (setns(2)); others use [`on_thread`].
///
/// Errors: `Denied`; `Invalid` when it is no network namespace; `Internal`.
pub fn enter_network_namespace(namespace: impl AsFd) -> Result<(), Error> {
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
        .map_err(|error| Error::system("cannot enter the network namespace", error))
}

fn panicked(name: &str) -> Error {
    let message = format!("the thread {name} panicked");
    Error::new(ErrorKind::Internal, message)
}
