//! Changing the limits of a container.

use tracing::instrument;
use virtcontainers_agent::spec;
use virtcontainers_store::{ContainerRecord, Record};
use virtcontainers_types::{ContainerConfig, ContainerId, Operation, Resources, SandboxId};

use crate::error::{Context, Error, ErrorKind};
use crate::exec::dialect;
use crate::intent::{self, Intent};
use crate::runtime::Runtime;

impl Runtime {
    /// Gives a container other limits. What `resources` does not name stays as it is; what it names
    /// is stored with the container.
    ///
    /// Errors: `NotFound`; `WrongState`; `Gone`; what the guest says, and the limits of before are
    /// set again. Dropping the future leaves a change that the next operation takes back.
    #[instrument(skip_all, fields(subsystem = "container", sandbox = %id, container = %container))]
    pub async fn update_container(
        &self,
        id: &SandboxId,
        container: &ContainerId,
        resources: Resources,
    ) -> Result<(), Error> {
        let operation = Operation::UpdateContainer;
        let mut lease = self.exclusive(operation, id, Some(container)).await?;
        let mut record = lease.record().clone();
        let known = record
            .containers
            .iter_mut()
            .find(|known| known.status.id == *container)
            .ok_or_else(|| Error::new(ErrorKind::NotFound, "no such container").of(id))?;
        let config = config(known)?.clone();
        let config = with_limits(config, &resources)
            .map_err(|error| unreadable(container).because(error))?;
        let updated = ContainerRecord::new(config)
            .during(|| format!("cannot describe container {container}"))?;
        known.config = updated.config;

        let intent = Intent::UpdateContainer(container.clone());
        let settled = intent::enter(&lease.ledger(), lease.record(), [intent])?;
        if let Err(error) = self.send_limits(&record, container, &resources).await {
            if let Err(left) = self.settle(&mut lease).await {
                tracing::warn!(error = %left, "a failed update is settled by the next call");
            }
            return Err(error.of(id));
        }
        record.settled = settled;
        Self::commit(&mut lease, record)
    }

    /// Sets the limits that the record has for a container.
    pub(crate) async fn apply_limits(
        &self,
        record: &Record,
        container: &ContainerRecord,
    ) -> Result<(), Error> {
        let config = config(container)?;
        let limits = config
            .spec
            .linux()
            .as_ref()
            .and_then(|linux| linux.resources().as_ref());
        match limits {
            Some(limits) => self.send_limits(record, &container.status.id, limits).await,
            None => Ok(()),
        }
    }

    async fn send_limits(
        &self,
        record: &Record,
        container: &ContainerId,
        limits: &Resources,
    ) -> Result<(), Error> {
        let facts = record.guest.clone().unwrap_or_default();
        let (limits, left_out) = spec::resources(limits, dialect(&facts));
        for spec::LeftOut { property, reason } in left_out {
            tracing::warn!(%container, property, reason, "not sent to the guest");
        }
        let agent = self.connect_agent(record).await?;
        agent
            .update_container(container, limits)
            .await
            .during(|| format!("the guest cannot change the limits of container {container}"))
    }
}

fn config(container: &ContainerRecord) -> Result<&ContainerConfig, Error> {
    container.config.get().during(|| {
        format!(
            "cannot read the configuration of container {}",
            container.status.id
        )
    })
}

fn unreadable(container: &ContainerId) -> Error {
    let message = format!("cannot merge the limits of container {container}");
    Error::new(ErrorKind::Internal, message)
}

/// The configuration with what `resources` names in place of what it had.
fn with_limits(
    mut config: ContainerConfig,
    resources: &Resources,
) -> serde_json::Result<ContainerConfig> {
    let mut linux = config.spec.linux().clone().unwrap_or_default();
    let mut merged = serde_json::to_value(linux.resources().clone().unwrap_or_default())?;
    merge(&mut merged, serde_json::to_value(resources)?);
    linux.set_resources(Some(serde_json::from_value(merged)?));
    config.spec.set_linux(Some(linux));
    Ok(config)
}

/// Objects are merged by name, anything else is replaced; what is null is not named.
fn merge(into: &mut serde_json::Value, from: serde_json::Value) {
    use serde_json::Value;
    match (into, from) {
        (_, Value::Null) => {}
        (Value::Object(into), Value::Object(from)) => {
            for (name, value) in from {
                merge(into.entry(name).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_named_stays() {
        let mut limits =
            serde_json::json!({"memory": {"limit": 1, "swap": 2}, "pids": {"limit": 3}});
        merge(
            &mut limits,
            serde_json::json!({"memory": {"limit": 9, "swap": null}, "cpu": {"shares": 4}}),
        );
        let expected = serde_json::json!({
            "memory": {"limit": 9, "swap": 2}, "pids": {"limit": 3}, "cpu": {"shares": 4}
        });
        assert_eq!(limits, expected);
    }
}
