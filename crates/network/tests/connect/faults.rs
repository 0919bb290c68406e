//! A fault at every effect: what was entered until then takes everything back.

use virtcontainers_network::{Config, apply, undo};

use crate::fixture::{Ledger, MODELS, Pair, with};

fn with_rates(mut config: Config) -> Config {
    config.limit.outbound = Some(1_000_000);
    config
}

#[test]
fn nothing_happens_that_was_not_written_down() {
    for model in MODELS {
        let config = with_rates(with(model));
        let pair = Pair::new();
        // Down, so that taking it up is an effect too.
        pair.add("eth1", "out1", 1500);
        pair.sandbox.run(
            "ip link set eth1 down
             ip address add 10.10.0.2/24 dev eth1",
        );
        let before = pair.inventory();
        let plan = pair.plan(&config);
        let effects = plan.undo_entries().unwrap().len();
        assert!(effects > 4);
        for room in 0..effects {
            let ledger = Ledger::with_room(room);
            apply(&plan, &pair.sandbox.open(), &ledger).unwrap_err();
            assert_eq!(ledger.entries().len(), room);
            ledger.undo();
            pair.assert_as(&before, &format!("{model:?}, {room} of {effects} effects"));
            ledger.undo();
        }
        let ledger = Ledger::with_room(effects);
        drop(apply(&plan, &pair.sandbox.open(), &ledger).unwrap());
        ledger.undo();
        pair.assert_as(&before, &format!("{model:?}"));
    }
}

#[test]
fn an_undo_of_what_never_happened_changes_nothing() {
    for model in MODELS {
        let pair = Pair::new();
        let before = pair.inventory();
        let plan = pair.plan(&with_rates(with(model)));
        for entry in plan.undo_entries().unwrap().iter().rev() {
            undo(entry).unwrap();
        }
        pair.assert_as(&before, &format!("{model:?}"));
    }
}

#[test]
fn an_undo_may_end_anywhere_and_begin_anew() {
    for model in MODELS {
        let pair = Pair::new();
        let before = pair.inventory();
        let plan = pair.plan(&with_rates(with(model)));
        let effects = plan.undo_entries().unwrap().len();
        for done in 0..effects {
            let ledger = Ledger::new();
            let applied = apply(&plan, &pair.sandbox.open(), &ledger).unwrap();
            for entry in ledger.entries().iter().rev().take(done) {
                undo(entry).unwrap();
            }
            drop(applied);
            ledger.undo();
            pair.assert_as(&before, &format!("{model:?}, {done} of {effects} undone"));
        }
    }
}
