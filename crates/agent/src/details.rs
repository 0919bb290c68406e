//! What guest and agent say of themselves.

use virtcontainers_agent_proto::{EXACT_SPEC_FEATURE, agent};
use virtcontainers_types::GuestFacts;

use crate::spec::Dialect;

/// The most words kept of any list that a guest sends.
const MAX_WORDS: usize = 256;
/// The longest word kept, in bytes.
const MAX_WORD: usize = 256;

/// Protocol and release of an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// The version of the protocol; kata-agent 4.1 says `0.0.1`.
    pub protocol: String,
    /// The agent's release.
    pub release: String,
}

impl From<virtcontainers_agent_proto::health::VersionCheckResponse> for Version {
    fn from(reply: virtcontainers_agent_proto::health::VersionCheckResponse) -> Self {
        Self {
            protocol: word(reply.grpc_version),
            release: word(reply.agent_version),
        }
    }
}

/// What the guest is and its agent can do. Bounded: it comes from the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestDetails {
    /// What is kept with the sandbox.
    pub facts: GuestFacts,
    /// The size in which memory can be added, in bytes; 0 when it cannot.
    pub memory_block_size: u64,
    /// Added memory has to be announced by address.
    pub needs_memory_probe: bool,
    /// Names of the storage drivers.
    pub storage_handlers: Vec<String>,
    /// How specifications have to be written for this agent.
    pub dialect: Dialect,
}

impl From<agent::GuestDetailsResponse> for GuestDetails {
    fn from(mut reply: agent::GuestDetailsResponse) -> Self {
        let agent = reply.agent_details.take().unwrap_or_default();
        let features = words(agent.extra_features);
        let exact = features.iter().any(|word| word == EXACT_SPEC_FEATURE);
        Self {
            facts: GuestFacts {
                agent_version: word(agent.version),
                agent_is_init: agent.init_daemon,
                seccomp: agent.supports_seccomp,
                features,
            },
            memory_block_size: reply.mem_block_size_bytes,
            needs_memory_probe: reply.support_mem_hotplug_probe,
            storage_handlers: words(agent.storage_handlers),
            dialect: if exact { Dialect::Exact } else { Dialect::Kata },
        }
    }
}

fn words(list: Vec<String>) -> Vec<String> {
    list.into_iter().take(MAX_WORDS).map(word).collect()
}

/// One word of a guest: bounded, without control characters.
pub(crate) fn word(text: String) -> String {
    let printable = text.chars().filter(|c| !c.is_control());
    let mut kept = String::new();
    for c in printable {
        if kept.len() + c.len_utf8() > MAX_WORD {
            break;
        }
        kept.push(c);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_guest_says_is_bounded() {
        let details = GuestDetails::from(agent::GuestDetailsResponse {
            agent_details: Some(agent::AgentDetails {
                version: "4.1.0\u{1b}[2J".repeat(100),
                storage_handlers: vec!["blk".to_owned(); 10_000],
                ..Default::default()
            })
            .into(),
            ..Default::default()
        });
        assert!(details.facts.agent_version.len() <= MAX_WORD);
        assert!(!details.facts.agent_version.contains('\u{1b}'));
        assert_eq!(details.storage_handlers.len(), MAX_WORDS);
        assert_eq!(details.dialect, Dialect::Kata);
    }

    #[test]
    fn an_agent_that_says_so_gets_exact_specifications() {
        let details = GuestDetails::from(agent::GuestDetailsResponse {
            agent_details: Some(agent::AgentDetails {
                extra_features: vec![EXACT_SPEC_FEATURE.to_owned()],
                ..Default::default()
            })
            .into(),
            ..Default::default()
        });
        assert_eq!(details.dialect, Dialect::Exact);
    }
}
