//! Messages on standard error: short lines for people, or one JSON object a line for programs.

use std::collections::BTreeMap;
use std::fmt;
use std::io::IsTerminal;

use serde_json::{Value, json};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::args::{Global, LogFormat};

/// Sets up logging for a command. `RUST_LOG` wins over `--verbose`.
pub(crate) fn init(global: &Global) {
    let default = match global.verbose {
        0 => "warn",
        1 => "info",
        2 => "debug",
        _ => "trace",
    };
    start(default, global.log_format);
}

/// Sets up logging for a supervisor: JSON, into the file that its standard error is.
pub(crate) fn for_supervisor() {
    start("warn", LogFormat::Json);
}

fn start(default: &str, format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .event_format(Lines(format))
        .init();
}

/// One event, one line.
struct Lines(LogFormat);

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        match self.0 {
            LogFormat::Text => fields.write_text(&mut writer, *event.metadata().level()),
            LogFormat::Json => writeln!(writer, "{}", fields.into_json(*event.metadata().level())),
        }
    }
}

#[derive(Default)]
struct Fields {
    message: String,
    others: BTreeMap<&'static str, Value>,
}

impl Fields {
    fn write_text(&self, writer: &mut Writer<'_>, level: Level) -> fmt::Result {
        write!(writer, "vc: ")?;
        if level <= Level::WARN {
            write!(writer, "{}: ", level.as_str().to_ascii_lowercase())?;
        }
        write!(writer, "{}", self.message)?;
        for (name, value) in &self.others {
            match value {
                Value::String(text) => write!(writer, " {name}={text}")?,
                other => write!(writer, " {name}={other}")?,
            }
        }
        writeln!(writer)
    }

    fn into_json(self, level: Level) -> Value {
        let mut object = serde_json::Map::new();
        object.insert("level".into(), json!(level.as_str().to_ascii_lowercase()));
        object.insert("msg".into(), json!(self.message));
        object.insert("time".into(), json!(now()));
        object.extend(
            self.others
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value)),
        );
        Value::Object(object)
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            name => {
                self.others.insert(name, json!(format!("{value:?}")));
            }
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => value.clone_into(&mut self.message),
            name => {
                self.others.insert(name, json!(value));
            }
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.others.insert(field.name(), json!(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.others.insert(field.name(), json!(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.others.insert(field.name(), json!(value));
    }
}

/// The time in RFC 3339.
pub(crate) fn now() -> String {
    let mut text = String::new();
    let formatted = SystemTime.format_time(&mut Writer::new(&mut text));
    if formatted.is_err() {
        text.clear();
    }
    text
}
