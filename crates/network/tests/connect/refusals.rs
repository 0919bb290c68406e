//! Plans that cannot be carried out change nothing, and undo leaves alone what is not ours.

use virtcontainers_network::{Config, ErrorKind, Model, apply};

use crate::fixture::{Ledger, MODELS, Pair, Place, assert_same, with};

#[test]
fn a_plan_is_for_one_namespace() {
    let pair = Pair::new();
    let plan = pair.plan(&Config::default());
    let ledger = Ledger::new();
    let error = apply(&plan, &pair.outside.open(), &ledger).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WrongState);
    assert!(ledger.entries().is_empty());
}

#[test]
fn a_name_that_is_taken_is_not_taken_over() {
    for (model, make) in [
        (Model::TcFilter, "ip tuntap add name tap2_vc mode tap"),
        (Model::MacVtap, "ip tuntap add name mvt2_vc mode tap"),
        (Model::Bridged, "ip link add name br2_vc type bridge"),
    ] {
        let pair = Pair::new();
        let plan = pair.plan(&with(model));
        pair.sandbox.run(make);
        let before = pair.inventory();
        let ledger = Ledger::new();
        let error = apply(&plan, &pair.sandbox.open(), &ledger).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        assert!(ledger.entries().is_empty());
        pair.assert_as(&before, "afterwards");
    }
}

#[test]
fn an_interface_that_has_gone_is_named() {
    for model in MODELS {
        let pair = Pair::new();
        let plan = pair.plan(&with(model));
        pair.sandbox.run("ip link delete eth0");
        let before = pair.inventory();
        let ledger = Ledger::new();
        let error = apply(&plan, &pair.sandbox.open(), &ledger).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.to_string().contains("eth0"), "{error}");
        ledger.undo();
        pair.assert_as(&before, "afterwards");
    }
}

#[test]
fn filters_of_somebody_else_stay() {
    let pair = Pair::new();
    pair.sandbox.run(
        "tc qdisc add dev eth0 clsact
         tc filter add dev eth0 ingress protocol ip pref 7 u32 match ip dport 9 0xffff action mirred egress redirect dev lo",
    );
    let before = pair.inventory();
    let ledger = Ledger::new();
    let applied = apply(
        &pair.plan(&Config::default()),
        &pair.sandbox.open(),
        &ledger,
    )
    .unwrap();
    assert_ne!(pair.inventory(), before);
    drop(applied);
    ledger.undo();
    pair.assert_as(&before, "afterwards");
}

#[test]
fn a_filter_that_somebody_added_meanwhile_keeps_its_place() {
    let pair = Pair::new();
    let ledger = Ledger::new();
    let applied = apply(
        &pair.plan(&Config::default()),
        &pair.sandbox.open(),
        &ledger,
    )
    .unwrap();
    pair.sandbox.run(
        "tc filter add dev eth0 ingress protocol ip pref 7 u32 match ip dport 9 0xffff action mirred egress redirect dev lo",
    );
    drop(applied);
    ledger.undo();
    let filters = pair.sandbox.run("tc filter show dev eth0 ingress");
    assert!(filters.contains("pref 7 "), "{filters}");
    assert!(!filters.contains("tap2_vc"), "{filters}");
}

#[test]
fn a_hardware_address_that_somebody_changed_since_stays() {
    let pair = Pair::new();
    let ledger = Ledger::new();
    let applied = apply(
        &pair.plan(&with(Model::Bridged)),
        &pair.sandbox.open(),
        &ledger,
    )
    .unwrap();
    pair.sandbox
        .run("ip link set eth0 address 02:00:5e:bb:00:02");
    drop(applied);
    ledger.undo();
    let link = pair.sandbox.run("ip link show eth0");
    assert!(link.contains("02:00:5e:bb:00:02"), "{link}");
}

#[test]
fn an_interface_that_was_renamed_is_still_set_free() {
    for model in MODELS {
        let pair = Pair::new();
        // The kernel makes up new labels for further addresses when a link is renamed.
        pair.sandbox.run("ip address delete 10.9.0.3/24 dev eth0");
        let before = pair.inventory();
        let ledger = Ledger::new();
        let applied = apply(&pair.plan(&with(model)), &pair.sandbox.open(), &ledger).unwrap();
        pair.sandbox.run("ip link set eth0 name web0");
        drop(applied);
        ledger.undo();
        pair.sandbox.run("ip link set web0 name eth0");
        pair.assert_as(&before, &format!("{model:?}"));
    }
}

#[test]
fn nothing_is_left_to_undo_in_a_namespace_that_has_gone() {
    let pair = Pair::new();
    let ledger = Ledger::new();
    drop(
        apply(
            &pair.plan(&Config::default()),
            &pair.sandbox.open(),
            &ledger,
        )
        .unwrap(),
    );
    let Pair { outside, sandbox } = pair;
    drop(sandbox);
    ledger.undo();
    drop(outside);
}

#[test]
fn another_namespace_at_the_same_path_is_left_alone() {
    let pair = Pair::new();
    let ledger = Ledger::new();
    drop(
        apply(
            &pair.plan(&Config::default()),
            &pair.sandbox.open(),
            &ledger,
        )
        .unwrap(),
    );
    let other = Place::new();
    other.run("ip tuntap add name tap2_vc mode tap");
    let before = other.inventory();
    for entry in ledger.entries().iter_mut() {
        entry.payload["namespace"]["path"] = other.path().to_str().unwrap().into();
    }
    ledger.undo();
    assert_same(&other.inventory(), &before, "afterwards");
}
