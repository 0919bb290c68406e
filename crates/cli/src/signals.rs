//! Signals: by name, and those of ours that a container gets.

use std::collections::VecDeque;
use std::str::FromStr;
use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal as Stream, SignalKind, signal};

/// A signal number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Signal(pub(crate) u32);

/// Linux on x86-64 (signal(7)).
const NAMES: [(&str, u32); 31] = [
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ILL", 4),
    ("TRAP", 5),
    ("ABRT", 6),
    ("BUS", 7),
    ("FPE", 8),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
    ("STKFLT", 16),
    ("CHLD", 17),
    ("CONT", 18),
    ("STOP", 19),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("VTALRM", 26),
    ("PROF", 27),
    ("WINCH", 28),
    ("IO", 29),
    ("PWR", 30),
    ("SYS", 31),
];

impl FromStr for Signal {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(number @ 0..=64) = text.parse() {
            return Ok(Self(number));
        }
        let upper = text.to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        match NAMES.iter().find(|(known, _)| *known == name) {
            Some((_, number)) => Ok(Self(*number)),
            None => Err(format!(
                "unknown signal {text:?}: use a name such as TERM, or 0 to 64"
            )),
        }
    }
}

/// Our own signals that are meant for the container.
#[derive(Debug)]
pub(crate) struct Incoming {
    streams: Vec<(u32, Stream)>,
    interrupts: VecDeque<Instant>,
}

/// How many interrupts within [`IMPATIENCE`] end the machine.
const IMPATIENT: usize = 3;
const IMPATIENCE: Duration = Duration::from_secs(2);

impl Incoming {
    /// Takes over the signals from here on.
    pub(crate) fn listen() -> std::io::Result<Self> {
        let wanted = [
            (1, SignalKind::hangup()),
            (2, SignalKind::interrupt()),
            (3, SignalKind::quit()),
            (10, SignalKind::user_defined1()),
            (12, SignalKind::user_defined2()),
            (15, SignalKind::terminate()),
        ];
        let streams = wanted
            .into_iter()
            .map(|(number, kind)| Ok((number, signal(kind)?)))
            .collect::<std::io::Result<_>>()?;
        Ok(Self {
            streams,
            interrupts: VecDeque::new(),
        })
    }

    /// The next signal. Safe to drop.
    pub(crate) async fn next(&mut self) -> Signal {
        std::future::poll_fn(|task| {
            for (number, stream) in &mut self.streams {
                if stream.poll_recv(task).is_ready() {
                    return std::task::Poll::Ready(Signal(*number));
                }
            }
            std::task::Poll::Pending
        })
        .await
    }

    /// Notes an interrupt; `true` at the third within two seconds.
    pub(crate) fn is_impatient(&mut self, signal: Signal, now: Instant) -> bool {
        if signal != Signal(2) {
            return false;
        }
        self.interrupts.push_back(now);
        self.interrupts
            .retain(|then| now.duration_since(*then) < IMPATIENCE);
        self.interrupts.len() >= IMPATIENT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_by_name_and_number() {
        for (text, number) in [
            ("TERM", 15),
            ("SIGKILL", 9),
            ("sigint", 2),
            ("9", 9),
            ("64", 64),
            ("0", 0),
        ] {
            assert_eq!(text.parse(), Ok(Signal(number)), "{text}");
        }
        for text in ["", "65", "SIG", "NOSUCH", "-1"] {
            assert!(text.parse::<Signal>().is_err(), "{text}");
        }
    }

    #[tokio::test]
    async fn the_third_interrupt_in_a_row_is_impatience() {
        let mut incoming = Incoming::listen().unwrap();
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let rows = [
            (0, false),
            (1500, false),
            (2500, false),
            (3000, true),
            (3100, true),
        ];
        for (millis, impatient) in rows {
            assert_eq!(
                incoming.is_impatient(Signal(2), at(millis)),
                impatient,
                "{millis}"
            );
        }
        assert!(!incoming.is_impatient(Signal(15), at(3200)));
    }
}
