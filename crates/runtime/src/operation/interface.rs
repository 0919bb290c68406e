//! Interfaces of a sandbox that is up: more of them, and fewer.

use tracing::instrument;
use virtcontainers_network::{self as network, Connection, Guest, Namespace, Plan};
use virtcontainers_store::{Lease, Record};
use virtcontainers_types::{
    Interface, MacAddress, NetworkStatus, Operation, SandboxConfig, SandboxId,
};

use crate::error::{Context, Error, ErrorKind};
use crate::intent::{self, Intent};
use crate::network::{Attached, AttachedDevice, added, await_interface, decide, devices};
use crate::network::{fallback, link_of, set_routes, set_up};
use crate::runtime::Runtime;

/// Whether an interface that was promised is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Patience {
    None,
    /// Containers are about to start, which would find nothing.
    ForPromised,
}

/// The address that stands for none.
const NO_ADDRESS: MacAddress = MacAddress([0; 6]);

impl Runtime {
    /// How the machine of a sandbox is connected to its network namespace: with nothing in it when
    /// there is no machine.
    ///
    /// Errors: `NotFound`; `Corrupt`, `Incompatible` for a record that cannot be read. Safe to drop.
    #[instrument(skip_all, fields(subsystem = "network", sandbox = %id))]
    pub async fn network(&self, id: &SandboxId) -> Result<NetworkStatus, Error> {
        let summary = self.peek(id).await?;
        let attached = Attached::read(id, summary.network.as_ref());
        attached
            .map(|attached| attached.status())
            .map_err(|error| error.of(id))
    }

    /// Connects one more link of the sandbox's network namespace to the running machine, as those
    /// that were there at its start, and has the guest set it up. Gives what the guest has.
    ///
    /// The link is named by `interface.device`, or by `name` when that is empty; `name` is its name in
    /// the guest. Addresses and an MTU that are given take the place of the link's own. The hardware
    /// address is the link's: another one than that or zeros is refused. `link_type`, `raw_flags` and
    /// `pci_path` are not looked at.
    ///
    /// Blocks the calling thread for some milliseconds. Errors: `NotFound` for the sandbox or the
    /// link; `AlreadyExists` for a link that is connected; `Invalid` for what cannot be, a name or a
    /// hardware address that another one has, or no room; `WrongState`; `Unsupported` for a sandbox
    /// without a namespace, for a backend that does not plug network devices, for a device of the
    /// host, and as [`virtcontainers_network::plan`]; `Gone`; what the guest says. Nothing is left of it then.
    /// Dropping the future leaves an addition that the next operation takes back.
    #[instrument(skip_all, fields(subsystem = "network", sandbox = %id, interface = interface.name))]
    pub async fn add_interface(
        &self,
        id: &SandboxId,
        interface: Interface,
    ) -> Result<Interface, Error> {
        let mut lease = self.exclusive(Operation::AddInterface, id, None).await?;
        let added = self.add_one(&mut lease, interface).await;
        added.map_err(|error| error.of(id))
    }

