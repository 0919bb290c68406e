//! Standard output from guest to host, against a stream that the same program opens over vsock in
//! the same guest.

use std::io::Read;
use std::os::unix::net::UnixListener;
use std::time::Instant;

use anyhow::Result;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use virtcontainers_tests::Place;

use crate::figure::{Row, Samples, Unit, alternate};
use crate::guest_program;
use crate::held::Held;
use crate::setting::{PATIENCE, Setting};

/// A port of the host that nobody else uses.
const PORT: u32 = 9099;

/// How much goes through at a time, in bytes.
const AMOUNT: u64 = 32 << 20;

pub(crate) fn measure(setting: &Setting) -> Result<Vec<Row>> {
    let place = Place::new()?;
    guest_program::stream(&place.rootfs().join("bin/stream"))?;
    let held = std::cell::RefCell::new(Held::start(setting, &place, "throughput")?);
    let listener = UnixListener::bind(held.borrow().machine().join(format!("vm.vsock_{PORT}")))?;
    let carried = || -> Result<f64> {
        let mut held = held.borrow_mut();
        held.order(&format!("stream 0 {AMOUNT}"))?;
        rate(&mut held.output)
    };
    let raw = || -> Result<f64> {
        held.borrow_mut()
            .order(&format!("stream {PORT} {AMOUNT}"))?;
        let mut called = [PollFd::new(&listener, PollFlags::IN)];
        let count = poll(&mut called, Some(&Timespec::try_from(PATIENCE)?))?;
        anyhow::ensure!(count > 0, "the guest does not call");
        let (mut stream, _) = listener.accept()?;
        stream.set_read_timeout(Some(PATIENCE))?;
        rate(&mut stream)
    };
    let (carried, raw) = alternate(setting.pairs(), carried, raw)?;
    held.into_inner().end()?;
    // The listener is the bench's own; what it made goes before anybody looks.
    drop(listener);
    place.assert_clean()?;
    let row = Row::new(
        "standard output, guest to host",
        Unit::MegabytesPerSecond,
        Samples::new(carried)?,
    );
    Ok(vec![row.against("raw vsock", Samples::new(raw)?)])
}

/// Reads the whole amount; how fast it came after its first bytes, in 10^6 bytes a second.
fn rate(stream: &mut impl Read) -> Result<f64> {
    let mut block = vec![0; 1 << 20];
    let mut read = stream.read(&mut block)? as u64;
    let (first, begin) = (read, Instant::now());
    while read < AMOUNT {
        let more = stream.read(&mut block)? as u64;
        anyhow::ensure!(more > 0, "the stream ended after {read} bytes");
        read += more;
    }
    anyhow::ensure!(read == AMOUNT, "{read} bytes instead of {AMOUNT}");
    Ok((read - first) as f64 / 1e6 / begin.elapsed().as_secs_f64())
}
