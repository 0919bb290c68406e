//! How the suite makes machines of QEMU, and looks at them past the port.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use virtcontainers_hypervisor::{Backend, MachinePlan};
use virtcontainers_qemu::{QemuBackend, QemuConfig};
use virtcontainers_testkit::conformance::hypervisor::{Harness, plan};
use virtcontainers_testkit::hypervisor::Power;
use virtcontainers_types::{GuestRoot, Mebibytes, SandboxId};

use crate::tap;

/// For the QEMU backend with a configuration.
#[derive(Debug)]
pub(crate) struct QemuHarness {
    name: &'static str,
    config: QemuConfig,
    kernel: PathBuf,
    initrd: PathBuf,
}

impl QemuHarness {
    pub(crate) fn new(
        name: &'static str,
        config: QemuConfig,
        kernel: PathBuf,
        initrd: PathBuf,
    ) -> Self {
        Self {
            name,
            config,
            kernel,
            initrd,
        }
    }
}

#[async_trait]
impl Harness for QemuHarness {
    fn name(&self) -> String {
        self.name.to_owned()
    }

    fn backend(&self) -> Arc<dyn Backend> {
        Arc::new(QemuBackend::new(self.config.clone()))
    }

    fn plan(&self, id: SandboxId, directory: PathBuf) -> MachinePlan {
        plan(id, directory, &self.kernel, &self.initrd)
    }

    fn refused(&self, good: &MachinePlan) -> Vec<(&'static str, MachinePlan)> {
        let with = |change: fn(&mut MachinePlan)| {
            let mut plan = good.clone();
            change(&mut plan);
            plan
        };
        vec![
            ("too little memory", with(|plan| plan.memory = Mebibytes(1))),
            (
                "too much memory",
                with(|plan| plan.memory = Mebibytes(1 << 40)),
            ),
            (
                "no kernel",
                with(|plan| plan.boot.kernel = "/nowhere".into()),
            ),
            (
                "no initial RAM disk",
                with(|plan| plan.boot.root = GuestRoot::Initrd("/nowhere".into())),
            ),
            (
                "a parameter of two lines",
                with(|plan| plan.boot.kernel_params = vec!["a\nb".to_owned()]),
            ),
        ]
    }

    async fn power(&self, plan: &MachinePlan) -> Result<Power, String> {
        match ask(&plan.directory, "query-status", json!({})).await {
            Ok(answer) => match answer["status"].as_str().unwrap_or_default() {
                "prelaunch" => Ok(Power::Held),
                "running" => Ok(Power::Running),
                "paused" => Ok(Power::Paused),
                other => Err(format!("qemu is {other:?}")),
            },
            Err(error)
                if [io::ErrorKind::NotFound, io::ErrorKind::ConnectionRefused]
                    .contains(&error.kind()) =>
            {
                Ok(Power::Ended)
            }
            Err(error) => Err(error.to_string()),
        }
    }

    /// Each line of what QEMU tells people begins with the name of a device or of what carries its
    /// frames, which is the device's with an ending.
    async fn network_devices(&self, plan: &MachinePlan) -> Result<Vec<String>, String> {
        let arguments = json!({"command-line": "info network"});
        let said = ask(&plan.directory, "human-monitor-command", arguments).await;
        let said = said.map_err(|error| error.to_string())?;
        let lines = said.as_str().unwrap_or_default().lines();
        let names = lines.filter_map(|line| line.trim_start_matches([' ', '\\']).split_once(':'));
        let names = names.map(|(name, _)| name.strip_suffix("-net").unwrap_or(name));
        Ok(names.map(str::to_owned).collect())
    }

    fn network_descriptor(&self) -> Result<OwnedFd, String> {
        tap::unseen().map_err(|error| error.to_string())
    }
}

/// What a command gives on the monitor for single operations.
async fn ask(directory: &Path, command: &str, arguments: Value) -> io::Result<Value> {
    // By its descriptor, because the directory's path is longer than that of a socket may be.
    let directory = std::fs::File::open(directory)?;
    let path = format!("/proc/self/fd/{}/ctl", directory.as_raw_fd());
    let mut stream = BufReader::new(UnixStream::connect(path).await?);
    line(&mut stream).await?;
    let mut answer = Value::Null;
    for (command, arguments) in [("qmp_capabilities", json!({})), (command, arguments)] {
        let request = json!({"execute": command, "arguments": arguments, "id": 1});
        stream.write_all(format!("{request}\n").as_bytes()).await?;
        answer = loop {
            let mut reply = line(&mut stream).await?;
            if reply.get("id").is_some() {
                break reply["return"].take();
            }
        };
    }
    match answer {
        Value::Null => Err(io::Error::other(format!("qemu refuses {command}"))),
        answer => Ok(answer),
    }
}

async fn line(stream: &mut BufReader<UnixStream>) -> io::Result<Value> {
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    Ok(serde_json::from_str(&line)?)
}
