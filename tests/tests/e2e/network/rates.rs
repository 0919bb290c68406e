//! Limits of how much passes in a second. That they hold is the kernel's; that they are there, that
//! what is held back still arrives, and that they go again, is told here.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use virtcontainers_tests::Place;

use super::{Guest, Wire, assert_echo, connect};

/// For every interface, and for one of them another.
const SETTINGS: &str = "[network.rate]\ninbound = \"2M\"\noutbound = \"3M\"\n\
    [network.rates.lan0]\noutbound = \"5M\"\n";

/// Bytes in a mebibyte.
const MIB: u64 = 1 << 20;

#[test]
fn a_limit_holds_back_and_loses_nothing() -> Result<()> {
    for model in ["tcfilter", "bridged"] {
        let place = Place::new()?;
        let wire = Wire::new(&place, 1500)?;
        wire.add_lan(1500)?;
        let before = wire.inventory()?;
        let settings = format!("[network]\nmodel = \"{model}\"\n{SETTINGS}");
        let guest = Guest::start_with(&place, model, &wire.sandbox.path(), &settings)?;
        let limits = limits(&wire)?;
        let wanted = [
            ("eth0".to_owned(), 3 * MIB),
            ("lan0".to_owned(), 5 * MIB),
            ("tap2_vc".to_owned(), 2 * MIB),
        ];
        ensure!(limits == wanted, "{model}: {limits:?}");

        // Some seconds' worth, from either side at once: it comes back whole, and was held back on
        // the way.
        much_comes_back(&wire, 3 << 20).context(model)?;
        for link in ["eth0", "tap2_vc"] {
            let counts = discipline(&wire, link)?;
            let held = counts["overlimits"].as_u64().context("no count")?;
            ensure!(
                held > 0,
                "{model}: nothing was held back on {link}: {counts}"
            );
        }
        assert_echo(&wire.outside, "10.8.0.2:7").context(model)?;
        guest.delete()?;
        wire.assert_as(&before)?;
        drop(wire);
        place.assert_clean()?;
    }
    Ok(())
}

/// What token buckets there are, by link, and how many bytes a second each lets pass.
fn limits(wire: &Wire) -> Result<Vec<(String, u64)>> {
    let told = wire.sandbox.run("tc -j qdisc show")?;
    let told: Vec<Value> = serde_json::from_str(&told)?;
    let buckets = told.iter().filter(|one| one["kind"] == "tbf");
    let mut limits = buckets
        .map(|one| {
            let name = one["dev"].as_str().context("no link")?;
            let rate = one["options"]["rate"].as_u64().context("no rate")?;
            Ok((name.to_owned(), rate))
        })
        .collect::<Result<Vec<_>>>()?;
    limits.sort();
    Ok(limits)
}

/// The counts of a link's queueing discipline.
fn discipline(wire: &Wire, link: &str) -> Result<Value> {
    let told = wire
        .sandbox
        .run(&format!("tc -s -j qdisc show dev {link} root"))?;
    let told: Vec<Value> = serde_json::from_str(&told)?;
    told.into_iter().next().context("no queueing discipline")
}

fn much_comes_back(wire: &Wire, length: usize) -> Result<()> {
    use std::io::{Read as _, Write as _};
    let mut stream = connect(&wire.outside, "10.9.0.2:7")?;
    let mut sender = stream.try_clone()?;
    let sent: Vec<u8> = (0..length).map(|at| at.to_le_bytes()[1]).collect();
    let mut came = Vec::with_capacity(length);
    std::thread::scope(|scope| {
        let sending = scope.spawn(|| {
            sender.write_all(&sent)?;
            sender.shutdown(std::net::Shutdown::Write)
        });
        stream.read_to_end(&mut came)?;
        sending
            .join()
            .map_err(|_| anyhow::anyhow!("a thread panicked"))??;
        Ok::<_, anyhow::Error>(())
    })?;
    ensure!(
        came == sent,
        "{} of {length} bytes came back, or others",
        came.len()
    );
    Ok(())
}
