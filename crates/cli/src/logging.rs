//! Messages: short lines for people on standard error; in a log file, or for programs, lines of pairs
//! or of JSON.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use clap::ValueEnum;
use serde_json::{Value, json};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::args::{Global, LogFormat};
use crate::clock::now;

/// Where messages go, and how they are written.
#[derive(Debug, Clone)]
pub(crate) struct Log {
    format: LogFormat,
    file: Option<Arc<File>>,
}

impl Log {
    /// Opens what the command line asks for.
    pub(crate) fn open(global: &Global) -> anyhow::Result<Self> {
        Self::at(global.log.as_deref(), global.log_format)
    }

    /// Standard error alone.
    pub(crate) fn stderr(format: LogFormat) -> Self {
        Self { format, file: None }
    }

    /// What can be made out of words that are no valid command line: a manager that wrote them looks
    /// for the reason where it looks for all others.
    pub(crate) fn of_words(words: impl Iterator<Item = OsString>) -> Self {
        let mut words = words.map(|word| word.into_string().unwrap_or_default());
        let (mut file, mut format) = (None, LogFormat::Text);
        while let Some(word) = words.next() {
            let (name, value) = match word.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                None => (word, None),
            };
            match name.as_str() {
                "--log" => file = value.or_else(|| words.next()),
                "--log-format" => {
                    let value = value.or_else(|| words.next()).unwrap_or_default();
                    format = LogFormat::from_str(&value, true).unwrap_or(format);
                }
                "--" => break,
                _ => {}
            }
        }
        Self::at(file.as_deref().map(Path::new), format).unwrap_or(Self::stderr(format))
    }

    fn at(path: Option<&Path>, format: LogFormat) -> anyhow::Result<Self> {
        let open = |path: &Path| {
            let file = File::options().append(true).create(true).open(path);
            file.with_context(|| format!("cannot write the log file {}", path.display()))
        };
        let file = path.map(open).transpose()?.map(Arc::new);
        Ok(Self { format, file })
    }

    /// Sets up logging for a command. `RUST_LOG` wins over `--verbose`. With a log file, nothing but
    /// the final error is written to standard error, which may be the container's.
    pub(crate) fn start(&self, global: &Global) {
        let verbose = if global.debug { 2 } else { 0 }.max(global.verbose);
        let default = match verbose {
            0 => "warn",
            1 => "info",
            2 => "debug",
            _ => "trace",
        };
        match (&self.file, self.format) {
            (None, format) => {
                let lines = Lines(match format {
                    LogFormat::Text => Shape::Person,
                    LogFormat::Json => Shape::Json,
                });
                start(
                    default,
                    std::io::stderr,
                    lines,
                    std::io::stderr().is_terminal(),
                );
            }
            (Some(file), format) => {
                start(default, Arc::clone(file), Lines(in_file(format)), false);
            }
        }
    }

    /// Writes the final error: its `message` and what else belongs to it. `tell` tells a person.
    pub(crate) fn error(
        &self,
        message: &str,
        others: serde_json::Map<String, Value>,
        tell: impl FnOnce(),
    ) {
        let fields = Fields {
            message: message.to_owned(),
            others: others
                .into_iter()
                .map(|(name, value)| (name.into(), value))
                .collect(),
        };
        if let Some(mut file) = self.file.as_deref() {
            let line = fields.line(in_file(self.format), Level::ERROR);
            // Standard error has it too.
            file.write_all(line.as_bytes()).unwrap_or_default();
        }
        match (&self.file, self.format) {
            (None, LogFormat::Json) => eprint!("{}", fields.line(Shape::Json, Level::ERROR)),
            _ => tell(),
        }
    }
}

fn in_file(format: LogFormat) -> Shape {
    match format {
        LogFormat::Text => Shape::Pairs,
        LogFormat::Json => Shape::Json,
    }
}

/// Sets up logging for a supervisor: JSON, into the file that its standard error is.
pub(crate) fn for_supervisor() {
    start("warn", std::io::stderr, Lines(Shape::Json), false);
}

