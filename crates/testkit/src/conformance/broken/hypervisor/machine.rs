//! Machines that run and are wrong in one way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;
use virtcontainers_hypervisor::{
    Error, ErrorKind, Machine, MachineEvent, MachineEvents, MachineExit, NetworkDeviceHandoff,
    NetworkDevicePlan, SavedMachine,
};
use virtcontainers_types::{AgentEndpoint, PciPath, ProcessIdentity};

use super::backend::{elsewhere, recast};
use super::plug::Plugged;

/// A machine that is wrong in the named way.
#[derive(Debug)]
pub(super) struct BrokenMachine {
    inner: Arc<dyn Machine>,
    breaks: &'static str,
    adopted: bool,
    /// The caller believes it halted.
    halted: AtomicBool,
    /// It is halted and the caller does not know.
    asleep: AtomicBool,
    /// A shutdown was called.
    begun: AtomicBool,
    /// A shutdown was completed.
    shut: AtomicBool,
    told: AtomicU32,
    plugged: Plugged,
}

impl BrokenMachine {
    pub(super) fn launched(inner: Arc<dyn Machine>, breaks: &'static str) -> Self {
        Self::new(inner, breaks, false)
    }

    pub(super) fn adopted(inner: Arc<dyn Machine>, breaks: &'static str) -> Self {
        Self::new(inner, breaks, true)
    }

    fn new(inner: Arc<dyn Machine>, breaks: &'static str, adopted: bool) -> Self {
        let asleep = breaks == "a-start-lets-the-cpus-run" && !adopted;
        Self {
            inner,
            breaks,
            adopted,
            halted: AtomicBool::new(false),
            asleep: AtomicBool::new(asleep),
            begun: AtomicBool::new(false),
            shut: AtomicBool::new(false),
            told: AtomicU32::new(0),
            plugged: Plugged::default(),
        }
    }

    /// Makes good for a start that did not let the CPUs run, when it is too late to be noticed.
    fn wake(&self) {
        if self.asleep.swap(false, Ordering::SeqCst) {
            // A fake that is a value answers at once.
            drop(self.inner.resume().now_or_never());
        }
    }

    fn has_ended(&self) -> bool {
        self.inner.wait().now_or_never().is_some()
    }
}

impl Drop for BrokenMachine {
    fn drop(&mut self) {
        if self.adopted && self.breaks == "a-dropped-adoption-changes-nothing" {
            drop(self.inner.kill());
        }
    }
}

fn refuse<T>(kind: ErrorKind) -> Result<T, Error> {
    Err(Error::new(kind, "refused wrongly"))
}

#[async_trait]
impl Machine for BrokenMachine {
    async fn pause(&self) -> Result<(), Error> {
        self.wake();
        let paused = match self.breaks {
            "pausing-needs-the-ability" => return Ok(()),
            "a-pause-halts-the-cpus" if self.halted.load(Ordering::SeqCst) => {
                return refuse(ErrorKind::WrongState);
            }
            _ => self.inner.pause().await,
        };
        match (self.breaks, paused) {
            ("a-pause-halts-the-cpus", Ok(())) => {
                self.halted.store(true, Ordering::SeqCst);
                self.inner.resume().await
            }
            ("a-second-pause-is-refused", Err(error)) if error.kind() == ErrorKind::WrongState => {
                Ok(())
            }
            ("a-pause-of-what-ended-is-gone", Err(error)) => {
                Err(recast(error, ErrorKind::Gone, ErrorKind::Internal))
            }
            (_, paused) => paused,
        }
    }

    async fn resume(&self) -> Result<(), Error> {
        self.wake();
        let halted = self.halted.swap(false, Ordering::SeqCst);
        let resumed = match self.breaks {
            "a-pause-halts-the-cpus" if halted => Ok(()),
            _ => self.inner.resume().await,
        };
        match (self.breaks, resumed) {
            ("a-resume-lets-the-cpus-go-on", Ok(())) => self.inner.pause().await,
            ("a-resume-of-what-runs-is-refused", Err(error))
                if error.kind() == ErrorKind::WrongState =>
            {
                Ok(())
            }
            (_, resumed) => resumed,
        }
    }

