//! `vc env`: versions, configuration, guest and host.

use std::process::ExitCode;

use serde::Serialize;
use virtcontainers::Config;
use virtcontainers::environment::{AssetFacts, Environment};

use crate::args::operator::Env;
use crate::args::{Format, Global};
use crate::commands::config;
use crate::output;

/// What this program adds to what the library tells.
#[derive(Debug, Serialize)]
struct Report {
    commit: Option<&'static str>,
    #[serde(flatten)]
    environment: Environment,
}

pub(crate) fn run(global: &Global, env: &Env) -> anyhow::Result<ExitCode> {
    let config = config(global)?;
    let files = Config::files(global.config.as_deref())?;
    let report = Report {
        commit: option_env!("VC_COMMIT"),
        environment: Environment::look(&config, files),
    };
    match env.format {
        Format::Json => output::json(&report)?,
        Format::Table => output::table(["WHAT", "VALUE"], &rows(&report))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn rows(report: &Report) -> Vec<[String; 2]> {
    let Environment {
        version,
        spec,
        config,
        hypervisor,
        guest,
        host,
        notes,
    } = &report.environment;
    let mut rows = Vec::new();
    let mut row = |what: &str, value: Option<String>| {
        let value = value.unwrap_or_else(|| "unknown".to_owned());
        rows.push([what.to_owned(), value]);
    };
    let text = |value: &Option<String>| value.clone();
    let path = |path: &Option<std::path::PathBuf>| path.as_ref().map(|p| p.display().to_string());
    row("version", Some((*version).to_owned()));
    row("commit", report.commit.map(str::to_owned));
    row("oci specification", Some((*spec).to_owned()));
    let files: Vec<_> = config
        .files
        .iter()
        .map(|f| f.display().to_string())
        .collect();
    row(
        "configuration",
        Some(files.join(" "))
            .filter(|f| !f.is_empty())
            .or(Some("defaults".to_owned())),
    );
    let effective = &config.effective;
    row(
        "state root",
        Some(effective.runtime.root.display().to_string()),
    );
    row("hypervisor", Some(hypervisor.name.clone()));
    row("  program", path(&hypervisor.path));
    row("  version", text(&hypervisor.version));
    row("  accelerator", text(&hypervisor.accelerator));
    row("    why", text(&hypervisor.accelerator_reason));
    row("  vsock", text(&hypervisor.vsock));
    if let Some(helper) = &hypervisor.vsock_helper {
        row("  vsock helper", Some(helper.display().to_string()));
    }
    row("virtiofsd", path(&hypervisor.virtiofsd));
    if let Some(guest) = guest {
        row("guest kernel", guest.kernel.as_ref().map(asset));
        row(
            &format!("guest {}", guest.root_kind),
            guest.root.as_ref().map(asset),
        );
        row("guest agent", text(&guest.agent));
    }
    row(
        "host kernel",
        Some(format!("{} {}", host.kernel, host.architecture)),
    );
    row("host system", text(&host.distribution));
    row(
        "host processors",
        Some(format!(
            "{} × {}",
            host.cpus,
            host.cpu.as_deref().unwrap_or("unknown")
        )),
    );
    let memory = host
        .memory
        .iter()
        .map(|(name, bytes)| format!("{name} {} MiB", bytes >> 20));
    row("host memory", Some(memory.collect::<Vec<_>>().join(", ")));
    row("host cgroups", Some(host.cgroups.clone()));
    for note in notes {
        row("note", Some(note.clone()));
    }
    rows
}

fn asset(asset: &AssetFacts) -> String {
    let (path, size) = (asset.path.display(), asset.size);
    format!("{path}, {size} bytes, sha256 {}", asset.sha256)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names of all fields, as paths, below those whose content is the configuration's.
    fn names(value: &serde_json::Value, path: &str, into: &mut Vec<String>) {
        match value {
            serde_json::Value::Object(fields) if path != "config.effective." => {
                for (name, inner) in fields {
                    names(inner, &format!("{path}{name}."), into);
                }
            }
            _ => into.push(path.trim_end_matches('.').to_owned()),
        }
    }

    #[test]
    fn the_names_of_the_json_form_are_stable() {
        let mut config = Config::default();
        // Small files, so that their digests take no time.
        config.hypervisor.qemu.kernel = "/dev/null".into();
        config.hypervisor.qemu.initrd = "/dev/null".into();
        let report = Report {
            commit: None,
            environment: Environment::look(&config, Vec::new()),
        };
        let mut found = Vec::new();
        names(&serde_json::to_value(&report).unwrap(), "", &mut found);
        // What not every host tells.
        found.retain(|name| {
            let optional = ["host.distribution", "host.cpu"].contains(&name.as_str());
            !optional && !name.starts_with("hypervisor.")
        });
        let expected = [
            "commit",
            "config.effective",
            "config.files",
            "guest.agent_start",
            "guest.kernel.path",
            "guest.kernel.sha256",
            "guest.kernel.size",
            "guest.root.path",
            "guest.root.sha256",
            "guest.root.size",
            "guest.root_kind",
            "host.architecture",
            "host.cgroups",
            "host.cpus",
            "host.kernel",
            "host.memory.MemAvailable",
            "host.memory.MemTotal",
            "notes",
            "spec",
            "version",
        ];
        assert_eq!(found, expected);
    }
}
