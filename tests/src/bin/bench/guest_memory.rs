//! The agent's memory in the guest after one container came and went there.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use virtcontainers_agent::{Agent, AgentPort, ProcessRef, guest_path};
use virtcontainers_agent_proto::agent::{CreateContainerRequest, CreateSandboxRequest, Storage};
use virtcontainers_tests::place::copy_tree;
use virtcontainers_types::ContainerId;

use crate::bare::Bare;
use crate::bundle;
use crate::figure::{Row, Samples, Target, Unit};
use crate::recipe::Recipe;
use crate::setting::{Setting, event_loop};

/// 6 MB, as it was set.
const MOST: f64 = 6e6 / (1 << 20) as f64;

/// Longer than a removal takes.
const REMOVAL: Duration = Duration::from_secs(30);

pub(crate) fn measure(setting: &Setting) -> Result<Vec<Row>> {
    let recipe = Recipe::of_a_sandbox(setting)?;
    let served = tempfile::tempdir()?;
    copy_tree(&setting.rootfs, &served.path().join("rootfs"))?;
    let mut sizes = Vec::new();
    for _ in 0..setting.pairs().div_ceil(3) {
        sizes.push(event_loop()?.block_on(one_guest(&recipe, served.path()))?);
    }
    let row = Row::new(
        "agent in the guest, resident after one container",
        Unit::Mebibytes,
        Samples::new(sizes)?,
    );
    Ok(vec![
        row.target(Target::Value(MOST)).note("kata-agent: 15.3"),
    ])
}

async fn one_guest(recipe: &Recipe, served: &Path) -> Result<f64> {
    let mut bare = Bare::start(recipe, served)?;
    bare.announced().await?;
    let agent = bare.connect().await?;
    come_and_go(&agent).await?;
    let metrics = agent.get_metrics().await?;
    let bytes = gauge(&metrics, "kata_agent_rss_bytes").context("the agent tells no size")?;
    drop(agent);
    bare.quit()?;
    Ok(bytes / f64::from(1 << 20))
}

async fn come_and_go(agent: &Agent) -> Result<()> {
    let shared = Storage {
        driver: "virtio-fs".to_owned(),
        source: guest_path::SHARED_TAG.to_owned(),
        fstype: "virtiofs".to_owned(),
        mount_point: format!("{}/", guest_path::SHARED),
        ..Storage::default()
    };
    let sandbox = CreateSandboxRequest {
        sandbox_id: "bench".to_owned(),
        storages: vec![shared],
        ..CreateSandboxRequest::default()
    };
    agent.create_sandbox(sandbox).await?;
    let id = ContainerId::new("one")?;
    let rootfs = format!("{}/rootfs", guest_path::SHARED);
    let container = CreateContainerRequest {
        container_id: id.to_string(),
        OCI: Some(bundle::spec(&rootfs, &["/bin/true"])).into(),
        ..CreateContainerRequest::default()
    };
    agent.create_container(container).await?;
    agent.start_container(&id).await?;
    agent.wait_process(&ProcessRef::init(id.clone())).await?;
    Ok(agent.remove_container(&id, REMOVAL).await?)
}

/// A value in the text format of Prometheus.
fn gauge(page: &str, name: &str) -> Option<f64> {
    let mut lines = page.lines();
    let line = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    line.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gauge_is_found_by_its_whole_name() {
        let page = "# TYPE rss gauge\nrss_x 1\nrss 4096\n";
        assert_eq!(gauge(page, "rss"), Some(4096.0));
        assert_eq!(gauge(page, "other"), None);
    }
}
