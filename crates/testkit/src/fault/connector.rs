//! The way to agents, with points before and after every connection.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use virtcontainers_agent::{AgentPort, Connector, Error, ErrorKind, Result, Timeouts};
use virtcontainers_types::AgentEndpoint;

use super::Points;
use super::agent::FaultAgent;

/// A connector around another one. Its agents have points, too, and say nothing while the machine
/// that they are in is halted.
#[derive(Clone)]
pub struct FaultConnector {
    inner: Arc<dyn Connector>,
    points: Points,
    halted: Arc<dyn Fn(&AgentEndpoint) -> bool + Send + Sync>,
}

impl fmt::Debug for FaultConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FaultConnector")
    }
}

/// The error of a point: what becomes of a call whose connection breaks.
pub(super) fn struck(method: &'static str) -> impl Fn(String) -> Error {
    move |struck| Error::of_port(method, ErrorKind::Internal, struck)
}

impl FaultConnector {
    /// The same connector, with points. `halted` says whether the machine of the guest at an endpoint
    /// is paused.
    pub fn new(
        inner: Arc<dyn Connector>,
        points: Points,
        halted: impl Fn(&AgentEndpoint) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self {
            inner,
            points,
            halted: Arc::new(halted),
        }
    }

    fn agent(&self, inner: Arc<dyn AgentPort>, endpoint: &AgentEndpoint) -> Arc<dyn AgentPort> {
        let halted = Arc::clone(&self.halted);
        let endpoint = endpoint.clone();
        Arc::new(FaultAgent {
            inner,
            points: self.points.clone(),
            halted: Box::new(move || halted(&endpoint)),
        })
    }

    /// Nobody answers in a halted machine.
    async fn heard(&self, endpoint: &AgentEndpoint, limit: Duration) -> Result<()> {
        if !(self.halted)(endpoint) {
            return Ok(());
        }
        tokio::time::sleep(limit).await;
        let reason = "the machine is halted";
        Err(Error::of_port("connect", ErrorKind::Timeout, reason))
    }
}

#[async_trait]
impl Connector for FaultConnector {
    async fn connect(
        &self,
        endpoint: &AgentEndpoint,
        timeouts: Timeouts,
        limit: Duration,
    ) -> Result<Arc<dyn AgentPort>> {
        self.heard(endpoint, limit).await?;
        let connect = self.inner.connect(endpoint, timeouts, limit);
        let points = &self.points;
        let agent = points
            .around_waiting("connect", connect, struck("connect"))
            .await?;
        Ok(self.agent(agent, endpoint))
    }

    async fn connect_with_retry(
        &self,
        endpoint: &AgentEndpoint,
        timeouts: Timeouts,
        limit: Duration,
    ) -> Result<Arc<dyn AgentPort>> {
        let connect = self.inner.connect_with_retry(endpoint, timeouts, limit);
        let points = &self.points;
        let agent = points
            .around_waiting("first connect", connect, struck("connect_with_retry"))
            .await?;
        Ok(self.agent(agent, endpoint))
    }
}
