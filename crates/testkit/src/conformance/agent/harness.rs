//! What the suite must know of an agent besides its port.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::net::UnixStream;
use virtcontainers_agent::{Agent, AgentPort, Connector, Timeouts};
use virtcontainers_types::AgentEndpoint;

use crate::agent::{DirectAgent, FakeAgent, Flavor, Program};

const TIMEOUT: Duration = Duration::from_secs(30);

/// A guest of one check.
pub struct Guest {
    /// A connection to its agent.
    pub port: Arc<dyn AgentPort>,
    complaints: Box<dyn Fn() -> Vec<String> + Send + Sync>,
}

impl Guest {
    /// A guest, and what it says that was done against its rules.
    pub fn new(
        port: Arc<dyn AgentPort>,
        complaints: impl Fn() -> Vec<String> + Send + Sync + 'static,
    ) -> Self {
        let complaints = Box::new(complaints);
        Self { port, complaints }
    }

    /// What was done against the guest's rules so far.
    pub fn complaints(&self) -> Vec<String> {
        (self.complaints)()
    }
}

impl fmt::Debug for Guest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guest")
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}

/// How to make guests.
///
/// Containers of the guest can run `true`; `hello`, which writes `hello` and a line feed; `exit-3`,
/// which ends with that status; `block`, which waits for a signal; and, if it
/// [runs programs](Self::runs_programs), `cat`. There is no program `missing` then.
#[async_trait]
pub trait Harness: Send + Sync {
    /// What is tried, for the report.
    fn name(&self) -> String;

    /// A fresh guest, and a connection to its agent over which it was asked whether it serves.
    async fn guest(&self) -> Result<Guest, String>;

    /// Whether programs are run, or only known by how they end.
    fn runs_programs(&self) -> bool {
        true
    }
}

/// For the client of the agent crate against the strict fake agent.
#[derive(Debug)]
pub struct FakeHarness(Flavor);

impl FakeHarness {
    /// With an agent of this flavour.
    pub const fn new(flavor: Flavor) -> Self {
        Self(flavor)
    }
}

#[async_trait]
impl Harness for FakeHarness {
    fn name(&self) -> String {
        format!("the client and a strict agent as {:?}", self.0)
    }

    async fn guest(&self) -> Result<Guest, String> {
        let fake = FakeAgent::builder()
            .flavor(self.0)
            .program("true", Program::new())
            .program("hello", Program::new().stdout("hello\n"))
            .program("exit-3", Program::new().exit(3))
            .program("block", Program::new().block())
            .program("cat", Program::new().cat())
            .build();
        let (ours, theirs) = UnixStream::pair().map_err(|error| error.to_string())?;
        fake.serve_stream(theirs);
        let agent = Agent::over(ours, Timeouts::all(TIMEOUT));
        agent.check().await.map_err(|error| error.to_string())?;
        Ok(Guest::new(Arc::new(agent), move || fake.violations()))
    }
}

/// For the agent without messages.
#[derive(Debug)]
pub struct DirectHarness;

#[async_trait]
impl Harness for DirectHarness {
    fn name(&self) -> String {
        "an agent without messages".to_owned()
    }

    async fn guest(&self) -> Result<Guest, String> {
        let agents = DirectAgent::new();
        agents.program("true", "", 0);
        agents.program("hello", "hello\n", 0);
        agents.program("exit-3", "", 3);
        let endpoint = AgentEndpoint::Unix {
            path: "/guest".into(),
        };
        let connected = agents.connect_with_retry(&endpoint, Timeouts::all(TIMEOUT), TIMEOUT);
        let port = connected.await.map_err(|error| error.to_string())?;
        // It is refused, and not told as a violation: the checks break rules on purpose.
        Ok(Guest::new(port, Vec::new))
    }

    fn runs_programs(&self) -> bool {
        false
    }
}
