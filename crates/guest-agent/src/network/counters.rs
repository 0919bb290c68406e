//! Counters of the links that a process sees (proc_pid_net(5)).

use std::fs::File;
use std::io::Read as _;

use virtcontainers_agent_proto::agent::NetworkStats;

/// The most that is read, in bytes, and the most links that are told.
const MOST_TEXT: u64 = 256 * 1024;
const MOST_LINKS: usize = 256;

/// The counters of all links in the network of a process, the loopback too; none when the process
/// has ended.
pub(crate) fn counters(pid: i32) -> Vec<NetworkStats> {
    let mut text = String::new();
    let read = File::open(format!("/proc/{pid}/net/dev"))
        .and_then(|file| file.take(MOST_TEXT).read_to_string(&mut text));
    match read {
        Ok(_) => parse(&text),
        Err(_) => Vec::new(),
    }
}

/// Two lines of headings, then `NAME: 8 numbers received, 8 numbers sent`.
fn parse(text: &str) -> Vec<NetworkStats> {
    text.lines().filter_map(link).take(MOST_LINKS).collect()
}

fn link(line: &str) -> Option<NetworkStats> {
    // A name may have a colon in it, numbers have none.
    let (name, numbers) = line.rsplit_once(':')?;
    let numbers: Vec<u64> = numbers
        .split_ascii_whitespace()
        .map_while(|number| number.parse().ok())
        .collect();
    let [
        rx_bytes,
        rx_packets,
        rx_errors,
        rx_dropped,
        _,
        _,
        _,
        _,
        tx_bytes,
        tx_packets,
        tx_errors,
        tx_dropped,
        ..,
    ] = numbers[..]
    else {
        return None;
    };
    Some(NetworkStats {
        name: name.trim().to_owned(),
        rx_bytes,
        rx_packets,
        rx_errors,
        rx_dropped,
        tx_bytes,
        tx_packets,
        tx_errors,
        tx_dropped,
        ..Default::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_read_and_headings_are_not() {
        let text = "Inter-|   Receive                            |  Transmit\n \
             face |bytes    packets errs drop fifo frame compressed multicast|bytes packets\n    \
             lo: 10 1 0 0 0 0 0 0 10 1 0 0 0 0 0 0\n  \
             eth0:2000 20 3 4 5 6 7 8 900 9 1 2 0 0 0 0\n\
             short: 1 2 3\n";
        let links = parse(text);
        assert_eq!(links.len(), 2);
        let eth0 = &links[1];
        assert_eq!(eth0.name, "eth0");
        assert_eq!((eth0.rx_bytes, eth0.rx_packets), (2000, 20));
        assert_eq!((eth0.rx_errors, eth0.rx_dropped), (3, 4));
        assert_eq!((eth0.tx_bytes, eth0.tx_packets), (900, 9));
        assert_eq!((eth0.tx_errors, eth0.tx_dropped), (1, 2));
    }

    #[test]
    fn our_own_network_has_a_loopback() {
        let own = counters(std::process::id().cast_signed());
        assert!(own.iter().any(|link| link.name == "lo"), "{own:?}");
        assert!(counters(i32::MAX).is_empty());
    }
}
