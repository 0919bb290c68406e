//! The connection to one agent, and how a call is made over it.

mod calls;
mod watched;

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;
use tracing::Instrument as _;
use ttrpc::r#async::Client;
use ttrpc::r#async::transport::Socket;
use ttrpc::context::{Context, with_duration};
use virtcontainers_agent_proto::agent_ttrpc::AgentServiceClient;
use virtcontainers_agent_proto::health_ttrpc::HealthClient;
use virtcontainers_agent_proto::process_ttrpc::ProcessServiceClient;

use crate::endpoint::ByteStream;
use crate::error::{Cause, Error, Result};
use crate::fault::Fault;
use crate::known::Known;
use watched::Watched;

/// How long calls may take. Waiting for a process, for output, for room in a pipe and for an
/// out-of-memory event is not bounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// One ordinary call.
    pub call: Duration,
    /// The creation of a container, which may have to wait for a device.
    pub create_container: Duration,
}

impl Timeouts {
    /// All calls get the same time; see `Deadlines::rpc` of the types crate.
    pub const fn all(call: Duration) -> Self {
        Self {
            call,
            create_container: call,
        }
    }

    /// 60 s times `factor`, which is greater than 1 where the guest is emulated. A factor that is
    /// not finite and positive counts as 1.
    pub fn scaled(factor: f64) -> Self {
        let valid = factor.is_finite() && factor > 0.0;
        let factor = if valid { factor.min(1e6) } else { 1.0 };
        Self::all(Duration::from_secs(60).mul_f64(factor))
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self::scaled(1.0)
    }
}

/// A connection to the agent of one guest. Clones share it; it closes with the last one, which
/// cancels in the guest whatever was still going on over it.
#[derive(Clone)]
pub struct Agent {
    shared: Arc<Shared>,
}

struct Shared {
    client: AgentServiceClient,
    health: HealthClient,
    processes: ProcessServiceClient,
    timeouts: Timeouts,
    known: Mutex<Known>,
    /// Calls under way end when this is dropped with the last handle.
    open: watch::Sender<()>,
    /// The stream has ended.
    ended: watch::Receiver<bool>,
}

impl fmt::Debug for Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Agent")
            .field("timeouts", &self.shared.timeouts)
            .finish_non_exhaustive()
    }
}

impl Agent {
    /// Speaks to an agent over a stream that is already connected to it. Nothing is sent yet.
    ///
    /// Must be called within a tokio runtime, which the connection needs as long as it lives.
    pub fn over(stream: impl ByteStream, timeouts: Timeouts) -> Self {
        let (stream, ended) = Watched::new(stream);
        let client = Client::new(Socket::new(stream));
        let shared = Shared {
            client: AgentServiceClient::new(client.clone()),
            health: HealthClient::new(client.clone()),
            processes: ProcessServiceClient::new(client),
            timeouts,
            known: Mutex::default(),
            open: watch::Sender::new(()),
            ended,
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // The map holds no half-made change, so a panic of another thread does not spoil it.
        self.shared
            .known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn context(deadline: Option<Duration>) -> Context {
        deadline.map_or_else(Context::default, with_duration)
    }

    /// Makes a call in a task of its own: a call whose future is dropped while its frame is being
    /// written would otherwise take the whole connection with it. Its span is below the caller's,
    /// and names the container that it is about, if there is one.
    async fn call<F, T>(
        &self,
        operation: &'static str,
        container: Option<&str>,
        call: F,
    ) -> Result<T>
    where
        F: Future<Output = ttrpc::Result<T>> + Send + 'static,
        T: Send + 'static,
    {
        let mut open = self.shared.open.subscribe();
        let mut ended = self.shared.ended.clone();
        let span = tracing::debug_span!(
            "agent_call",
            subsystem = "agent",
            method = operation,
            container
        );
        let task = async move {
            tokio::select! {
                biased;
                reply = call => reply,
                // A reply that came before the end was delivered before, and won above.
                () = closed(&mut ended) => Err(ttrpc::Error::RemoteClosed),
                _ = open.changed() => Err(ttrpc::Error::LocalClosed),
            }
        };
        match tokio::spawn(task.instrument(span)).await {
            Ok(reply) => reply.map_err(|error| Error::new(operation, Fault::from(error))),
            Err(_) => Err(Error::new(operation, Cause::Cancelled)),
        }
    }

    /// Asks the health service, with a deadline of its own.
    pub(crate) async fn check_within(&self, limit: Duration) -> Result<()> {
        use virtcontainers_agent_proto::health::{
            CheckRequest, health_check_response::ServingStatus,
        };
        let health = self.shared.health.clone();
        let call = self.call("check", None, async move {
            let context = Self::context(Some(limit));
            health.check(context, &CheckRequest::new()).await
        });
        // A limit on this side, too: a stream that leads nowhere never answers.
        let reply = timeout(limit, call).await;
        let reply = reply.map_err(|_| Error::new("check", Cause::Deadline(limit)))??;
        if reply.status.enum_value() == Ok(ServingStatus::SERVING) {
            return Ok(());
        }
        Err(Error::wrong_state(
            "check",
            "the agent is there and does not serve",
        ))
    }
}

/// Waits for the end of a stream, or of the task that owned it.
async fn closed(ended: &mut watch::Receiver<bool>) {
    // An error means that the sender is gone, and with it the stream.
    drop(ended.wait_for(|ended| *ended).await);
}
