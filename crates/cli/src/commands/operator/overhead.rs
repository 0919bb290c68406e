//! `vc overhead`: what a sandbox of this configuration costs.

use std::process::ExitCode;

use virtcontainers::overhead::Overhead;

use crate::args::Global;
use crate::args::operator::{self as args, OverheadFormat};
use crate::commands::runtime;
use crate::output;

pub(crate) async fn run(global: &Global, wanted: &args::Overhead) -> anyhow::Result<ExitCode> {
    anyhow::ensure!(
        is_dns_label(&wanted.name),
        "{:?} cannot name a RuntimeClass: use small letters, digits, - and .",
        wanted.name
    );
    let (config, runtime) = runtime(global)?;
    let found = Overhead::measure(&config, &runtime, wanted.duration).await?;
    match wanted.format {
        OverheadFormat::Json => output::json(&found)?,
        OverheadFormat::Yaml => output::print(&manifest(&wanted.name, &found))?,
        OverheadFormat::Table => {
            output::table(["WHAT", "VALUE"], &rows(&found))?;
            output::print(&format!("\n{}", manifest(&wanted.name, &found)))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A name as Kubernetes wants it (RFC 1123, a DNS subdomain).
fn is_dns_label(name: &str) -> bool {
    let is_edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    name.len() <= 253
        && name.starts_with(is_edge)
        && name.ends_with(is_edge)
        && name.chars().all(|c| is_edge(c) || c == '-' || c == '.')
}

fn manifest(name: &str, found: &Overhead) -> String {
    format!(
        "apiVersion: node.k8s.io/v1\n\
         kind: RuntimeClass\n\
         metadata:\n\
         \x20 name: {name}\n\
         handler: {name}\n\
         overhead:\n\
         \x20 podFixed:\n\
         \x20   memory: \"{}Mi\"\n\
         \x20   cpu: \"{}m\"\n",
        found.pod_fixed.memory_mib, found.pod_fixed.cpu_milli
    )
}

fn rows(found: &Overhead) -> Vec<[String; 2]> {
    let mebibytes = |bytes: u64| format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20));
    let mut rows = Vec::new();
    let mut row = |what: &str, value: String| rows.push([what.to_owned(), value]);
    row("machine's memory", mebibytes(found.machine_memory));
    if let Some(available) = found.guest_available {
        row("  containers may use", mebibytes(available));
    }
    row("memory on the host, idle", mebibytes(found.host_memory));
    row("  of it the guest's", mebibytes(found.guest_memory_on_host));
    for process in &found.processes {
        row(&format!("  {}", process.role), mebibytes(process.memory));
    }
    let milli = found.idle_cpu_micros as f64 / 1000.0;
    row("processor, idle", format!("{milli:.1} m"));
    row(
        "processor, to come up",
        format!("{} ms", found.boot_cpu / 1_000_000),
    );
    row("time to come up", format!("{} ms", found.boot_millis));
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_kubernetes_takes() {
        for name in ["vc", "a-b.c", "0"] {
            assert!(is_dns_label(name), "{name}");
        }
        for name in ["", "Vc", "-a", "a-", "a\nb", "a: b"] {
            assert!(!is_dns_label(name), "{name}");
        }
    }
}
