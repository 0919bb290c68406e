//! `docs/api.md` is true: its table is what the code says, and each operation is shown by a test
//! that calls it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use virtcontainers::ErrorKind;
use virtcontainers::types::{ContainerState, LockKind, Operation, SandboxState};

const BEGIN: &str = "<!-- operations: begin -->\n";
const END: &str = "<!-- operations: end -->\n";

/// What the precondition table does not say of an operation.
struct Shown {
    /// How tests call it; the handle's method where it has another name.
    call: &'static str,
    /// Kinds of errors beside those that follow from lock and preconditions.
    errors: &'static [ErrorKind],
    /// The tests that show it, each as file and function.
    tests: &'static [&'static str],
}

const STEPS: &str = "lifecycle::a_sandbox_step_by_step";
const STOP: &str = "lifecycle::stop_ends_a_sandbox_and_delete_removes_it";
const PAUSE: &str = "pause::a_paused_sandbox_stands_still_and_goes_on";
const AGAIN: &str = "restart::a_stopped_sandbox_boots_again_with_all_its_containers";
const LIFE: &str = "containers::a_second_container_has_its_own_life_and_streams";
const KILLED: &str = "containers::containers_are_killed_stopped_and_cleaned_up";
const ODD: &str = "containers::a_container_that_cannot_be_leaves_the_sandbox_as_it_was";
const PROCESSES: &str = "processes::processes_are_started_listed_and_signalled";
const LIMITS: &str = "limits::limits_change_and_stay_and_counters_grow";
const MEMORY: &str = "limits::a_container_that_runs_out_of_memory_is_told_of";
const FROZEN: &str = "freezer::a_frozen_container_stands_still_while_the_others_run";
const PLUGGED: &str = "network::an_interface_comes_and_goes";
const NETWORK: &str = "network::interfaces_and_routes_are_listed_and_routes_changed";
const HANDLE: &str = "handle::every_runtime_and_every_process_sees_the_same_sandbox";
const DIES: &str = "failures::a_machine_that_dies_ends_every_wait_and_can_be_deleted";
const DAMAGED: &str = "failures::a_damaged_record_is_told_of_and_hides_nothing";
const LOCKED: &str = "locks::a_holder_is_named_and_reads_go_on";
const HOOKED: &str = "hooks::hooks_run_in_order_with_the_state_in_the_sandboxs_namespace";
const PRESTART: &str = "hooks::a_prestart_hook_that_fails_or_hangs_undoes_the_creation";

const fn shown(
    call: &'static str,
    errors: &'static [ErrorKind],
    tests: &'static [&'static str],
) -> Shown {
    Shown {
        call,
        errors,
        tests,
    }
}

