//! Out-of-memory events: gathered from the containers, handed to the one client that asks.

use std::sync::{Mutex, PoisonError};

use tokio::sync::mpsc;

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

impl OomEvents {
    /// A process of this container was killed for want of memory.
    pub(crate) fn report(&self, container: &str) {
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
