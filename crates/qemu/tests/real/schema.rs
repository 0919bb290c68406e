//! Every command that we send, and every event that we translate, is in the schema of the QEMU that
//! is installed.

use std::path::Path;

use serde_json::{Value, json};
use tokio::net::UnixStream;

use crate::fixture::Fixture;
use crate::guest::Guest;

/// Asks a machine that nobody else is asking, by its `ctl`.
pub(crate) async fn ask(directory: &Path, command: &str) -> Value {
    ask_with(directory, command, json!({})).await
}

/// The same with arguments.
pub(crate) async fn ask_with(directory: &Path, command: &str, arguments: Value) -> Value {
    let folder = std::fs::File::open(directory).expect("a folder");
    let short = format!(
        "/proc/self/fd/{}/ctl",
        std::os::fd::AsRawFd::as_raw_fd(&folder)
    );
    let stream = UnixStream::connect(short).await.expect("a listener");
    let mut said = Vec::new();
    until(&stream, &mut said, |message| message.get("QMP").is_some()).await;
    say(&stream, &json!({"execute": "qmp_capabilities", "id": 1})).await;
    say(
        &stream,
        &json!({"execute": command, "arguments": arguments, "id": 2}),
    )
    .await;
    until(&stream, &mut said, |message| message["id"] == 2).await["return"].take()
}

async fn say(stream: &UnixStream, message: &Value) {
    let line = format!("{message}\n");
    stream.writable().await.expect("a stream");
    let sent = stream.try_write(line.as_bytes()).expect("room");
    assert_eq!(sent, line.len());
}

async fn until(stream: &UnixStream, said: &mut Vec<u8>, wanted: fn(&Value) -> bool) -> Value {
    loop {
        while let Some(end) = said.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = said.drain(..=end).collect();
            let message = serde_json::from_slice(&line).expect("JSON");
            if wanted(&message) {
                return message;
            }
        }
        stream.readable().await.expect("a stream");
        let mut chunk = [0; 65536];
        match stream.try_read(&mut chunk) {
            Ok(length) => {
                assert_ne!(length, 0, "qemu hung up");
                said.extend_from_slice(&chunk[..length]);
            }
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock),
        }
    }
}

#[tokio::test]
async fn all_that_we_use_is_in_the_schema() {
    let fixture = Fixture::new(Guest::Halts);
    let launched = fixture.launch().await;
    let schema = ask(&fixture.plan.directory, "query-qmp-schema").await;
    let entries = schema.as_array().expect("a list");
    let has = |meta: &str, name: &str| {
        let found = entries
            .iter()
            .find(|e| e["meta-type"] == meta && e["name"] == name);
        found.is_some()
    };
    for command in [
        "qmp_capabilities",
        "query-status",
        "cont",
        "stop",
        "quit",
        "system_powerdown",
        "getfd",
        "closefd",
        "netdev_add",
        "netdev_del",
        "chardev-add",
        "chardev-remove",
        "query-chardev",
        "query-kvm",
        "device_add",
        "device_del",
        "qom-list",
        "qom-get",
    ] {
        assert!(has("command", command), "{command}");
    }
    let events = [
        "STOP",
        "RESUME",
        "SHUTDOWN",
        "GUEST_PANICKED",
        "DEVICE_DELETED",
    ];
    for event in events {
        assert!(has("event", event), "{event}");
    }
    assert!(!has("command", "no-such-command"));
    drop(launched);
    fixture.assert_nothing_is_left();
}
