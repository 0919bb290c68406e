//! How long connecting a namespace and taking it back take, against a shell script of `ip` and `tc`
//! that does the same: `cargo run --release -p virtcontainers-network --example connecting -- [ROUNDS]`,
//! as root. One line of JSON for each model and number of interfaces, with medians in milliseconds.
//!
//! `machine_end` is how long the descriptors take to be closed, which the script does not open: the
//! machine ends after its connection was taken back, or (`machine_first`) before.
//!
//! Ours and the script's turns alternate. Between them a tap is made and removed, so that nobody's
//! time has what the kernel still does for the other.

use std::error::Error;
use std::fmt::Write;
use std::process::Command;
use std::sync::Mutex;
use std::time::Instant;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde_json::json;
use virtcontainers_network::{self as network, Applied, Config, Model, Namespace};
use virtcontainers_types::{UndoEntry, UndoSink};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// A ledger in memory.
#[derive(Debug, Default)]
struct Ledger(Mutex<Vec<UndoEntry>>);

impl Ledger {
    /// The entries, the last first.
    fn backwards(self) -> Result<Vec<UndoEntry>> {
        let mut entries = self.0.into_inner()?;
        entries.reverse();
        Ok(entries)
    }
}

impl UndoSink for Ledger {
    fn record(&self, entry: UndoEntry) -> std::io::Result<()> {
        let mut entries = self.0.lock().map_err(|_| std::io::ErrorKind::Other)?;
        entries.push(entry);
        Ok(())
    }
}

fn main() -> Result<()> {
    let rounds = std::env::args().nth(1);
    let rounds = rounds.map_or(Ok(20), |text| text.parse::<usize>())?.max(1);
    for model in [Model::TcFilter, Model::MacVtap, Model::Bridged] {
        for interfaces in [1, 4] {
            let ledger = Ledger::default();
            let name = format!("vc-speed-{}", std::process::id());
            let measured = network::create_namespace(&name, &ledger)
                .map_err(Into::into)
                .and_then(|namespace| measure(&namespace, &name, model, interfaces, rounds));
            network::undo_all(&ledger.backwards()?)?;
            println!("{}", measured?);
        }
    }
    Ok(())
}

/// Times in milliseconds, one a round.
#[derive(Default)]
struct Times {
    set_up: Vec<f64>,
    tear_down: Vec<f64>,
    machine_end: Vec<f64>,
}

fn measure(
    namespace: &Namespace,
    name: &str,
    model: Model,
    interfaces: u32,
    rounds: usize,
) -> Result<serde_json::Value> {
    for number in 0..interfaces {
        sh(&format!(
            "set -e
             ip -n {name} link add name eth{number} type veth peer name out{number}
             ip -n {name} link set eth{number} addrgenmode none up
             ip -n {name} link set out{number} addrgenmode none up
             ip -n {name} address add 10.{number}.0.2/24 dev eth{number}"
        ))?;
    }
    let (there, back) = scripts(namespace, model)?;
    let (mut ours, mut script, mut after) = (Times::default(), Times::default(), Times::default());
    for _ in 0..rounds {
        // The connection is taken back, and then the machine ends.
        our_turn(namespace, model, &mut ours, true)?;
        settle(namespace)?;
        script.set_up.push(timed(|| inside(namespace, &there))?.0);
        script.tear_down.push(timed(|| inside(namespace, &back))?.0);
        settle(namespace)?;
        // The machine ends first, with which the kernel removes its taps.
        our_turn(namespace, model, &mut after, false)?;
        settle(namespace)?;
    }
    let [set_up, tear_down] = [ours.set_up, ours.tear_down].map(median);
    let [script_set_up, script_tear_down] = [script.set_up, script.tear_down].map(median);
    Ok(json!({
        "model": model,
        "interfaces": interfaces,
        "rounds": rounds,
        "set_up_ms": rounded(set_up),
        "script_set_up_ms": rounded(script_set_up),
        "set_up_ratio": rounded(set_up / script_set_up),
        "tear_down_ms": rounded(tear_down),
        "script_tear_down_ms": rounded(script_tear_down),
        "tear_down_ratio": rounded(tear_down / script_tear_down),
        "machine_end_ms": rounded(median(ours.machine_end)),
        "machine_first_end_ms": rounded(median(after.machine_end)),
        "machine_first_tear_down_ms": rounded(median(after.tear_down)),
    }))
}

