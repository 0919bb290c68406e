//! Streams: every byte, in order, with back-pressure, and ends that are ends.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncReadExt, AsyncWrite, duplex};
use virtcontainers_agent::AgentPort;
use virtcontainers_agent::streams::{InputEnd, OutputEnd, pump_input, pump_output};
use virtcontainers_agent::{ErrorKind, OutputStream};
use virtcontainers_testkit::agent::{FakeAgent, Fault, Output, Program};
use virtcontainers_types::ExitStatus;

use crate::{run, sandbox};

const STDOUT: OutputStream = OutputStream::Stdout;

/// A writer that fails in one way.
struct Failing(io::ErrorKind);

impl AsyncWrite for Failing {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(self.0.into()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn sixteen_mebibytes_arrive_in_order() {
    const SIZE: u64 = 16 << 20;
    let flood = Program::new().flood(Output::Stdout, SIZE);
    let fake = FakeAgent::builder().program("flood", flood).build();
    let agent = sandbox(&fake).await;
    let process = run(&agent, "c1", &["flood"], false).await;
    let (mut writer, mut reader) = duplex(8192);
    let check = async {
        let (mut total, mut buffer) = (0u64, vec![0; 8192]);
        while let Ok(count @ 1..) = reader.read(&mut buffer).await {
            for byte in &buffer[..count] {
                assert_eq!(u64::from(*byte), total % 251);
                total += 1;
            }
        }
        total
    };
    let pump = async {
        let end = pump_output(&agent, &process, STDOUT, &mut writer)
            .await
            .unwrap();
        drop(writer);
        end
    };
    let (end, total) = tokio::join!(pump, check);
    assert_eq!(end, OutputEnd::Finished { bytes: SIZE });
    assert_eq!(total, SIZE);
    assert_eq!(agent.wait_process(&process).await.unwrap(), ExitStatus(0));
    fake.assert_clean();
}

#[tokio::test]
async fn a_slow_reader_holds_the_process_back() {
    let flood = Program::new().flood(Output::Stdout, 4 << 20);
    let fake = FakeAgent::builder().program("flood", flood).build();
    let agent = sandbox(&fake).await;
    let process = run(&agent, "c1", &["flood"], false).await;
    let (mut writer, reader) = duplex(1024);
    let pump = pump_output(&agent, &process, STDOUT, &mut writer);
    let limit = std::time::Duration::from_millis(200);
    assert!(
        tokio::time::timeout(limit, pump).await.is_err(),
        "nobody reads"
    );
    let reads = fake
        .calls()
        .iter()
        .filter(|call| *call == "ReadStdout")
        .count();
    assert_eq!(
        reads, 1,
        "no second read before the data of the first was handed on"
    );
    drop(reader);
}

#[tokio::test]
async fn a_reader_that_leaves_is_reported_and_other_failures_are_errors() {
    let fake = FakeAgent::builder()
        .program("flood", Program::new().flood(Output::Stdout, 1 << 20))
        .build();
    let agent = sandbox(&fake).await;
    let process = run(&agent, "c1", &["flood"], false).await;
    let mut left = Failing(io::ErrorKind::BrokenPipe);
    let end = pump_output(&agent, &process, STDOUT, &mut left)
        .await
        .unwrap();
    assert_eq!(end, OutputEnd::ReaderLeft { bytes: 0 });
    let mut full = Failing(io::ErrorKind::PermissionDenied);
    let error = pump_output(&agent, &process, STDOUT, &mut full)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
}

#[tokio::test]
async fn input_comes_back_from_cat_and_its_end_ends_it() {
    let fake = FakeAgent::builder()
        .program("cat", Program::new().cat().exit(4))
        .build();
    let agent = sandbox(&fake).await;
    let process = run(&agent, "c1", &["cat"], false).await;
    let sent: Vec<u8> = (0..300_000u32).map(|n| (n % 253) as u8).collect();
    let (mut input, mut output) = (sent.as_slice(), Vec::new());
    let (written, read) = tokio::join!(
        pump_input(&agent, &process, false, &mut input),
        pump_output(&agent, &process, STDOUT, &mut output),
    );
    assert_eq!(written.unwrap(), InputEnd::Finished);
    assert_eq!(read.unwrap(), OutputEnd::Finished { bytes: 300_000 });
    assert!(output == sent);
    assert_eq!(agent.wait_process(&process).await.unwrap(), ExitStatus(4));
    fake.assert_clean();
}

#[tokio::test]
async fn a_terminal_gets_the_end_of_file_character() {
    let fake = FakeAgent::builder()
        .program("cat", Program::new().cat())
        .build();
    let agent = sandbox(&fake).await;
    let process = run(&agent, "c1", &["cat"], true).await;
    let (mut input, mut output) = (&b"hi"[..], Vec::new());
    let (written, read) = tokio::join!(
        pump_input(&agent, &process, true, &mut input),
        pump_output(&agent, &process, STDOUT, &mut output),
    );
    assert_eq!(written.unwrap(), InputEnd::Finished);
    assert_eq!(read.unwrap(), OutputEnd::Finished { bytes: 3 });
    assert_eq!(output, b"hi\x04");
    fake.assert_clean();
}

#[tokio::test]
async fn input_for_a_process_that_has_ended_is_dropped() {
    let fake = FakeAgent::builder().program("true", Program::new()).build();
    let agent = sandbox(&fake).await;
    let process = run(&agent, "c1", &["true"], false).await;
    agent.wait_process(&process).await.unwrap();
    let mut input = &b"nobody reads this"[..];
    let end = pump_input(&agent, &process, false, &mut input)
        .await
        .unwrap();
    assert_eq!(end, InputEnd::ProcessLeft);
}

#[tokio::test]
async fn the_error_of_a_terminal_that_hung_up_is_its_end() {
    let fake = FakeAgent::builder().program("sh", Program::new()).build();
    let agent = sandbox(&fake).await;
    let process = run(&agent, "c1", &["sh"], true).await;
    let hung_up = "EIO: I/O error\n\nStack backtrace:".to_owned();
    fake.on("ReadStdout", Fault::Answer(ttrpc::Code::INTERNAL, hung_up));
    let end = pump_output(&agent, &process, STDOUT, &mut Vec::new())
        .await
        .unwrap();
    assert_eq!(end, OutputEnd::Finished { bytes: 0 });
    let denied = "blocked by policy".to_owned();
    fake.on(
        "ReadStdout",
        Fault::Answer(ttrpc::Code::PERMISSION_DENIED, denied),
    );
    let error = pump_output(&agent, &process, STDOUT, &mut Vec::new())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
}
