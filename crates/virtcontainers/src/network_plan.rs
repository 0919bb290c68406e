//! What a machine would get of a network namespace, if one were made now.

use std::path::Path;

use virtcontainers_network::{self as network, Plan, View};
use virtcontainers_types::Capabilities;

use crate::{Config, Error, registry};

/// How the machine of a sandbox as `config` describes it would be connected to the network namespace at
/// `namespace`, without annotations. Nothing is changed. Blocks for some milliseconds.
///
/// Errors: `NotFound` for the namespace, or an unknown backend; `Invalid` for what is no namespace;
/// `Denied` for the host's own; as [`network::plan`].
pub fn plan_network(config: &Config, namespace: &Path) -> Result<Plan, Error> {
    let failed = |error: network::Error| {
        let message = format!("cannot plan the network of {}", namespace.display());
        Error::new(error.kind(), message).because(error)
    };
    let capabilities = registry::capabilities(config)?;
    let opened = network::open_namespace(namespace).map_err(failed)?;
    let view = network::scan(&opened).map_err(failed)?;
    let connection = connection(config, &view, &capabilities);
    network::plan(&view, &connection).map_err(failed)
}

fn connection(config: &Config, view: &View, capabilities: &Capabilities) -> network::Config {
    let settings = config.network.settings();
    network::Config::of(&settings, view, config.hypervisor.qemu.vcpus, capabilities)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ByteRate, RateSection};
    use virtcontainers_types::{RateLimit, VcpuCount};

    #[test]
    fn a_machine_is_connected_as_configured() {
        let view = r#"{"namespace": {"path": "/n", "device": 4, "inode": 7}, "links": [{"index": 2, "name": "eth1"}]}"#;
        let view: View = serde_json::from_str(view).unwrap();
        let mut config = Config::default();
        config.hypervisor.qemu.vcpus = VcpuCount::new(3).unwrap();
        let slow = RateSection {
            inbound: ByteRate(4096),
            outbound: ByteRate(0),
        };
        for name in ["eth0", "eth1"] {
            config.network.rates.insert(name.to_owned(), slow);
        }
        let capabilities = registry::capabilities(&config).unwrap();
        let connection = connection(&config, &view, &capabilities);
        assert_eq!(connection.queues.get(), 3);
        let limit = RateLimit {
            inbound: Some(4096),
            outbound: None,
        };
        assert_eq!(connection.limits, [("eth1".to_owned(), limit)].into());
        assert_eq!(
            connection.max_interfaces,
            usize::from(capabilities.network_devices)
        );
    }
}
