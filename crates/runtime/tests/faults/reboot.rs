//! The host was booted again, and the state root outlived it: nothing in it is trusted.

use std::path::PathBuf;
use std::time::Duration;

use virtcontainers_process::Identity;
use virtcontainers_runtime::{CreateOptions, ErrorKind, Recovery, Runtime};
use virtcontainers_store::{BootId, FileStore, LeaseMode, Store};
use virtcontainers_types::{Lifetime, ProcessIdentity, SandboxState};

use crate::act::{Act, exec};
use crate::aftermath::{at_last, text};
use crate::alone;
use crate::child::executor;
use crate::place::Place;
use crate::stage::{Setting, Stage};

const LONG: Duration = Duration::from_secs(10);

/// What an earlier boot left of the shared tree, without its mounts.
fn leave_tree(stage: &Stage) -> PathBuf {
    let tree = stage.root().join("shares").join(stage.id());
    std::fs::create_dir_all(tree.join("ro")).unwrap();
    std::fs::create_dir_all(tree.join("rw").join(stage.first()).join("rootfs")).unwrap();
    tree
}

/// The only outcome of a recovery.
async fn recovered(runtime: &Runtime) -> Recovery {
    let mut all = runtime.recover(false).await.unwrap();
    assert_eq!(all.len(), 1, "{all:?}");
    all.pop().unwrap().outcome.unwrap()
}

/// Makes a state under one boot, and gives a stage under the next.
fn reboot(place: &Place, act: Act) -> Stage {
    let before = Stage::new(Setting::Values, place.path(), place.name());
    let executor = executor();
    let prepared = executor.block_on(async { act.prepare(&before, &before.runtime()).await });
    prepared.unwrap();
    // Supervisor, machine and guest go with this.
    executor.shutdown_timeout(LONG);
    Stage::new(Setting::Values, place.path(), place.name()).after_a_reboot()
}

fn is_cleaned(act: Act, outcome: Recovery, state: Option<SandboxState>) {
    let _alone = alone();
    let place = Place::new();
    let stage = reboot(&place, act);
    let tree = leave_tree(&stage);
    executor().block_on(async {
        let runtime = stage.runtime();
        assert_eq!(recovered(&runtime).await, outcome, "{act}");
        let status = runtime.status_sandbox(&stage.id()).await;
        match (&status, state) {
            (Ok(status), Some(state)) => assert_eq!(status.state, state, "{act}"),
            (Err(error), None) => assert_eq!(error.kind(), ErrorKind::NotFound, "{act}"),
            _ => unreachable!("{act}: {status:?}"),
        }
        if outcome != Recovery::Sound {
            assert!(!tree.exists(), "{act}: the shared tree is left");
        }
        if status.is_ok() {
            runtime.delete_sandbox(&stage.id(), true).await.unwrap();
        }
        assert!(!tree.exists(), "{act}: the shared tree is left");
        let machine = stage.root().join("machines").join(stage.id());
        assert!(!machine.exists(), "{act}: the machine's directory is left");
        assert_eq!(runtime.list_sandboxes().await.unwrap().len(), 0);
    });
}

#[test]
fn what_was_up_is_failed_and_cleaned() {
    let failed = Some(SandboxState::Failed);
    for act in [Act::Start, Act::Stop, Act::Resume, Act::ContainerStop] {
        is_cleaned(act, Recovery::Undone, failed);
    }
}

#[test]
fn what_was_being_created_is_gone() {
    is_cleaned(Act::RecoverCreate, Recovery::Removed, None);
}

#[test]
fn what_was_being_stopped_is_stopped_or_failed() {
    // The ledger, which says that it was being stopped, is void.
    is_cleaned(
        Act::RecoverStop,
        Recovery::Undone,
        Some(SandboxState::Failed),
    );
}

