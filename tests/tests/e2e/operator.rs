//! The commands for those who run the host: what they tell of real machines, and a shell in a guest.

use std::io::Read;

use anyhow::{Context, Result};
use serde_json::Value;
use virtcontainers_tests::Place;
use virtcontainers_tests::pty::Pty;

use crate::detached::Running;

fn json<'a>(place: &Place, words: impl IntoIterator<Item = &'a str>) -> Result<Value> {
    let said = place.vc(words).finish()?.expect(0)?;
    Ok(serde_json::from_slice(&said.stdout)?)
}

/// The names of the fields of an object.
fn names(value: &Value) -> Vec<&str> {
    let fields = value.as_object().into_iter().flatten();
    fields.map(|(name, _)| name.as_str()).collect()
}

/// Makes a sandbox that has a debug shell.
fn with_shell(place: &Place, name: &str) -> Result<String> {
    let config = place.path("debug.toml");
    std::fs::write(&config, "[agent.kata]\ndebug_console_enabled = true\n")?;
    let config = config.to_str().context("not UTF-8")?;
    let id = place.id(name);
    let options = ["--config", config, "--detach"];
    let run = place.run(&id, options, ["sleep", "100000"]);
    run.output_to(&place.path("."))?.finish()?.expect(0)?;
    Ok(id)
}

/// Types a line in a debug shell; gives what was seen there.
fn type_in(place: &Place, id: &str, line: &str) -> Result<String> {
    let typed = format!("{line}\n");
    let said = place.vc(["console", id]).finish_with(typed.as_bytes())?;
    Ok(said.expect(0)?.text())
}

#[test]
fn logs_are_followed_to_the_end_of_the_sandbox() -> Result<()> {
    let place = Place::new()?;
    let id = with_shell(&place, "logs")?;
    type_in(&place, &id, "echo '<1>first words' > /dev/kmsg")?;
    let mut follow = place
        .vc(["logs", "--follow", "--source", "console", &id])
        .start()?;
    let mut stdout = follow.take_stdout().context("no output")?;
    let mut seen = String::new();
    read_until(&mut stdout, "first words", &mut seen)?;
    type_in(&place, &id, "echo '<1>more words' > /dev/kmsg")?;
    read_until(&mut stdout, "more words", &mut seen)?;
    place.vc(["sandbox", "stop", &id]).finish()?.expect(0)?;
    stdout.read_to_string(&mut seen)?;
    follow.finish()?.expect(0)?;
    assert_eq!(seen.matches("first words").count(), 1, "{seen}");

    let all = place.vc(["logs", &id]).finish()?.expect(0)?.text();
    let line = all.lines().find(|line| line.contains("more words"));
    let line = line.with_context(|| all.clone())?;
    assert!(line.starts_with("console    | ["), "{all}");
    let host = ["logs", "--source", "supervisor", &id];
    let host = place.vc(host).finish()?.expect(0)?.text();
    assert!(!host.contains("words"), "{host}");
    place.vc(["delete", &id]).finish()?.expect(0)?;
    let gone = place.vc(["logs", &id]).finish()?.expect(1)?;
    assert!(gone.stderr.contains(&id), "{}", gone.stderr);
    place.assert_clean()
}

fn read_until(from: &mut impl Read, text: &str, seen: &mut String) -> Result<()> {
    let mut block = [0; 4096];
    while !seen.contains(text) {
        let count = from.read(&mut block)?;
        anyhow::ensure!(count > 0, "{text:?} was not logged: {seen}");
        seen.push_str(&String::from_utf8_lossy(&block[..count]));
    }
    Ok(())
}

