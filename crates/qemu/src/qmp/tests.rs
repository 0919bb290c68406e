//! A scripted peer on the other end of a socket pair.

use std::time::Duration;

use qapi::qmp;
use serde_json::Value;
use tokio::net::UnixStream;

use super::{Failure, Monitor};

mod passing;
mod spans;

const SOON: Duration = Duration::from_secs(10);
const GREETING: &str = r#"{"QMP":{"version":{"qemu":{"micro":22,"minor":2,"major":7},"package":""},"capabilities":["oob"]}}"#;

/// QEMU's end, driven by the test.
struct Peer(UnixStream);

impl Peer {
    async fn say(&self, line: &str) {
        let mut rest: Vec<u8> = format!("{line}\r\n").into_bytes();
        while !rest.is_empty() {
            self.0.writable().await.expect("a socket");
            match self.0.try_write(&rest) {
                Ok(sent) => drop(rest.drain(..sent)),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// The next command and its id.
    async fn hear(&self) -> (String, u64) {
        let mut line = Vec::new();
        loop {
            self.0.readable().await.expect("a socket");
            let mut byte = [0];
            match self.0.try_read(&mut byte) {
                Ok(0) => panic!("the client hung up"),
                Ok(_) if byte == *b"\n" => break,
                Ok(_) => line.extend_from_slice(&byte),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(error) => panic!("{error}"),
            }
        }
        let command: Value = serde_json::from_slice(&line).expect("JSON");
        let name = command["execute"].as_str().expect("a name").to_owned();
        (name, command["id"].as_u64().expect("an id"))
    }

    async fn answer(&self, id: u64, value: &str) {
        self.say(&format!(r#"{{"return": {value}, "id": {id}}}"#))
            .await;
    }
}

async fn connected() -> (Monitor, Peer) {
    let (ours, theirs) = UnixStream::pair().expect("a pair");
    let peer = Peer(theirs);
    let play = async {
        peer.say(GREETING).await;
        let (name, id) = peer.hear().await;
        assert_eq!(name, "qmp_capabilities");
        peer.answer(id, "{}").await;
    };
    let (monitor, ()) = tokio::join!(Monitor::negotiate(ours, "mon", SOON), play);
    (monitor.expect("a negotiation"), peer)
}

#[tokio::test]
async fn the_resume_event_comes_before_the_reply_to_cont() {
    let (monitor, peer) = connected().await;
    let mut events = monitor.events().expect("a connection");
    let play = async {
        let (name, id) = peer.hear().await;
        assert_eq!(name, "cont");
        let event = r#"{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "RESUME"}"#;
        peer.say(event).await;
        peer.answer(id, "{}").await;
    };
    let (answer, ()) = tokio::join!(monitor.execute(qmp::cont {}, SOON), play);
    answer.expect("an empty answer");
    assert!(matches!(events.recv().await, Ok(qmp::Event::RESUME { .. })));
}

#[tokio::test]
async fn answers_find_their_questions_in_any_order() {
    let (monitor, peer) = connected().await;
    let play = async {
        let (first, first_id) = peer.hear().await;
        let (second, second_id) = peer.hear().await;
        assert_eq!((first.as_str(), second.as_str()), ("query-status", "stop"));
        peer.answer(second_id, "{}").await;
        let status = r#"{"status": "paused", "singlestep": false, "running": false}"#;
        peer.answer(first_id, status).await;
    };
    let (status, stopped, ()) = tokio::join!(
        monitor.execute(qmp::query_status {}, SOON),
        monitor.execute(qmp::stop {}, SOON),
        play
    );
    assert_eq!(status.expect("a status").status, qmp::RunState::paused);
    stopped.expect("an empty answer");
}

#[tokio::test]
async fn a_dropped_question_does_not_shift_answers() {
    let (monitor, peer) = connected().await;
    let short = Duration::from_millis(20);
    let dropped = monitor.execute(qmp::stop {}, short).await;
    assert!(matches!(
        dropped,
        Err(Failure::Timeout {
            command: "stop",
            ..
        })
    ));
    let play = async {
        let (_, stop) = peer.hear().await;
        let (_, cont) = peer.hear().await;
        peer.answer(stop, "{}").await;
        peer.say(&format!(
            r#"{{"id": {cont}, "error": {{"class": "GenericError", "desc": "no"}}}}"#
        ))
        .await;
    };
    let (answer, ()) = tokio::join!(monitor.execute(qmp::cont {}, SOON), play);
    let Err(Failure::Refused {
        command,
        class,
        text,
    }) = answer
    else {
        panic!("{answer:?}");
    };
    assert_eq!(
        (command, class.as_str(), text.as_str()),
        ("cont", "GenericError", "no")
    );
}

#[tokio::test]
async fn every_waiter_learns_of_the_end() {
    let (monitor, peer) = connected().await;
    let mut events = monitor.events().expect("a connection");
    let play = async {
        peer.hear().await;
        peer.hear().await;
        drop(peer);
    };
    let (one, two, ()) = tokio::join!(
        monitor.execute(qmp::stop {}, SOON),
        monitor.execute(qmp::cont {}, SOON),
        play
    );
    assert!(matches!(one, Err(Failure::Gone(_))), "{one:?}");
    assert!(matches!(two, Err(Failure::Gone(_))), "{two:?}");
    let later = monitor.execute(qmp::cont {}, SOON).await;
    assert!(matches!(later, Err(Failure::Gone(_))), "{later:?}");
    assert!(events.recv().await.is_err());
    assert!(monitor.events().is_none());
}

#[tokio::test]
async fn nonsense_ends_the_connection() {
    let answer_to_nothing = r#"{"return": {}, "id": 77}"#;
    let without_id = r#"{"error": {"class": "GenericError", "desc": "JSON parse error"}}"#;
    for line in ["nonsense", "[]", answer_to_nothing, without_id, GREETING] {
        let (monitor, peer) = connected().await;
        let play = async {
            peer.hear().await;
            peer.say(line).await;
        };
        let (answer, ()) = tokio::join!(monitor.execute(qmp::stop {}, SOON), play);
        assert!(
            matches!(answer, Err(Failure::Corrupt(_))),
            "{line}: {answer:?}"
        );
    }
}

#[tokio::test]
async fn an_event_of_a_later_version_is_passed_over() {
    let (monitor, peer) = connected().await;
    let play = async {
        let (_, id) = peer.hear().await;
        peer.say(r#"{"event": "NEWS", "data": {"a": 1}, "timestamp": {}}"#)
            .await;
        peer.answer(id, "{}").await;
    };
    let (answer, ()) = tokio::join!(monitor.execute(qmp::stop {}, SOON), play);
    answer.expect("an empty answer");
}

#[tokio::test]
async fn a_monitor_in_use_by_another_gives_no_greeting() {
    let (ours, _theirs) = UnixStream::pair().expect("a pair");
    let refused = Monitor::negotiate(ours, "mon", Duration::from_millis(20)).await;
    assert!(matches!(refused, Err(Failure::Timeout { .. })));
}

#[tokio::test]
async fn a_slow_subscriber_loses_the_oldest_and_holds_nobody_up() {
    let (monitor, peer) = connected().await;
    let mut events = monitor.events().expect("a connection");
    let play = async {
        let (_, id) = peer.hear().await;
        for _ in 0..1000 {
            peer.say(r#"{"event": "STOP", "timestamp": {"seconds": 1, "microseconds": 2}}"#)
                .await;
        }
        peer.answer(id, "{}").await;
    };
    let (answer, ()) = tokio::join!(monitor.execute(qmp::stop {}, SOON), play);
    answer.expect("an empty answer");
    let lagged = events.recv().await.expect_err("it is behind");
    let expected = tokio::sync::broadcast::error::RecvError::Lagged(1000 - 64);
    assert_eq!(lagged, expected);
    assert!(events.recv().await.is_ok());
}
