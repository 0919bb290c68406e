//! When a line was written, as far as that can be told, and lines of several logs in one order.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{LogLine, LogSource};

/// A line, and its time since the epoch; `None` at the beginning of a log that tells no times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Timed {
    pub(super) at: Option<Duration>,
    pub(super) line: LogLine,
}

/// Tells the times of one log's lines: a line without a time of its own has that of the line before.
#[derive(Debug, Default)]
pub(super) struct Clock {
    /// The time of the last line; at first when the file was made.
    last: Option<Duration>,
    /// When the guest's kernel began to count.
    boot: Option<Duration>,
}

impl Clock {
    /// Notes when a file of the log was made; the first one counts.
    pub(super) fn began(&mut self, at: Option<SystemTime>) {
        if self.last.is_none() {
            self.last = at.and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        }
    }

    pub(super) fn stamp(&mut self, line: LogLine) -> Timed {
        let own = match line.source {
            LogSource::Supervisor => recorded(&line.text),
            LogSource::Console => self.since_boot(&line.text),
        };
        self.last = own.max(self.last);
        Timed {
            at: self.last,
            line,
        }
    }

    /// The kernel's first stamp was written when the file was made, or soon after.
    fn since_boot(&mut self, text: &[u8]) -> Option<Duration> {
        let stamp = kernel_stamp(text)?;
        let made = self.last?;
        let boot = *self.boot.get_or_insert_with(|| made.saturating_sub(stamp));
        Some(boot + stamp)
    }
}

/// The time of a supervisor's line, a JSON object with a `time` as in RFC 3339, in UTC.
fn recorded(text: &[u8]) -> Option<Duration> {
    let value: serde_json::Value = serde_json::from_slice(text).ok()?;
    parse_utc(value.get("time")?.as_str()?)
}

fn parse_utc(text: &str) -> Option<Duration> {
    let (date, clock) = text.strip_suffix('Z')?.split_once('T')?;
    let mut date = date.split('-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let mut clock = clock.splitn(3, ':');
    let hours: u64 = clock.next()?.parse().ok()?;
    let minutes: u64 = clock.next()?.parse().ok()?;
    let seconds: f64 = clock.next()?.parse().ok()?;
    let days = u64::try_from(days_since_epoch(year, month, day)).ok()?;
    let whole = Duration::from_secs((days * 24 + hours) * 3600 + minutes * 60);
    Some(whole + Duration::try_from_secs_f64(seconds).ok()?)
}

/// Days from 1970-01-01 in the Gregorian calendar: years begin in March, so that the leap day is the
/// last of a year, and 400 of them have 146,097 days.
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leap_days + of_year - 719_468
}

/// The stamp before a line of the kernel: `[    1.234567] `.
fn kernel_stamp(text: &[u8]) -> Option<Duration> {
    let end = text.iter().take(20).position(|byte| *byte == b']')?;
    let inside = std::str::from_utf8(text.get(1..end)?).ok()?;
    if text[0] != b'[' {
        return None;
    }
    Duration::try_from_secs_f64(inside.trim_start().parse().ok()?).ok()
}

/// One order for the lines of several logs, each of which keeps its own.
pub(super) fn merge(logs: Vec<Vec<Timed>>) -> Vec<LogLine> {
    let mut all: Vec<Timed> = logs.into_iter().flatten().collect();
    // Stable, and within one log times never go back.
    all.sort_by_key(|timed| timed.at);
    all.into_iter().map(|timed| timed.line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_in_utc() {
        let seconds = |text: &str| parse_utc(text).map(|time| time.as_secs_f64());
        assert_eq!(seconds("1970-01-01T00:00:00Z"), Some(0.0));
        assert_eq!(seconds("2000-02-29T00:00:01.5Z"), Some(951_782_401.5));
        assert_eq!(seconds("2024-03-01T00:00:00Z"), Some(1_709_251_200.0));
        assert_eq!(
            seconds("2026-11-22T05:21:06.000000Z"),
            Some(1_795_324_866.0)
        );
        for text in ["", "2026-11-22", "2026-11-22T05:21:06", "x-y-zTa:b:cZ"] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }

    #[test]
    fn stamps_of_a_kernel() {
        let stamp = |text: &str| kernel_stamp(text.as_bytes()).map(|time| time.as_millis());
        assert_eq!(stamp("[    1.250000] Linux version"), Some(1250));
        assert_eq!(stamp("[12345.000001] x"), Some(12_345_000));
        for text in ["", "[", "[x] y", "1.0] y", "vc-guest-agent: INFO: [1.0]"] {
            assert_eq!(stamp(text), None, "{text}");
        }
    }

    #[test]
    fn a_line_without_a_time_follows_the_line_before_it() {
        let line = |source, text: &str| LogLine {
            source,
            text: text.as_bytes().to_vec(),
        };
        let stamp = |clock: &mut Clock, source, texts: &[&str]| -> Vec<Timed> {
            let lines = texts.iter().map(|text| line(source, text));
            lines.map(|line| clock.stamp(line)).collect()
        };
        let mut guest = Clock::default();
        guest.began(Some(UNIX_EPOCH + Duration::from_secs(100)));
        let guest = stamp(
            &mut guest,
            LogSource::Console,
            &["firmware", "[    0.500000] a", "agent", "[    9.500000] b"],
        );
        let mut host = Clock::default();
        let host = stamp(
            &mut host,
            LogSource::Supervisor,
            &[
                r#"{"time":"1970-01-01T00:01:41Z","msg":"x"}"#,
                "panicked",
                r#"{"time":"1970-01-01T00:01:59Z","msg":"y"}"#,
            ],
        );
        let merged = merge(vec![guest, host]);
        let order: Vec<char> = merged
            .iter()
            .map(|line| char::from(*line.text.last().unwrap()))
            .collect();
        assert_eq!(order, ['e', 'a', 't', '}', 'd', 'b', '}']);
    }
}
