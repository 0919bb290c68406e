//! Reaching the agent: one attempt for an agent that announced itself, attempts with growing
//! pauses for one that does not.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};
use tracing::debug;
use virtcontainers_agent_proto::AGENT_PORT;
use virtcontainers_types::AgentEndpoint;

use crate::client::{Agent, Timeouts};
use crate::endpoint;
use crate::error::{Cause, Error, Result};

/// The first pause between two attempts; each is twice the last.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
/// How long one attempt may take: a stream that leads nowhere must not use up the whole deadline.
const ATTEMPT: Duration = Duration::from_secs(5);

/// Connects to an agent that is known to listen, and asks it whether it serves.
///
/// `deadline` bounds both together. Fails with `Gone` or `NotFound` when nobody listens, `Timeout`
/// when nobody answers. Dropping the future closes the connection.
pub async fn connect(
    endpoint: &AgentEndpoint,
    timeouts: Timeouts,
    deadline: Duration,
) -> Result<Agent> {
    let end = Instant::now() + deadline;
    let late = |_| Err(Error::new("connect", Cause::Deadline(deadline)));
    timeout_at(end, attempt(endpoint, timeouts, deadline))
        .await
        .unwrap_or_else(late)
}

/// Connects to an agent that does not announce itself, such as kata-agent: tries until its health
/// service says that it serves.
///
/// Ends with `Gone` as soon as `give_up` completes (the machine ended), with `Timeout` after
/// `deadline`; the source of neither is lost, it was logged at debug level. An endpoint that
/// forbids access fails at once. Dropping the future is safe.
pub async fn connect_with_retry(
    endpoint: &AgentEndpoint,
    timeouts: Timeouts,
    deadline: Duration,
    give_up: impl Future<Output = ()> + Send,
) -> Result<Agent> {
    let end = Instant::now() + deadline;
    let attempts = async {
        let mut pause = FIRST_PAUSE;
        loop {
            let limit = end.saturating_duration_since(Instant::now()).min(ATTEMPT);
            match attempt(endpoint, timeouts, limit).await {
                Ok(agent) => return Ok(agent),
                Err(error) if error.kind() == crate::ErrorKind::Denied => return Err(error),
                Err(error) => {
                    let source = std::error::Error::source(&error).map(ToString::to_string);
                    debug!(subsystem = "agent", source, "not there yet");
                }
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    };
    let (mut attempts, mut give_up) = (pin!(attempts), pin!(give_up));
    let awaited = timeout_at(end, async {
        tokio::select! {
            biased;
            result = &mut attempts => result,
            () = &mut give_up => Err(Error::new("connect", Cause::GivenUp)),
        }
    });
    let late = |_| Err(Error::new("connect", Cause::Deadline(deadline)));
    awaited.await.unwrap_or_else(late)
}

async fn attempt(endpoint: &AgentEndpoint, timeouts: Timeouts, limit: Duration) -> Result<Agent> {
    let stream = endpoint::open(endpoint, AGENT_PORT, limit).await?;
    let agent = Agent::over(stream, timeouts);
    agent.check_within(limit).await?;
    Ok(agent)
}
