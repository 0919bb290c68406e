//! Many execs: none fails, one after the other or at once.

use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};

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
    let id = direct.id();
    // Each is waited for by a thread of its own, so that each has its own time.
    let ends: Vec<Result<Duration>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..10)
            .map(|number| scope.spawn(move || one_of_ten(stage, id, number)))
            .collect();
        let ends = threads.into_iter().map(|thread| thread.join());
        ends.map(|end| end.unwrap_or_else(|_| Err(anyhow!("a thread panicked"))))
            .collect()
    });
    let times = ends.into_iter().collect::<Result<Vec<_>>>()?;
    println!("{:?}: 10 execs at once: {}", stage.runtime(), spread(times));
    direct.kill()?;
    direct.delete()
}

fn one_of_ten(stage: &Stage, id: &str, number: i32) -> Result<Duration> {
    let script = format!("echo {number}; exit {number}");
    let exec = stage.call(["exec", id, "sh", "-c", &script]).finish()?;
    let end = exec.expect(number)?;
    ensure!(end.text() == format!("{number}\n"), "{:?}", end.text());
    Ok(end.took)
}

/// The distribution in words.
fn spread(mut times: Vec<Duration>) -> String {
    times.sort();
    let at = |hundredth: usize| times[(times.len() - 1) * hundredth / 100].as_millis();
    let [least, half, most, nearly_all, all] = [0, 50, 90, 99, 100].map(at);
    format!("least {least} ms, half {half}, 90 % {most}, 99 % {nearly_all}, all {all}")
}
