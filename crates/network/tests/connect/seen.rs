//! What is seen in a namespace is what `ip` put there.

use std::os::fd::AsFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use virtcontainers_network::{
    Config, ErrorKind, Woken, plan, scan, scan_until, scan_until_cancelled, watch,
};
use virtcontainers_types::IpFamily;

use crate::fixture::{OUTSIDE_MAC, Pair, Place};

#[test]
fn everything_that_was_put_there_is_seen() {
    let pair = Pair::new();
    pair.sandbox.run(
        "ip rule add from 10.9.0.3 table 100 priority 512
         ip route add 10.77.0.0/16 via 10.9.0.1 table 100
         ip route add blackhole 10.78.0.0/16
         ip route add 10.79.0.0/16 nexthop via 10.9.0.1 weight 1 nexthop via 10.9.0.4 weight 1
         ip route add 10.80.0.0/16 via 10.9.0.1 advmss 1000
         ip address add 10.9.1.1 peer 10.9.1.9 dev eth0 label eth0:ptp
         tc qdisc add dev eth0 clsact",
    );
    let view = scan(&pair.sandbox.open()).unwrap();
    assert_eq!(view.rules.len(), 6);
    let named = |kind| {
        view.qdiscs
            .iter()
            .any(|one| one.link == 2 && one.kind == kind)
    };
    assert!(named("clsact") && named("noqueue"));
    let plan = plan(&view, &Config::default()).unwrap();
    let guest = &plan.guest;
    let addresses: Vec<_> = plan.addresses().map(|one| one.to_string()).collect();
    assert_eq!(addresses, ["10.9.0.2", "10.9.1.1", "10.9.0.3", "fd00:9::2"]);
    let routes: Vec<_> = guest
        .routes
        .iter()
        .map(|route| {
            let to = route.destination.map(|one| one.to_string());
            let by = route.gateway.map(|one| one.to_string());
            (
                to.unwrap_or_default(),
                by.unwrap_or_default(),
                route.flags,
                route.mtu,
            )
        })
        .collect();
    let expected = [
        ("10.9.1.9/32", "", 0, 0),
        ("", "10.9.0.1", 0, 0),
        ("10.80.0.0/16", "10.9.0.1", 0, 0),
        ("198.51.100.0/24", "203.0.113.1", 4, 1300),
        ("", "fd00:9::1", 0, 0),
    ];
    let expected = expected.map(|(to, by, flags, mtu)| (to.to_owned(), by.to_owned(), flags, mtu));
    assert_eq!(routes, expected);
    assert_eq!(guest.routes[4].family, IpFamily::V6);
    assert_eq!(guest.neighbors.len(), 2);
    let known = guest.neighbors[0].hardware_address.unwrap();
    assert_eq!(known.to_string(), OUTSIDE_MAC);
    let notes = plan.notes.join("\n");
    for word in [
        "table 100",
        "rule 512",
        "10.78.0.0/16",
        "several next hops",
        "advmss",
        "eth0:ptp",
        "clsact",
    ] {
        assert!(notes.contains(word), "{word} in {notes}");
    }
    assert_eq!(plan.notes.len(), 7, "{notes}");
    let again = scan(&pair.sandbox.open()).unwrap();
    assert_eq!(again, view);
}

#[test]
fn two_namespaces_are_told_apart() {
    let (one, other) = (Place::new(), Place::new());
    let ids = [&one, &other].map(|place| place.open().id().unwrap());
    assert_eq!(one.open().id().unwrap(), ids[0]);
    assert_ne!(ids[0].inode, ids[1].inode);
    assert_ne!(ids[0].cookie, ids[1].cookie);
    assert!(ids[0].cookie.is_some());
}

#[test]
fn late_interfaces_are_waited_for() {
    let pair = Pair::new();
    let namespace = pair.sandbox.open();
    let with_two = |view: &virtcontainers_network::View| {
        plan(view, &Config::default()).is_ok_and(|plan| plan.endpoints.len() == 2)
    };
    // One step after another, as plugins work, each after the last was noticed.
    std::thread::scope(|scope| {
        let news = watch(&namespace).unwrap();
        let waiting = scope.spawn(|| scan_until(&namespace, Duration::from_secs(60), with_two));
        pair.add("eth1", "out1", 1500);
        assert!(news.wait(Duration::from_secs(60)).unwrap());
        pair.sandbox.run("ip address add 10.10.0.2/24 dev eth1");
        assert_eq!(waiting.join().unwrap().unwrap().links.len(), 3);
        assert!(news.wait(Duration::from_secs(60)).unwrap());
        assert!(!news.drain().unwrap());
    });
}

