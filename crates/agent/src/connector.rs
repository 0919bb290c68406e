//! The way to an agent as a part that can be exchanged: ttrpc for real guests, something else for
//! tests.

use std::fmt;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use virtcontainers_types::AgentEndpoint;

use crate::client::Timeouts;
use crate::connect::{connect, connect_with_retry};
use crate::error::Result;
use crate::port::AgentPort;

/// Connects to agents.
///
/// Both methods ask the agent whether it serves before they give it out, and both are bounded by
/// `limit`, connecting and asking together. Dropping a future closes what it has opened.
#[async_trait]
pub trait Connector: fmt::Debug + Send + Sync {
    /// Connects to an agent that is known to be up.
    ///
    /// Fails with `Gone` or `NotFound` when nobody listens, `Timeout` when nobody answers.
    async fn connect(
        &self,
        endpoint: &AgentEndpoint,
        timeouts: Timeouts,
        limit: Duration,
    ) -> Result<Arc<dyn AgentPort>>;

    /// Connects to the agent of a guest that boots: tries until it serves.
    ///
    /// Fails with `Timeout` after `limit`, and at once with `Denied` where access is forbidden.
    /// Whoever sees the machine end drops the future.
    async fn connect_with_retry(
        &self,
        endpoint: &AgentEndpoint,
        timeouts: Timeouts,
        limit: Duration,
    ) -> Result<Arc<dyn AgentPort>>;
}

/// Connects by ttrpc, over whatever kind of stream the endpoint names.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ttrpc;

#[async_trait]
impl Connector for Ttrpc {
    async fn connect(
        &self,
        endpoint: &AgentEndpoint,
        timeouts: Timeouts,
        limit: Duration,
    ) -> Result<Arc<dyn AgentPort>> {
        let agent = connect(endpoint, timeouts, limit).await?;
        Ok(Arc::new(agent))
    }

    async fn connect_with_retry(
        &self,
        endpoint: &AgentEndpoint,
        timeouts: Timeouts,
        limit: Duration,
    ) -> Result<Arc<dyn AgentPort>> {
        let agent = connect_with_retry(endpoint, timeouts, limit, pending()).await?;
        Ok(Arc::new(agent))
    }
}
