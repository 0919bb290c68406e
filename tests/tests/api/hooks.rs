//! Hooks: order, namespace, what they are told, and what their failure does.

use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use virtcontainers::types::{ContainerConfig, SandboxState};
use virtcontainers::{ContainerIo, CreateOptions, ErrorKind};

use crate::rig::{Rig, Writes, refused, with_spec};

/// Writes down what it is told, in which network namespace, and that it was its turn.
const RECORDER: &str = "#!/bin/sh
cat > \"$2/$1.json\"
readlink /proc/self/ns/net > \"$2/$1.ns\"
echo \"$1\" >> \"$2/order\"
";

const ON_THE_HOST: [&str; 5] = [
    "prestart",
    "createRuntime",
    "createContainer",
    "poststart",
    "poststop",
];

fn program(rig: &Rig, name: &str, text: &str) -> Result<String> {
    let path = rig.place.path(name);
    std::fs::write(&path, text)?;
    std::fs::set_permissions(&path, Permissions::from_mode(0o755))?;
    Ok(path.display().to_string())
}

fn hook(program: &str, args: &[&str]) -> Value {
    json!({"path": program, "args": args, "env": ["PATH=/bin:/usr/bin"]})
}

/// A container with a recorder at every point on the host, and one inside the guest.
fn recorded(rig: &Rig, name: &str) -> Result<ContainerConfig> {
    let recorder = program(rig, "recorder", RECORDER)?;
    let shared = rig.shared().display().to_string();
    let mut hooks = json!({"startContainer": [
        hook("/bin/sh", &["sh", "-c", "cat > /shared/startContainer.json"]),
        hook("/bin/sh", &["sh", "-c", "echo startContainer >> /shared/order"]),
    ]});
    for kind in ON_THE_HOST {
        hooks[kind] = json!([hook(&recorder, &["recorder", kind, &shared])]);
    }
    let bundle = rig.place.path("bundle");
    std::fs::create_dir_all(&bundle)?;
    let mut config = with_spec(rig.container(name, &["sleep", "100000"])?, |spec| {
        spec["hooks"] = hooks;
        spec["annotations"] = json!({"org.example.color": "blue"});
    })?;
    config.bundle = Some(bundle);
    Ok(config)
}

fn told(rig: &Rig, kind: &str) -> Result<Value> {
    Ok(serde_json::from_str(
        &rig.read_shared(&format!("{kind}.json"))?,
    )?)
}

