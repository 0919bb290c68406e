//! Many execs: none fails, one after the other or at once.

use std::time::Duration;

use anyhow::{Context, Result};

use crate::direct::Direct;
use crate::stage::Stage;

with_both!(crate::direct::with_runtime:
    a_hundred_execs_one_after_the_other,
    ten_execs_at_once,
);

fn a_hundred_execs_one_after_the_other(stage: &Stage) -> Result<()> {
    let direct = Direct::running(stage, "hundred")?;
    let mut times = Vec::new();
    for number in 0..100 {
        let exec = direct.ok(["exec", direct.id(), "true"]);
        times.push(exec.with_context(|| format!("exec {number}"))?.took);
    }
    println!(
        "{:?}: 100 times exec true: {}",
        stage.runtime(),
        spread(times)
    );
    direct.kill()?;
    direct.delete()
}

fn ten_execs_at_once(stage: &Stage) -> Result<()> {
    let direct = Direct::running(stage, "ten")?;
    let mut started = Vec::new();
    for number in 0..10 {
        let script = format!("cat; echo {number}; exit {number}");
        let exec = stage.call(["exec", direct.id(), "sh", "-c", &script]);
        started.push((number, exec.start()?));
    }
    let mut times = Vec::new();
    for (number, started) in started {
        let end = started.finish()?.expect(number)?;
        anyhow::ensure!(end.text() == format!("{number}\n"), "{:?}", end.text());
        times.push(end.took);
    }
    println!("{:?}: 10 execs at once: {}", stage.runtime(), spread(times));
    direct.kill()?;
    direct.delete()
}

/// The distribution in words.
fn spread(mut times: Vec<Duration>) -> String {
    times.sort();
    let at = |hundredth: usize| times[(times.len() - 1) * hundredth / 100].as_millis();
    let [least, half, most, nearly_all, all] = [0, 50, 90, 99, 100].map(at);
    format!("least {least} ms, half {half}, 90 % {most}, 99 % {nearly_all}, all {all}")
}
