//! What an interface adds to the start of a sandbox, against one whose namespace is empty.

use anyhow::{Result, ensure};
use virtcontainers_tests::bundle::Bundle;
use virtcontainers_tests::{Netns, Place};

use super::{Wire, run};
use crate::figure::{Row, Samples, Target, Unit, alternate};
use crate::phases::{OPTIONS, phases};
use crate::setting::Setting;

/// One start, in milliseconds.
#[derive(Debug, Clone, Copy)]
struct Start {
    /// From the start of the program to that of the container.
    whole: f64,
    /// The phases in which the host works alone: before there is a machine, and until it runs.
    host: f64,
    /// The phase in which the guest's agent sets up what the sandbox has.
    guest: f64,
}

pub(crate) fn measure(setting: &Setting) -> Result<Vec<Row>> {
    let place = Place::new()?;
    let wire = Wire::new(&place, "start")?;
    let empty = Netns::new(&place, "empty")?;
    let mut number = 0;
    let mut start = |namespace: &Netns| -> Result<Start> {
        number += 1;
        let bundle = Bundle::new(&place, "true")?.in_network(&namespace.path())?;
        let run = run(setting, &place, &bundle, "tcfilter", OPTIONS)?;
        let ended = run.arg(place.id(&format!("start{number}"))).finish()?;
        let told = phases(&ended.expect(0)?.stderr);
        let sum = |names: &[&str]| -> f64 {
            let counted = told.iter().filter(|(name, _)| names.contains(&&**name));
            counted.map(|(_, millis)| millis).sum()
        };
        ensure!(!told.is_empty(), "no phase was told of");
        Ok(Start {
            whole: told.iter().map(|(_, millis)| millis).sum(),
            host: sum(&["supervisor", "share", "launch"]),
            guest: sum(&["sandbox"]),
        })
    };
    let starts = std::cell::RefCell::new(&mut start);
    let with = || starts.borrow_mut()(&wire.sandbox);
    let without = || starts.borrow_mut()(&empty);
    let pairs = setting.pairs() * 2;
    let (with, without) = alternate(pairs, with, without)?;
    drop((wire, empty));
    place.assert_clean()?;
    let of =
        |starts: &[Start], part: fn(&Start) -> f64| Samples::new(starts.iter().map(part).collect());
    let more = |part: fn(&Start) -> f64| {
        let pairs = with.iter().zip(&without);
        Samples::new(
            pairs
                .map(|(with, without)| part(with) - part(without))
                .collect(),
        )
    };
    let whole = Row::new(
        "start of a sandbox with an interface",
        Unit::Milliseconds,
        of(&with, |start| start.whole)?,
    );
    Ok(vec![
        whole
            .against("empty namespace", of(&without, |start| start.whole)?)
            .target(Target::Ratio(1.05)),
        Row::new(
            "… of it more on the host",
            Unit::Milliseconds,
            more(|start| start.host)?,
        )
        .target(Target::Value(30.0)),
        Row::new(
            "… of it more in the guest's set-up",
            Unit::Milliseconds,
            more(|start| start.guest)?,
        ),
    ])
}
