//! The list of tasks, and the help made from it.

use std::ffi::OsString;
use std::fmt;
use std::process::ExitCode;

use anyhow::Result;
use pico_args::Arguments;

use crate::{
    bench, codegen, e2e, gate, guest, layers, lint, new_backend, release_check, rootfs, run, setup,
    tidy,
};

/// A task's work: with flags of its own, or with words that it passes on.
enum Work {
    Flags(fn(Arguments) -> Result<ExitCode>),
    Words(fn(Vec<OsString>) -> Result<ExitCode>),
}

/// One task.
struct Task {
    name: &'static str,
    alias: Option<&'static str>,
    about: &'static str,
    usage: &'static str,
    example: &'static str,
    work: Work,
}

const TASKS: &[Task] = &[
    Task {
        name: "run",
        alias: None,
        about: "set up what is missing, then run a command in a container in a virtual machine",
        usage: "run [FLAGS OF `vc run`] -- COMMAND...",
        example: "cargo xtask run -- uname -a",
        work: Work::Words(run::task),
    },
    Task {
        name: "test",
        alias: Some("ci"),
        about: "the gate: every check and every test, those with real virtual machines included",
        usage: "test",
        example: "cargo xtask test",
        work: Work::Flags(gate::task),
    },
    Task {
        name: "setup",
        alias: None,
        about: "install the packages and helper programs that this machine lacks",
        usage: "setup",
        example: "cargo xtask setup",
        work: Work::Flags(setup::task),
    },
    Task {
        name: "guest",
        alias: None,
        about: "build the guest (kernel, modules, initrd with the agent) into the cache; \
                --update asks for the newest kernel",
        usage: "guest [--update]",
        example: "cargo xtask guest",
        work: Work::Flags(guest::task),
    },
    Task {
        name: "rootfs",
        alias: None,
        about: "put the default root file system of containers into the cache",
        usage: "rootfs",
        example: "cargo xtask rootfs",
        work: Work::Flags(rootfs::task),
    },
    Task {
        name: "lint",
        alias: None,
        about: "formatting and clippy, warnings denied",
        usage: "lint",
        example: "cargo xtask lint",
        work: Work::Flags(lint::task),
    },
    Task {
        name: "layers",
        alias: None,
        about: "compare the arrows between crates with the table of layers",
        usage: "layers",
        example: "cargo xtask layers",
        work: Work::Flags(layers::task),
    },
    Task {
        name: "tidy",
        alias: None,
        about: "check sizes, headers, names and links of files",
        usage: "tidy",
        example: "cargo xtask tidy",
        work: Work::Flags(tidy::task),
    },
    Task {
        name: "codegen",
        alias: None,
        about: "write the generated code of agent-proto; --check only compares",
        usage: "codegen [--check]",
        example: "cargo xtask codegen --check",
        work: Work::Flags(codegen::task),
    },
    Task {
        name: "e2e",
        alias: None,
        about: "the tests with real virtual machines, or those whose name contains FILTER",
        usage: "e2e [FILTER]",
        example: "cargo xtask e2e boot",
        work: Work::Flags(e2e::task),
    },
    Task {
        name: "conformance",
        alias: None,
        about: "try what backends, stores and agents promise on each of them, and print the reports",
        usage: "conformance",
        example: "cargo xtask conformance",
        work: Work::Flags(e2e::conformance),
    },
    Task {
        name: "new-backend",
        alias: None,
        about: "make a crate for another hypervisor, whose suite says what is missing",
        usage: "new-backend NAME",
        example: "cargo xtask new-backend firecracker",
        work: Work::Flags(new_backend::task),
    },
    Task {
        name: "bench",
        alias: None,
        about: "measure with release builds; arguments go to the program that measures",
        usage: "bench [ARGUMENTS]",
        example: "cargo xtask bench",
        work: Work::Words(bench::task),
    },
    Task {
        name: "release-check",
        alias: None,
        about: "whether each crate stands on its own and can be packed; --verify also builds the packages",
        usage: "release-check [--verify]",
        example: "cargo xtask release-check",
        work: Work::Flags(release_check::task),
    },
];

/// The command line was wrong: the exit status is 2.
#[derive(Debug)]
pub(crate) struct Usage(pub(crate) String);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// Runs the task called `name`.
pub(crate) fn run(name: &str, words: Vec<OsString>) -> Result<ExitCode> {
    if ["", "help", "--help", "-h"].contains(&name) {
        print!("{}", overview());
        return Ok(ExitCode::SUCCESS);
    }
    let task = TASKS
        .iter()
        .find(|task| task.name == name || task.alias == Some(name));
    let Some(task) = task else {
        return Err(Usage(format!("no task {name}: `cargo xtask help` lists them all")).into());
    };
    if words
        .iter()
        .take_while(|word| *word != "--")
        .any(|word| word == "--help" || word == "-h")
    {
        print!("{}", details(task));
        return Ok(ExitCode::SUCCESS);
    }
    match task.work {
        Work::Flags(work) => work(Arguments::from_vec(words)),
        Work::Words(work) => work(words),
    }
}

/// Refuses what is left of the arguments when a task has taken all that it knows.
pub(crate) fn finish(args: Arguments) -> Result<()> {
    match args.finish().first() {
        None => Ok(()),
        Some(word) => {
            let word = word.to_string_lossy();
            Err(Usage(format!("unknown argument {word}: see `cargo xtask help`")).into())
        }
    }
}

fn overview() -> String {
    let mut text = String::from("cargo xtask TASK, where TASK is one of\n\n");
    for task in TASKS {
        let also = task
            .alias
            .map(|alias| format!(" (also: {alias})"))
            .unwrap_or_default();
        text.push_str(&format!("  {:<12} {}{also}\n", task.name, task.about));
        text.push_str(&format!("  {:<12}   {}\n", "", task.example));
    }
    text.push_str("\n`cargo xtask TASK --help` says more about one.\n");
    text
}

fn details(task: &Task) -> String {
    format!(
        "{}\n\nusage:   cargo xtask {}\nexample: {}\n",
        task.about, task.usage, task.example
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_has_one_line_and_an_example_that_calls_it() {
        for task in TASKS {
            assert!(
                !task.about.contains('\n') && !task.about.is_empty(),
                "{}",
                task.name
            );
            assert!(task.usage.starts_with(task.name), "{}", task.name);
            let call = format!("cargo xtask {}", task.name);
            assert!(task.example.starts_with(&call), "{}", task.name);
        }
    }

    #[test]
    fn names_and_aliases_are_distinct() {
        let mut names: Vec<_> = TASKS
            .iter()
            .flat_map(|t| [Some(t.name), t.alias])
            .flatten()
            .collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn an_unknown_task_is_a_usage_error() {
        let error = run("no-such-task", Vec::new()).expect_err("refused");
        assert!(error.downcast_ref::<Usage>().is_some());
    }
}
