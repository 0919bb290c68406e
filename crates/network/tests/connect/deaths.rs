//! The process dies before each of its system calls that change a network, while it applies and
//! while it undoes: another one takes everything back.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::sync::Mutex;

use serde_json::json;
use virtcontainers_network::{Config, apply, open_namespace, plan, scan};
use virtcontainers_types::{UndoEntry, UndoSink};

use crate::fixture::{MODELS, Pair, program, with};

/// Where the process that is to die is told what to do.
const ACT: &str = "VC_NETWORK_ACT";
/// Speaking to the kernel's network, and making taps. An open of /dev/net/tun changes nothing.
const CALLS: &str = "sendto,sendmsg,ioctl";

/// A ledger in a file, one entry a line, which survives the process.
#[derive(Debug)]
struct FileLedger(Mutex<File>);

impl FileLedger {
    fn open(path: &Path) -> Self {
        let file = OpenOptions::new().append(true).create(true).open(path);
        Self(Mutex::new(file.unwrap()))
    }

    fn read(path: &Path) -> Vec<UndoEntry> {
        let lines = BufReader::new(File::open(path).unwrap()).lines();
        lines
            .map(|line| serde_json::from_str(&line.unwrap()).unwrap())
            .collect()
    }
}

impl UndoSink for FileLedger {
    fn record(&self, entry: UndoEntry) -> io::Result<()> {
        let line = serde_json::to_string(&entry)? + "\n";
        self.0.lock().unwrap().write_all(line.as_bytes())
    }
}

fn undo_all(ledger: &Path) {
    let mut entries = FileLedger::read(ledger);
    entries.reverse();
    virtcontainers_network::undo_all(&entries).unwrap();
}

/// Not a test: what the process does that dies.
#[test]
fn act() {
    let Some(act) = std::env::var_os(ACT) else {
        return;
    };
    let act: serde_json::Value = serde_json::from_str(act.to_str().unwrap()).unwrap();
    let text = |name: &str| Path::new(act[name].as_str().unwrap()).to_owned();
    let ledger = text("ledger");
    if act["undo"] == json!(true) {
        return undo_all(&ledger);
    }
    let config: Config = serde_json::from_value(act["config"].clone()).unwrap();
    let namespace = open_namespace(&text("namespace")).unwrap();
    let plan = plan(&scan(&namespace).unwrap(), &config).unwrap();
    apply(&plan, &namespace, &FileLedger::open(&ledger)).unwrap();
}

/// Lets a process act that is killed before the n-th of its calls on one of its threads; true when
/// it was not.
fn act_until(act: &serde_json::Value, call: usize) -> bool {
    let kill = format!("inject={CALLS}:signal=KILL:when={call}");
    let myself = std::env::current_exe().unwrap();
    let output = program("strace")
        .args(["-f", "-qq", "-o", "/dev/null", "-e", &kill])
        .arg(myself)
        .args(["--exact", "deaths::act", "--test-threads=1"])
        .env(ACT, act.to_string())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let killed = std::os::unix::process::ExitStatusExt::signal(&output.status) == Some(9);
    assert!(killed || output.status.success(), "{text}");
    !killed
}

#[test]
fn whoever_applies_dies_before_each_call() {
    for model in MODELS {
        let folder = tempfile::tempdir().unwrap();
        let pair = Pair::new();
        let before = pair.inventory();
        let mut config = with(model);
        config.limit.outbound = Some(1_000_000);
        let mut most = 0;
        for call in 1.. {
            let ledger = folder.path().join(format!("ledger-{call}"));
            drop(FileLedger::open(&ledger));
            let act = json!({
                "namespace": pair.sandbox.path(),
                "ledger": ledger,
                "config": config,
            });
            let lived = act_until(&act, call);
            most = most.max(FileLedger::read(&ledger).len());
            undo_all(&ledger);
            pair.assert_as(&before, &format!("{model:?}, dead before call {call}"));
            if lived {
                break;
            }
        }
        // It did die in between.
        assert_eq!(most, pair.plan(&config).undo_entries().unwrap().len());
    }
}

#[test]
fn whoever_undoes_dies_before_each_call() {
    for model in MODELS {
        let folder = tempfile::tempdir().unwrap();
        let pair = Pair::new();
        let before = pair.inventory();
        let plan = pair.plan(&with(model));
        for call in 1.. {
            let path = folder.path().join(format!("ledger-{call}"));
            let ledger = FileLedger::open(&path);
            // The machine lives while its connection is taken back.
            let applied = apply(&plan, &pair.sandbox.open(), &ledger).unwrap();
            let act = json!({ "ledger": path, "undo": true });
            let lived = act_until(&act, call);
            undo_all(&path);
            pair.assert_as(&before, &format!("{model:?}, dead before call {call}"));
            drop(applied);
            if lived {
                break;
            }
        }
    }
}
