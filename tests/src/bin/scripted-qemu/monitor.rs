//! One monitor: the conversation with its clients.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};

use serde_json::{Value, json};

use crate::machine::{Answer, Machine, Status};

/// Serves one client after the other.
pub(crate) fn serve(listener: &UnixListener, machine: &Machine) {
    while let Ok((client, _)) = listener.accept() {
        // A client may go at any time.
        drop(converse(client, machine));
    }
}

fn converse(mut client: UnixStream, machine: &Machine) -> io::Result<()> {
    let version = json!({"qemu": {"micro": 0, "minor": 2, "major": 7}, "package": ""});
    let greeting = json!({"QMP": {"version": version, "capabilities": []}});
    say(&mut client, &greeting)?;
    let lines = BufReader::new(client.try_clone()?).lines();
    let mut negotiated = false;
    for line in lines {
        let request: Value = serde_json::from_str(&line?)?;
        let name = request["execute"].as_str().unwrap_or_default();
        let result = match (negotiated, name) {
            (false, "qmp_capabilities") => {
                negotiated = true;
                machine.listen(client.try_clone()?);
                Ok(json!({}))
            }
            (false, _) => Err(("CommandNotFound", "negotiate first")),
            (true, name) => execute(machine, name, &request["arguments"]),
        };
        let mut reply = match result {
            Ok(value) => json!({"return": value}),
            Err((class, text)) => json!({"error": {"class": class, "desc": text}}),
        };
        reply["id"] = request["id"].clone();
        say(&mut client, &reply)?;
        machine.settle();
        if name == "quit" {
            machine.end();
        }
    }
    Ok(())
}

/// Executes a command; its event comes before its reply, as QEMU has it.
fn execute(machine: &Machine, name: &str, arguments: &Value) -> Answer {
    if let Some(answer) = machine.execute(name, arguments) {
        return answer;
    }
    match name {
        "query-status" => {
            let status = machine.status();
            let running = status == Status::Running;
            return Ok(json!({"running": running, "status": status.as_str()}));
        }
        "cont" => machine.turn(Status::Running, "RESUME"),
        "stop" => machine.turn(Status::Paused, "STOP"),
        "system_powerdown" => machine.tell("POWERDOWN"),
        "quit" => {}
        _ => return Err(("CommandNotFound", "the script does not know it")),
    }
    Ok(json!({}))
}

fn say(client: &mut UnixStream, value: &Value) -> io::Result<()> {
    client.write_all(format!("{value}\r\n").as_bytes())
}
