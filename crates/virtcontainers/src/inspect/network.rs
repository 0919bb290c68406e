//! How a sandbox is connected, with the silence broken: a machine without any interface is told so.

use virtcontainers_types::{NetworkConfig, NetworkStatus, SandboxState};

/// `connected` with a note when the machine has nothing at all. `asked` is what its sandbox asked for, if
/// that can be told.
pub(super) fn told(
    mut connected: NetworkStatus,
    state: SandboxState,
    asked: Option<&NetworkConfig>,
) -> NetworkStatus {
    if connected.interfaces.is_empty() && state.is_live() {
        let why = match asked {
            Some(NetworkConfig { disabled: true, .. }) => "it has no namespace of its own",
            _ => "no interface of its namespace is connected",
        };
        let note = format!("the machine has no network: {why}");
        connected.notes.insert(0, note);
    }
    connected
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_without_a_network_is_told() {
        let notes = |state, disabled| {
            let asked = NetworkConfig {
                disabled,
                ..NetworkConfig::default()
            };
            told(NetworkStatus::default(), state, Some(&asked)).notes
        };
        assert!(notes(SandboxState::Running, false)[0].contains("no interface"));
        assert!(notes(SandboxState::Running, true)[0].contains("no namespace"));
        assert!(notes(SandboxState::Stopped, false).is_empty());
    }
}
