//! The guest's interfaces and routes, and devices.

use tracing::instrument;
use virtcontainers_types::{DeviceInfo, Interface, Operation, Route, SandboxId};

use crate::error::{Context, Error, ErrorKind};
use crate::network::wire;
use crate::runtime::Runtime;

impl Runtime {
    /// Lists the guest's network interfaces.
    ///
    /// Errors: `NotFound`, `WrongState`, `Gone`; `Corrupt` when the guest says what cannot be. Safe
    /// to drop.
    #[instrument(skip_all, fields(subsystem = "network", sandbox = %id))]
    pub async fn list_interfaces(&self, id: &SandboxId) -> Result<Vec<Interface>, Error> {
        let record = self.load(Operation::ListInterfaces, id, None).await?;
        let agent = self.connect_agent(&record).await?;
        let listed = agent.list_interfaces().await;
        let failed = || format!("cannot list the interfaces of sandbox {id}");
        let listed = listed.during(failed)?;
        wire::interfaces(listed)
    }

    /// Lists the guest's routes. Errors and dropping: as [`list_interfaces`](Self::list_interfaces).
    #[instrument(skip_all, fields(subsystem = "network", sandbox = %id))]
    pub async fn list_routes(&self, id: &SandboxId) -> Result<Vec<Route>, Error> {
        let record = self.load(Operation::ListRoutes, id, None).await?;
        let agent = self.connect_agent(&record).await?;
        let failed = || format!("cannot list the routes of sandbox {id}");
        let listed = agent.list_routes().await.during(failed)?;
        wire::routes(listed)
    }

    /// Adds routes to the guest's, in the place of those to the same destination, and gives those
    /// there are then. Nothing is sent for an empty list.
    ///
    /// Errors: as [`list_interfaces`](Self::list_interfaces); what the guest says of a route that it
    /// cannot add. Dropping the future may leave some of them added.
    #[instrument(skip_all, fields(subsystem = "network", sandbox = %id))]
    pub async fn update_routes(
        &self,
        id: &SandboxId,
        routes: Vec<Route>,
    ) -> Result<Vec<Route>, Error> {
        let lease = self.exclusive(Operation::UpdateRoutes, id, None).await?;
        let agent = self.connect_agent(lease.record()).await?;
        let failed = || format!("cannot change the routes of sandbox {id}");
        let routes = match routes.is_empty() {
            true => agent.list_routes().await,
            false => agent.update_routes(wire::to_guest(routes)).await,
        };
        wire::routes(routes.during(failed)?)
    }

    /// Attaches a device to a running machine. No backend can yet.
    ///
    /// Errors: `NotFound`, `WrongState`; `Unsupported`, before anything is changed.
    #[instrument(skip_all, fields(subsystem = "device", sandbox = %id))]
    pub async fn add_device(&self, id: &SandboxId, device: DeviceInfo) -> Result<(), Error> {
        let lease = self.exclusive(Operation::AddDevice, id, None).await?;
        let what = format!("device {}", device.container_path.display());
        Err(self.cannot_attach(lease.id(), &what))
    }

    fn cannot_attach(&self, id: &SandboxId, what: &str) -> Error {
        let message = format!(
            "{} cannot change {what} of the running machine of sandbox {id}: have it there when \
             the sandbox is created",
            self.host.backend.name()
        );
        Error::new(ErrorKind::Unsupported, message).of(id)
    }
}
