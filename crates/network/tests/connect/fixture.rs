//! Two network namespaces without a name, kept by a parked thread each, and what `ip` and `tc` say
//! of them.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, MutexGuard};
use std::thread::JoinHandle;

use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};
use virtcontainers_network::{Config, Model, Namespace, Plan, open_namespace, plan, scan, undo};
use virtcontainers_types::{UndoEntry, UndoSink};

/// A namespace that lives as long as this.
#[derive(Debug)]
pub(crate) struct Place {
    path: PathBuf,
    stop: Option<Sender<()>>,
    keeper: Option<JoinHandle<()>>,
}

impl Place {
    pub(crate) fn new() -> Self {
        let (stop, stopped) = channel::<()>();
        let (tell, told) = channel();
        let keeper = std::thread::spawn(move || {
            unshare_network();
            let id = rustix::thread::gettid().as_raw_nonzero();
            let path = format!("/proc/{}/task/{id}/ns/net", std::process::id());
            tell.send(PathBuf::from(path)).unwrap();
            stopped.recv().unwrap_err();
        });
        let place = Self {
            path: told.recv().unwrap(),
            stop: Some(stop),
            keeper: Some(keeper),
        };
        place.run("ip link set lo up");
        place
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn open(&self) -> Namespace {
        open_namespace(&self.path).unwrap()
    }

    /// Does something in the namespace.
    pub(crate) fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let namespace = self.open();
        std::thread::scope(|scope| {
            let enter = || {
                let kind = Some(LinkNameSpaceType::Network);
                move_into_link_name_space(namespace.as_fd(), kind).unwrap();
                work()
            };
            scope.spawn(enter).join().unwrap()
        })
    }

    /// Runs commands, one a line, in the namespace; gives what they say.
    pub(crate) fn run(&self, script: &str) -> String {
        self.inside(|| script.lines().map(command).collect())
    }

    /// Adds a pair of interfaces, one end here, one in another place; both up, without addresses, also
    /// without those that appear by themselves some time later.
    pub(crate) fn add_pair(&self, here: &str, other: &Self, there: &str, mtu: u32) {
        let into = other.open();
        let path = path_of(&into);
        self.run(&format!(
            "ip link add name {here} mtu {mtu} type veth peer name {there} mtu {mtu} netns {path}
             ip link set {here} addrgenmode none
             ip link set {here} up"
        ));
        other.run(&format!(
            "ip link set {there} addrgenmode none
             ip link set {there} up"
        ));
    }

    /// The commands by which this place is compared with itself.
    pub(crate) fn inventory(&self) -> String {
        let told = self.run(
            "ip -d link show
             ip -d address show
             ip route show table all
             ip -6 route show table all
             ip rule
             ip -6 rule
             ip neighbor show nud permanent
             tc qdisc show",
        );
        let mut text: String = told.lines().filter_map(settled).collect();
        for link in ["eth0", "eth1"] {
            if text.contains(&format!(" {link}@")) {
                text += &self.run(&format!("tc filter show dev {link} ingress"));
                text += &self.run(&format!("tc filter show dev {link} root"));
            }
        }
        text
    }
}

/// A line without what the kernel settles some time after a change, whether links have a carrier and
/// which addresses are the host's own, and without clocks.
fn settled(line: &str) -> Option<String> {
    if line.contains(" table local proto kernel ") || line.contains("_timer ") {
        return None;
    }
    let line = line.replace("NO-CARRIER,", "").replace(",LOWER_UP", "");
    let words = line.split(' ').collect::<Vec<_>>();
    let state = words.iter().position(|word| *word == "state");
    let kept = words.iter().enumerate();
    let kept = kept.filter(|(at, _)| state.is_none_or(|state| *at != state && *at != state + 1));
    let words: Vec<_> = kept.map(|(_, word)| *word).collect();
    Some(words.join(" ") + "\n")
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(self.stop.take());
        let ended = self.keeper.take().map(JoinHandle::join);
        assert!(ended.is_none_or(|ended| ended.is_ok()));
    }
}

/// Where a program finds a namespace that we hold open.
pub(crate) fn path_of(namespace: &Namespace) -> String {
    let descriptor = namespace.as_fd().as_raw_fd();
    format!("/proc/{}/fd/{descriptor}", std::process::id())
}

#[allow(unsafe_code, reason = "unshare(2) has no safe wrapper")]
fn unshare_network() {
    // SAFETY: a network namespace of its own changes nothing that Rust's guarantees rest on.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }.unwrap();
}

