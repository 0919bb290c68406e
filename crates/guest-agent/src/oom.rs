//! Out-of-memory events: gathered from the containers, handed to the one client that asks.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use crate::container::Engine;
use crate::status::{Failure, Result};

/// Events kept for a client that does not ask; later ones are dropped.
const BACKLOG: usize = 64;

/// The queue between the containers' cgroups and the host.
#[derive(Debug)]
pub(crate) struct OomEvents {
    sender: Mutex<Option<mpsc::Sender<String>>>,
    receiver: tokio::sync::Mutex<mpsc::Receiver<String>>,
}

impl Default for OomEvents {
    fn default() -> Self {
        let (sender, receiver) = mpsc::channel(BACKLOG);
        Self {
            sender: Mutex::new(Some(sender)),
            receiver: tokio::sync::Mutex::new(receiver),
        }
    }
}

/// A watch over one container; it ends when dropped.
#[derive(Debug)]
pub(crate) struct OomGuard(AbortHandle);

impl Drop for OomGuard {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl OomEvents {
    /// Reports the victims in a container from now on. `None` where this kernel does not count
    /// them.
    pub(crate) fn watch(self: &Arc<Self>, engine: &Engine, id: &str) -> Option<OomGuard> {
        let mut watch = match engine.oom_watch(id) {
            Ok(watch) => watch,
            Err(error) => {
                log::info!("no out-of-memory events of container {id}: {error}");
                return None;
            }
        };
        let (events, id) = (Arc::clone(self), id.to_owned());
        let task = tokio::spawn(async move {
            while watch.next().await.is_some() {
                events.report(&id);
            }
        });
        Some(OomGuard(task.abort_handle()))
    }

    /// A process of this container was killed for want of memory.
    fn report(&self, container: &str) {
        let sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Err(error)) = sender
            .as_ref()
            .map(|queue| queue.try_send(container.to_owned()))
        {
            log::warn!("out-of-memory event of {container} dropped: {error}");
        }
    }

    /// Waits for the next event and gives its container. Cancel-safe.
    ///
    /// # Errors
    /// INTERNAL when the sandbox has ended: there will be none.
    pub(crate) async fn next(&self) -> Result<String> {
        let mut receiver = self.receiver.lock().await;
        receiver
            .recv()
            .await
            .ok_or_else(|| Failure::internal("the sandbox has ended"))
    }

    /// Ends the queue, after what is in it.
    pub(crate) fn close(&self) {
        self.sender
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn events_come_in_order_until_the_end() {
        let events = OomEvents::default();
        events.report("a");
        events.report("b");
        events.close();
        events.report("too late");
        assert_eq!(events.next().await.unwrap(), "a");
        assert_eq!(events.next().await.unwrap(), "b");
        assert!(events.next().await.is_err());
        assert!(events.next().await.is_err());
    }
}
