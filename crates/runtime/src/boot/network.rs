//! The network of the machine: what is in its namespace becomes its own.

use std::sync::Arc;

use virtcontainers_hypervisor::{NetworkDeviceHandoff, NetworkDevicePlan};
use virtcontainers_network::{self as network, Guest, Namespace, Plan};

use super::Job;
use super::share::Shared;
use crate::error::{Context, Error};
use crate::network::{Attached, await_interface, decide, devices};

/// What the machine and its guest get of the namespace; nothing when there is nothing in it.
#[derive(Debug, Default)]
pub(super) struct Network {
    /// For the machine's plan.
    pub(super) devices: Vec<NetworkDevicePlan>,
    /// For the machine, in the same order.
    pub(super) handoffs: Vec<NetworkDeviceHandoff>,
    /// For the guest's agent.
    pub(super) guest: Guest,
    /// For the record.
    pub(super) attached: Attached,
}

impl Shared {
    /// Connects the interfaces that are in the namespace now. Blocks for some milliseconds for each.
    pub(super) async fn connect_network(mut self, job: Job<'_>) -> Result<Self, Error> {
        let Some(namespace) = &self.namespace else {
            return Ok(self);
        };
        let id = &job.config.id;
        let failed = || format!("cannot connect the network of sandbox {id}");
        let plan = look(job, namespace).await?;
        for note in &plan.notes {
            tracing::warn!(sandbox = %id, note, "the guest's network differs");
        }
        let connected = network::apply(&plan, namespace, job.ledger).during(failed)?;
        let mut attached = Attached::default();
        let new = attached.planned(&plan);
        let (devices, handoffs) = devices(&new, connected.for_machine);
        attached.devices.extend(new);
        attached.say(plan, true);
        self.network = Network {
            devices,
            handoffs,
            guest: connected.for_guest,
            attached,
        };
        Ok(self)
    }
}

/// Decides by what is there. An interface that was promised is waited for when it cannot come later:
/// the containers start at once, or nothing is plugged into a running machine.
async fn look(job: Job<'_>, namespace: &Namespace) -> Result<Plan, Error> {
    let config = Arc::new(job.config.clone());
    let failed = || format!("cannot connect the network of sandbox {}", config.id);
    let capabilities = job.host.backend.capabilities();
    let view = network::scan(namespace).during(failed)?;
    let none = Attached::default();
    let plan = decide(&view, &config, &capabilities, &none).during(failed)?;
    let last_chance = job.starts || !capabilities.network_hotplug;
    match plan.endpoints.is_empty() && config.network.required && last_chance {
        true => {
            let deadline = job.plan.machine.deadlines.network;
            await_interface(namespace, &config, capabilities, deadline).await
        }
        false => Ok(plan),
    }
}
