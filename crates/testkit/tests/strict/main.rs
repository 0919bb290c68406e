//! The strict fake agent is itself tested: every rule it stands for is broken once, by a client
//! without checks of its own, and must be caught; a sound conversation must not be.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

/// Sends a request: `call!(peer, method, Message { field: value })`.
macro_rules! call {
    ($peer:expr, $method:ident, $message:ident { $($field:ident: $value:expr),* $(,)? }) => {{
        let request = $message {
            $($field: $value.into(),)*
            ..Default::default()
        };
        $peer.agent.$method(with_duration(Duration::from_secs(10)), &request).await
    }};
}

mod order;
mod requests;
mod streams;

use std::time::Duration;

use tokio::net::UnixStream;
use ttrpc::Code;
use ttrpc::r#async::Client;
use ttrpc::r#async::transport::Socket;
use ttrpc::context::with_duration;
use virtcontainers_agent_proto::agent::*;
use virtcontainers_agent_proto::agent_ttrpc::AgentServiceClient;
use virtcontainers_agent_proto::health::CheckRequest;
use virtcontainers_agent_proto::health_ttrpc::HealthClient;
use virtcontainers_agent_proto::{oci, types};
use virtcontainers_testkit::agent::{FakeAgent, Fault, Flavor, Program};

const MAC: &str = "02:00:00:00:00:01";

/// A client that sends whatever it is told to.
struct Peer {
    fake: FakeAgent,
    agent: AgentServiceClient,
    health: HealthClient,
}

fn peer(flavor: Flavor) -> Peer {
    let fake = FakeAgent::builder()
        .flavor(flavor)
        .program("true", Program::new())
        .program("say", Program::new().stdout("hello"))
        .program("sleep", Program::new().block())
        .program("dies", Program::new().dies_before_start().exit(13))
        .link(MAC)
        .build();
    let (ours, theirs) = UnixStream::pair().unwrap();
    fake.serve_stream(theirs);
    let client = Client::new(Socket::new(ours));
    Peer {
        fake,
        agent: AgentServiceClient::new(client.clone()),
        health: HealthClient::new(client),
    }
}

impl Peer {
    async fn checked() -> Self {
        let peer = peer(Flavor::Kata);
        peer.check().await;
        peer
    }

    async fn check(&self) {
        let context = with_duration(Duration::from_secs(10));
        self.health
            .check(context, &CheckRequest::new())
            .await
            .unwrap();
    }

    async fn with_sandbox() -> Self {
        let peer = Self::checked().await;
        call!(
            peer,
            create_sandbox,
            CreateSandboxRequest { sandbox_id: "s1" }
        )
        .unwrap();
        peer
    }

    async fn create(&self, id: &str, spec: oci::Spec) -> ttrpc::Result<()> {
        let created = call!(
            self,
            create_container,
            CreateContainerRequest {
                container_id: id,
                OCI: Some(spec),
            }
        );
        created.map(drop)
    }

    async fn with_container(program: &str, terminal: bool) -> Self {
        let peer = Self::with_sandbox().await;
        peer.create("c1", spec(program, terminal)).await.unwrap();
        peer
    }

    async fn with_running(program: &str, terminal: bool) -> Self {
        let peer = Self::with_container(program, terminal).await;
        call!(
            peer,
            start_container,
            StartContainerRequest { container_id: "c1" }
        )
        .unwrap();
        peer
    }

    async fn wait(&self, exec: &str) -> ttrpc::Result<i32> {
        let reply = call!(
            self,
            wait_process,
            WaitProcessRequest {
                container_id: "c1",
                exec_id: exec,
            }
        );
        reply.map(|reply| reply.status)
    }

    /// Exactly one rule was broken, and the call that did it was refused.
    #[track_caller]
    fn caught<T: std::fmt::Debug>(&self, reply: ttrpc::Result<T>, rule: &str) {
        let error = reply.unwrap_err();
        let ttrpc::Error::RpcStatus(status) = &error else {
            panic!("{rule}: {error:?}");
        };
        assert_eq!(
            status.code(),
            Code::FAILED_PRECONDITION,
            "{rule}: {error:?}"
        );
        self.recorded(rule);
    }

    #[track_caller]
    fn recorded(&self, rule: &str) {
        let violations = self.fake.violations();
        assert!(
            matches!(&violations[..], [only] if only.contains(rule)),
            "{rule:?} is not the only one of {violations:?}"
        );
    }
}

fn spec(program: &str, terminal: bool) -> oci::Spec {
    let namespace = |kind: &str| oci::LinuxNamespace {
        Type: kind.to_owned(),
        ..Default::default()
    };
    let process = oci::Process {
        Terminal: terminal,
        Args: vec![program.to_owned()],
        Cwd: "/".to_owned(),
        Capabilities: Some(oci::LinuxCapabilities::new()).into(),
        ..Default::default()
    };
    let linux = oci::Linux {
        Namespaces: ["mount", "ipc", "uts"].map(namespace).to_vec(),
        Resources: Some(oci::LinuxResources::new()).into(),
        ..Default::default()
    };
    let mut spec = oci::Spec::new();
    spec.Process = Some(process).into();
    spec.Root.mut_or_insert_default().Path = "/rootfs".to_owned();
    spec.Linux = Some(linux).into();
    spec
}
