//! How long connecting takes, against a script of `ip` and `tc` that makes the same. It measures and
//! prints, with `--no-capture`, and asserts no times.

use std::time::{Duration, Instant};

use virtcontainers_network::{Model, apply, plan, scan, undo_all};

use crate::fixture::{Ledger, Pair, program, with};

const ROUNDS: usize = 20;

/// What the crate makes for `eth0` by filters, and takes back.
const SCRIPT: &str = "set -e
ip -o link show >/dev/null; ip -o address show >/dev/null; ip route show table all >/dev/null
ip tuntap add name tap2_vc mode tap vnet_hdr
ip link set tap2_vc mtu 1500 addrgenmode none
ip link set tap2_vc up
tc qdisc add dev eth0 ingress
tc qdisc add dev tap2_vc ingress
tc filter add dev tap2_vc ingress protocol all u32 match u32 0 0 action mirred egress redirect dev eth0
tc filter add dev eth0 ingress protocol all u32 match u32 0 0 action mirred egress redirect dev tap2_vc
";
const BACK: &str = "set -e
tc filter delete dev eth0 ingress
tc qdisc delete dev eth0 ingress
ip link delete tap2_vc
";

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

#[test]
fn against_a_script() {
    let pair = Pair::new();
    let before = pair.inventory();
    let (mut ours, mut removed, mut ours_back) = (Vec::new(), Vec::new(), Vec::new());
    let (mut theirs, mut theirs_back) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let ledger = Ledger::new();
        let namespace = pair.sandbox.open();
        let mut applied = None;
        ours.push(timed(|| {
            let plan = plan(&scan(&namespace).unwrap(), &with(Model::TcFilter)).unwrap();
            applied = Some(apply(&plan, &namespace, &ledger).unwrap());
        }));
        // The machine ends, and the kernel removes its tap.
        removed.push(timed(|| drop(applied)));
        ours_back.push(timed(|| {
            let reversed: Vec<_> = ledger.entries().iter().rev().cloned().collect();
            undo_all(&reversed).unwrap();
        }));
        let script = |text: &str| {
            let status = program("sh").args(["-c", text]).status();
            assert!(status.unwrap().success(), "{text}");
        };
        pair.sandbox.inside(|| {
            theirs.push(timed(|| script(SCRIPT)));
            theirs_back.push(timed(|| script(BACK)));
        });
    }
    pair.assert_as(&before, "afterwards");
    println!(
        "connected in {:?} (script {:?}); the kernel removes the tap in {:?}, the rest is taken back \
         in {:?} (script, both {:?})",
        median(ours),
        median(theirs),
        median(removed),
        median(ours_back),
        median(theirs_back)
    );
}
