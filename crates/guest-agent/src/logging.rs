//! Where the agent's own words go: short lines on the console, or, when a log port was asked for,
//! JSON lines that wait in a bounded buffer until the host connects.

use std::collections::VecDeque;
use std::io::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use log::{Level, LevelFilter, Log, Metadata, Record};
use tokio::io::AsyncWriteExt;
use tokio::sync::Notify;
use tokio_vsock::{VMADDR_CID_ANY, VsockAddr, VsockListener};

/// Bytes of log kept for a host that is slow or not there; older lines go first.
const BACKLOG: usize = 64 * 1024;

/// Installs the console logger, or the stream's when `vport` is not 0, and returns the stream.
pub(crate) fn install(level: LevelFilter, vport: u32) -> Option<Arc<LogStream>> {
    log::set_max_level(level);
    let (logger, stream): (Box<dyn Log>, _) = if vport == 0 {
        (Box::new(Console), None)
    } else {
        let stream = Arc::new(LogStream::default());
        (Box::new(Streamed(Arc::clone(&stream))), Some(stream))
    };
    // A second logger is only ever set in unit tests; the first one stays.
    if log::set_boxed_logger(logger).is_err() {
        return None;
    }
    std::panic::set_hook(Box::new(|info| log::error!("{info}")));
    stream
}

/// ttrpc and netlink report every refused request as an error; only their trace is worth having.
fn wanted(metadata: &Metadata<'_>) -> bool {
    metadata.target().starts_with("vc_guest_agent")
        || log::max_level() >= LevelFilter::Debug && metadata.level() <= Level::Warn
        || log::max_level() >= LevelFilter::Trace
}

struct Console;

impl Log for Console {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        wanted(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if wanted(record.metadata()) {
            let line = format!("vc-guest-agent: {}: {}\n", record.level(), record.args());
            drop(std::io::stderr().write_all(line.as_bytes()));
        }
    }

    fn flush(&self) {}
}

/// Lines on their way to the host.
#[derive(Debug, Default)]
pub(crate) struct LogStream {
    lines: Mutex<VecDeque<String>>,
    filled: Notify,
}

struct Streamed(Arc<LogStream>);

impl Log for Streamed {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        wanted(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if wanted(record.metadata()) {
            self.0.push(json_line(record, SystemTime::now()));
        }
    }

    fn flush(&self) {}
}

impl LogStream {
    fn push(&self, line: String) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.push_back(line);
        while lines.iter().map(String::len).sum::<usize>() > BACKLOG {
            lines.pop_front();
        }
        drop(lines);
        self.filled.notify_one();
    }

    async fn next(&self) -> String {
        loop {
            if let Some(line) = self
                .lines
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .pop_front()
            {
                return line;
            }
            self.filled.notified().await;
        }
    }

    /// Serves the log on a vsock port, one connection after the other, for ever.
    /// A line that was being written when its connection ended is lost.
    pub(crate) async fn serve(self: Arc<Self>, port: u32) {
        let listener = match VsockListener::bind(VsockAddr::new(VMADDR_CID_ANY, port)) {
            Ok(listener) => listener,
            Err(error) => {
                drop(writeln!(
                    std::io::stderr(),
                    "vc-guest-agent: log port {port}: {error}"
                ));
                return;
            }
        };
        while let Ok((mut peer, _)) = listener.accept().await {
            while AsyncWriteExt::write_all(&mut peer, self.next().await.as_bytes())
                .await
                .is_ok()
            {}
        }
    }
}

/// One record in the form that readers of the log port expect.
fn json_line(record: &Record<'_>, now: SystemTime) -> String {
    let level = match record.level() {
        Level::Error => "ERRO",
        Level::Warn => "WARN",
        Level::Info => "INFO",
        Level::Debug => "DEBG",
        Level::Trace => "TRCE",
    };
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut line = serde_json::json!({
        "msg": record.args().to_string(),
        "level": level,
        "ts": timestamp(since.as_secs(), since.subsec_nanos()),
        "name": "vc-guest-agent",
        "version": env!("CARGO_PKG_VERSION"),
        "source": "agent",
        "subsystem": record.module_path().unwrap_or("agent"),
        "pid": std::process::id().to_string(),
    })
    .to_string();
    line.push('\n');
    line
}

/// RFC 3339 in UTC, from seconds since the epoch (the calendar rule of Howard Hinnant's
/// `civil_from_days`).
fn timestamp(seconds: u64, nanos: u32) -> String {
    let days = (seconds / 86_400) as i64 + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{nanos:09}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00.000000000Z"),
            (951_782_400, "2000-02-29T00:00:00.000000000Z"),
            (1_704_067_199, "2023-12-31T23:59:59.000000000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000000000Z"),
        ] {
            assert_eq!(timestamp(seconds, 0), text);
        }
    }

    #[test]
    fn the_backlog_is_bounded_and_drops_the_oldest() {
        let stream = LogStream::default();
        for number in 0..10_000 {
            stream.push(format!("line {number:05} {}\n", "x".repeat(80)));
        }
        let lines = stream.lines.lock().unwrap();
        assert!(lines.iter().map(String::len).sum::<usize>() <= BACKLOG);
        assert!(lines.back().unwrap().starts_with("line 09999"));
    }
}
