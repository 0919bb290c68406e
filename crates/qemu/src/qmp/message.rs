//! What a line from QEMU means.

use qapi::qmp::{Event, QapiCapabilities};
use serde::Deserialize;
use serde_json::{Map, Value};

/// One line from QEMU.
#[derive(Debug)]
pub(super) enum Message {
    /// The first line of a connection.
    Greeting(Box<QapiCapabilities>),
    /// The answer to the command with this id.
    Reply {
        /// The command's id.
        id: u64,
        /// The value returned, or QEMU's refusal.
        result: Result<Value, Refusal>,
    },
    /// Something happened.
    Event(Box<Event>),
    /// Something happened that this version of the `qapi` crate has no name for.
    ForeignEvent(String),
}

/// The `error` member of a reply.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Refusal {
    /// `GenericError` nearly always.
    pub(super) class: String,
    /// Text for people.
    pub(super) desc: String,
}

/// A line is not what the protocol allows there.
#[derive(Debug, thiserror::Error)]
pub(super) enum Malformed {
    #[error("it is not JSON")]
    Json(#[from] serde_json::Error),
    #[error("it answers no command: {0}")]
    WithoutId(String),
}

/// Reads a line.
pub(super) fn parse(line: &[u8]) -> Result<Message, Malformed> {
    let members: Map<String, Value> = serde_json::from_slice(line)?;
    if members.contains_key("QMP") {
        let greeting = serde_json::from_value(Value::Object(members))?;
        return Ok(Message::Greeting(Box::new(greeting)));
    }
    if let Some(Value::String(name)) = members.get("event") {
        let name = name.clone();
        return Ok(match serde_json::from_value(Value::Object(members)) {
            Ok(event) => Message::Event(Box::new(event)),
            Err(_) => Message::ForeignEvent(name),
        });
    }
    reply(members)
}

fn reply(mut members: Map<String, Value>) -> Result<Message, Malformed> {
    let refusal = members.remove("error");
    let Some(id) = members.get("id").and_then(Value::as_u64) else {
        // QEMU answers without an id to what it could not even parse.
        let shown = refusal.unwrap_or(Value::Object(members)).to_string();
        return Err(Malformed::WithoutId(shown.chars().take(200).collect()));
    };
    let result = match refusal {
        Some(refusal) => Err(serde_json::from_value(refusal)?),
        None => Ok(members.remove("return").unwrap_or(Value::Null)),
    };
    Ok(Message::Reply { id, result })
}
