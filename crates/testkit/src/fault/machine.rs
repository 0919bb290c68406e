//! A machine with points before and after every command.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use virtcontainers_hypervisor::{
    Error, ErrorKind, Launched, Machine, MachineEvents, MachineExit, NetworkDeviceHandoff,
    NetworkDevicePlan, SavedMachine,
};
use virtcontainers_types::{AgentEndpoint, PciPath, ProcessIdentity};

use super::Points;
use super::backend::{Guests, struck};

#[derive(Debug)]
pub(super) struct FaultLaunched {
    pub(super) inner: Box<dyn Launched>,
    pub(super) points: Points,
    pub(super) guests: Arc<Guests>,
}

#[async_trait]
impl Launched for FaultLaunched {
    async fn start(self: Box<Self>) -> Result<Arc<dyn Machine>, Error> {
        let Self {
            inner,
            points,
            guests,
        } = *self;
        let start = async {
            let machine = inner.start().await?;
            guests.add(Arc::clone(&machine));
            Ok(EndsUnlessKept {
                machine: Some(machine),
                guests: Arc::clone(&guests),
            })
        };
        let mut started = points
            .around_waiting("start of CPUs", start, struck)
            .await?;
        let inner = started
            .machine
            .take()
            .ok_or_else(|| struck(String::new()))?;
        Ok(Arc::new(FaultMachine {
            inner,
            points,
            guests,
        }))
    }

    async fn exited(&self) -> MachineExit {
        self.inner.exited().await
    }
}

/// A start that fails or is dropped ends its machine, as the port promises.
#[derive(Debug)]
struct EndsUnlessKept {
    machine: Option<Arc<dyn Machine>>,
    guests: Arc<Guests>,
}

impl Drop for EndsUnlessKept {
    fn drop(&mut self) {
        if let Some(machine) = self.machine.take() {
            drop(machine.kill());
            self.guests.look();
        }
    }
}

#[derive(Debug)]
pub(super) struct FaultMachine {
    pub(super) inner: Arc<dyn Machine>,
    pub(super) points: Points,
    pub(super) guests: Arc<Guests>,
}

#[async_trait]
impl Machine for FaultMachine {
    async fn pause(&self) -> Result<(), Error> {
        let pause = self.inner.pause();
        self.points.around_waiting("pause", pause, struck).await
    }

    async fn resume(&self) -> Result<(), Error> {
        let resume = self.inner.resume();
        self.points.around_waiting("resume", resume, struck).await
    }

    async fn power_down(&self) -> Result<(), Error> {
        let power_down = async {
            let done = self.inner.power_down().await;
            self.guests.look();
            done
        };
        let points = &self.points;
        points
            .around_waiting("power down", power_down, struck)
            .await
    }

    async fn shutdown(&self, deadline: Duration) -> Result<(), Error> {
        let shutdown = async {
            let done = self.inner.shutdown(deadline).await;
            self.guests.look();
            done
        };
        self.points
            .around_waiting("shutdown", shutdown, struck)
            .await
    }

    fn kill(&self) -> Result<(), Error> {
        let kill = || {
            let killed = self.inner.kill();
            self.guests.look();
            killed
        };
        self.points.around("kill", kill, struck)
    }

    async fn add_network_device(
        &self,
        device: &NetworkDevicePlan,
        handoff: NetworkDeviceHandoff,
    ) -> Result<Option<PciPath>, Error> {
        let add = self.inner.add_network_device(device, handoff);
        let added = self.points.around_waiting("network device", add, struck);
        let added = added.await;
        // As the port promises, nothing is left of a device that could not be added; one that was
        // there before stays.
        if let Err(error) = &added
            && error.kind() == ErrorKind::Internal
        {
            drop(self.inner.remove_network_device(&device.id).await);
        }
        added
    }

    async fn remove_network_device(&self, id: &str) -> Result<(), Error> {
        let remove = self.inner.remove_network_device(id);
        let points = &self.points;
        points
            .around_waiting("removal of a network device", remove, struck)
            .await
    }

    fn events(&self) -> Result<MachineEvents, Error> {
        self.inner.events()
    }

    fn agent_endpoint(&self) -> AgentEndpoint {
        self.inner.agent_endpoint()
    }

    fn processes(&self) -> Vec<ProcessIdentity> {
        self.inner.processes()
    }

    fn save(&self) -> SavedMachine {
        self.inner.save()
    }

    async fn wait(&self) -> MachineExit {
        self.inner.wait().await
    }
}
