//! An interface that is added to a running machine and taken out again, while another works.

use std::collections::BTreeSet;

use virtcontainers_network::{Config, apply, undo};

use crate::fixture::{Ledger, MODELS, Pair, with};
use crate::machine::Machine;
use crate::traffic::echo;

#[test]
fn one_comes_and_goes_while_another_carries() {
    for model in MODELS {
        let pair = Pair::new();
        let untouched = pair.inventory();
        let first = Ledger::new();
        let mut applied = apply(&pair.plan(&with(model)), &pair.sandbox.open(), &first).unwrap();
        let machine = Machine::start(applied.for_machine.remove(0));
        let with_one = pair.inventory();

        pair.add("eth1", "out1", 1400);
        pair.sandbox.run("ip address add 10.9.0.9/24 dev eth1");
        let config = Config {
            only: Some(BTreeSet::from(["eth1".to_owned()])),
            ..with(model)
        };
        let plan = pair.plan(&config);
        let second = Ledger::new();
        let mut applied = apply(&plan, &pair.sandbox.open(), &second).unwrap();
        assert_eq!(applied.for_machine.len(), 1);
        assert_eq!(applied.for_guest.interfaces[0].name, "eth1");
        let later = Machine::start(applied.for_machine.remove(0));
        assert_eq!(echo(&pair, "10.9.0.2:7", b"first"), b"first");
        pair.outside.run(
            "ip address add 10.9.0.1/32 dev out1
             ip route add 10.9.0.9/32 dev out1 src 10.9.0.1",
        );
        assert_eq!(echo(&pair, "10.9.0.9:7", b"second"), b"second");

        // What is taken back follows from the plan that was stored.
        let entries = plan.endpoints[0].undo_entries(&plan.namespace).unwrap();
        assert_eq!(entries, *second.entries());
        drop(later);
        for entry in entries.iter().rev() {
            undo(entry).unwrap();
        }
        assert_eq!(echo(&pair, "10.9.0.2:7", b"first"), b"first");
        pair.outside.run("ip link delete out1");
        pair.assert_as(&with_one, &format!("{model:?}"));
        drop(machine);
        first.undo();
        pair.assert_as(&untouched, &format!("{model:?}"));
    }
}

/// A look at a namespace in which a machine works already does not take our own links for more.
#[test]
fn our_own_links_are_nobodys_interfaces() {
    for model in MODELS {
        let pair = Pair::new();
        let ledger = Ledger::new();
        let applied = apply(&pair.plan(&with(model)), &pair.sandbox.open(), &ledger).unwrap();
        let plan = pair.plan(&with(model));
        assert_eq!(plan.endpoints.len(), 1, "{model:?}");
        drop(applied);
        ledger.undo();
    }
}
