//! The machine that the tests play: it answers to ARP and sends every UDP packet back.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use rustix::event::{PollFd, PollFlags};
use rustix::pipe::PipeFlags;
use virtcontainers_network::Nic;

/// The header of virtio before each frame (`struct virtio_net_hdr`).
const HEADER: usize = 10;
const ETHERNET: usize = 14;

/// A machine that runs until it is dropped.
#[derive(Debug)]
pub(crate) struct Machine {
    stop: Option<std::os::fd::OwnedFd>,
    work: Option<JoinHandle<()>>,
    echoed: Receiver<usize>,
}

impl Machine {
    /// Starts one on the first queue of a device.
    pub(crate) fn start(nic: Nic) -> Self {
        let (stopped, stop) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC).unwrap();
        let (tell, echoed) = channel();
        let mac = nic.mac.0;
        let mut queues: Vec<File> = nic.descriptors.into_iter().map(File::from).collect();
        let work = std::thread::spawn(move || {
            let mut frame = vec![0; 1 << 17];
            loop {
                let mut interest: Vec<_> = queues
                    .iter()
                    .map(|queue| PollFd::new(queue, PollFlags::IN))
                    .collect();
                interest.push(PollFd::from_borrowed_fd(stopped.as_fd(), PollFlags::IN));
                rustix::event::poll(&mut interest, None).unwrap();
                if interest.last().is_some_and(|one| !one.revents().is_empty()) {
                    return;
                }
                for queue in &mut queues {
                    serve(queue, &mut frame, mac, &tell);
                }
            }
        });
        Self {
            stop: Some(stop),
            work: Some(work),
            echoed,
        }
    }

    /// The sizes of the packets that were sent back so far.
    pub(crate) fn echoed(&self) -> Vec<usize> {
        self.echoed.try_iter().collect()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        drop(self.stop.take());
        let ended = self.work.take().map(JoinHandle::join);
        assert!(ended.is_none_or(|ended| ended.is_ok()));
    }
}

fn serve(queue: &mut File, buffer: &mut [u8], mac: [u8; 6], echoed: &Sender<usize>) {
    while let Ok(length) = queue.read(buffer) {
        let frame = &mut buffer[..length];
        if let Some(payload) = answer(&mut frame[HEADER..], mac) {
            if payload > 0 {
                // Nobody may be interested any more.
                echoed.send(payload).ok();
            }
            queue.write_all(frame).unwrap();
        }
    }
}

/// Turns a frame into its answer; gives the length of what it carried.
fn answer(frame: &mut [u8], mac: [u8; 6]) -> Option<usize> {
    let kind = u16::from_be_bytes([frame[12], frame[13]]);
    let carried = match kind {
        0x0806 => arp(&mut frame[ETHERNET..], mac)?,
        0x0800 => udp(&mut frame[ETHERNET..], 9, 12, 4, 20)?,
        0x86dd => udp(&mut frame[ETHERNET..], 6, 8, 16, 40)?,
        _ => return None,
    };
    frame.copy_within(6..12, 0);
    frame[6..12].copy_from_slice(&mac);
    Some(carried)
}

/// "Who has 10.9.0.2?" (RFC 826)
fn arp(packet: &mut [u8], mac: [u8; 6]) -> Option<usize> {
    let (asker, asked) = (packet[8..18].to_vec(), packet[24..28].to_vec());
    if packet[7] != 1 || asked[..3] != [10, 9, 0] || asked[3] == 1 {
        return None;
    }
    packet[7] = 2;
    packet[8..14].copy_from_slice(&mac);
    packet[14..18].copy_from_slice(&asked);
    packet[18..28].copy_from_slice(&asker);
    Some(0)
}

/// Swaps addresses and ports, which leaves every checksum as it was.
fn udp(packet: &mut [u8], protocol: usize, at: usize, size: usize, header: usize) -> Option<usize> {
    if packet[protocol] != 17 {
        return None;
    }
    let addresses = &mut packet[at..at + 2 * size];
    addresses.rotate_left(size);
    packet[header..header + 4].rotate_left(2);
    Some(packet.len() - header - 8)
}
