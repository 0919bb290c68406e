//! Frames go both ways, in every model, and everything is as before afterwards.

use std::net::{SocketAddr, UdpSocket};
use std::num::NonZeroU16;
use std::time::Duration;

use virtcontainers_network::{Config, Model, apply};

use crate::fixture::{Ledger, MODELS, Pair, with};
use crate::machine::Machine;

/// Long enough for a machine that does anything else besides.
const PATIENCE: Duration = Duration::from_secs(30);

/// Sends a packet from the outside, and gives what came back.
pub(crate) fn echo(pair: &Pair, to: &str, payload: &[u8]) -> Vec<u8> {
    pair.outside.inside(|| {
        let to: SocketAddr = to.parse().unwrap();
        let from = if to.is_ipv4() {
            "10.9.0.1:0"
        } else {
            "[fd00:9::1]:0"
        };
        let socket = UdpSocket::bind(from).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.send_to(payload, to).unwrap();
        let mut answer = vec![0; 1 << 16];
        let (length, sender) = socket.recv_from(&mut answer).unwrap();
        assert_eq!(sender, to);
        answer.truncate(length);
        answer
    })
}

/// The outside asks for the machine's hardware address by IPv4, and is told it for IPv6.
fn know_the_machine(pair: &Pair, mac: &str) {
    let line = format!("ip neighbor replace fd00:9::2 lladdr {mac} dev out0");
    pair.outside.run(&line);
}

fn carries(config: &Config, mtu: u32) {
    let pair = Pair::with_mtu(mtu);
    let plan = pair.plan(config);
    know_the_machine(&pair, &plan.endpoints[0].mac.to_string());
    let before = pair.inventory();
    let ledger = Ledger::new();
    let mut applied = apply(&plan, &pair.sandbox.open(), &ledger).unwrap();
    let nic = applied.for_machine.remove(0);
    assert_eq!(nic.descriptors.len(), usize::from(config.queues.get()));
    assert_eq!(nic.mtu, mtu);
    let machine = Machine::start(nic);
    let largest = usize::try_from(mtu).unwrap() - 28;
    for length in [1, largest] {
        let payload: Vec<u8> = (0..length).map(|byte| byte.to_le_bytes()[0]).collect();
        assert_eq!(echo(&pair, "10.9.0.2:7", &payload), payload);
    }
    let largest_v6 = vec![6; largest - 20];
    assert_eq!(echo(&pair, "[fd00:9::2]:7", &largest_v6), largest_v6);
    // Whole, and by the machine alone: the namespace's own kernel has these addresses too.
    let mut echoed = machine.echoed();
    echoed.dedup();
    assert_eq!(echoed, [1, largest, largest - 20]);
    drop(machine);
    ledger.undo();
    // The outside learned where the machine is; that is not permanent.
    pair.assert_as(&before, &format!("{:?}", config.model));
    ledger.undo();
    pair.assert_as(&before, &format!("{:?}", config.model));
}

#[test]
fn traffic_filters_carry_both_ways() {
    carries(&with(Model::TcFilter), 1500);
}

#[test]
fn a_macvtap_carries_both_ways() {
    carries(&with(Model::MacVtap), 1500);
}

#[test]
fn a_bridge_carries_both_ways() {
    carries(&with(Model::Bridged), 1500);
}

#[test]
fn small_and_large_packets() {
    for model in MODELS {
        for mtu in [1300, 9000] {
            carries(&with(model), mtu);
        }
    }
}

#[test]
fn several_queues() {
    for model in MODELS {
        let config = Config {
            queues: NonZeroU16::new(4).unwrap(),
            ..with(model)
        };
        carries(&config, 1500);
    }
}