fn of(operation: Operation) -> Option<Shown> {
    use ErrorKind::{
        AlreadyExists, Corrupt, Denied, Gone, Incompatible, Internal, Invalid, NotFound, Timeout,
        Unsupported,
    };
    use Operation as Op;

    /// What a boot may end with.
    const BOOT: &[ErrorKind] = &[
        Invalid,
        NotFound,
        Unsupported,
        Denied,
        Gone,
        Timeout,
        Internal,
    ];
    /// What a guest that is asked may not do.
    const GUEST: &[ErrorKind] = &[Gone, Timeout, Internal];
    const MONITOR: &[ErrorKind] = &[Unsupported, Gone, Timeout, Internal];
    const ADOPT: &[ErrorKind] = &[Gone];
    const CLEAN: &[ErrorKind] = &[Gone, Timeout, Corrupt, Incompatible, Internal];
    const UNDO: &[ErrorKind] = &[Timeout, Internal];
    const CANNOT: &[ErrorKind] = &[Unsupported];
    const PLUG: &[ErrorKind] = &[
        Invalid,
        NotFound,
        AlreadyExists,
        Unsupported,
        Denied,
        Gone,
        Timeout,
        Internal,
    ];
    const UNPLUG: &[ErrorKind] = &[NotFound, Unsupported, Gone, Timeout, Internal];

    Some(match operation {
        Op::CreateSandbox => shown("create_sandbox", BOOT, &[STEPS, HOOKED, PRESTART]),
        Op::RunSandbox => shown("run_sandbox", BOOT, &[STEPS, AGAIN, LOCKED]),
        Op::StartSandbox => shown("start", BOOT, &[STEPS, AGAIN]),
        Op::StopSandbox => shown("stop", UNDO, &[STOP, AGAIN, DIES]),
        Op::DeleteSandbox => shown("delete_sandbox", UNDO, &[STOP, DAMAGED, HANDLE]),
        Op::FetchSandbox => shown("fetch_sandbox", &[], &[STOP, HANDLE]),
        Op::ListSandboxes => shown("list_sandboxes", &[Internal], &[STOP, DAMAGED]),
        Op::StatusSandbox => shown("status", &[], &[STEPS, DIES]),
        Op::PauseSandbox => shown("pause", MONITOR, &[PAUSE]),
        Op::ResumeSandbox => shown("resume", GUEST, &[PAUSE]),
        Op::CreateContainer => shown("create_container", BOOT, &[LIFE, ODD]),
        Op::DeleteContainer => shown("delete_container", GUEST, &[LIFE, AGAIN]),
        Op::StartContainer => shown("start_container", BOOT, &[LIFE]),
        Op::StopContainer => shown("stop_container", GUEST, &[KILLED, FROZEN]),
        Op::EnterContainer => shown("enter_container", GUEST, &[PROCESSES, PAUSE]),
        Op::StatusContainer => shown("status_container", &[], &[LIFE, HANDLE]),
        Op::KillContainer => shown("kill_container", MONITOR, &[KILLED, FROZEN, DIES]),
        Op::ProcessListContainer => shown("process_list_container", MONITOR, &[PROCESSES]),
        Op::UpdateContainer => shown("update_container", GUEST, &[LIMITS]),
        Op::StatsContainer => shown("stats_container", GUEST, &[LIMITS]),
        Op::StatsSandbox => shown("stats_sandbox", GUEST, &[LIMITS]),
        Op::PauseContainer => shown("pause_container", GUEST, &[FROZEN]),
        Op::ResumeContainer => shown("resume_container", GUEST, &[FROZEN]),
        Op::AddDevice => shown("add_device", CANNOT, &[NETWORK]),
        Op::AddInterface => shown("add_interface", PLUG, &[PLUGGED]),
        Op::RemoveInterface => shown("remove_interface", UNPLUG, &[PLUGGED]),
        Op::ListInterfaces => shown("list_interfaces", GUEST, &[NETWORK]),
        Op::UpdateRoutes => shown("update_routes", GUEST, &[NETWORK]),
        Op::ListRoutes => shown("list_routes", GUEST, &[NETWORK]),
        Op::CleanupContainer => shown("cleanup_container", CLEAN, &[KILLED]),
        Op::Annotations => shown("annotations", &[], &[HANDLE]),
        Op::SetAnnotations => shown("set_annotations", &[], &[HANDLE]),
        Op::Containers => shown("containers", &[], &[LIFE, STOP]),
        Op::Release => shown("release", &[], &[HANDLE]),
        Op::Monitor => shown("monitor", &[], &[HANDLE, DIES]),
        Op::WaitProcess => shown("wait_process", &[Gone], &[LIFE, PROCESSES, DIES]),
        Op::SignalProcess => shown("signal_process", GUEST, &[PROCESSES]),
        Op::ResizeTerminal => shown("resize_terminal", GUEST, &[PROCESSES]),
        Op::IoStream => shown("io_stream", &[NotFound], &[LIFE]),
        Op::OomEvents => shown("oom_events", ADOPT, &[MEMORY, DIES]),
        Op::AgentUrl => shown("agent_url", ADOPT, &[HANDLE]),
        Op::HypervisorPid => shown("hypervisor_pid", ADOPT, &[HANDLE]),
        // An operation that is not in this table is found by the test below.
        _ => return None,
    })
}