#[test]
fn what_was_stopped_is_as_it_was_and_boots_again() {
    let stopped = Some(SandboxState::Stopped);
    is_cleaned(Act::StartStopped, Recovery::Sound, stopped);
    let _alone = alone();
    let place = Place::new();
    let stage = reboot(&place, Act::StartStopped);
    executor().block_on(async {
        let runtime = stage.runtime();
        runtime.start_sandbox(&stage.id()).await.unwrap();
        let status = exec(&stage, &runtime, stage.first()).await.unwrap();
        assert_eq!(status.0, 0);
        runtime.delete_sandbox(&stage.id(), true).await.unwrap();
    });
}

/// The id can be used again, at once.
#[test]
fn an_id_of_an_earlier_boot_is_cleaned_up_by_whoever_comes() {
    let _alone = alone();
    let place = Place::new();
    let stage = reboot(&place, Act::RecoverCreate);
    leave_tree(&stage);
    executor().block_on(async {
        let runtime = stage.runtime();
        let config = stage.sandbox(Lifetime::Explicit);
        let options = CreateOptions::default();
        runtime.run_sandbox(config, options).await.unwrap();
        exec(&stage, &runtime, stage.first()).await.unwrap();
        runtime.delete_sandbox(&stage.id(), true).await.unwrap();
    });
}

/// Processes that have the numbers, and even the marks, of an earlier boot's are left alone.
#[test]
fn processes_in_old_records_are_never_signalled() {
    let _alone = alone();
    let place = Place::new();
    let before = Stage::new(Setting::Processes, place.path(), place.name());
    executor().block_on(async {
        let old = before.runtime();
        let options = CreateOptions::default();
        let config = before.sandbox(Lifetime::Explicit);
        let sandbox = old.run_sandbox(config, options).await.unwrap();
        let machine = identity(sandbox.hypervisor_pid().await.unwrap().unwrap());
        let store = FileStore::new(before.root(), BootId::current().unwrap());
        let record = store.open(&before.id(), LeaseMode::Shared, "look", LONG);
        let supervisor = identity(record.unwrap().record().supervisor.unwrap());

        let stage = Stage::new(Setting::Processes, place.path(), place.name()).after_a_reboot();
        let runtime = stage.runtime();
        assert_eq!(recovered(&runtime).await, Recovery::Undone);
        assert!(machine.is_alive(), "the machine's process was ended");
        assert!(supervisor.is_alive(), "the supervisor's process was ended");
        runtime.delete_sandbox(&stage.id(), true).await.unwrap();
        assert!(machine.is_alive() && supervisor.is_alive());

        // They are ours after all: the supervisor goes with its machine.
        machine.signal(rustix::process::Signal::KILL).unwrap();
        let gone = at_last(async || match supervisor.is_alive() {
            true => Err("the supervisor stays".to_owned()),
            false => Ok(()),
        });
        gone.await.unwrap();
        drop(sandbox);
    });
}

fn identity(process: ProcessIdentity) -> Identity {
    Identity {
        pid: process.pid,
        start_time: process.start_time,
    }
}

/// An old record names our own process as the supervisor.
#[test]
fn our_own_process_in_an_old_record_is_not_trusted() {
    let _alone = alone();
    let place = Place::new();
    let before = Stage::new(Setting::Values, place.path(), place.name());
    let executor = executor();
    executor.block_on(async {
        let old = before.runtime();
        let options = CreateOptions::default();
        let config = before.sandbox(Lifetime::Explicit);
        let sandbox = old.run_sandbox(config, options).await.unwrap();
        // The supervisor's task lives, and so does its process: this one.
        let stage = Stage::new(Setting::Values, place.path(), place.name()).after_a_reboot();
        let runtime = stage.runtime();
        let status = runtime.status_sandbox(&stage.id()).await.unwrap();
        assert_eq!(status.state, SandboxState::Failed);
        let why = status.failure.unwrap_or_default();
        assert!(why.contains("booted again"), "{why}");
        let error = runtime.pause_sandbox(&stage.id()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WrongState, "{}", text(&error));
        runtime.delete_sandbox(&stage.id(), true).await.unwrap();
        drop(sandbox);
    });
    executor.shutdown_timeout(LONG);
}
