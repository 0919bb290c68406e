//! Limits, freezing, killing, counting.

use virtcontainers_agent_proto::agent::{
    PauseContainerRequest, ResumeContainerRequest, StatsContainerRequest, UpdateContainerRequest,
};
use virtcontainers_agent_proto::oci;

use crate::harness::{Agent, code, ctx};
use crate::spec::sh;
use crate::{mount, refusal, run};

/// Lets the version 2 hierarchy hand a controller down to the part of it that agents are given.
/// Whether this machine has that controller there.
fn has(controller: &str) -> bool {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mount = mounts
        .lines()
        .find(|line| line.contains(" - cgroup2 "))
        .unwrap();
    let root = std::path::Path::new(mount.split(' ').nth(4).unwrap());
    let here = std::fs::read_to_string(root.join("cgroup.controllers")).unwrap();
    here.split_whitespace().any(|here| here == controller)
        && std::fs::write(
            root.join("cgroup.subtree_control"),
            format!("+{controller}"),
        )
        .is_ok()
}

type Setter = fn(&mut oci::LinuxResources);

/// A limit that this machine's version 2 hierarchy has: its file, what is in it when the limit is
/// set, and how to set it to 4 MiB or 4 processes. The guest has all; a host that gives its
/// controllers to version 1 has few.
fn some_limit() -> Option<(&'static str, &'static str, Setter)> {
    if has("pids") {
        Some(("pids.max", "4", |limits| {
            limits.Pids = Some(oci::LinuxPids {
                Limit: 4,
                ..Default::default()
            })
            .into();
        }))
    } else if has("hugetlb") {
        Some(("hugetlb.2MB.max", "4194304", |limits| {
            limits.HugepageLimits = vec![oci::LinuxHugepageLimit {
                Pagesize: "2MB".to_owned(),
                Limit: 4 << 20,
                ..Default::default()
            }];
        }))
    } else {
        None
    }
}

fn with_cgroup_mounted(spec: &mut oci::Spec) {
    spec.Mounts.push(mount("sysfs", "sysfs", "/sys", &["ro"]));
    spec.Mounts
        .push(mount("cgroup", "cgroup", "/sys/fs/cgroup", &["ro"]));
}

#[tokio::test]
async fn limits_are_set_and_changed() {
    let (file, value, set) = some_limit().expect(
        "this machine's cgroup v2 hierarchy has neither the pids nor the hugetlb controller",
    );
    let agent = Agent::start().await;
    let script = format!("cat /sys/fs/cgroup/{file}");
    for path in ["", "/pods/p1/c1", "pods.slice:vc:c1"] {
        let (output, _) = run(&agent, &script, |spec| {
            with_cgroup_mounted(spec);
            let linux = spec.Linux.as_mut().unwrap();
            linux.CgroupsPath = path.to_owned();
            set(linux.Resources.as_mut().unwrap());
        })
        .await;
        assert_eq!(output.trim(), value, "{path}");
    }
    let mut request = crate::spec::container("c1", sh("cat"));
    with_cgroup_mounted(request.OCI.as_mut().unwrap());
    agent.api.create_container(ctx(), &request).await.unwrap();
    agent.start_container("c1").await.unwrap();
    let mut limits = oci::LinuxResources::new();
    set(&mut limits);
    let request = UpdateContainerRequest {
        container_id: "c1".to_owned(),
        resources: Some(limits).into(),
        ..Default::default()
    };
    agent.api.update_container(ctx(), &request).await.unwrap();
    agent.exec("c1", "e1", sh(&script)).await.unwrap();
    assert_eq!(agent.output("c1", "e1").await.trim(), value);
}

#[tokio::test]
async fn a_limit_that_makes_no_sense_is_refused() {
    let agent = Agent::start().await;
    let (code, message) = refusal(&agent, |spec| {
        let memory = oci::LinuxMemory {
            Limit: 100,
            Swap: 50,
            ..Default::default()
        };
        spec.Linux
            .as_mut()
            .unwrap()
            .Resources
            .as_mut()
            .unwrap()
            .Memory = Some(memory).into();
    })
    .await;
    assert_eq!(code, ttrpc::Code::INVALID_ARGUMENT);
    assert!(message.contains("swap"), "{message}");
    let (code, message) = refusal(&agent, |spec| {
        spec.Linux.as_mut().unwrap().CgroupsPath = "/../up".to_owned();
    })
    .await;
    assert_eq!(code, ttrpc::Code::INVALID_ARGUMENT);
    assert!(message.contains("cgroupsPath"), "{message}");
}