#[test]
fn a_sandbox_is_told_of_and_handled_as_a_whole() -> Result<()> {
    let place = Place::new()?;
    let running = Running::start(&place, "whole")?;
    let id = running.id().to_owned();
    let supervisor = running.supervisor()?;

    let found = json(&place, ["inspect", &id])?;
    assert_eq!(found["state"], "running");
    assert_eq!(found["containers"][0]["id"], *id);
    assert_eq!(found["containers"][0]["pid"], supervisor);
    assert_eq!(found["config"]["memory"], 256);
    let processes = found["processes"].as_array().context("no processes")?;
    for role in ["supervisor", "qemu", "virtiofsd"] {
        let process = processes.iter().find(|one| one["role"] == role);
        let process = process.with_context(|| format!("no {role} in {processes:#?}"))?;
        assert!(process["memory"].as_u64() > Some(100_000), "{process}");
    }
    assert!(found["guest"]["agent_version"].is_string(), "{found}");
    assert_eq!(found["pending"], Value::Array(Vec::new()));
    assert!(!found["shares"].as_array().context("no shares")?.is_empty());
    let table = place
        .vc(["inspect", "--format", "table", &id])
        .finish()?
        .expect(0)?;
    assert!(table.text().contains("virtiofsd"), "{}", table.text());

    let list = json(&place, ["sandbox", "list", "--format", "json"])?;
    assert_eq!(list[0]["id"], *id);
    assert_eq!(list[0]["status"]["state"], "running");
    let quiet = place.vc(["sandbox", "list", "-q"]).finish()?.expect(0)?;
    assert_eq!(quiet.text(), format!("{id}\n"));
    let stats = json(&place, ["sandbox", "stats", "--format", "json", &id])?;
    assert_eq!(names(&stats), ["containers", "host", "id"]);
    assert!(stats["host"]["memory"].as_u64() > Some(1 << 20), "{stats}");
    assert_eq!(stats["containers"][0]["id"], *id);

    let state = |place: &Place| -> Result<Value> {
        Ok(json(place, ["sandbox", "status", "--format", "json", &id])?["state"].clone())
    };
    for (word, expected) in [
        ("pause", "paused"),
        ("resume", "running"),
        ("stop", "stopped"),
    ] {
        place.vc(["sandbox", word, &id]).finish()?.expect(0)?;
        assert_eq!(state(&place)?, expected);
    }
    let refused = place.vc(["sandbox", "pause", &id]).finish()?.expect(1)?;
    assert!(refused.stderr.contains("stopped"), "{}", refused.stderr);
    place.vc(["sandbox", "delete", &id]).finish()?.expect(0)?;
    place.vc(["sandbox", "delete", &id]).finish()?.expect(1)?;
    place
        .vc(["sandbox", "delete", "--force", &id])
        .finish()?
        .expect(0)?;
    place.assert_clean()
}

#[test]
fn the_environment_names_what_a_sandbox_would_get() -> Result<()> {
    let place = Place::new()?;
    let found = json(&place, ["env", "--format", "json"])?;
    let expected = [
        "commit",
        "config",
        "guest",
        "host",
        "hypervisor",
        "notes",
        "spec",
        "version",
    ];
    assert_eq!(names(&found), expected);
    let digest = found["guest"]["kernel"]["sha256"].as_str();
    assert_eq!(digest.map(str::len), Some(64), "{found}");
    assert!(
        found["hypervisor"]["version"]
            .as_str()
            .context("no version")?
            .contains("QEMU")
    );
    assert_eq!(
        found["config"]["effective"]["runtime"]["root"],
        place.root().display().to_string()
    );
    let table = place.vc(["env"]).finish()?.expect(0)?.text();
    assert!(table.contains("guest kernel"), "{table}");
    assert!(!table.contains('\x1b'), "no colours for a pipe: {table:?}");
    place.assert_clean()
}

#[test]
fn the_cost_of_a_sandbox_is_measured_on_one_that_is_removed() -> Result<()> {
    let place = Place::new()?;
    let found = json(&place, ["overhead", "--duration", "1", "--format", "json"])?;
    let number = |name: &str| {
        found[name]
            .as_u64()
            .with_context(|| format!("{name} in {found:#}"))
    };
    let (host, guest) = (number("host_memory")?, number("guest_memory_on_host")?);
    assert!(0 < guest && guest < host, "{found:#}");
    assert!(
        number("guest_available")? < number("machine_memory")?,
        "{found:#}"
    );
    let pod = found["pod_fixed"]["memory_mib"]
        .as_u64()
        .context("no figure")?;
    assert!((16..512).contains(&pod), "{found:#}");
    assert!(
        found["pod_fixed"]["cpu_milli"].as_u64() >= Some(10),
        "{found:#}"
    );
    let list = json(&place, ["sandbox", "list", "--format", "json"])?;
    assert_eq!(list, Value::Array(Vec::new()));
    place.assert_clean()
}

#[test]
fn a_debug_shell_is_in_the_guest_and_only_where_it_is_enabled() -> Result<()> {
    let place = Place::new()?;
    let id = with_shell(&place, "debug")?;
    let mut pty = Pty::new(24, 80)?;
    let console = place
        .vc(["console", &id])
        .stdin(pty.user_side()?)
        .stdout(pty.user_side()?)
        .start()?;
    pty.read_until("# ")?;
    // The answer differs from what is typed: the echo is not taken for it.
    pty.write("readlink /proc/1/exe | tr a-z A-Z\n")?;
    pty.read_until("/INIT")?;
    pty.write("exit\n")?;
    console.finish()?.expect(0)?;

    let said = type_in(&place, &id, "cat /proc/cmdline")?;
    assert!(said.contains("agent.debug_console"), "{said}");
    place.vc(["delete", "--force", &id]).finish()?.expect(0)?;

    let running = Running::start(&place, "plain")?;
    let refused = place.vc(["console", running.id()]).finish()?.expect(1)?;
    assert!(
        refused.stderr.contains("debug_console_enabled"),
        "{}",
        refused.stderr
    );
    running.delete()?;
    place.assert_clean()
}
