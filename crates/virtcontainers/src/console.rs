//! The debug shell in a guest: asked for in the configuration, reached over the guest's vsock.
//!
//! It is the agent's, ours or the original: told by words on the guest kernel's command line, it
//! starts a shell on a terminal of its own for each connection to a port.

use std::fmt;

use virtcontainers_agent::endpoint::{self, ByteStream};
use virtcontainers_runtime::{ErrorKind, Runtime, Sandbox};

use crate::Error;
use crate::config::Config;

/// The port of the debug shell, the one that kata-containers uses.
const PORT: u32 = 1026;
const PORT_WORD: &str = "agent.debug_console_vport=";

/// Words for the guest kernel's command line.
pub(crate) fn kernel_words(config: &Config) -> Vec<String> {
    match config.agent.kata.debug_console_enabled {
        true => vec![
            "agent.debug_console".to_owned(),
            format!("{PORT_WORD}{PORT}"),
        ],
        false => Vec::new(),
    }
}

/// A shell in a guest, as a stream of bytes of its terminal. It ends when the stream is dropped.
pub struct DebugConsole(Box<dyn ByteStream>);

impl DebugConsole {
    /// Connects to a new shell in the guest of a sandbox.
    ///
    /// Errors: `Unsupported` when the sandbox was made without one, saying how to get one; as
    /// [`Sandbox::agent_url`] when it is not up; `Gone`, `NotFound` or `Timeout` when the guest does not answer.
    /// Dropping the future closes the connection.
    pub async fn open(runtime: &Runtime, sandbox: &Sandbox) -> Result<Self, Error> {
        let id = sandbox.id();
        let failed = |kind| Error::new(kind, format!("cannot open a shell in sandbox {id}"));
        let config = sandbox.config().await;
        let config = config.map_err(|error| failed(error.kind()).because(error))?;
        let Some(port) = port(&config.boot.kernel_params) else {
            let message = format!(
                "sandbox {id} was made without a debug shell: set debug_console_enabled = true in \
                 [agent.kata] of the configuration, and make it anew"
            );
            return Err(Error::new(ErrorKind::Unsupported, message));
        };
        let reached = sandbox.agent_url().await;
        let guest = reached.map_err(|error| failed(error.kind()).because(error))?;
        let opened = endpoint::open(&guest, port, runtime.deadlines().rpc).await;
        let stream = opened.map_err(|error| failed(error.kind()).because(error))?;
        Ok(Self(stream))
    }

    /// The stream.
    pub fn into_stream(self) -> Box<dyn ByteStream> {
        self.0
    }
}

impl fmt::Debug for DebugConsole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DebugConsole")
    }
}

/// The port of the shell that these words ask for.
fn port(words: &[String]) -> Option<u32> {
    let words = words.iter().flat_map(|words| words.split_whitespace());
    let enabled = words.clone().any(|word| word == "agent.debug_console");
    // Of several, the last one counts.
    let mut ports = words
        .rev()
        .filter_map(|word| word.strip_prefix(PORT_WORD)?.parse().ok());
    ports.next().filter(|port| enabled && *port != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_the_one_that_the_guest_was_told() {
        let port = |line: &str| port(&[line.to_owned()]);
        assert_eq!(
            port("agent.debug_console agent.debug_console_vport=1026"),
            Some(1026)
        );
        assert_eq!(
            port("agent.debug_console_vport=7 quiet agent.debug_console"),
            Some(7)
        );
        assert_eq!(port("agent.debug_console"), None, "it is on the console");
        assert_eq!(port("agent.debug_console_vport=1026"), None);
        assert_eq!(port(""), None);
    }

    #[test]
    fn nothing_is_asked_for_unless_it_is_configured() {
        let mut config = Config::default();
        assert_eq!(kernel_words(&config), [""; 0]);
        config.agent.kata.debug_console_enabled = true;
        assert_eq!(port(&kernel_words(&config)), Some(PORT));
    }
}
