//! `vc inspect`: everything that is known of a sandbox.

use std::process::ExitCode;

use virtcontainers::inspect::Inspection;
use virtcontainers::types::NetworkStatus;

use super::network::interfaces::LOOPBACK;
use crate::args::operator::Inspect;
use crate::args::{Format, Global};
use crate::commands::runtime;
use crate::output;

pub(crate) async fn run(global: &Global, inspect: &Inspect) -> anyhow::Result<ExitCode> {
    let (config, runtime) = runtime(global)?;
    let id = super::sandbox_id(&runtime, &inspect.id).await?;
    let found = Inspection::of(&config, &runtime, &id).await?;
    match inspect.format {
        Format::Json => output::json(&found)?,
        Format::Table => show(&found)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn show(found: &Inspection) -> anyhow::Result<()> {
    output::table(["WHAT", "VALUE"], &facts(found))?;
    let containers: Vec<[String; 4]> = found
        .containers
        .iter()
        .map(|one| {
            let pid = one.pid.map(|pid| pid.to_string());
            let exit = one.status.exit_status.map(|status| status.0.to_string());
            [
                one.status.id.to_string(),
                one.status.state.to_string(),
                pid.unwrap_or_default(),
                exit.unwrap_or_default(),
            ]
        })
        .collect();
    output::print("\n")?;
    output::table(["CONTAINER", "STATE", "PID", "EXIT"], &containers)?;
    let processes: Vec<[String; 4]> = found
        .processes
        .iter()
        .map(|one| {
            [
                one.role.clone(),
                one.pid.to_string(),
                format!("{} KiB", one.memory / 1024),
                format!("{} ms", one.cpu / 1_000_000),
            ]
        })
        .collect();
    output::print("\n")?;
    output::table(["PROCESS", "PID", "MEMORY", "CPU TIME"], &processes)?;
    match &found.network {
        Some(network) if !network.interfaces.is_empty() => {
            output::print("\n")?;
            interfaces(network)
        }
        _ => Ok(()),
    }
}

fn interfaces(network: &NetworkStatus) -> anyhow::Result<()> {
    let rows: Vec<[String; 6]> = network
        .interfaces
        .iter()
        .map(|one| {
            let interface = &one.interface;
            [
                interface.name.clone(),
                interface.hardware_address.to_string(),
                one.link.clone(),
                one.kind.clone(),
                one.carrier.clone(),
                super::network::addresses(interface),
            ]
        })
        .collect();
    output::table(
        ["INTERFACE", "MAC", "LINK", "KIND", "BY", "ADDRESSES"],
        &rows,
    )
}

fn facts(found: &Inspection) -> Vec<[String; 2]> {
    let mut rows = Vec::new();
    let mut row = |what: &str, value: String| rows.push([what.to_owned(), value]);
    row("sandbox", found.id.to_string());
    row("state", found.state.to_string());
    if let Some(failure) = &found.failure {
        row("failure", failure.clone());
    }
    row("hypervisor", found.hypervisor.clone());
    if let Some(config) = &found.config {
        row("memory", config.memory.to_string());
        row("cpus", config.vcpus.to_string());
        row("kernel", config.boot.kernel.display().to_string());
        row("kernel parameters", config.boot.kernel_params.join(" "));
        if let Some(namespace) = &config.network.namespace {
            row("network namespace", namespace.display().to_string());
        }
    }
    if let Some(guest) = &found.guest {
        row("agent", guest.agent_version.clone());
    }
    row("boots", found.boots.to_string());
    row("stored", format!("{} times", found.generation));
    row("shares", found.shares.len().to_string());
    row("pending", found.pending.len().to_string());
    row("effects", found.ledger.len().to_string());
    if let Some(network) = &found.network {
        let worth_a_line = network.skipped.iter().filter(|one| one.link != LOOPBACK);
        for skipped in worth_a_line {
            row(
                "not connected",
                format!("{}: {}", skipped.link, skipped.reason),
            );
        }
        for note in &network.notes {
            row("network", note.clone());
        }
    }
    for (name, value) in &found.annotations {
        row("annotation", format!("{name}={value}"));
    }
    for note in &found.notes {
        row("note", note.clone());
    }
    rows
}
