//! Ping and TCP both ways in both families, and much of it, with small and large frames, by each
//! model.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;

use anyhow::{Context, Result, ensure};
use virtcontainers_tests::program::Program;
use virtcontainers_tests::{Finished, Place};

use super::frames::Frames;
use super::{Guest, READY, Wire, assert_echo, assert_reaches, connect, joined, noise, settings};

/// The two interfaces of a guest by what their addresses begin with, and the largest packet of each.
const LINKS: [(&str, &str, u32); 2] = [("10.9.0", "fd00:9:", 1400), ("10.8.0", "fd00:8:", 9000)];

#[test]
fn by_filters() -> Result<()> {
    carries("tcfilter", 100 << 20)
}

#[test]
fn by_a_macvtap() -> Result<()> {
    carries("macvtap", 20 << 20)
}

#[test]
fn by_a_bridge() -> Result<()> {
    carries("bridged", 20 << 20)
}

/// A guest with two interfaces carries so many bytes over each, and everything else.
fn carries(model: &str, much: usize) -> Result<()> {
    let place = Place::new()?;
    let wire = Wire::new(&place, LINKS[0].2)?;
    wire.add_lan(LINKS[1].2)?;
    let before = wire.inventory()?;
    let script = "nc -ll -p 7 -e cat & httpd -p 80 -h /data; exec sleep 100000";
    let tmpfs = "tmpfs".as_ref();
    let bundle = joined(&place, &wire.sandbox.path(), script)?;
    let bundle = bundle.mount("tmpfs", tmpfs, "/data", &["size=104m"]);
    let guest = Guest::new(&place, model, &settings(model))?;
    guest.run(&bundle)?;
    guest.sh(READY)?;
    let connected = wire.sandbox.links()?;
    let ours = connected.iter().filter_map(|name| name.strip_suffix("_vc"));
    let ours: Vec<_> = ours
        .map(|name| name.trim_end_matches(|sign: char| sign.is_ascii_digit()))
        .collect();
    let wanted: &[&str] = match model {
        "macvtap" => &["mvt", "mvt"],
        "bridged" => &["br", "br", "tap", "tap"],
        _ => &["tap", "tap"],
    };
    ensure!(ours == wanted, "{model}: {connected:?}");

    let much = noise(much);
    for (v4, v6, mtu) in LINKS {
        let told = || format!("{model}, {v4}");
        pings(&wire, &guest, v4, v6, mtu).with_context(told)?;
        assert_echo(&wire.outside, &format!("{v4}.2:7")).with_context(told)?;
        assert_echo(&wire.outside, &format!("[{v6}:2]:7")).with_context(told)?;
        assert_reaches(&guest, &wire.outside, &format!("{v4}.1")).with_context(told)?;
        assert_reaches(&guest, &wire.outside, &format!("{v6}:1")).with_context(told)?;
        arrives(&wire, &guest, v4, &much).with_context(told)?;
    }
    // Nobody but the guest answers: its namespace has the addresses too.
    wire.sandbox.inside(|| {
        let own = std::net::TcpListener::bind(("10.9.0.2", 70))?;
        ensure!(connect(&wire.outside, "10.9.0.2:70").is_err(), "{own:?}");
        Ok(())
    })?;

    guest.delete()?;
    wire.assert_as(&before)?;
    drop(wire);
    place.assert_clean()
}

/// Either side is reached by the other, in both families, with packets that are as large as the
/// interface carries, and no larger.
fn pings(wire: &Wire, guest: &Guest<'_>, v4: &str, v6: &str, mtu: u32) -> Result<()> {
    let (largest, largest_v6) = (mtu - 28, mtu - 48);
    for (to, size) in [
        (format!("{v4}.2"), largest),
        (format!("{v6}:2"), largest_v6),
    ] {
        ping(wire, &to, size, "20")?.expect(0)?;
        let refused = ping(wire, &to, size + 1, "1")?;
        let said = refused.expect(1)?.stderr;
        ensure!(said.contains("too long"), "{to}: {said}");
    }
    let frames = Frames::of(&wire.outside)?;
    guest.sh(&format!("ping -c 1 -s {largest} {v4}.1"))?;
    let whole = frames.icmp()?;
    let is_whole = |of: &[super::frames::Frame]| {
        of.len() == 1 && u32::from(of[0].length) == mtu && !of[0].fragment
    };
    ensure!(is_whole(&whole), "{whole:?} where {mtu} pass");
    guest.sh(&format!("ping -c 1 -s {} {v4}.1", largest + 1))?;
    let parts = frames.icmp()?;
    let are_parts = parts.len() == 2 && parts.iter().all(|one| one.fragment);
    ensure!(are_parts, "{parts:?} where {mtu} pass");
    guest
        .sh(&format!("ping -c 1 -s {largest_v6} {v6}:1"))
        .map(drop)
}

/// Pings the guest with a packet that must not be divided, and waits so many seconds.
fn ping(wire: &Wire, to: &str, size: u32, patience: &str) -> Result<Finished> {
    let size = size.to_string();
    let words = ["-n", "-c", "1", "-W", patience, "-M", "do", "-s", &size, to];
    let program = words.into_iter().fold(Program::new("ping"), Program::arg);
    wire.outside.inside(|| program.finish())
}

/// Sends much to the guest, which keeps it, and asks for it back. The two are the same only when both
/// ways carried it whole. What the guest makes of it is asked too.
fn arrives(wire: &Wire, guest: &Guest<'_>, v4: &str, sent: &[u8]) -> Result<()> {
    guest.sh("setsid nc -l -p 9 < /dev/null > /data/much 2> /dev/null &
        until netstat -ltn | grep -q ':9 '; do sleep 0.1; done")?;
    let mut stream = connect(&wire.outside, &format!("{v4}.2:9"))?;
    stream.write_all(sent)?;
    stream.shutdown(Shutdown::Write)?;
    // The end comes when the guest has all of it.
    ensure!(stream.read(&mut [0])? == 0, "an answer");
    let sum = Program::new("sha256sum")
        .finish_with(sent)?
        .expect(0)?
        .text();
    let seen = guest.sh("sha256sum < /data/much")?;
    ensure!(seen == sum, "the guest has {seen}, {sum} was sent");

    let mut stream = connect(&wire.outside, &format!("{v4}.2:80"))?;
    stream.write_all(b"GET /much HTTP/1.0\r\n\r\n")?;
    let mut answer = Vec::with_capacity(sent.len() + 1024);
    stream.read_to_end(&mut answer)?;
    let head = answer.windows(4).position(|end| end == b"\r\n\r\n");
    let came = &answer[head.context("no head")? + 4..];
    ensure!(came.len() == sent.len(), "{} bytes came back", came.len());
    ensure!(came == sent, "other bytes came back");
    guest.sh("rm /data/much").map(drop)
}
