//! Sandboxes on the network: frames between a namespace that the test made and the guest. Every test
//! compares its namespaces with what they were before.

mod bridge;
mod cni;
mod deaths;
mod flow;
mod frames;
mod given;
mod hooks;
mod hot;
mod kinds;
mod late;
mod names;
mod rates;
mod refusals;
mod traffic;

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use virtcontainers_tests::bundle::Bundle;
use virtcontainers_tests::program::Program;
use virtcontainers_tests::{Netns, Place};

/// Long enough for machines that share two processors with other tests.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the guests serve: what is sent to port 7 comes back.
const ECHO: &str = "nc -ll -p 7 -e cat & exec sleep 100000";

/// That the echo can be reached, at all addresses.
const READY: &str = "until netstat -ltn | grep -q ':7 '; do sleep 0.1; done; \
    while ip -6 address | grep -q tentative; do sleep 0.1; done";

/// The hardware address of the sandbox's interface.
const MAC: &str = "02:00:5e:aa:00:02";

/// A sandbox's namespace and the one outside. `eth0` inside has 10.9.0.2 and fd00:9::2, its other end
/// `out0` has 10.9.0.1 and fd00:9::1 and is the gateway.
struct Wire {
    outside: Netns,
    sandbox: Netns,
}

impl Wire {
    fn new(place: &Place, mtu: u32) -> Result<Self> {
        let wire = Self {
            outside: Netns::new(place, "out")?,
            sandbox: Netns::new(place, "in")?,
        };
        wire.outside.join("out0", &wire.sandbox, "eth0", mtu)?;
        wire.outside.run(
            "ip address add 10.9.0.1/24 dev out0
             ip address add fd00:9::1/64 dev out0 nodad",
        )?;
        wire.sandbox.run(&format!(
            "ip link set eth0 address {MAC}
             ip address add 10.9.0.2/24 dev eth0
             ip address add fd00:9::2/64 dev eth0 nodad
             ip route add default via 10.9.0.1
             ip -6 route add default via fd00:9::1"
        ))?;
        Ok(wire)
    }

    /// A second pair, `lan0` inside and `out1` outside, with 10.8.0 and fd00:8 for 10.9.0 and fd00:9.
    fn add_lan(&self, mtu: u32) -> Result<()> {
        self.outside.join("out1", &self.sandbox, "lan0", mtu)?;
        self.outside.run(
            "ip address add 10.8.0.1/24 dev out1
             ip address add fd00:8::1/64 dev out1 nodad",
        )?;
        self.sandbox.run(
            "ip address add 10.8.0.2/24 dev lan0
             ip address add fd00:8::2/64 dev lan0 nodad",
        )?;
        Ok(())
    }

    fn inventory(&self) -> Result<[BTreeSet<String>; 2]> {
        Ok([self.outside.inventory()?, self.sandbox.inventory()?])
    }

    fn assert_as(&self, [outside, sandbox]: &[BTreeSet<String>; 2]) -> Result<()> {
        self.outside.assert_as(outside)?;
        self.sandbox.assert_as(sandbox)
    }
}

/// A bundle of a container whose network namespace is this one.
fn joined<'a>(place: &'a Place, namespace: &Path, script: &str) -> Result<Bundle<'a>> {
    Bundle::new(place, script)?.in_network(namespace)
}

/// The settings of a model; of the default none.
fn settings(model: &str) -> String {
    match model {
        "tcfilter" => String::new(),
        other => format!("[network]\nmodel = \"{other}\"\n"),
    }
}

/// A container that runs in the background.
struct Guest<'a> {
    place: &'a Place,
    id: String,
    /// The configuration file.
    config: PathBuf,
}

impl<'a> Guest<'a> {
    /// One that serves the echo.
    fn start(place: &'a Place, name: &str, namespace: &Path) -> Result<Self> {
        Self::start_with(place, name, namespace, "")
    }

    /// One that serves the echo, with settings as in a configuration file.
    fn start_with(place: &'a Place, name: &str, namespace: &Path, settings: &str) -> Result<Self> {
        let guest = Self::new(place, name, settings)?;
        guest.run(&joined(place, namespace, ECHO)?)?;
        guest.sh(READY)?;
        Ok(guest)
    }