fn start<W>(default: &str, writer: W, lines: Lines, colours: bool)
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        .with_ansi(colours)
        .event_format(lines)
        .init();
}

/// How a line is written.
#[derive(Debug, Clone, Copy)]
enum Shape {
    /// For somebody who looks on.
    Person,
    /// `name=value` pairs, with the time: a log file.
    Pairs,
    /// An object.
    Json,
}

/// One event, one line.
struct Lines(Shape);

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
        writer.write_str(&fields.line(self.0, *event.metadata().level()))
    }
}

#[derive(Default)]
struct Fields {
    message: String,
    others: BTreeMap<Cow<'static, str>, Value>,
}

impl Fields {
    /// The whole line, with its end.
    fn line(&self, shape: Shape, level: Level) -> String {
        let mut line = match shape {
            Shape::Person => self.for_person(level),
            Shape::Pairs => self.pairs(level),
            Shape::Json => self.json(level).to_string(),
        };
        line.push('\n');
        line
    }

    fn for_person(&self, level: Level) -> String {
        let mut line = "vc: ".to_owned();
        if level <= Level::WARN {
            line.push_str(word(level));
            line.push_str(": ");
        }
        line.push_str(&self.message);
        for (name, value) in &self.others {
            let value = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            line.push_str(&format!(" {name}={value}"));
        }
        line
    }

    fn pairs(&self, level: Level) -> String {
        let message = json!(self.message);
        let mut line = format!("time=\"{}\" level={} msg={message}", now(), word(level));
        for (name, value) in &self.others {
            line.push_str(&format!(" {name}={value}"));
        }
        line
    }

    fn json(&self, level: Level) -> Value {
        let mut object = serde_json::Map::new();
        object.insert("level".into(), json!(word(level)));
        object.insert("msg".into(), json!(self.message));
        object.insert("time".into(), json!(now()));
        let others = self.others.iter();
        object.extend(others.map(|(name, value)| (name.to_string(), value.clone())));
        Value::Object(object)
    }
}

/// The words that container managers know.
fn word(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warning",
        Level::INFO => "info",
        _ => "debug",
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            name => {
                self.others.insert(name.into(), json!(format!("{value:?}")));
            }
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => value.clone_into(&mut self.message),
            name => {
                self.others.insert(name.into(), json!(value));
            }
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.others.insert(field.name().into(), json!(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.others.insert(field.name().into(), json!(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.others.insert(field.name().into(), json!(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields() -> Fields {
        Fields {
            message: "it \"broke\"".to_owned(),
            others: BTreeMap::from([("id".into(), json!("web"))]),
        }
    }

    #[test]
    fn a_person_a_file_and_a_program() {
        let person = fields().line(Shape::Person, Level::WARN);
        assert_eq!(person, "vc: warning: it \"broke\" id=web\n");
        let pairs = fields().line(Shape::Pairs, Level::ERROR);
        assert!(pairs.starts_with("time=\""), "{pairs}");
        let rest = " level=error msg=\"it \\\"broke\\\"\" id=\"web\"\n";
        assert!(pairs.ends_with(rest), "{pairs}");
        let json: Value = serde_json::from_str(&fields().line(Shape::Json, Level::ERROR)).unwrap();
        assert_eq!(json["level"], "error");
        assert_eq!(json["msg"], "it \"broke\"");
        assert_eq!(json["id"], "web");
    }

    #[test]
    fn a_line_that_is_no_command_still_says_where_to_log() {
        let log = |line: &str| Log::of_words(line.split_whitespace().map(OsString::from));
        assert_eq!(log("vc --log-format json nosuch").format, LogFormat::Json);
        assert_eq!(log("vc --log-format=json nosuch").format, LogFormat::Json);
        let after = log("vc exec x -- --log-format json");
        assert_eq!(after.format, LogFormat::Text);
        assert!(log("vc --log /nosuch/folder/log list").file.is_none());
    }
}
