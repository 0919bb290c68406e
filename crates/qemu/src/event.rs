//! QEMU's events as those of the port.

use std::sync::Arc;

use qapi::qmp::Event;
use tokio::sync::Mutex;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use virtcontainers_hypervisor::{MachineEvent, MachineEvents};

/// What an event of QEMU means for a machine; most mean nothing.
pub(crate) fn translate(event: &Event) -> Option<MachineEvent> {
    match event {
        Event::STOP { .. } => Some(MachineEvent::Paused),
        Event::RESUME { .. } => Some(MachineEvent::Resumed),
        Event::SHUTDOWN { data, .. } if data.guest => Some(MachineEvent::GuestShutdown),
        Event::GUEST_PANICKED { .. } => Some(MachineEvent::GuestPanicked),
        // Devices, jobs, migration and the rest: nobody above asks for them.
        _ => None,
    }
}

/// A subscription. One that is far behind loses the oldest events and goes on with the rest.
pub(crate) fn subscription(receiver: Receiver<Event>) -> MachineEvents {
    let receiver = Arc::new(Mutex::new(receiver));
    MachineEvents::new(move || {
        let receiver = Arc::clone(&receiver);
        Box::pin(async move { next(&mut *receiver.lock().await).await })
    })
}

async fn next(receiver: &mut Receiver<Event>) -> Option<MachineEvent> {
    loop {
        match receiver.recv().await {
            Ok(event) => {
                if let Some(event) = translate(&event) {
                    return Some(event);
                }
            }
            Err(RecvError::Lagged(lost)) => tracing::warn!(lost, "events of qemu were lost"),
            Err(RecvError::Closed) => return None,
        }
    }
}