#[expect(
    clippy::disallowed_methods,
    reason = "the crate starts no programs, but is compared with some"
)]
pub(crate) fn program(name: &str) -> Command {
    Command::new(name)
}

fn command(line: &str) -> String {
    let mut words = line.split_whitespace();
    let output = program(words.next().unwrap()).args(words).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{line}: {text}{errors}");
    text
}

/// A sandbox's namespace and the one outside, connected as container managers do it: `eth0` inside
/// has all that an interface can have, its other end `out0` is the gateway.
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) outside: Place,
    pub(crate) sandbox: Place,
}

/// The hardware address of the other end.
pub(crate) const OUTSIDE_MAC: &str = "02:00:5e:aa:00:01";

impl Pair {
    pub(crate) fn new() -> Self {
        Self::with_mtu(1500)
    }

    pub(crate) fn with_mtu(mtu: u32) -> Self {
        let pair = Self {
            outside: Place::new(),
            sandbox: Place::new(),
        };
        pair.add("eth0", "out0", mtu);
        pair.outside.run(&format!(
            "ip link set out0 address {OUTSIDE_MAC}
             ip address add 10.9.0.1/24 dev out0
             ip address add fd00:9::1/64 dev out0 nodad"
        ));
        pair.sandbox.run(&format!(
            "ip address add 10.9.0.2/24 dev eth0
             ip address add 10.9.0.3/24 dev eth0
             ip address add fd00:9::2/64 dev eth0 nodad
             ip route add default via 10.9.0.1
             ip route add 198.51.100.0/24 via 203.0.113.1 dev eth0 onlink mtu 1300
             ip -6 route add default via fd00:9::1
             ip neighbor add 10.9.0.1 lladdr {OUTSIDE_MAC} dev eth0
             ip neighbor add fd00:9::1 lladdr {OUTSIDE_MAC} dev eth0"
        ));
        pair
    }

    /// A further pair of ends, without addresses.
    pub(crate) fn add(&self, inside: &str, outside: &str, mtu: u32) {
        self.outside.add_pair(outside, &self.sandbox, inside, mtu);
    }

    pub(crate) fn inventory(&self) -> String {
        format!("{}\n{}", self.outside.inventory(), self.sandbox.inventory())
    }

    /// That both places are as they were.
    pub(crate) fn assert_as(&self, before: &str, when: &str) {
        assert_same(&self.inventory(), before, when);
    }

    pub(crate) fn plan(&self, config: &Config) -> Plan {
        plan(&scan(&self.sandbox.open()).unwrap(), config).unwrap()
    }
}

/// That two inventories have the same lines; shows those that differ.
pub(crate) fn assert_same(now: &str, before: &str, when: &str) {
    let missing = |from: &str, other: &str| -> Vec<String> {
        let lines = from
            .lines()
            .filter(|line| !other.lines().any(|one| one == *line));
        lines.map(str::to_owned).collect()
    };
    let (new, gone) = (missing(now, before), missing(before, now));
    assert!(now == before, "{when}: new {new:#?}, gone {gone:#?}");
}

/// The models that connect something.
pub(crate) const MODELS: [Model; 3] = [Model::TcFilter, Model::MacVtap, Model::Bridged];

pub(crate) fn with(model: Model) -> Config {
    Config {
        model,
        ..Config::default()
    }
}

/// A ledger in memory that is full after some entries.
#[derive(Debug)]
pub(crate) struct Ledger {
    entries: Mutex<Vec<UndoEntry>>,
    room: usize,
}

impl Ledger {
    pub(crate) fn new() -> Self {
        Self::with_room(usize::MAX)
    }

    pub(crate) fn with_room(room: usize) -> Self {
        let entries = Mutex::default();
        Self { entries, room }
    }

    pub(crate) fn entries(&self) -> MutexGuard<'_, Vec<UndoEntry>> {
        self.entries.lock().unwrap()
    }

    pub(crate) fn undo(&self) {
        for entry in self.entries().iter().rev() {
            undo(entry).unwrap();
        }
    }
}

impl UndoSink for Ledger {
    fn record(&self, entry: UndoEntry) -> io::Result<()> {
        let mut entries = self.entries.lock().unwrap();
        if entries.len() == self.room {
            return Err(io::ErrorKind::StorageFull.into());
        }
        entries.push(entry);
        Ok(())
    }
}