/// The neighbours of the outside's link after asking for one address: who answered.
#[test]
fn only_the_machine_answers_for_its_addresses() {
    for model in MODELS {
        let pair = Pair::new();
        let plan = pair.plan(&with(model));
        let ledger = Ledger::new();
        let mut applied = apply(&plan, &pair.sandbox.open(), &ledger).unwrap();
        let mac = applied.for_machine[0].mac;
        let machine = Machine::start(applied.for_machine.remove(0));
        for _ in 0..3 {
            echo(&pair, "10.9.0.3:7", b"who is there?");
            let known = pair.outside.run("ip neighbor show 10.9.0.3");
            assert!(known.contains(&mac.to_string()), "{model:?}: {known}");
            pair.outside.run("ip neighbor flush dev out0");
        }
        drop(machine);
        ledger.undo();
    }
}

#[test]
fn a_rate_is_set_both_ways_and_taken_back() {
    for model in [Model::TcFilter, Model::Bridged] {
        let pair = Pair::new();
        let before = pair.inventory();
        let mut config = with(model);
        config.limit.inbound = Some(250_000);
        config.limit.outbound = Some(8_000_000_000);
        let ledger = Ledger::new();
        let applied = apply(&pair.plan(&config), &pair.sandbox.open(), &ledger).unwrap();
        let qdiscs = pair.sandbox.run("tc qdisc show");
        let line = |start: &str| qdiscs.lines().find(|line| line.contains(start)).unwrap();
        assert!(line("dev tap2_vc root").contains("tbf 7663: dev tap2_vc root refcnt"));
        assert!(
            line("dev tap2_vc root").contains("rate 2Mbit burst 16Kb"),
            "{qdiscs}"
        );
        assert!(
            line("dev eth0 root").contains("rate 64Gbit burst"),
            "{qdiscs}"
        );
        drop(applied);
        ledger.undo();
        pair.assert_as(&before, "afterwards");
    }
}

#[test]
fn an_interface_without_a_queue_has_none_again() {
    for model in MODELS {
        let pair = Pair::new();
        pair.sandbox.run("ip link set eth0 txqueuelen 0");
        let before = pair.inventory();
        let mut config = with(model);
        config.limit.outbound = Some(1_000_000);
        let ledger = Ledger::new();
        let applied = apply(&pair.plan(&config), &pair.sandbox.open(), &ledger).unwrap();
        let connected = pair.sandbox.run("ip link show eth0");
        assert!(connected.contains("qlen 1000"), "{model:?}: {connected}");
        drop(applied);
        ledger.undo();
        pair.assert_as(&before, &format!("{model:?}"));
        ledger.undo();
        pair.assert_as(&before, &format!("{model:?}, again"));
    }
}

#[test]
fn what_is_held_back_still_comes() {
    const PACKETS: u8 = 64;
    let pair = Pair::new();
    let mut config = with(Model::TcFilter);
    config.limit.inbound = Some(1_000_000);
    config.limit.outbound = Some(1_000_000);
    let ledger = Ledger::new();
    let mut applied = apply(&pair.plan(&config), &pair.sandbox.open(), &ledger).unwrap();
    let machine = Machine::start(applied.for_machine.remove(0));
    let mut came = pair.outside.inside(|| {
        let socket = UdpSocket::bind("10.9.0.1:0").unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        // At once, which is far more than may pass at once and less than may wait.
        for number in 0..PACKETS {
            let sent = socket.send_to(&[number; 1472], "10.9.0.2:7");
            assert_eq!(sent.unwrap(), 1472);
        }
        let mut answer = [0; 1472];
        let come = |_| {
            assert_eq!(socket.recv(&mut answer).unwrap(), 1472);
            answer[0]
        };
        (0..PACKETS).map(come).collect::<Vec<_>>()
    });
    came.sort_unstable();
    assert_eq!(came, (0..PACKETS).collect::<Vec<_>>());
    let passed = pair.sandbox.run("tc -s qdisc show dev tap2_vc root");
    assert!(passed.contains("(dropped 0, overlimits "), "{passed}");
    assert!(!passed.contains("overlimits 0 "), "{passed}");
    drop(machine);
    ledger.undo();
}
