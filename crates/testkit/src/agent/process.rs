//! A simulated process: a script that runs between pipes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::{Mutex, watch};

use super::program::{Output, Program, Step};

/// What a pipe holds (pipe(7)).
const PIPE: usize = 64 * 1024;
const SIGKILL: u32 = 9;

/// The handle of a process; the script holds the other ends of the pipes.
#[derive(Debug, Clone)]
pub(super) struct Process {
    pub(super) identity: Identity,
    /// Its status was delivered.
    pub(super) waited: bool,
    pub(super) terminal: bool,
    pub(super) window: Option<(u32, u32)>,
    pub(super) stdin: Arc<Mutex<Option<DuplexStream>>>,
    pub(super) stdout: Stream,
    pub(super) stderr: Stream,
    /// The status, once it ended.
    pub(super) status: watch::Receiver<Option<i32>>,
    signal: watch::Sender<Option<u32>>,
    start: watch::Sender<bool>,
    ignored: Vec<u32>,
}

/// What a list of processes says of one.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    /// Its number in the container.
    pub(super) pid: u32,
    /// Its number in the guest.
    pub(super) guest_pid: u32,
    pub(super) args: Vec<String>,
}

/// One end of an output pipe, with what is needed to notice misuse.
#[derive(Debug, Clone)]
pub(super) struct Stream {
    pipe: Arc<Mutex<DuplexStream>>,
    written: Arc<AtomicU64>,
    read: Arc<AtomicU64>,
    reading: Arc<AtomicBool>,
}

impl Stream {
    fn new() -> (Self, Writer) {
        let (ours, theirs) = duplex(PIPE);
        let written = Arc::new(AtomicU64::new(0));
        let stream = Self {
            pipe: Arc::new(Mutex::new(ours)),
            written: Arc::clone(&written),
            read: Arc::default(),
            reading: Arc::default(),
        };
        let pipe = theirs;
        (stream, Writer { pipe, written })
    }

    /// Bytes that were written and not read.
    pub(super) fn unread(&self) -> u64 {
        let written = self.written.load(Ordering::SeqCst);
        written.saturating_sub(self.read.load(Ordering::SeqCst))
    }

    /// Marks the beginning of a read; `None` when one is under way.
    pub(super) fn begin_read(&self) -> Option<Reading> {
        let busy = self.reading.swap(true, Ordering::SeqCst);
        (!busy).then(|| Reading(Arc::clone(&self.reading)))
    }

    /// Waits for output; empty at its end.
    pub(super) async fn read(&self, max: u32) -> Vec<u8> {
        let mut pipe = self.pipe.lock().await;
        let mut data = vec![0; max as usize];
        let count = pipe.read(&mut data).await.unwrap_or(0);
        self.read.fetch_add(count as u64, Ordering::SeqCst);
        data.truncate(count);
        data
    }
}

/// A read under way.
#[derive(Debug)]
pub(super) struct Reading(Arc<AtomicBool>);

impl Drop for Reading {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

#[derive(Debug)]
struct Writer {
    pipe: DuplexStream,
    written: Arc<AtomicU64>,
}

impl Writer {
    async fn write(&mut self, data: &[u8]) {
        self.written.fetch_add(data.len() as u64, Ordering::SeqCst);
        // The reader may be gone; then the rest goes nowhere.
        drop(self.pipe.write_all(data).await);
    }
}

impl Process {
    /// A process that waits for [`start`](Self::start). Must be called within a runtime.
    pub(super) fn create(program: Program, identity: Identity, terminal: bool) -> Self {
        let (stdin, input) = duplex(PIPE);
        let (stdout, out) = Stream::new();
        let (stderr, err) = Stream::new();
        let (ended, status) = watch::channel(None);
        let (signal, signals) = watch::channel(None);
        let (start, started) = watch::channel(false);
        let ignored = program.ignored.clone();
        let script = Script {
            program,
            terminal,
            input,
            out,
            err,
        };
        tokio::spawn(async move {
            ended.send_replace(Some(script.run(started, signals).await));
        });
        Self {
            identity,
            waited: false,
            terminal,
            window: None,
            stdin: Arc::new(Mutex::new(Some(stdin))),
            stdout,
            stderr,
            status,
            signal,
            start,
            ignored,
        }
    }

    pub(super) fn start(&self) {
        self.start.send_replace(true);
    }

    pub(super) fn has_ended(&self) -> bool {
        self.status.borrow().is_some()
    }

    pub(super) fn kill(&self, signal: u32) {
        if signal == SIGKILL || signal != 0 && !self.ignored.contains(&signal) {
            self.signal.send_replace(Some(signal));
        }
    }
}

/// The inside of a process.
#[derive(Debug)]
struct Script {
    program: Program,
    terminal: bool,
    input: DuplexStream,
    out: Writer,
    err: Writer,
}

impl Script {
    async fn run(
        mut self,
        mut started: watch::Receiver<bool>,
        mut signals: watch::Receiver<Option<u32>>,
    ) -> i32 {
        let status = self.program.status;
        let life = async {
            if self.program.dies_early {
                return status;
            }
            // Ends with an error when the process was forgotten; then the script is, too.
            if started.wait_for(|started| *started).await.is_err() {
                return status;
            }
            for step in std::mem::take(&mut self.program.steps) {
                self.step(step).await;
            }
            status
        };
        tokio::select! {
            biased;
            Ok(signal) = signals.wait_for(Option::is_some) => {
                128 + signal.unwrap_or_default().cast_signed()
            }
            status = life => status,
        }
    }

    async fn step(&mut self, step: Step) {
        match step {
            Step::Write(output, data) => self.writer(output).write(&data).await,
            Step::Flood(output, mut left) => {
                // A multiple of the pattern's period, so that chunks join without a seam.
                let chunk: Vec<u8> = (0..251 * 64).map(|n| (n % 251) as u8).collect();
                while left > 0 {
                    let length = left.min(chunk.len() as u64) as usize;
                    self.writer(output).write(&chunk[..length]).await;
                    left -= length as u64;
                }
            }
            Step::Cat => {
                let mut buffer = vec![0; PIPE];
                while let Ok(count @ 1..) = self.input.read(&mut buffer).await {
                    let end_of_file = self.terminal && buffer[..count].contains(&4);
                    self.out.write(&buffer[..count]).await;
                    if end_of_file {
                        break;
                    }
                }
            }
            Step::Drain => drop(tokio::io::copy(&mut self.input, &mut tokio::io::sink()).await),
            Step::Block => std::future::pending().await,
        }
    }

    fn writer(&mut self, output: Output) -> &mut Writer {
        match output {
            Output::Stderr if !self.terminal => &mut self.err,
            _ => &mut self.out,
        }
    }
}
