//! Work in a network namespace: on a thread of its own, which ends with the work, so that no other
//! work ever runs there.

use std::os::fd::AsFd;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::{Error, ErrorKind, Namespace};

/// Runs `work` in the namespace, and waits for it.
pub(crate) fn inside<T: Send>(
    namespace: &Namespace,
    work: impl FnOnce() -> Result<T, Error> + Send,
) -> Result<T, Error> {
    apart("vc-netns", || {
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
            .map_err(|source| Error::system("enter", namespace.path(), source))?;
        work()
    })
}

/// Runs `work` on a new thread, which is where the calling thread is, and waits for it.
pub(crate) fn apart<T: Send>(
    name: &str,
    work: impl FnOnce() -> Result<T, Error> + Send,
) -> Result<T, Error> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn_scoped(scope, work)
            .map_err(|source| {
                let message = format!("cannot start the thread {name}");
                Error::new(ErrorKind::Internal, message).with_source(source)
            })?;
        thread.join().unwrap_or_else(|_| {
            let message = format!("the thread {name} panicked");
            Err(Error::new(ErrorKind::Internal, message))
        })
    })
}
