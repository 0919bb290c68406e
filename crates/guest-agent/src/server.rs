//! The ttrpc server: its address, its services, and what stands between a client and a handler.

use std::collections::HashMap;
use std::sync::Arc;

use ttrpc::asynchronous::{Server, Service};
use virtcontainers_agent_proto::{AGENT_SERVICE, agent_ttrpc, health_ttrpc, process_ttrpc};

use crate::agent::Agent;
use crate::service::{AgentApi, HealthApi, ProcessApi};

mod announce;
mod guard;

pub(crate) use announce::announce;

/// Methods of the protocol that this agent does not have. A client is told UNIMPLEMENTED, as by
/// an agent that is older than the method.
const ABSENT: [&str; 9] = [
    "AddSwap",
    "AddSwapPath",
    "GetIPTables",
    "SetIPTables",
    "MemAgentMemcgSet",
    "MemAgentCompactSet",
    "MemHotplugByProbe",
    "ResizeVolume",
    "SetPolicy",
];

/// Listens at `address` and serves in the background.
///
/// # Errors
/// When the address cannot be bound.
pub(crate) async fn serve(address: &str, agent: Arc<Agent>) -> ttrpc::Result<Server> {
    if let Some(path) = address.strip_prefix("unix:///") {
        // Quietly: usually there is none, and bind says what is wrong otherwise.
        drop(std::fs::remove_file(format!("/{path}")));
    }
    let mut server = Server::new()
        .bind(address)?
        .register_service(services(agent));
    server.start().await?;
    Ok(server)
}

/// All services, guarded.
fn services(agent: Arc<Agent>) -> HashMap<String, Service> {
    let mut services = agent_ttrpc::create_agent_service(Arc::new(AgentApi(Arc::clone(&agent))));
    if let Some(service) = services.get_mut(AGENT_SERVICE) {
        for method in ABSENT {
            service.methods.remove(method);
        }
    }
    services.extend(process_ttrpc::create_process_service(Arc::new(ProcessApi(
        agent,
    ))));
    services.extend(health_ttrpc::create_health(Arc::new(HealthApi)));
    services
        .into_iter()
        .map(|(name, service)| (name, guard::guarded(service)))
        .collect()
}