fn our_turn(
    namespace: &Namespace,
    model: Model,
    times: &mut Times,
    machine_is_last: bool,
) -> Result<()> {
    let config = Config {
        model,
        ..Config::default()
    };
    let ledger = Ledger::default();
    let (time, applied) = timed(|| {
        let plan = network::plan(&network::scan(namespace)?, &config)?;
        network::apply(&plan, namespace, &ledger)
    })?;
    times.set_up.push(time);
    let entries = ledger.backwards()?;
    let mut end = |applied: Applied| {
        let start = Instant::now();
        drop(applied);
        times.machine_end.push(milliseconds(start));
    };
    let applied = match machine_is_last {
        true => Some(applied),
        false => {
            end(applied);
            None
        }
    };
    times
        .tear_down
        .push(timed(|| network::undo_all(&entries))?.0);
    applied.into_iter().for_each(end);
    Ok(())
}

/// The scripts that make the same links and filters for every interface, and take them back. They do
/// not open the devices.
fn scripts(namespace: &Namespace, model: Model) -> Result<(String, String)> {
    let plan = network::plan(&network::scan(namespace)?, &Config::default())?;
    let look = "ip -o link; ip -o address; ip route show table all; ip -6 route show table all; ip rule; \
                ip -6 rule; ip neighbor; tc qdisc";
    let mut there = format!("set -e\n{{ {look}; }} >/dev/null\n");
    let mut back = "set -e\n".to_owned();
    for endpoint in &plan.endpoints {
        let (eth, index, mac) = (&endpoint.name, endpoint.index, endpoint.mac);
        let (tap, bridge) = (format!("tap{index}_vc"), format!("br{index}_vc"));
        let make_tap = format!(
            "ip tuntap add name {tap} mode tap vnet_hdr
             ip link set {tap} mtu 1500 addrgenmode none
             ip link set {tap} up\n"
        );
        let redirect = |from: &str, to: &str| {
            format!(
                "tc qdisc add dev {from} ingress
                 tc filter add dev {from} ingress protocol all u32 match u32 0 0 \
                 action mirred egress redirect dev {to}\n"
            )
        };
        match model {
            Model::MacVtap => {
                write!(
                    there,
                    "ip link add link {eth} name mvt{index}_vc type macvtap mode passthru
                     ip link set mvt{index}_vc addrgenmode none
                     ip link set mvt{index}_vc up\n"
                )?;
                writeln!(back, "ip link delete mvt{index}_vc")?;
            }
            Model::Bridged => {
                write!(
                    there,
                    "ip link add name {bridge} mtu 1500 type bridge mcast_snooping 0
                     ip link set {bridge} arp off addrgenmode none
                     ip link set {bridge} up
                     {make_tap}
                     ip link set {eth} address 02:00:5e:00:01:{index:02x}
                     ip link set {eth} master {bridge}
                     ip link set {tap} master {bridge}\n"
                )?;
                write!(
                    back,
                    "ip link set {eth} nomaster
                     ip link set {eth} address {mac}
                     ip link delete {tap}
                     ip link delete {bridge}\n"
                )?;
            }
            Model::TcFilter | Model::None => {
                there += &make_tap;
                there += &redirect(&tap, eth);
                there += &redirect(eth, &tap);
                write!(
                    back,
                    "tc filter delete dev {eth} ingress
                     tc qdisc delete dev {eth} ingress
                     ip link delete {tap}\n"
                )?;
            }
        }
    }
    Ok((there, back))
}

/// Returns when the kernel has freed what was removed before.
fn settle(namespace: &Namespace) -> Result<()> {
    inside(
        namespace,
        "ip tuntap add name settle0 mode tap && ip link delete settle0",
    )
}

/// Runs a script in the namespace, without a program in between that would take time.
fn inside(namespace: &Namespace, script: &str) -> Result<()> {
    let run = || -> std::io::Result<()> {
        let kind = Some(LinkNameSpaceType::Network);
        move_into_link_name_space(std::os::fd::AsFd::as_fd(namespace), kind)?;
        sh(script).map_err(std::io::Error::other)
    };
    let ran = std::thread::scope(|scope| scope.spawn(run).join());
    Ok(ran.map_err(|_| "the thread that ran a script panicked")??)
}

#[expect(
    clippy::disallowed_methods,
    reason = "the crate starts no programs, but is compared with some"
)]
fn sh(script: &str) -> std::result::Result<(), String> {
    let status = Command::new("sh").args(["-c", script]).status();
    match status.map_err(|error| error.to_string())? {
        status if status.success() => Ok(()),
        status => Err(format!("{status}: {script}")),
    }
}

fn timed<T, E>(
    work: impl FnOnce() -> std::result::Result<T, E>,
) -> std::result::Result<(f64, T), E> {
    let start = Instant::now();
    let done = work()?;
    Ok((milliseconds(start), done))
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}
