//! Links of a namespace are removed for real. Needs root and iproute2.

use std::collections::BTreeSet;

use super::remove;
use crate::netlink::Netlink;
use crate::scan::links;
use crate::testing::Place;
use crate::thread::inside;

/// The names of the links of the calling thread's namespace, and the indexes of all but `lo`.
fn there() -> (Vec<String>, BTreeSet<u32>) {
    let all = links(&Netlink::open().expect("a socket")).expect("links");
    let made = all.iter().filter(|link| !link.loopback);
    (
        all.iter().map(|link| link.name.clone()).collect(),
        made.map(|link| link.index).collect(),
    )
}

#[test]
fn links_are_gone_when_it_returns() {
    let place = Place::new();
    place.run(
        "ip tuntap add name tap0 mode tap
         ip link set tap0 up
         ip link add name br0 type bridge
         ip link set br0 up
         ip link set tap0 master br0
         ip link add name eth0 type veth peer name peer0
         ip link set eth0 master br0
         ip link add link peer0 name mvt0 type macvtap mode passthru",
    );
    inside(&place.namespace, || {
        let (_, mut indexes) = there();
        assert_eq!(indexes.len(), 5);
        // One end of a pair goes with the other, and some were never there.
        indexes.extend([900, 901]);
        remove(indexes.clone()).expect("they go");
        assert_eq!(there().0, ["lo"]);
        remove(indexes).expect("there is nothing left");
        remove(BTreeSet::new()).expect("there is nothing to do");
        Ok(())
    })
    .expect("in the namespace");
}

#[test]
fn what_cannot_be_removed_is_an_error() {
    let place = Place::new();
    inside(&place.namespace, || {
        let loopback = 1;
        remove(BTreeSet::from([loopback])).expect_err("it is not to be removed");
        assert_eq!(there().0, ["lo"]);
        Ok(())
    })
    .expect("in the namespace");
}
