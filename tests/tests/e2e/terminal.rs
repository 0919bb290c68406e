//! Terminals: a pseudo-terminal on our side, one in the guest, sizes and keys between them.

use anyhow::Result;
use rustix::process::Signal;
use virtcontainers_tests::Place;
use virtcontainers_tests::pty::Pty;

use crate::detached::Running;

#[test]
fn a_terminal_has_a_size_follows_it_and_ends_with_its_shell() -> Result<()> {
    let place = Place::new()?;
    let mut pty = Pty::new(33, 77)?;
    let run = place
        .run(&place.id("tty"), ["--tty"], ["sh"])
        .stdin(pty.user_side()?)
        .stdout(pty.user_side()?)
        .start()?;
    // The answers differ from what is typed, so that the echo is not taken for one.
    pty.read_until("# ")?;
    pty.write("tty | sed s/dev/DEV/; stty size | tr ' ' x\n")?;
    pty.read_until("/DEV/pts/")?;
    pty.read_until("33x77")?;
    pty.resize(44, 88)?;
    run.signal(Signal::WINCH)?;
    pty.write("until stty size | grep -q '44 88'; do :; done; stty size | tr ' ' x\n")?;
    pty.read_until("44x88")?;
    pty.write("exit 9\n")?;
    run.finish()?.expect(9)?;
    place.assert_clean()
}

#[test]
fn interrupt_and_end_of_file_are_keys() -> Result<()> {
    let place = Place::new()?;
    let mut pty = Pty::new(24, 80)?;
    let run = place
        .run(
            &place.id("keys"),
            ["--tty"],
            [
                "sh",
                "-c",
                // A loop, not one command, waits for the key: it may come while none runs.
                "trap 'hit=1; echo caugh''t' INT; echo read''y; \
                 until [ \"$hit\" ]; do sleep 1; done; cat; echo don''e",
            ],
        )
        .stdin(pty.user_side()?)
        .stdout(pty.user_side()?)
        .start()?;
    pty.read_until("ready")?;
    pty.write("\x03")?;
    pty.read_until("caught")?;
    pty.write("line\n\x04")?;
    pty.read_until("done")?;
    run.finish()?.expect(0)?;
    place.assert_clean()
}

#[test]
fn an_exec_has_a_terminal_of_its_own() -> Result<()> {
    let place = Place::new()?;
    let running = Running::start(&place, "exectty")?;
    let mut pty = Pty::new(21, 63)?;
    let exec = place
        .vc(["exec", "--tty", running.id(), "sh"])
        .stdin(pty.user_side()?)
        .stdout(pty.user_side()?)
        .start()?;
    pty.read_until("# ")?;
    pty.write("stty size | tr ' ' x\n")?;
    pty.read_until("21x63")?;
    pty.write("exit 4\n")?;
    exec.finish()?.expect(4)?;
    running.delete()?;
    place.assert_clean()
}