/// All kinds that an operation may fail with, in the order of the design.
fn errors(operation: Operation, shown: &Shown) -> Vec<ErrorKind> {
    use ErrorKind::{
        AlreadyExists, Busy, Corrupt, Denied, Gone, Incompatible, Internal, Invalid, NotFound,
        Timeout, Unsupported, WrongState,
    };
    let mut kinds = shown.errors.to_vec();
    let limited = |states: Option<usize>, all| states.is_some_and(|count| count < all);
    let sandbox = operation.sandbox_states().map(<[_]>::len);
    let container = operation.container_states().map(<[_]>::len);
    if sandbox.is_some() || container.is_some() {
        kinds.extend([NotFound, Corrupt, Incompatible]);
    }
    if limited(sandbox, SandboxState::ALL.len()) || limited(container, ContainerState::ALL.len()) {
        kinds.push(WrongState);
    }
    if matches!(
        operation,
        Operation::CreateSandbox | Operation::RunSandbox | Operation::CreateContainer
    ) {
        kinds.push(AlreadyExists);
    }
    if operation.lock() != LockKind::None {
        kinds.push(Timeout);
    }
    let all = [
        Invalid,
        NotFound,
        AlreadyExists,
        WrongState,
        Busy,
        Unsupported,
        Denied,
        Gone,
        Timeout,
        Corrupt,
        Incompatible,
        Internal,
    ];
    all.into_iter()
        .filter(|kind| kinds.contains(kind))
        .collect()
}

fn states<S: Copy>(states: Option<&[S]>, all: usize, name: fn(S) -> &'static str) -> String {
    match states {
        None => "–".to_owned(),
        Some(states) if states.len() == all => "any".to_owned(),
        Some(states) => {
            let names: Vec<_> = states.iter().map(|state| name(*state)).collect();
            names.join(", ")
        }
    }
}

fn row(operation: Operation) -> Result<String> {
    let shown = of(operation).with_context(|| format!("{operation} is not in the table"))?;
    let sandbox = states(
        operation.sandbox_states(),
        SandboxState::ALL.len(),
        SandboxState::as_str,
    );
    let container = states(
        operation.container_states(),
        ContainerState::ALL.len(),
        ContainerState::as_str,
    );
    let kinds: Vec<_> = errors(operation, &shown)
        .into_iter()
        .map(ErrorKind::as_str)
        .collect();
    let tests: Vec<_> = shown.tests.iter().map(|test| link(test)).collect();
    Ok(format!(
        "| `{operation}` | {} | {sandbox} | {container} | {} | {} |",
        operation.lock().as_str(),
        kinds.join(", "),
        tests.join(", "),
    ))
}

fn link(test: &str) -> String {
    let (file, name) = test.split_once("::").unwrap_or_default();
    format!("[{}](../tests/tests/api/{file}.rs)", name.replace('_', " "))
}

fn table() -> Result<String> {
    let mut text = String::from(
        "| Operation | Lock | Sandbox | Container | Errors | Shown by |\n\
         | --- | --- | --- | --- | --- | --- |\n",
    );
    for operation in Operation::ALL {
        writeln!(text, "{}", row(operation)?)?;
    }
    Ok(text)
}

fn workspace() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests).to_owned()
}

/// Run with `VC_UPDATE_GOLDEN=1` to write the table.
#[test]
fn the_documented_table_is_what_the_code_says() -> Result<()> {
    let path = workspace().join("docs/api.md");
    let page = std::fs::read_to_string(&path)?;
    let (before, rest) = page
        .split_once(BEGIN)
        .context("the table's begin is not marked")?;
    let (written, after) = rest
        .split_once(END)
        .context("the table's end is not marked")?;
    let wanted = table()?;
    if std::env::var_os("VC_UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, format!("{before}{BEGIN}{wanted}{END}{after}"))?;
        return Ok(());
    }
    anyhow::ensure!(
        written == wanted,
        "the table of docs/api.md is out of date: run this test with VC_UPDATE_GOLDEN=1"
    );
    Ok(())
}

#[test]
fn each_operation_is_called_by_the_tests_that_show_it() -> Result<()> {
    for operation in Operation::ALL {
        let Some(Shown { call, tests, .. }) = of(operation) else {
            anyhow::bail!("{operation} is not in the table");
        };
        assert!(!tests.is_empty(), "{operation}");
        for test in tests {
            let body = body(test)?;
            let calls = [format!(".{call}("), format!(".{}(", operation.name())];
            assert!(
                calls.iter().any(|call| body.contains(call)),
                "{test} does not call {operation}"
            );
        }
    }
    Ok(())
}

/// The text of a test function.
fn body(test: &str) -> Result<String> {
    let (file, name) = test.split_once("::").context("file::function")?;
    let path = workspace().join(format!("tests/tests/api/{file}.rs"));
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let text = text.split_once(&format!("async fn {name}()"));
    let (_, text) = text.with_context(|| format!("there is no test {test}"))?;
    let (body, _) = text
        .split_once("\n}\n")
        .context("the function has no end")?;
    Ok(body.to_owned())
}