#[test]
fn what_does_not_come_is_an_error_that_says_what_is_there() {
    let pair = Pair::new();
    let namespace = pair.sandbox.open();
    let error = scan_until(&namespace, Duration::from_millis(1), |_| false).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(error.to_string().contains("lo, eth0"), "{error}");
    // What is there is enough, however short the time.
    scan_until(&namespace, Duration::ZERO, |_| true).unwrap();
}

/// Addresses come before routes, which are waited for too.
#[test]
fn what_has_just_come_is_looked_at_until_nothing_changes() {
    let pair = Pair::new();
    pair.add("eth1", "out1", 1500);
    let namespace = pair.sandbox.open();
    let with_two = |view: &virtcontainers_network::View| {
        plan(view, &Config::default()).is_ok_and(|plan| plan.endpoints.len() == 2)
    };
    let routes = ["10.77.0.0/24", "10.77.1.0/24", "10.77.2.0/24"];
    let looks = AtomicUsize::new(0);
    // The next step is made after each look, so that it falls between two.
    let enough = |view: &virtcontainers_network::View| {
        let look = looks.fetch_add(1, Ordering::SeqCst);
        match look.checked_sub(1).map(|next| routes.get(next)) {
            None => drop(pair.sandbox.run("ip address add 10.10.0.2/24 dev eth1")),
            Some(Some(route)) => {
                pair.sandbox
                    .run(&format!("ip route add {route} via 10.10.0.1"));
            }
            Some(None) => {}
        }
        with_two(view)
    };
    let view = scan_until(&namespace, Duration::from_secs(60), enough).unwrap();
    let plan = plan(&view, &Config::default()).unwrap();
    let told = plan.guest.routes.iter();
    let told: Vec<_> = told
        .filter_map(|route| Some(route.destination?.to_string()))
        .collect();
    for route in routes {
        assert!(told.contains(&route.to_owned()), "{route} in {told:?}");
    }
}

/// Whoever waits for interfaces on a thread of its own is called off by an end of a pipe that goes.
#[test]
fn who_waits_for_what_does_not_come_can_be_called_off() {
    let pair = Pair::new();
    let namespace = pair.sandbox.open();
    let (cancelled, cancel) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    let long = Duration::from_secs(3600);
    std::thread::scope(|scope| {
        let (tell, looked) = std::sync::mpsc::channel();
        let waiting = scope.spawn(|| {
            let enough = move |_: &virtcontainers_network::View| {
                tell.send(()).unwrap();
                false
            };
            scan_until_cancelled(&namespace, long, cancelled.as_fd(), enough)
        });
        looked.recv().unwrap();
        // Changes do not end it.
        pair.add("eth1", "out1", 1500);
        looked.recv().unwrap();
        drop(cancel);
        assert_eq!(waiting.join().unwrap().unwrap(), None);
    });
    // What is there is enough, whether anybody still cares or not.
    let view = scan_until_cancelled(&namespace, long, cancelled.as_fd(), |_| true).unwrap();
    assert!(view.is_some());
    let news = watch(&namespace).unwrap();
    let woken = news.wait_unless(long, Some(cancelled.as_fd())).unwrap();
    assert_eq!(woken, Woken::Cancelled);
    assert_eq!(news.wait_unless(Duration::ZERO, None).unwrap(), Woken::Late);
}

#[test]
fn what_another_kernel_answers_for_and_addresses_that_end_are_seen() {
    let pair = Pair::new();
    pair.sandbox.run(
        "ip neighbor add proxy 10.9.0.77 dev eth0
         ip address add 10.9.0.8/24 dev eth0 valid_lft 3600 preferred_lft 0
         ip address add 10.9.0.9/32 dev eth0 scope link
         ip route add local 10.66.0.0/16 dev eth0",
    );
    let notes = pair.plan(&Config::default()).notes;
    assert_eq!(notes.len(), 5, "{notes:#?}");
    for word in [
        "does not answer for the neighbour 10.9.0.77",
        "10.9.0.8/24 on eth0 ends",
        "10.9.0.8/24 on eth0 is not for new connections",
        "scope 253",
        "10.66.0.0/16 on eth0 is not in the guest",
    ] {
        assert!(
            notes.iter().any(|note| note.contains(word)),
            "{word} in {notes:#?}"
        );
    }
}
