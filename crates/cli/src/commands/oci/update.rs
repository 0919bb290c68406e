//! `vc update`: other limits for a container.

use std::process::ExitCode;

use anyhow::{bail, ensure};
use oci_spec::runtime::{LinuxMemory, LinuxPidsBuilder};
use virtcontainers::types::Resources;

use super::found::Found;
use crate::args::Global;
use crate::args::oci::Update;
use crate::input;

pub(crate) async fn run(global: &Global, update: Update) -> anyhow::Result<ExitCode> {
    let found = Found::of(global, &update.id).await?;
    match found.status() {
        "created" | "running" => {}
        // Managers look for these words.
        "stopped" => bail!(
            "cannot update container {}: container not running",
            update.id
        ),
        status => bail!(
            "cannot update container {}: it is {status}; wait, or resume it first",
            update.id
        ),
    }
    let resources = resources(&update)?;
    found
        .runtime
        .update_container(found.sandbox_id(), found.id(), resources)
        .await?;
    Ok(ExitCode::SUCCESS)
}

/// The limits of the file, and those of the flags over them.
fn resources(update: &Update) -> anyhow::Result<Resources> {
    let mut all: Resources = match &update.resources {
        Some(path) => input::json("file of limits", path)?,
        None => Resources::default(),
    };
    let mut memory = LinuxMemory::default();
    memory.set_limit(update.memory);
    memory.set_reservation(update.memory_reservation);
    memory.set_swap(update.memory_swap);
    if memory != LinuxMemory::default() {
        let mut given = all.memory().unwrap_or_default();
        given.set_limit(memory.limit().or(given.limit()));
        given.set_reservation(memory.reservation().or(given.reservation()));
        given.set_swap(memory.swap().or(given.swap()));
        all.set_memory(Some(given));
    }
    if update.cpu_period.or(update.cpu_share).is_some() || update.cpu_quota.is_some() {
        let mut cpu = all.cpu().clone().unwrap_or_default();
        cpu.set_period(update.cpu_period.or(cpu.period()));
        cpu.set_quota(update.cpu_quota.or(cpu.quota()));
        cpu.set_shares(update.cpu_share.or(cpu.shares()));
        all.set_cpu(Some(cpu));
    }
    if let Some(limit) = update.pids_limit {
        all.set_pids(Some(LinuxPidsBuilder::default().limit(limit).build()?));
    }
    ensure!(
        all != Resources::default(),
        "nothing to update: name a limit such as --memory 128M, or a file with --resources"
    );
    Ok(all)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use serde_json::json;

    use super::*;
    use crate::args::{Arguments, Command, oci};

    fn limits(line: &str) -> anyhow::Result<serde_json::Value> {
        let words = ["vc", "update"].into_iter().chain(line.split_whitespace());
        let arguments = Arguments::try_parse_from(words)?;
        let Command::Oci(oci::Command::Update(update)) = arguments.command else {
            bail!("{line}")
        };
        Ok(serde_json::to_value(resources(&update)?)?)
    }

    #[test]
    fn only_what_is_named_is_sent() {
        let memory = limits("--memory 64M --memory-swap -1 web").unwrap();
        assert_eq!(memory["memory"]["limit"], 64 << 20);
        assert_eq!(memory["memory"]["swap"], -1);
        assert_eq!(memory["cpu"], json!(null));
        let cpu = limits("--cpu-quota 50000 --cpu-period 100000 --cpu-share 512 web").unwrap();
        assert_eq!(
            cpu["cpu"],
            json!({ "shares": 512, "quota": 50000, "period": 100_000 })
        );
        let pids = limits("--pids-limit 7 web").unwrap();
        assert_eq!(pids["pids"]["limit"], 7);
    }

    #[test]
    fn flags_win_over_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("limits.json");
        std::fs::write(
            &path,
            r#"{"memory":{"limit":1,"reservation":2},"pids":{"limit":3}}"#,
        )
        .unwrap();
        let all = limits(&format!("--resources {} --memory 9 web", path.display())).unwrap();
        assert_eq!(all["memory"]["limit"], 9);
        assert_eq!(all["memory"]["reservation"], 2);
        assert_eq!(all["pids"]["limit"], 3);
    }

    #[test]
    fn what_a_guest_cannot_limit_is_refused_by_name() {
        for flag in [
            "--cpu-rt-period",
            "--cpu-rt-runtime",
            "--cpuset-cpus",
            "--cpuset-mems",
            "--blkio-weight",
            "--kernel-memory",
            "--kernel-memory-tcp",
            "--l3-cache-schema",
            "--mem-bw-schema",
        ] {
            let error = limits(&format!("{flag} 1 web")).unwrap_err().to_string();
            assert!(error.contains(flag), "{error}");
        }
        assert!(limits("web").is_err());
    }
}