    async fn add_one(&self, lease: &mut Lease, wanted: Interface) -> Result<Interface, Error> {
        self.can_plug()?;
        let place = self.place(lease.record())?;
        let Some((namespace, sandbox)) = place else {
            let message = format!(
                "sandbox {} has no network namespace, from which an interface could be added: give it \
                 one when it is created",
                lease.id()
            );
            return Err(Error::new(ErrorKind::Unsupported, message));
        };
        let attached = Attached::of(lease.record())?;
        let link = link_of(&wanted).to_owned();
        let failed = || format!("cannot add the interface {link}");
        if attached.links().any(|known| known == link) {
            let message = format!(
                "the machine of sandbox {} has the interface {link} already",
                lease.id()
            );
            return Err(Error::new(ErrorKind::AlreadyExists, message));
        }
        let view = network::scan(&namespace).during(failed)?;
        let capabilities = self.host.backend.capabilities();
        let plan = added(&view, &sandbox, &capabilities, &attached, &wanted).during(failed)?;
        if let Some(endpoint) = plan.endpoints.first()
            && ![NO_ADDRESS, endpoint.mac].contains(&wanted.hardware_address)
        {
            let message = format!(
                "{}: its hardware address is {}, not {}, and is not changed here",
                failed(),
                endpoint.mac,
                wanted.hardware_address
            );
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        let mut new = self.plug(lease, attached, &namespace, plan, false).await?;
        let added = new.pop().map(|device| device.interface);
        added.ok_or_else(|| Error::new(ErrorKind::Internal, failed()))
    }

    /// Takes an interface from the running machine, and its connection from the namespace, where the
    /// link stays as it was before. Routes of the guest that went with it go through what is left, if
    /// the namespace has such. Gives what the guest had.
    ///
    /// Blocks the calling thread for some milliseconds. Errors: `NotFound` for the sandbox, and when
    /// no interface has this address; `WrongState`; `Timeout` when the guest does not let it go: it
    /// has it still then; `Unsupported` when the backend or its kind of device cannot; `Gone`. Dropping
    /// the future leaves a removal that the next operation carries on.
    #[instrument(skip_all, fields(subsystem = "network", sandbox = %id, %interface))]
    pub async fn remove_interface(
        &self,
        id: &SandboxId,
        interface: MacAddress,
    ) -> Result<Interface, Error> {
        let mut lease = self.exclusive(Operation::RemoveInterface, id, None).await?;
        let removed = async {
            self.can_plug()?;
            let attached = Attached::of(lease.record())?;
            let Some(device) = attached.with_address(interface).cloned() else {
                let message = format!(
                    "the machine of sandbox {id} has no interface with the address {interface}"
                );
                return Err(Error::new(ErrorKind::NotFound, message));
            };
            let left = attached.apart_from(&device);
            self.take_away(&mut lease, &device, left).await?;
            Ok(device.interface)
        };
        removed.await.map_err(|error| error.of(id))
    }

    /// Takes a device away, after which `left` is left.
    async fn take_away(
        &self,
        lease: &mut Lease,
        device: &AttachedDevice,
        left: Attached,
    ) -> Result<(), Error> {
        let intent = Intent::RemoveInterface(Box::new(device.clone()));
        let settled = intent::enter(&lease.ledger(), lease.record(), [intent])?;
        let removed = self.unplug(lease, device).await;
        let mut record = lease.record().clone();
        record.settled = settled;
        match removed {
            Ok(()) => {
                record.network = Some(left.to_blob()?);
                Self::commit(lease, record)?;
                self.fall_back(lease.record(), &left, device).await;
                Ok(())
            }
            Err(error) => {
                // Where nothing is done, it goes on as it was; the rest is for the next call.
                if !matches!(error.kind(), ErrorKind::Gone | ErrorKind::Internal) {
                    Self::commit(lease, record)?;
                }
                Err(error)
            }
        }
    }

    /// Takes from the machine what has vanished from the namespace, and connects what has come.
    ///
    /// Errors: as [`add_interface`](Self::add_interface) and
    /// [`remove_interface`](Self::remove_interface).
    pub(crate) async fn follow(&self, id: &SandboxId) -> Result<(), Error> {
        let mut lease = self.exclusive(Operation::AddInterface, id, None).await?;
        let followed = async {
            let Some((namespace, _)) = self.place(lease.record())? else {
                return Ok(());
            };
            let view = network::scan(&namespace)
                .during(|| "cannot look at the network namespace".to_owned())?;
            let mut attached = Attached::of(lease.record())?;
            for vanished in attached.vanished(&view) {
                attached = attached.without(&vanished);
                self.take_away(&mut lease, &vanished, attached.clone())
                    .await?;
            }
            self.catch_up(&mut lease, Patience::None).await
        };
        followed.await.map_err(|error: Error| error.of(id))
    }

    /// Connects what has come into the namespace since the machine was made.
    ///
    /// Errors: `Timeout` when what was promised does not come; as
    /// [`add_interface`](Self::add_interface).
    pub(super) async fn catch_up(
        &self,
        lease: &mut Lease,
        patience: Patience,
    ) -> Result<(), Error> {
        let sandbox = config_of(lease.record())?;
        let namespace = match self.namespace(lease.record()) {
            Ok(Some(namespace)) => namespace,
            Ok(None) => return Ok(()),
            // Its name may be taken from a namespace that the machine is in.
            Err(error) if error.kind() == ErrorKind::NotFound && !sandbox.network.required => {
                tracing::warn!(sandbox = %sandbox.id, %error, "late interfaces are not looked for");
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let failed = || format!("cannot connect the network of sandbox {}", sandbox.id);
        let attached = Attached::of(lease.record())?;
        let capabilities = self.host.backend.capabilities();
        let view = attached.open_to(network::scan(&namespace).during(failed)?);
        let mut plan = decide(&view, &sandbox, &capabilities, &attached).during(failed)?;
        let promised = sandbox.network.required && patience == Patience::ForPromised;
        if plan.endpoints.is_empty() && attached.is_empty() && promised {
            let deadline = self.deadlines().network;
            plan = await_interface(&namespace, &sandbox, capabilities, deadline).await?;
        }
        if plan.endpoints.is_empty() {
            return Ok(());
        }
        if let Err(error) = self.can_plug() {
            let late: Vec<_> = plan.endpoints.iter().map(|one| &*one.name).collect();
            tracing::warn!(sandbox = %sandbox.id, ?late, %error, "interfaces came too late");
            return Ok(());
        }
        let plugged = self.plug(lease, attached, &namespace, plan, true).await;
        plugged.map(drop)
    }

    /// Carries a plan for a running machine out, whole or not at all, and stores it. `whole`: the
    /// plan says what there is to be said about the rest of the namespace.
    async fn plug(
        &self,
        lease: &mut Lease,
        mut attached: Attached,
        namespace: &Namespace,
        plan: Plan,
        whole: bool,
    ) -> Result<Vec<AttachedDevice>, Error> {
        can_come_late(&plan)?;
        let mut new = attached.planned(&plan);
        let intents = new
            .iter()
            .map(|device| Intent::AddInterface(Box::new(device.clone())));
        let settled = intent::enter(&lease.ledger(), lease.record(), intents)?;
        // On the heap: what it needs at its deepest is large.
        let connected = Box::pin(self.connect(lease, namespace, &plan, &mut new)).await;
        if let Err(error) = connected {
            if let Err(left) = self.settle(lease).await {
                tracing::warn!(error = %left, "a failed addition is settled by the next call");
            }
            return Err(error);
        }
        attached.devices.extend(new.iter().cloned());
        attached.say(plan, whole);
        let mut record = lease.record().clone();
        record.network = Some(attached.to_blob()?);
        record.settled = settled;
        Self::commit(lease, record)?;
        Ok(new)
    }

    async fn connect(
        &self,
        lease: &Lease,
        namespace: &Namespace,
        plan: &Plan,
        new: &mut [AttachedDevice],
    ) -> Result<(), Error> {
        let record = lease.record();
        let machine = self.machine(record).await?;
        let agent = self.connect_agent(record).await?;
        let names = plan.endpoints.iter().map(|endpoint| &*endpoint.name);
        let names = names.collect::<Vec<_>>().join(", ");
        let failed = || format!("cannot connect {names} to the machine");
        let ledger = lease.ledger();
        let applied = network::apply(plan, namespace, &ledger).during(failed)?;
        let (plans, handoffs) = devices(new, applied.for_machine);
        for ((device, plan), handoff) in new.iter_mut().zip(&plans).zip(handoffs) {
            let path = machine.add_network_device(plan, handoff).await;
            device.interface.pci_path = path.during(failed)?;
        }
        let interfaces = new.iter().map(|device| device.interface.clone());
        let guest = Guest {
            interfaces: interfaces.collect(),
            ..applied.for_guest
        };
        set_up(&*agent, guest).await
    }

    /// Takes a device from the machine and its connection from the namespace, whether they are there
    /// or not.
    ///
    /// Errors: those of [`remove_interface`](Self::remove_interface). `Internal` and `Gone` when it may
    /// be half done, others when nothing is.
    pub(crate) async fn unplug(&self, lease: &Lease, device: &AttachedDevice) -> Result<(), Error> {
        let failed = || format!("cannot remove the interface {}", device.endpoint.name);
        let mut entries = device.undo_entries()?;
        entries.reverse();
        let machine = self.machine(lease.record()).await?;
        let removed = machine.remove_network_device(&device.id).await;
        removed.during(failed)?;
        // From here on there is no way back, which only these kinds of errors tell.
        let half_done = || Error::new(ErrorKind::Internal, failed());
        network::undo_all(&entries).map_err(|error| half_done().because(error))?;
        let forgotten = lease.ledger().forget(&entries);
        forgotten.map_err(|error| half_done().because(error))
    }

    /// Gives the guest other routes in the place of those that went with a device. Best effort: the
    /// device has gone.
    async fn fall_back(&self, record: &Record, attached: &Attached, gone: &AttachedDevice) {
        if gone.routes.is_empty() || attached.is_empty() {
            return;
        }
        let sent = async {
            let Some((namespace, sandbox)) = self.place(record)? else {
                return Ok(());
            };
            let failed = || "cannot decide the routes that are left".to_owned();
            let view = network::scan(&namespace).during(failed)?;
            let capabilities = self.host.backend.capabilities();
            let routes = fallback(&view, &sandbox, &capabilities, attached, &gone.routes);
            let agent = self.connect_agent(record).await?;
            set_routes(&*agent, routes.during(failed)?).await
        };
        let sent: Result<(), Error> = sent.await;
        if let Err(error) = sent {
            tracing::warn!(%error, "the guest has no routes in the place of those that went");
        }
    }

    /// Where the interfaces of a sandbox are, if it has a namespace.
    fn place(&self, record: &Record) -> Result<Option<(Namespace, SandboxConfig)>, Error> {
        let Some(namespace) = self.namespace(record)? else {
            return Ok(None);
        };
        Ok(Some((namespace, config_of(record)?)))
    }

    fn can_plug(&self) -> Result<(), Error> {
        if self.host.backend.capabilities().network_hotplug {
            return Ok(());
        }
        let message = format!(
            "{} cannot change the interfaces of a running machine: have them in the namespace when \
             the sandbox is created",
            self.host.backend.name()
        );
        Err(Error::new(ErrorKind::Unsupported, message))
    }
}

fn config_of(record: &Record) -> Result<SandboxConfig, Error> {
    let failed = || format!("cannot read the configuration of sandbox {}", record.id());
    record.to_config().during(failed)
}

/// Refuses devices of the host: a machine takes them over when it starts only.
fn can_come_late(plan: &Plan) -> Result<(), Error> {
    let mut endpoints = plan.endpoints.iter();
    match endpoints.find(|one| matches!(one.connection, Connection::Vfio { .. })) {
        Some(endpoint) => {
            let message = format!(
                "the interface {} is a device of the host, which a machine takes over only when it \
                 starts: have it in the namespace when the sandbox is created",
                endpoint.name
            );
            Err(Error::new(ErrorKind::Unsupported, message))
        }
        None => Ok(()),
    }
}
