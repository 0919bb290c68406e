//! What there is in the network namespace of the calling thread: links, addresses, routes, rules,
//! neighbours, queueing disciplines and filters.

use std::collections::BTreeSet;

use anyhow::{Context, Result};

use super::command;

/// What a namespace is compared by. Neighbours that are learned come and go by themselves.
const SEEN: [&str; 9] = [
    "ip -d link show",
    "ip -d address show",
    "ip route show table all",
    "ip -6 route show table all",
    "ip rule show",
    "ip -6 rule show",
    "ip neighbor show nud permanent",
    "ip neighbor show proxy",
    "tc qdisc show",
];

/// Where filters may be. Without a queueing discipline there none is told of.
const FILTERED: [&str; 3] = ["ingress", "egress", "root"];

/// Everything, one line each, without what the kernel settles some time after a change.
pub(super) fn take() -> Result<BTreeSet<String>> {
    let mut seen = BTreeSet::new();
    for line in SEEN {
        seen.extend(command(line)?.lines().filter_map(settled));
    }
    let disciplines = command("tc qdisc show")?;
    for link in names()? {
        let of = format!(" dev {link} ");
        // Most links have none that could have filters.
        let mut of = disciplines.lines().filter(|line| line.contains(&of));
        if of.all(|line| line.contains("qdisc noqueue ")) {
            continue;
        }
        for at in FILTERED {
            let told = command(&format!("tc filter show dev {link} {at}"))?;
            seen.extend(told.lines().map(|line| format!("{link} {at}: {line}")));
        }
    }
    Ok(seen)
}

/// The names of the links.
pub(super) fn names() -> Result<BTreeSet<String>> {
    let told = command("ip -o link show")?;
    let name = |line: &str| {
        let name = line.split(": ").nth(1)?;
        Some(name.split('@').next()?.to_owned())
    };
    let names = told.lines().map(|line| name(line).context("no name"));
    names.collect()
}

/// A line without what changes by itself: whether links have a carrier, which addresses are the host's
/// own, how long something is valid.
fn settled(line: &str) -> Option<String> {
    if line.contains(" table local proto kernel ") || line.contains("_timer ") {
        return None;
    }
    let line = line.replace("NO-CARRIER,", "").replace(",LOWER_UP", "");
    let mut words: Vec<&str> = line.split(' ').collect();
    if let Some(state) = words.iter().position(|word| *word == "state") {
        words.drain(state..(state + 2).min(words.len()));
    }
    let is_time =
        |word: &&str| word.ends_with("sec") && word.starts_with(|sign: char| sign.is_ascii_digit());
    words.retain(|word| !is_time(word));
    Some(words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_keeps_what_stays() {
        let line = "2: eth0@if3: <BROADCAST,UP,LOWER_UP> mtu 1500 qdisc noqueue state UP qlen 1000";
        let down =
            "2: eth0@if3: <NO-CARRIER,BROADCAST,UP> mtu 1500 qdisc noqueue state DOWN qlen 1000";
        assert_eq!(settled(line), settled(down));
        assert_ne!(settled(line), settled(&line.replace("1500", "1400")));
        let route = "default via fe80::1 dev eth0 proto ra metric 1024 expires 1799sec pref medium";
        assert_eq!(settled(route), settled(&route.replace("1799", "1798")));
        assert_eq!(
            settled("local 10.9.0.2 dev eth0 table local proto kernel scope host"),
            None
        );
    }
}
