//! TCP both ways in both families, and much of it, with small and large frames.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;

use anyhow::{Context, Result, ensure};
use virtcontainers_tests::Place;

use super::{Guest, READY, Wire, assert_echo, assert_reaches, connect, joined};

/// 100 MiB.
const MUCH: usize = 100 << 20;

#[test]
fn connections_are_made_from_either_side_in_both_families() -> Result<()> {
    let place = Place::new()?;
    let wire = Wire::new(&place, 1500)?;
    let before = wire.inventory()?;
    let guest = Guest::start(&place, "both", &wire.sandbox.path())?;
    for (inside, outside) in [("10.9.0.2:7", "10.9.0.1"), ("[fd00:9::2]:7", "fd00:9::1")] {
        assert_echo(&wire.outside, inside)?;
        assert_reaches(&guest, &wire.outside, outside)?;
    }
    guest.sh("ping -c 2 10.9.0.1 && ping -c 2 fd00:9::1")?;
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

#[test]
fn much_arrives_whole_in_small_frames() -> Result<()> {
    much(1400)
}

#[test]
fn much_arrives_whole_in_large_frames() -> Result<()> {
    much(9000)
}

/// Sends much to the guest, which keeps it, and asks for it back. The two are the same only when both
/// ways carried it whole.
fn much(mtu: u32) -> Result<()> {
    let place = Place::new()?;
    let wire = Wire::new(&place, mtu)?;
    let before = wire.inventory()?;
    let script = "nc -ll -p 7 -e cat & httpd -p 80 -h /data; \
        nc -l -p 9 < /dev/null > /data/much; exec sleep 100000";
    let tmpfs = "tmpfs".as_ref();
    let bundle = joined(&place, &wire.sandbox.path(), script)?;
    let bundle = bundle.mount("tmpfs", tmpfs, "/data", &["size=104m"]);
    let guest = Guest::of(&place, "much", &bundle)?;
    guest.sh(&format!(
        "{READY}; until netstat -ltn | grep -q ':9 '; do sleep 0.1; done"
    ))?;
    // A frame of the full size, and its answer.
    guest.sh(&format!("ping -c 1 -s {} 10.9.0.1", mtu - 28))?;

    let sent = noise(MUCH);
    let mut stream = connect(&wire.outside, "10.9.0.2:9")?;
    stream.write_all(&sent)?;
    stream.shutdown(Shutdown::Write)?;
    // The end comes when the guest has all of it.
    ensure!(stream.read(&mut [0])? == 0, "an answer");

    let mut stream = connect(&wire.outside, "10.9.0.2:80")?;
    stream.write_all(b"GET /much HTTP/1.0\r\n\r\n")?;
    let mut answer = Vec::with_capacity(MUCH + 1024);
    stream.read_to_end(&mut answer)?;
    let head = answer.windows(4).position(|end| end == b"\r\n\r\n");
    let came = &answer[head.context("no head")? + 4..];
    ensure!(came.len() == MUCH, "{} bytes came back", came.len());
    ensure!(came == sent, "other bytes came back");

    guest.delete()?;
    wire.assert_as(&before)?;
    drop(wire);
    place.assert_clean()
}

/// Bytes that do not repeat (xorshift64).
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let words = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.take(length / 8).flatten().collect()
}
