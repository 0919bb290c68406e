//! The machine that is a process: its agent, its silence while it is halted, and who can meet it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use virtcontainers_agent::{Agent, AgentPort, Timeouts, connect};
use virtcontainers_agent_proto::agent::CreateSandboxRequest;
use virtcontainers_hypervisor::{Backend, ErrorKind, Handoffs, Machine, MachinePlan};
use virtcontainers_process::{Mark, find_by_nonce};
use virtcontainers_testkit::conformance::hypervisor::plan;
use virtcontainers_testkit::hypervisor::{FAKE_MACHINE, Power, ProcessBackend};
use virtcontainers_types::{SandboxId, UndoEntry, UndoSink};

const SOON: Duration = Duration::from_secs(30);

#[derive(Debug)]
struct NoLedger;

impl UndoSink for NoLedger {
    fn record(&self, _entry: UndoEntry) -> std::io::Result<()> {
        Ok(())
    }
}

struct Stage {
    folder: tempfile::TempDir,
    backend: ProcessBackend,
    plan: MachinePlan,
    nonce: String,
}

impl Stage {
    fn new(name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let program = env!("CARGO_BIN_EXE_vc-fake-machine");
        let id = SandboxId::new(name).unwrap();
        Self {
            backend: ProcessBackend::new(program).reports(folder.path()),
            plan: plan(id, machine_folder(folder.path()), "/kernel", "/initrd"),
            nonce: format!("{name}-{}", std::process::id()),
            folder,
        }
    }

    async fn start(&self) -> Arc<dyn Machine> {
        let handoffs = Handoffs {
            nonce: self.nonce.clone(),
            ..Handoffs::default()
        };
        let launch = self.backend.launch(self.plan.clone(), handoffs, &NoLedger);
        launch.await.unwrap().start().await.unwrap()
    }

    async fn agent(&self, machine: &dyn Machine) -> Agent {
        let endpoint = machine.agent_endpoint();
        // Once the machine has started its agent listens: nobody has to try again.
        let agent = connect(&endpoint, Timeouts::all(SOON), SOON).await.unwrap();
        agent.check().await.unwrap();
        agent
    }

    fn violations(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("violations")).unwrap_or_default()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        drop(Mark::new(&self.nonce, FAKE_MACHINE).end_all(SOON));
    }
}

fn machine_folder(parent: &Path) -> std::path::PathBuf {
    let folder = parent.join("machine");
    std::fs::create_dir(&folder).unwrap();
    folder
}

#[tokio::test]
async fn its_agent_is_strict_and_reports_before_the_caller_knows() {
    let stage = Stage::new("strict");
    let machine = stage.start().await;
    let agent = stage.agent(&*machine).await;
    let request = CreateSandboxRequest::new();
    agent.create_sandbox(request.clone()).await.unwrap();
    assert_eq!(stage.violations(), "");
    // A second connection does not know of the first one's sandbox, and breaks the rule.
    let other = stage.agent(&*machine).await;
    other.create_sandbox(request).await.unwrap_err();
    let violations = stage.violations();
    assert_eq!(violations.lines().count(), 1, "{violations}");
    assert!(
        violations.starts_with("strict: CreateSandbox twice"),
        "{violations}"
    );
    machine.shutdown(SOON).await.unwrap();
}

#[tokio::test]
async fn its_guest_is_silent_while_it_is_halted() {
    let stage = Stage::new("silent");
    let machine = stage.start().await;
    let agent = stage.agent(&*machine).await;
    machine.pause().await.unwrap();
    let asked = tokio::spawn({
        let agent = agent.clone();
        async move { agent.check().await }
    });
    // Any number of round trips later it still has not answered.
    for _ in 0..20 {
        let power = ProcessBackend::power(&stage.plan.directory).await.unwrap();
        assert_eq!(power, Power::Paused);
    }
    assert!(!asked.is_finished(), "a halted guest answers");
    machine.resume().await.unwrap();
    asked.await.unwrap().unwrap();
    machine.shutdown(SOON).await.unwrap();
}

#[tokio::test]
async fn many_meet_one_machine_and_one_of_them_halts_it() {
    let stage = Stage::new("many");
    let machine = stage.start().await;
    let saved = machine.save();
    let adopters: Vec<_> = (0..50)
        .map(|_| {
            let (backend, saved) = (stage.backend.clone(), saved.clone());
            tokio::spawn(async move {
                let machine = backend.adopt(&saved).await.unwrap();
                machine.pause().await.map_err(|error| error.kind())
            })
        })
        .collect();
    let mut halted = 0;
    for adopter in adopters {
        match adopter.await.unwrap() {
            Ok(()) => halted += 1,
            Err(kind) => assert_eq!(kind, ErrorKind::WrongState),
        }
    }
    assert_eq!(halted, 1);
    machine.kill().unwrap();
    let exit = machine.wait().await;
    assert_eq!(exit.reason, "killed by signal 9");
    assert!(find_by_nonce(&stage.nonce).unwrap().is_empty());
    let gone = stage.backend.adopt(&saved).await.map(drop);
    assert_eq!(gone.unwrap_err().kind(), ErrorKind::Gone);
}
