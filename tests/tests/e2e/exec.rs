//! `vc exec`: further processes in a container that runs.

use anyhow::Result;
use virtcontainers_tests::Place;

use crate::detached::Running;

#[test]
fn an_exec_enters_the_container() -> Result<()> {
    let place = Place::new()?;
    let running = Running::start(&place, "exec")?;
    std::fs::write(place.rootfs().join("shared"), "seen")?;
    let script = "cat /shared; hostname; id -un; pwd; echo $A; exit 3";
    let exec = place
        .vc([
            "exec",
            "--env",
            "A=b",
            "--cwd",
            "/etc",
            "--user",
            "user",
            running.id(),
            "sh",
            "-c",
            script,
        ])
        .finish()?
        .expect(3)?;
    assert_eq!(
        exec.text(),
        format!("seen{}\nuser\n/etc\nb\n", running.id())
    );
    running.delete()?;
    place.assert_clean()
}

#[test]
fn what_cannot_be_executed_has_its_status() -> Result<()> {
    let place = Place::new()?;
    let running = Running::start(&place, "execfail")?;
    std::fs::write(place.rootfs().join("data"), "not a program")?;
    place
        .vc(["exec", running.id(), "/nosuch"])
        .finish()?
        .expect(127)?;
    place
        .vc(["exec", running.id(), "/data"])
        .finish()?
        .expect(126)?;
    place
        .vc(["exec", &place.id("unknown"), "true"])
        .finish()?
        .expect(1)?;
    running.delete()?;
    place.assert_clean()
}

#[test]
fn two_hundred_execs_are_all_right() -> Result<()> {
    let place = Place::new()?;
    let running = Running::start(&place, "many")?;
    for number in 0..200_i32 {
        let status = number % 100;
        let script = format!("cat; echo out-{number}; echo err-{number} >&2; exit {status}");
        let exec = place
            .vc(["exec", running.id(), "sh", "-c", &script])
            .finish_with(format!("in-{number}\n").as_bytes())?
            .expect(status)?;
        assert_eq!(exec.text(), format!("in-{number}\nout-{number}\n"));
        assert_eq!(exec.stderr, format!("err-{number}\n"));
    }
    running.delete()?;
    place.assert_clean()
}

#[test]
fn several_execs_run_at_once() -> Result<()> {
    let place = Place::new()?;
    let running = Running::start(&place, "parallel")?;
    let started: Vec<_> = (0..6_i32)
        .map(|number| {
            let script = format!("echo {number}; exit {number}");
            Ok((
                number,
                place
                    .vc(["exec", running.id(), "sh", "-c", &script])
                    .start()?,
            ))
        })
        .collect::<Result<_>>()?;
    for (number, started) in started {
        assert_eq!(
            started.finish()?.expect(number)?.text(),
            format!("{number}\n")
        );
    }
    running.delete()?;
    place.assert_clean()
}
