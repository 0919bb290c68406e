//! How the suite makes machines of QEMU, and looks at them past the port.

use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use virtcontainers_hypervisor::{Backend, MachinePlan};
use virtcontainers_qemu::{QemuBackend, QemuConfig};
use virtcontainers_testkit::conformance::hypervisor::{Harness, plan};
use virtcontainers_testkit::hypervisor::Power;
use virtcontainers_types::{GuestRoot, Mebibytes, SandboxId};

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
        match status(&plan.directory).await {
            Ok(status) => match status.as_str() {
                "prelaunch" => Ok(Power::Held),
                "running" => Ok(Power::Running),
                "paused" => Ok(Power::Paused),
                other => Err(format!("qemu is {other}")),
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
}

/// What `query-status` says on the monitor for single operations.
async fn status(directory: &Path) -> io::Result<String> {
    // By its descriptor, because the directory's path is longer than that of a socket may be.
    let directory = std::fs::File::open(directory)?;
    let path = format!("/proc/self/fd/{}/ctl", directory.as_raw_fd());
    let mut stream = BufReader::new(UnixStream::connect(path).await?);
    line(&mut stream).await?;
    for command in ["qmp_capabilities", "query-status"] {
        let request = format!("{{\"execute\": \"{command}\", \"id\": 1}}\n");
        stream.write_all(request.as_bytes()).await?;
        let reply = loop {
            let reply = line(&mut stream).await?;
            if reply.get("id").is_some() {
                break reply;
            }
        };
        if let Some(status) = reply["return"]["status"].as_str() {
            return Ok(status.to_owned());
        }
    }
    Err(io::Error::other("qemu does not say how it is"))
}

async fn line(stream: &mut BufReader<UnixStream>) -> io::Result<Value> {
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    Ok(serde_json::from_str(&line)?)
}
