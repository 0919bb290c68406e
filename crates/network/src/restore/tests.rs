//! An interface is made anew as the kernel does it for a driver: without anything, elsewhere. Needs
//! root and iproute2.

use super::{Former, move_to, put_back};
use crate::netlink::Netlink;
use crate::scan::{links, scan};
use crate::testing::Place;
use crate::thread::inside;
use crate::view::{Address, Link, View};

const MAC: &str = "02:00:5e:10:00:03";

fn equipped() -> Place {
    let place = Place::new();
    make(&place, "eth0");
    place.run(&format!(
        "ip link set eth0 address {MAC} mtu 1400
         ip link set peer0 up
         ip address add 10.9.0.2/24 dev eth0
         ip address add 10.9.0.3/24 dev eth0 label eth0:web
         ip address add 10.9.1.1 peer 10.9.1.9/32 dev eth0
         ip address add fd00:9::2/64 dev eth0 nodad
         ip address add fd00:8::2/64 dev eth0 nodad noprefixroute
         ip link set eth0 up
         ip route add default via 10.9.0.1 metric 7
         ip route add 198.51.100.0/24 via 203.0.113.1 dev eth0 onlink mtu 1300
         ip route add 192.0.9.0/24 dev eth0 src 10.9.0.3
         ip route add 10.77.0.0/16 via 10.9.0.1 table 1000
         ip -6 route add default via fd00:9::1
         ip neighbor add 10.9.0.1 lladdr 02:00:5e:aa:00:01 dev eth0
         ip neighbor add fd00:9::1 lladdr 02:00:5e:aa:00:01 dev eth0"
    ));
    place
}

fn make(place: &Place, name: &str) {
    place.run(&format!(
        "ip link add name {name} type veth peer name peer0
         ip link set {name} addrgenmode none
         ip link set peer0 addrgenmode none"
    ));
}

fn link<'a>(view: &'a View, name: &str) -> &'a Link {
    let mut links = view.links.iter();
    links.find(|link| link.name == name).expect("the link")
}

/// What comes back, with the indexes of before; the peer's end is the test's own.
fn comparable(place: &Place, index: u32) -> View {
    let mut view = scan(&place.namespace).expect("a view");
    let now = link(&view, "eth0").index;
    view.links.retain(|link| link.name == "eth0");
    view.links[0].index = index;
    view.addresses.retain(|one| one.link == now);
    // What the kernel makes by itself comes some time later.
    let own = |one: &Address| one.address.address().is_ipv6() && one.scope == 253;
    view.addresses.retain(|one| !own(one));
    view.routes
        .retain(|one| one.link == Some(now) && one.protocol != 2);
    view.neighbors.retain(|one| one.link == now);
    view.addresses.iter_mut().for_each(|one| one.link = index);
    view.routes
        .iter_mut()
        .for_each(|one| one.link = Some(index));
    view.neighbors.iter_mut().for_each(|one| one.link = index);
    // What is told of groups comes and goes, and tables are listed in any order.
    view.neighbors.retain(|one| one.state & 0x80 != 0);
    view.routes
        .sort_by_key(|one| serde_json::to_string(one).expect("JSON"));
    view.addresses
        .sort_by_key(|one| serde_json::to_string(one).expect("JSON"));
    view.qdiscs.clear();
    view
}

fn former(place: &Place) -> Former {
    let view = scan(&place.namespace).expect("a view");
    let mut notes = Vec::new();
    let former = Former::of(&view, link(&view, "eth0"), &mut notes);
    assert_eq!(notes, [""; 0]);
    serde_json::from_value(serde_json::to_value(former).expect("JSON")).expect("it is read back")
}

#[test]
fn all_that_it_had_is_there_again() {
    let place = equipped();
    let former = former(&place);
    let before = comparable(&place, former.index);
    assert_eq!((before.addresses.len(), before.neighbors.len()), (5, 2));
    assert_eq!(before.routes.len(), 5);
    place.run("ip link delete eth0");
    // Elsewhere, by another name, with another address.
    let host = Place::new();
    make(&host, "enp3s0");
    inside(&host.namespace, || {
        let all = links(&Netlink::open().expect("a socket")).expect("links");
        let made = all
            .iter()
            .find(|link| link.name == "enp3s0")
            .expect("the link");
        move_to(made.index, &former.name, &place.namespace).expect("it moves");
        Ok(())
    })
    .expect("in the host's");
    host.run("ip link set peer0 up");
    let view = scan(&place.namespace).expect("a view");
    let index = link(&view, "eth0").index;
    // The second time there is nothing left to do.
    for _ in 0..2 {
        inside(&place.namespace, || Ok(put_back(&former, index)))
            .expect("in the namespace")
            .expect("it is put back");
        assert_eq!(comparable(&place, former.index), before);
    }
}

#[test]
fn an_interface_that_was_down_stays_down() {
    let place = Place::new();
    make(&place, "eth0");
    place.run("ip address add 10.9.0.2/24 dev eth0");
    let former = former(&place);
    let before = comparable(&place, former.index);
    place.run("ip link delete eth0");
    make(&place, "eth0");
    let view = scan(&place.namespace).expect("a view");
    let index = link(&view, "eth0").index;
    inside(&place.namespace, || {
        let mac = former.mac.expect("an address");
        crate::link::set_mac(&Netlink::open().expect("a socket"), index, mac).expect("set");
        Ok(put_back(&former, index))
    })
    .expect("in the namespace")
    .expect("it is put back");
    assert_eq!(comparable(&place, former.index), before);
}

#[test]
fn what_is_not_brought_back_is_said() {
    let place = equipped();
    place.run(
        "ip route add 10.80.0.0/16 via 10.9.0.1 advmss 1000
         ip address add 10.9.0.8/24 dev eth0 valid_lft 3600 preferred_lft 3600",
    );
    let view = scan(&place.namespace).expect("a view");
    let mut notes = Vec::new();
    let former = Former::of(&view, link(&view, "eth0"), &mut notes);
    assert_eq!(notes.len(), 1);
    assert!(notes[0].contains("10.80.0.0/16"), "{notes:?}");
    assert!(former.routes.iter().all(|route| route.tuning.is_empty()));
    assert!(former.addresses.iter().all(|address| !address.temporary));
}