#[tokio::test]
async fn no_limit_can_be_said() {
    let agent = Agent::start().await;
    let (output, _) = run(&agent, "echo fine", |spec| {
        let resources = spec.Linux.as_mut().unwrap().Resources.as_mut().unwrap();
        let memory = oci::LinuxMemory {
            Limit: -1,
            Swap: -1,
            Reservation: -1,
            ..Default::default()
        };
        resources.Memory = Some(memory).into();
        resources.CPU = Some(oci::LinuxCPU {
            Quota: -1,
            ..Default::default()
        })
        .into();
        resources.Pids = Some(oci::LinuxPids {
            Limit: -1,
            ..Default::default()
        })
        .into();
    })
    .await;
    assert_eq!(output, "fine\n");
}

#[tokio::test]
async fn pause_stops_everything_until_resume() {
    let agent = Agent::start().await;
    agent
        .run("c1", sh("while read line; do echo \"got $line\"; done"))
        .await;
    let pause = PauseContainerRequest {
        container_id: "c1".to_owned(),
        ..Default::default()
    };
    let resume = ResumeContainerRequest {
        container_id: "c1".to_owned(),
        ..Default::default()
    };
    agent.write("c1", "", b"one\n").await.unwrap();
    agent.until("c1", "", "got one").await;
    agent.api.pause_container(ctx(), &pause).await.unwrap();
    assert_eq!(
        code(agent.api.pause_container(ctx(), &pause).await),
        ttrpc::Code::FAILED_PRECONDITION
    );
    agent.write("c1", "", b"two\n").await.unwrap();
    let mut read = std::pin::pin!(agent.read("c1", ""));
    let patience = std::time::Duration::from_millis(200);
    let early = tokio::time::timeout(patience, &mut read).await;
    assert!(early.is_err(), "a paused container has spoken");
    assert_eq!(
        code(agent.exec("c1", "e1", sh("true")).await),
        ttrpc::Code::FAILED_PRECONDITION
    );
    agent.api.resume_container(ctx(), &resume).await.unwrap();
    assert_eq!(read.await.unwrap(), b"got two\n");
    agent.api.resume_container(ctx(), &resume).await.unwrap();
    // A paused one can be removed.
    agent.api.pause_container(ctx(), &pause).await.unwrap();
    agent.remove("c1").await.unwrap();
}

#[tokio::test]
async fn removal_ends_children_in_the_background_too() {
    let agent = Agent::start().await;
    let script = "(trap '' TERM HUP; setsid sleep 1000 &) ; for i in 1 2 3; do sleep 1000 & done; \
                  mkdir /tmp/x; echo ready; wait";
    agent.run("c1", sh(script)).await;
    agent.until("c1", "", "ready").await;
    agent
        .exec("c1", "e1", sh("echo ready; sleep 1000"))
        .await
        .unwrap();
    agent.until("c1", "e1", "ready").await;
    agent.remove("c1").await.unwrap();
    agent.run("c1", sh("true")).await;
}

#[tokio::test]
async fn counters_move() {
    let agent = Agent::start().await;
    agent
        .run(
            "c1",
            sh("i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; echo done; cat"),
        )
        .await;
    agent.until("c1", "", "done").await;
    let request = StatsContainerRequest {
        container_id: "c1".to_owned(),
        ..Default::default()
    };
    let stats = agent
        .api
        .stats_container(ctx(), &request)
        .await
        .unwrap()
        .cgroup_stats
        .unwrap();
    let cpu = stats.cpu_stats.cpu_usage.clone().unwrap();
    assert!(cpu.total_usage > 1_000_000, "{cpu:?}");
    assert!(cpu.total_usage >= cpu.usage_in_usermode, "{cpu:?}");
}
