//! The agent, called over a unix socket, against runc: the same bundle, in alternation.
//!
//! `VC_TEST_ROOTFS=DIR cargo bench -p virtcontainers-guest-agent`, as root, with runc installed.
//! `VC_BENCH_AGENT` names the agent as it is built for the guest; without it the bench profile's
//! is measured. `VC_BENCH_ROUNDS` is the number of pairs.

#![allow(
    clippy::unwrap_used,
    reason = "a measurement that cannot be made has nothing to report"
)]

mod agent;
mod bundle;
mod runc;

use std::time::Duration;

/// What is done how often where nothing else is said.
const ROUNDS: usize = 20;

fn main() {
    let rounds = std::env::var("VC_BENCH_ROUNDS").map_or(ROUNDS, |text| text.parse().unwrap());
    let rootfs =
        std::env::var("VC_TEST_ROOTFS").expect("VC_TEST_ROOTFS must name a root with busybox");
    let folder = tempfile::Builder::new()
        .prefix("vc-bench-")
        .tempdir()
        .unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let agent = agent::Agent::start(folder.path()).await;
        let runc = runc::Runc::new(folder.path(), &rootfs);
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        let mut creates = Vec::new();
        for round in 0..rounds {
            let (create, whole) = agent.life(&format!("b{round}"), &rootfs).await;
            creates.push(create);
            ours.push(whole);
            theirs.push(runc.life(round));
        }
        report("create", &mut creates, None);
        report(
            "create + start + wait + remove",
            &mut ours,
            Some(&mut theirs),
        );
        agent.keep("keep", &rootfs).await;
        runc.keep();
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for round in 0..rounds {
            ours.push(agent.exec("keep", &format!("e{round}")).await);
            theirs.push(runc.exec());
        }
        runc.end();
        agent.remove("keep").await;
        report("exec + wait", &mut ours, Some(&mut theirs));
        println!("resident: {}", agent.memory());
    });
}

fn report(what: &str, ours: &mut [Duration], theirs: Option<&mut Vec<Duration>>) {
    let show = |times: &mut [Duration]| {
        times.sort();
        let at = |share: usize| times[(times.len() - 1) * share / 100].as_secs_f64() * 1e3;
        (
            at(50),
            format!("{:6.2} ms ({:.2} to {:.2})", at(50), at(10), at(90)),
        )
    };
    let (our, text) = show(ours);
    match theirs {
        None => println!("{what}: agent {text}"),
        Some(theirs) => {
            let (their, other) = show(theirs);
            println!(
                "{what}: agent {text}, runc {other}, ratio {:.2}",
                our / their
            );
        }
    }
}
