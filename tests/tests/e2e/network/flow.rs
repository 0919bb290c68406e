//! A connection that carries bytes both ways for as long as a test wants, and checks every one of
//! them.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;

use anyhow::{Context, Result, anyhow, ensure};
use virtcontainers_tests::Netns;

use super::{PATIENCE, connect, noise};

/// The bytes that are repeated: a length that no buffer has, so that a part that is lost or doubled
/// shows.
const PERIOD: usize = (1 << 20) - 8;

/// How much has to come back for a test to see that the connection still carries, in bytes.
const ENOUGH: u64 = 1 << 20;

/// How much came back, and whether more can.
#[derive(Debug, Default)]
struct Count {
    bytes: u64,
    ended: bool,
}

/// A connection to the echo of a guest.
pub(super) struct Flow {
    stop: Arc<AtomicBool>,
    count: Arc<(Mutex<Count>, Condvar)>,
    sender: JoinHandle<Result<u64>>,
    receiver: JoinHandle<Result<()>>,
}

impl Flow {
    /// Begins to send from a namespace to an address of a guest.
    pub(super) fn start(from: &Netns, to: &str) -> Result<Self> {
        let stream = connect(from, to)?;
        let sending = stream.try_clone()?;
        let stop = Arc::new(AtomicBool::new(false));
        let count = Arc::new((Mutex::default(), Condvar::new()));
        let (stopped, counted) = (Arc::clone(&stop), Arc::clone(&count));
        Ok(Self {
            stop,
            count,
            sender: std::thread::spawn(move || send(sending, &stopped)),
            receiver: std::thread::spawn(move || {
                let received = receive(stream, &counted);
                lock(&counted.0)?.ended = true;
                counted.1.notify_all();
                received
            }),
        })
    }

    /// Waits until some more has come back.
    pub(super) fn goes_on(&self) -> Result<()> {
        let (count, news) = &*self.count;
        let begin = lock(count)?.bytes;
        let waits = |count: &mut Count| count.bytes < begin + ENOUGH && !count.ended;
        let waited = news.wait_timeout_while(lock(count)?, PATIENCE, waits);
        let now = waited.map_err(|_| anyhow!("a thread panicked"))?.0.bytes;
        ensure!(now >= begin + ENOUGH, "only {} bytes more", now - begin);
        Ok(())
    }

    /// Sends no more, and fails unless all came back, and nothing else.
    pub(super) fn finish(self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        let panicked = |_| anyhow!("a thread panicked");
        let sent = self.sender.join().map_err(panicked)?;
        self.receiver.join().map_err(panicked)??;
        let (sent, came) = (sent?, lock(&self.count.0)?.bytes);
        ensure!(came == sent, "{came} of {sent} bytes came back");
        Ok(())
    }
}

fn lock(count: &Mutex<Count>) -> Result<std::sync::MutexGuard<'_, Count>> {
    count.lock().map_err(|_| anyhow!("a thread panicked"))
}

fn send(mut stream: TcpStream, stop: &AtomicBool) -> Result<u64> {
    let block = noise(PERIOD);
    let mut sent = 0;
    while !stop.load(Ordering::Relaxed) {
        stream.write_all(&block).context("cannot send")?;
        sent += block.len() as u64;
    }
    stream.shutdown(Shutdown::Write)?;
    Ok(sent)
}

fn receive(mut stream: TcpStream, count: &(Mutex<Count>, Condvar)) -> Result<()> {
    let block = noise(PERIOD);
    let mut buffer = vec![0; 1 << 16];
    let mut at = 0;
    loop {
        let room = buffer.len().min(PERIOD - at);
        let length = stream.read(&mut buffer[..room]).context("nothing comes")?;
        if length == 0 {
            return Ok(());
        }
        ensure!(
            buffer[..length] == block[at..at + length],
            "other bytes came"
        );
        at = (at + length) % PERIOD;
        lock(&count.0)?.bytes += length as u64;
        count.1.notify_all();
    }
}
