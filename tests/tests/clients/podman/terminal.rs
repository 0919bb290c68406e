//! Terminals through Podman: keys, sizes and their changes.

use anyhow::Result;
use rustix::process::Signal;
use virtcontainers_tests::program::Program;
use virtcontainers_tests::pty::Pty;

use super::Podman;

with_both!(crate::podman::with_podman:
    a_container_has_a_terminal,
    an_exec_has_a_terminal,
);

fn a_container_has_a_terminal(podman: &Podman) -> Result<()> {
    talk(podman.run(&["--rm", "--interactive", "--tty"], &["sh"]))
}

fn an_exec_has_a_terminal(podman: &Podman) -> Result<()> {
    podman.sleeping("tty")?;
    talk(podman.call(["exec", "--interactive", "--tty", "tty", "sh"]))?;
    podman.ok(["rm", "--force", "--time=0", "tty"]).map(drop)
}

/// A shell on a terminal of 33 rows and 77 columns, which becomes larger; it ends with status 9.
fn talk(program: Program) -> Result<()> {
    let mut pty = Pty::new(33, 77)?;
    let shell = program
        .stdin(pty.user_side()?)
        .stdout(pty.user_side()?)
        .start()?;
    pty.read_until("# ")?;
    // The answers differ from what is typed, so that the echo is not taken for one.
    pty.write("tty | sed s/dev/DEV/\n")?;
    pty.read_until("/DEV/")?;
    pty.await_size(33, 77)?;
    pty.resize(44, 88)?;
    shell.signal(Signal::WINCH)?;
    pty.await_size(44, 88)?;
    pty.write("exit 9\n")?;
    shell.finish()?.expect(9)?;
    Ok(())
}