    fn of(place: &'a Place, name: &str, bundle: &Bundle<'_>) -> Result<Self> {
        let guest = Self::new(place, name, "")?;
        guest.run(bundle)?;
        Ok(guest)
    }

    /// One that does not run yet.
    fn new(place: &'a Place, name: &str, settings: &str) -> Result<Self> {
        let config = place.path(&format!("{name}.toml"));
        std::fs::write(&config, settings)?;
        let id = place.id(name);
        Ok(Self { place, id, config })
    }

    /// A command with the settings.
    fn vc<'b>(&self, words: impl IntoIterator<Item = &'b str>) -> Program {
        self.place.vc(words).env("VC_CONFIG", &self.config)
    }

    fn run(&self, bundle: &Bundle<'_>) -> Result<()> {
        self.make(["run", "--detach"], bundle)
    }

    fn create(&self, bundle: &Bundle<'_>) -> Result<()> {
        self.make(["create"], bundle)
    }

    fn make<'b>(
        &self,
        words: impl IntoIterator<Item = &'b str>,
        bundle: &Bundle<'_>,
    ) -> Result<()> {
        bundle.write()?;
        // What runs on holds no pipe of the test's.
        let output = self.place.path(&format!("output-{}", self.id));
        std::fs::create_dir(&output)?;
        let make = self.vc(words).arg("--bundle").arg(bundle.directory());
        let status = make.arg(&self.id).output_to(&output)?.finish()?.status;
        let said = std::fs::read_to_string(output.join("stderr"))?;
        ensure!(status == 0, "status {status}: {said}");
        Ok(())
    }

    /// What a script says that runs in the container.
    fn sh(&self, script: &str) -> Result<String> {
        let exec = self.vc(["exec", &self.id, "sh", "-c", script]);
        let end = exec.finish()?.expect(0);
        Ok(end.with_context(|| script.to_owned())?.text())
    }

    fn delete(self) -> Result<()> {
        let delete = self.vc(["delete", "--force", &self.id]);
        delete.finish()?.expect(0).map(drop)
    }
}

/// Connects from a namespace.
fn connect(from: &Netns, to: &str) -> Result<TcpStream> {
    let to: SocketAddr = to.parse()?;
    let stream = from.inside(|| Ok(TcpStream::connect_timeout(&to, PATIENCE)?));
    let stream = stream.with_context(|| format!("cannot reach {to}"))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Says something to the echo at an address, which has to come back.
fn assert_echo(from: &Netns, to: &str) -> Result<()> {
    let mut stream = connect(from, to)?;
    stream.write_all(to.as_bytes())?;
    stream.shutdown(Shutdown::Write)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    ensure!(answer == to, "{to} answered {answer:?}");
    Ok(())
}

/// Has the guest connect to an address of a namespace, and say something, which has to come back.
fn assert_reaches(guest: &Guest<'_>, namespace: &Netns, address: &str) -> Result<()> {
    let listener = namespace.inside(|| Ok(TcpListener::bind((address, 0))?))?;
    let port = listener.local_addr()?.port();
    let script = format!("echo {address} | nc -w 20 {address} {port}");
    let said = std::thread::scope(|scope| {
        let echo = scope.spawn(|| echo_once(&listener));
        let said = guest.sh(&script);
        match echo.join() {
            Ok(Ok(())) => said,
            // What the guest says of it tells more.
            echo => Err(said.err().with_context(|| format!("{echo:?}"))?),
        }
    })?;
    ensure!(said.trim() == address, "{address} answered {said:?}");
    Ok(())
}

/// Gives back to one who connects what it says.
fn echo_once(listener: &TcpListener) -> Result<()> {
    let patience = Timespec::try_from(PATIENCE)?;
    let mut interest = [PollFd::new(listener, PollFlags::IN)];
    ensure!(
        poll(&mut interest, Some(&patience))? == 1,
        "nobody connected"
    );
    let (mut stream, _) = listener.accept()?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut said = Vec::new();
    stream.read_to_end(&mut said)?;
    Ok(stream.write_all(&said)?)
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
