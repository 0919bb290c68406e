//! How often each operation stores the record: twice for a creation, once for any other change, not
//! at all for reads. Each commit costs two syncs of the disk.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use virtcontainers_oci::{CommandLine, container_spec};
use virtcontainers_runtime::{ContainerIo, CreateOptions, Runtime, RuntimeOptions};
use virtcontainers_testkit::agent::DirectAgent;
use virtcontainers_testkit::hypervisor::FakeBackend;
use virtcontainers_testkit::sample;
use virtcontainers_types::{
    Capabilities, ContainerConfig, ContainerId, Resources, RootFs, SandboxId,
};

fn container(id: &str) -> ContainerConfig {
    let command = CommandLine {
        args: vec!["sleep".to_owned()],
        ..CommandLine::default()
    };
    ContainerConfig {
        id: ContainerId::new(id).unwrap(),
        rootfs: RootFs::Guest { guest: "/".into() },
        bundle: None,
        cgroup: None,
        spec: container_spec(&command, Path::new("/"), &[]),
    }
}

/// Counts commits by the record's generation.
struct Counter {
    runtime: Runtime,
    id: SandboxId,
    last: u64,
}

impl Counter {
    async fn expect(&mut self, commits: u64, operation: &str) {
        let status = self.runtime.status_sandbox(&self.id).await.unwrap();
        assert_eq!(status.generation - self.last, commits, "{operation}");
        self.last = status.generation;
    }
}

#[tokio::test]
async fn a_creation_commits_twice_a_change_once_and_a_read_never() {
    let root = tempfile::tempdir().unwrap();
    let options = RuntimeOptions {
        agents: Arc::new(DirectAgent::default()),
        ..RuntimeOptions::new(root.path().join("state"))
    };
    let backend = FakeBackend::with_own_agents().with_capabilities(Capabilities {
        pause: true,
        adopt: true,
        ..Capabilities::default()
    });
    let runtime = Runtime::new(options, Arc::new(backend)).unwrap();
    let id = SandboxId::new("commits").unwrap();
    let first = ContainerId::new("commits").unwrap();
    let further = ContainerId::new("further").unwrap();
    let config = sample::sandbox(id.clone(), vec![container(id.as_str())]);
    let sandbox = runtime
        .create_sandbox(config, CreateOptions::default())
        .await
        .unwrap();
    let mut count = Counter {
        runtime: runtime.clone(),
        id: id.clone(),
        last: 0,
    };
    count.expect(2, "create_sandbox").await;
    runtime.start_sandbox(&id).await.unwrap();
    count.expect(1, "start_sandbox").await;
    runtime.pause_sandbox(&id).await.unwrap();
    count.expect(1, "pause_sandbox").await;
    runtime.resume_sandbox(&id).await.unwrap();
    count.expect(1, "resume_sandbox").await;
    runtime.pause_container(&id, &first).await.unwrap();
    count.expect(1, "pause_container").await;
    runtime.resume_container(&id, &first).await.unwrap();
    count.expect(1, "resume_container").await;
    let limits = Resources::default();
    runtime.update_container(&id, &first, limits).await.unwrap();
    count.expect(1, "update_container").await;
    let annotations = BTreeMap::from([("key".to_owned(), "value".to_owned())]);
    runtime.set_annotations(&id, annotations).await.unwrap();
    count.expect(1, "set_annotations").await;

    let io = ContainerIo::default();
    let config = container("further");
    runtime.create_container(&id, config, io).await.unwrap();
    count.expect(1, "create_container").await;
    runtime.start_container(&id, &further).await.unwrap();
    count.expect(1, "start_container").await;
    runtime.stop_container(&id, &further, false).await.unwrap();
    count.expect(1, "stop_container").await;
    runtime.delete_container(&id, &further).await.unwrap();
    count.expect(1, "delete_container").await;

    runtime.list_sandboxes().await.unwrap();
    runtime.fetch_sandbox(&id).await.unwrap();
    runtime.stats_sandbox(&id).await.unwrap();
    runtime.process_list_container(&id, &first).await.ok();
    sandbox.annotations().await.unwrap();
    runtime.kill_container(&id, &first, 0, false).await.unwrap();
    count.expect(0, "reads and signals").await;

    runtime.stop_sandbox(&id, false).await.unwrap();
    count.expect(1, "stop_sandbox").await;
    runtime.start_sandbox(&id).await.unwrap();
    count
        .expect(2, "start_sandbox of a stopped one, which is a creation")
        .await;
    runtime.delete_sandbox(&id, true).await.unwrap();
}
