//! A few numbers in the text form of Prometheus.

use crate::agent::Agent;

/// The metrics page.
pub(crate) fn metrics(agent: &Agent) -> String {
    let mut page = String::new();
    let mut gauge = |name: &str, help: &str, value: u64| {
        page += &format!("# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}\n");
    };
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    gauge(
        "kata_agent_rss_bytes",
        "Resident memory of the agent.",
        kilobytes(&status, "VmRSS") * 1024,
    );
    gauge(
        "kata_agent_threads",
        "Threads of the agent.",
        kilobytes(&status, "Threads"),
    );
    let containers = agent.containers.all();
    gauge(
        "kata_agent_containers",
        "Containers in the sandbox.",
        containers.len() as u64,
    );
    let processes = containers
        .iter()
        .map(|container| container.processes().len())
        .sum::<usize>();
    gauge(
        "kata_agent_processes",
        "Processes nobody has waited for.",
        processes as u64,
    );
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    for (key, name) in [
        ("MemTotal", "kata_guest_memory_total_bytes"),
        ("MemFree", "kata_guest_memory_free_bytes"),
        ("MemAvailable", "kata_guest_memory_available_bytes"),
    ] {
        gauge(name, "Memory of the guest.", kilobytes(&memory, key) * 1024);
    }
    let uptime = std::fs::read_to_string("/proc/uptime").unwrap_or_default();
    let seconds = uptime
        .split('.')
        .next()
        .and_then(|text| text.parse().ok())
        .unwrap_or(0);
    gauge(
        "kata_guest_uptime_seconds",
        "Time since the guest's boot.",
        seconds,
    );
    page
}

/// The number after `key:` in the text of a proc file.
fn kilobytes(text: &str, key: &str) -> u64 {
    text.lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))
        .and_then(|rest| rest.split_ascii_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_by_their_whole_key() {
        let text = "VmRSSX:\t1 kB\nVmRSS:\t  4212 kB\nThreads:\t3\n";
        assert_eq!(kilobytes(text, "VmRSS"), 4212);
        assert_eq!(kilobytes(text, "Threads"), 3);
        assert_eq!(kilobytes(text, "Vm"), 0);
    }
}
