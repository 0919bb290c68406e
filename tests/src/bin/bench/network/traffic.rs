//! TCP between a guest and a namespace of the host, by each model, in turns: how much passes, and how
//! long one byte and its answer take. Beside them the same program without a machine, which has the
//! pair of interfaces alone.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use virtcontainers_tests::bundle::Bundle;
use virtcontainers_tests::program::Program;
use virtcontainers_tests::{Place, Started};

use super::{INSIDE, Wire, run};
use crate::figure::{Row, Samples, Unit};
use crate::guest_program;
use crate::setting::{PATIENCE, Setting};

/// How much goes through at a time, in bytes.
const AMOUNT: u64 = 32 << 20;

/// How many bytes go there and back, one after the other, of which the median is taken.
const ROUND_TRIPS: usize = 200;

/// The models, the default first, with which the others are compared.
const MODELS: [&str; 3] = ["tcfilter", "macvtap", "bridged"];

/// One that serves, behind a pair of interfaces.
struct Served {
    name: &'static str,
    wire: Wire,
    server: Started,
    samples: [Vec<f64>; 3],
}

/// A name, its unit, and what measures it.
type Measure = (&'static str, Unit, fn(&Wire) -> Result<f64>);

/// What is measured of each, in the order of the samples.
const MEASURES: [Measure; 3] = [
    ("TCP to the guest", Unit::MegabytesPerSecond, to_guest),
    ("TCP from the guest", Unit::MegabytesPerSecond, from_guest),
    ("round trip over TCP", Unit::Milliseconds, round_trip),
];

pub(crate) fn measure(setting: &Setting) -> Result<Vec<Row>> {
    let place = Place::new()?;
    let program = place.rootfs().join("bin/serve");
    guest_program::serve(&program)?;
    let mut served = Vec::new();
    for model in MODELS {
        let wire = Wire::new(&place, model)?;
        let bundle = Bundle::new(&place, "exec serve")?.in_network(&wire.sandbox.path())?;
        let run = run(setting, &place, &bundle, model, &[])?;
        served.push(Served::start(model, wire, run.arg(place.id(model)))?);
    }
    let wire = Wire::new(&place, "bare")?;
    let name = wire.sandbox.name().to_owned();
    let bare = Program::new(program).under(["ip", "netns", "exec", &name]);
    served.push(Served::start("no machine", wire, bare)?);

    let count = served.len();
    for round in 0..setting.pairs() {
        // Each is first in turn.
        for at in 0..count {
            served[(round + at) % count].measure()?;
        }
    }
    let mut all = Vec::new();
    for one in served {
        all.push((one.name, one.end()?));
    }
    place.assert_clean()?;
    rows(&all)
}

impl Served {
    fn start(name: &'static str, wire: Wire, program: Program) -> Result<Self> {
        let mut server = program.start()?;
        let output = server.take_stdout().context("no standard output")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        if line != "up\n" {
            anyhow::bail!("{name} does not serve: {}", server.finish()?.stderr);
        }
        Ok(Self {
            name,
            wire,
            server,
            samples: Default::default(),
        })
    }

    fn measure(&mut self) -> Result<()> {
        for ((what, _, measure), samples) in MEASURES.iter().zip(&mut self.samples) {
            let told = || format!("{what}, {}", self.name);
            samples.push(measure(&self.wire).with_context(told)?);
        }
        Ok(())
    }

    fn end(self) -> Result<[Vec<f64>; 3]> {
        self.server.signal(Signal::TERM)?;
        self.server.finish()?;
        Ok(self.samples)
    }
}

fn rows(all: &[(&str, [Vec<f64>; 3])]) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (at, (what, unit, _)) in MEASURES.iter().enumerate() {
        for (name, samples) in all {
            let row = Row::new(
                format!("{what}, {name}"),
                *unit,
                Samples::new(samples[at].clone())?,
            );
            let (default, others) = (all[0].0, Samples::new(all[0].1[at].clone())?);
            rows.push(match *name == default {
                true => row,
                false => row.against(default, others),
            });
        }
    }
    Ok(rows)
}

fn connect(wire: &Wire, port: u16) -> Result<TcpStream> {
    let to: SocketAddr = format!("{INSIDE}:{port}").parse()?;
    let stream = wire
        .outside
        .inside(|| Ok(TcpStream::connect_timeout(&to, PATIENCE)?))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn rate(since: Instant) -> f64 {
    AMOUNT as f64 / 1e6 / since.elapsed().as_secs_f64()
}

fn to_guest(wire: &Wire) -> Result<f64> {
    let mut stream = connect(wire, 5001)?;
    let block = vec![7; 1 << 16];
    let begin = Instant::now();
    for _ in 0..AMOUNT / block.len() as u64 {
        stream.write_all(&block)?;
    }
    stream.shutdown(Shutdown::Write)?;
    // It has all of it.
    stream.read_exact(&mut [0])?;
    Ok(rate(begin))
}

fn from_guest(wire: &Wire) -> Result<f64> {
    let mut stream = connect(wire, 5002)?;
    let mut block = vec![0; 1 << 16];
    let begin = Instant::now();
    stream.write_all(&AMOUNT.to_le_bytes())?;
    let mut came = 0;
    loop {
        match stream.read(&mut block)? as u64 {
            0 => break,
            more => came += more,
        }
    }
    ensure!(came == AMOUNT, "{came} bytes instead of {AMOUNT}");
    Ok(rate(begin))
}

/// The median of many, in milliseconds.
fn round_trip(wire: &Wire) -> Result<f64> {
    let mut stream = connect(wire, 5003)?;
    let mut times = Vec::with_capacity(ROUND_TRIPS);
    let mut byte = [7];
    for _ in 0..ROUND_TRIPS {
        let begin = Instant::now();
        stream.write_all(&byte)?;
        stream.read_exact(&mut byte)?;
        times.push(begin.elapsed());
    }
    let times: Vec<Duration> = times;
    Ok(Samples::times(&times)?.median())
}