const CREATED: &str = "prestart\ncreateRuntime\ncreateContainer\n";
const RUNNING: &str = "prestart\ncreateRuntime\ncreateContainer\nstartContainer\npoststart\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hooks_run_in_order_with_the_state_in_the_sandboxs_namespace() -> Result<()> {
    let rig = Rig::new()?;
    let config = rig.sandbox(recorded(&rig, "hooked")?)?;
    let id = config.id.clone();
    let create = rig.runtime.create_sandbox(config, CreateOptions::default());
    let sandbox = create.await?;
    assert_eq!(rig.read_shared("order")?, CREATED);
    let namespace = std::fs::metadata(format!("/run/netns/vc-{id}"))?.ino();
    let namespace = format!("net:[{namespace}]\n");
    let supervisor = sandbox.status().await?.supervisor;
    let supervisor = supervisor.context("it is supervised")?;
    for kind in ["prestart", "createRuntime", "createContainer"] {
        let state = told(&rig, kind)?;
        assert_eq!(state["ociVersion"], "1.2.0");
        assert_eq!(state["id"], id.as_str());
        assert_eq!(state["status"], "creating", "{kind}");
        assert_eq!(state["pid"], supervisor.pid);
        let bundle = rig.place.path("bundle").display().to_string();
        assert_eq!(state["bundle"], bundle);
        assert_eq!(state["annotations"]["org.example.color"], "blue");
        assert_eq!(rig.read_shared(&format!("{kind}.ns"))?, namespace);
    }

    sandbox.start().await?;
    assert_eq!(rig.read_shared("order")?, RUNNING);
    assert_eq!(told(&rig, "poststart")?["status"], "running");
    assert_eq!(rig.read_shared("poststart.ns")?, namespace);
    let state = told(&rig, "startContainer")?;
    assert_eq!(state["id"], id.as_str());

    sandbox.stop(false).await?;
    assert_eq!(rig.read_shared("order")?, RUNNING, "stop is not delete");
    sandbox.delete(false).await?;
    assert_eq!(rig.read_shared("order")?, format!("{RUNNING}poststop\n"));
    let state = told(&rig, "poststop")?;
    assert_eq!(state["status"], "stopped");
    assert_eq!(state.get("pid"), None);
    rig.place.assert_clean()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hooks_run_for_each_container_and_for_each_boot() -> Result<()> {
    let rig = Rig::new()?;
    let sandbox = rig.run(recorded(&rig, "first")?).await?;
    assert_eq!(rig.read_shared("order")?, RUNNING);
    let order = rig.shared().join("order");

    // A container that comes later has its own.
    std::fs::remove_file(&order)?;
    let second = rig.id("second")?;
    let config = recorded(&rig, "second")?;
    sandbox
        .create_container(config, ContainerIo::default())
        .await?;
    assert_eq!(rig.read_shared("order")?, CREATED);
    assert_eq!(told(&rig, "prestart")?["id"], second.as_str());
    sandbox.start_container(&second).await?;
    assert_eq!(rig.read_shared("order")?, RUNNING);
    sandbox.stop_container(&second, false).await?;
    sandbox.delete_container(&second).await?;
    assert_eq!(rig.read_shared("order")?, format!("{RUNNING}poststop\n"));

    // One whose hook fails does not come, and the sandbox stays as it was.
    std::fs::remove_file(&order)?;
    let failing = program(
        &rig,
        "failing",
        "#!/bin/sh\necho no such luck >&2\nexit 3\n",
    )?;
    let config = with_spec(recorded(&rig, "second")?, |spec| {
        spec["hooks"]["createRuntime"] = json!([hook(&failing, &["failing"])]);
    })?;
    let created = sandbox.create_container(config, ContainerIo::default());
    let error = created.await.err().context("its hook fails")?;
    let text = format!("{:#}", anyhow::Error::new(error));
    for part in [
        "createRuntime hook",
        second.as_str(),
        "status 3",
        "no such luck",
    ] {
        assert!(text.contains(part), "{part:?} in {text}");
    }
    assert_eq!(rig.read_shared("order")?, "prestart\npoststop\n");
    assert_eq!(sandbox.containers().await?.len(), 1);
    assert_eq!(sandbox.status().await?.state, SandboxState::Running);

    // The next machine is a next creation and start.
    std::fs::remove_file(&order)?;
    sandbox.stop(false).await?;
    sandbox.start().await?;
    assert_eq!(rig.read_shared("order")?, RUNNING);
    rig.finish(sandbox).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_prestart_hook_that_fails_or_hangs_undoes_the_creation() -> Result<()> {
    let rig = Rig::new()?;
    let failing = program(
        &rig,
        "failing",
        "#!/bin/sh\necho no such luck >&2\nexit 3\n",
    )?;
    let rows: [(Value, ErrorKind, &[&str]); 3] = [
        (
            hook(&failing, &["failing"]),
            ErrorKind::Internal,
            &["prestart hook", "status 3", "no such luck"],
        ),
        (
            json!({"path": "/bin/sleep", "args": ["sleep", "100000"], "timeout": 1}),
            ErrorKind::Timeout,
            &["prestart hook", "was killed", "raise its timeout"],
        ),
        (
            hook("/nosuch/hook", &[]),
            ErrorKind::NotFound,
            &["prestart hook", "/nosuch/hook"],
        ),
    ];
    for (prestart, kind, parts) in rows {
        let config = with_spec(recorded(&rig, "unlucky")?, |spec| {
            spec["hooks"]["prestart"] = json!([prestart]);
        })?;
        let config = rig.sandbox(config)?;
        let id = config.id.clone();
        let created = rig.runtime.create_sandbox(config, CreateOptions::default());
        let error = created.await.err().context("its hook fails")?;
        assert_eq!(error.kind(), kind, "{error}");
        let text = format!("{:#}", anyhow::Error::new(error));
        for part in parts {
            assert!(text.contains(part), "{part:?} in {text}");
        }
        // What went before the failure may have to be tidied up (config.md, lifecycle).
        assert_eq!(rig.read_shared("order")?, "poststop\n");
        std::fs::remove_file(rig.shared().join("order"))?;
        let gone = rig.runtime.status_sandbox(&id).await;
        refused(gone, ErrorKind::NotFound, &[])?;
        rig.place.assert_clean()?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hooks_after_the_start_may_fail() -> Result<()> {
    let rig = Rig::new()?;
    let failing = program(&rig, "failing", "#!/bin/sh\nexit 3\n")?;
    let writes = Writes::to(&rig.shared())?;
    let config = with_spec(recorded(&rig, "lenient")?, |spec| {
        for kind in ["poststart", "poststop"] {
            let recorder = spec["hooks"][kind][0].take();
            spec["hooks"][kind] = json!([hook(&failing, &["failing"]), recorder]);
        }
    })?;
    let sandbox = rig.run(config).await?;
    writes.go_on()?;
    assert_eq!(rig.read_shared("order")?, RUNNING, "the next one runs");
    assert_eq!(sandbox.status().await?.state, SandboxState::Running);
    sandbox.delete(true).await?;
    assert_eq!(rig.read_shared("order")?, format!("{RUNNING}poststop\n"));
    rig.place.assert_clean()
}