    async fn power_down(&self) -> Result<(), Error> {
        self.wake();
        let asked = self.inner.power_down().await;
        match (self.breaks, asked) {
            ("a-power-down-asks-the-guest", Ok(())) => refuse(ErrorKind::Unsupported),
            ("a-power-down-of-what-ended-is-gone", Err(_)) => Ok(()),
            (_, asked) => asked,
        }
    }

    async fn shutdown(&self, deadline: Duration) -> Result<(), Error> {
        let begun = self.begun.swap(true, Ordering::SeqCst);
        match self.breaks {
            "a-shutdown-leaves-nothing" if !self.adopted && !begun && !deadline.is_zero() => {
                return Ok(());
            }
            "a-late-shutdown-kills" if deadline.is_zero() => return refuse(ErrorKind::Timeout),
            "a-shutdown-of-what-ended-succeeds"
                if self.has_ended() && !self.shut.load(Ordering::SeqCst) =>
            {
                return refuse(ErrorKind::Gone);
            }
            "a-dropped-shutdown-can-be-repeated" => {
                if begun && !self.shut.load(Ordering::SeqCst) {
                    return refuse(ErrorKind::WrongState);
                }
                tokio::task::yield_now().await;
            }
            "an-adopter-ends-the-machine" if self.adopted => return Ok(()),
            _ => {}
        }
        self.inner.shutdown(deadline).await?;
        self.shut.store(true, Ordering::SeqCst);
        Ok(())
    }

    fn kill(&self) -> Result<(), Error> {
        match self.breaks {
            "a-kill-ends-the-machine" => Ok(()),
            "a-kill-of-what-ended-succeeds" if self.has_ended() => refuse(ErrorKind::Gone),
            _ => self.inner.kill(),
        }
    }

    async fn add_network_device(
        &self,
        device: &NetworkDevicePlan,
        handoff: NetworkDeviceHandoff,
    ) -> Result<Option<PciPath>, Error> {
        self.wake();
        let how = (self.breaks, self.adopted);
        let plugged = &self.plugged;
        plugged.add(&*self.inner, how, device, handoff).await
    }

    async fn remove_network_device(&self, id: &str) -> Result<(), Error> {
        self.wake();
        let how = (self.breaks, self.adopted);
        self.plugged.remove(&*self.inner, how, id).await
    }

    fn events(&self) -> Result<MachineEvents, Error> {
        self.wake();
        if self.adopted && self.breaks == "events-are-the-launchers" {
            let silent = || std::future::pending().boxed();
            return Ok(MachineEvents::new(silent));
        }
        let events = Arc::new(tokio::sync::Mutex::new(self.inner.events()?));
        let breaks = self.breaks;
        Ok(MachineEvents::new(move || {
            let events = Arc::clone(&events);
            Box::pin(async move {
                let event = events.lock().await.next().await;
                match (breaks, event) {
                    ("the-launcher-has-events", Some(MachineEvent::Paused)) => {
                        Some(MachineEvent::Resumed)
                    }
                    ("events-end-with-the-machine", None) => std::future::pending().await,
                    (_, event) => event,
                }
            })
        }))
    }

    fn agent_endpoint(&self) -> AgentEndpoint {
        match self.breaks {
            "what-is-saved-is-adopted" if self.adopted => elsewhere(),
            _ => self.inner.agent_endpoint(),
        }
    }

    fn processes(&self) -> Vec<ProcessIdentity> {
        let mut processes = self.inner.processes();
        match self.breaks {
            // A process that nobody started.
            "processes-carry-the-nonce" => processes.push(ProcessIdentity {
                pid: u32::MAX,
                start_time: 0,
            }),
            "the-monitor-is-listed-first" => {
                for process in &mut processes {
                    process.start_time = 0;
                }
            }
            _ => {}
        }
        processes
    }

    fn save(&self) -> SavedMachine {
        self.wake();
        self.inner.save()
    }

    async fn wait(&self) -> MachineExit {
        let mut exit = self.inner.wait().await;
        match self.breaks {
            "the-end-is-told" => exit.reason.clear(),
            "all-are-told-the-same-end" => {
                let number = self.told.fetch_add(1, Ordering::SeqCst);
                exit.reason = format!("answer {number}");
            }
            _ => {}
        }
        exit
    }
}
