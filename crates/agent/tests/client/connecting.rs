//! Ways to the agent: handshakes, deadlines, announcements, long paths.

use std::future::pending;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use virtcontainers_agent::{
    AgentEndpoint, AgentPort, AnnounceListener, Connector, ErrorKind, Timeouts, Ttrpc, connect,
    connect_with_retry,
};
use virtcontainers_testkit::agent::FakeAgent;

use crate::SOON;

fn hybrid(path: &Path) -> AgentEndpoint {
    AgentEndpoint::HybridVsock {
        path: path.to_owned(),
    }
}

fn timeouts() -> Timeouts {
    Timeouts::all(SOON)
}

fn short_limit() -> Duration {
    Duration::from_millis(200)
}

fn directory() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("vsock");
    (directory, path)
}

#[tokio::test]
async fn both_kinds_of_sockets_lead_to_the_agent() {
    let (_directory, path) = directory();
    let other = path.with_extension("plain");
    let fake = FakeAgent::builder().build();
    fake.serve_hybrid(&path).unwrap();
    fake.serve_unix(&other).unwrap();
    for endpoint in [hybrid(&path), AgentEndpoint::Unix { path: other }] {
        let agent = connect(&endpoint, timeouts(), SOON).await.unwrap();
        assert_eq!(agent.version().await.unwrap().protocol, "0.0.1");
    }
}

#[tokio::test]
async fn the_connector_of_ttrpc_gives_a_port_that_ends_with_its_stream() {
    let (_directory, path) = directory();
    let connector: &dyn Connector = &Ttrpc;
    let none = connector.connect(&hybrid(&path), timeouts(), SOON).await;
    assert_eq!(none.unwrap_err().kind(), ErrorKind::NotFound);
    let endpoint = hybrid(&path);
    let awaited = connector.connect_with_retry(&endpoint, timeouts(), SOON);
    let fake = FakeAgent::builder().build();
    let (agent, ()) = tokio::join!(awaited, async { fake.serve_hybrid(&path).unwrap() });
    let agent: Arc<dyn AgentPort> = agent.unwrap();
    agent.version().await.unwrap();
    fake.die();
    agent.closed().await;
    assert_eq!(agent.version().await.unwrap_err().kind(), ErrorKind::Gone);
}

/// A hybrid vsock that answers every connection with some bytes.
async fn answering(path: &Path, answer: &'static [u8]) {
    let listener = UnixListener::bind(path).unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 13];
            stream.read_exact(&mut request).await.unwrap();
            assert_eq!(&request, b"CONNECT 1024\n");
            stream.write_all(answer).await.unwrap();
            if answer.is_empty() {
                continue;
            }
            let mut rest = Vec::new();
            drop(stream.read_to_end(&mut rest).await);
        }
    });
}

#[tokio::test]
async fn answers_that_are_not_ok_are_refused() {
    let endless = [b'x'; 4096].as_slice();
    for (answer, kind) in [
        (&b"NO such port\n"[..], ErrorKind::Corrupt),
        (endless, ErrorKind::Corrupt),
        (b"", ErrorKind::Gone),
        // Accepted, and then nothing: a device whose guest does not listen.
        (b"OK 1\n", ErrorKind::Timeout),
        (b"O", ErrorKind::Timeout),
    ] {
        let (_directory, path) = directory();
        answering(&path, answer).await;
        let begun = Instant::now();
        let error = connect(&hybrid(&path), timeouts(), short_limit())
            .await
            .unwrap_err();
        assert_eq!(error.kind(), kind, "{answer:?}: {error}");
        assert!(begun.elapsed() < Duration::from_secs(5));
    }
}

#[tokio::test]
async fn a_missing_socket_is_named() {
    let (_directory, path) = directory();
    let error = connect(&hybrid(&path), timeouts(), SOON).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains(&path.display().to_string()), "{source}");
    assert!(
        !error.to_string().contains(&source),
        "the source is not repeated"
    );
}

#[tokio::test]
async fn a_foreign_agent_is_awaited_until_it_serves() {
    let (_directory, path) = directory();
    let fake = FakeAgent::builder().build();
    fake.set_serving(false);
    let later = {
        let (fake, path) = (fake.clone(), path.clone());
        async move {
            // The first attempt, which needs no event, has failed by now.
            tokio::task::yield_now().await;
            fake.serve_hybrid(&path).unwrap();
            while fake.calls().len() < 2 {
                tokio::task::yield_now().await;
            }
            fake.set_serving(true);
        }
    };
    let endpoint = hybrid(&path);
    let connecting = connect_with_retry(&endpoint, timeouts(), SOON, pending());
    let (agent, ()) = tokio::join!(connecting, later);
    agent.unwrap().guest_details().await.unwrap();
    fake.assert_clean();
}

#[tokio::test]
async fn waiting_ends_with_the_machine_and_with_the_deadline() {
    let (_directory, path) = directory();
    let endpoint = hybrid(&path);
    let begun = Instant::now();
    let error = connect_with_retry(&endpoint, timeouts(), SOON, async {})
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Gone);
    assert!(begun.elapsed() < Duration::from_secs(5));
    let error = connect_with_retry(&endpoint, timeouts(), short_limit(), pending()).await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Timeout);
}

#[tokio::test]
async fn an_announcement_is_heard_and_its_socket_removed() {
    let (_directory, path) = directory();
    let fake = FakeAgent::builder().build();
    // A socket left by a run that died is replaced.
    drop(UnixListener::bind(path.with_file_name("vsock_1023")).unwrap());
    let listener = AnnounceListener::bind(&hybrid(&path)).unwrap();
    assert_eq!(listener.port(), 1023);
    let (heard, announced) = tokio::join!(listener.wait(SOON, pending()), fake.announce(&path));
    heard.unwrap();
    announced.unwrap();
    assert!(!path.with_file_name("vsock_1023").exists());
}

#[tokio::test]
async fn a_guest_that_says_much_or_nothing_is_bounded() {
    let (_directory, path) = directory();
    let listener = AnnounceListener::bind(&hybrid(&path)).unwrap();
    let noise = async {
        let mut stream = UnixStream::connect(path.with_file_name("vsock_1023"))
            .await
            .unwrap();
        drop(stream.write_all(&vec![b'x'; 1 << 20]).await);
        stream
    };
    let (heard, _stream) = tokio::join!(listener.wait(SOON, pending()), noise);
    heard.unwrap();
}

#[tokio::test]
async fn waiting_for_an_announcement_ends_with_the_machine_and_with_the_deadline() {
    let (_directory, path) = directory();
    let listener = AnnounceListener::bind(&hybrid(&path)).unwrap();
    let error = listener.wait(SOON, async {}).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Gone);
    let listener = AnnounceListener::bind(&hybrid(&path)).unwrap();
    let error = listener.wait(short_limit(), pending()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    let unix = AgentEndpoint::Unix { path };
    let error = AnnounceListener::bind(&unix).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}

#[tokio::test]
async fn paths_longer_than_a_socket_address_work() {
    let root = tempfile::tempdir().unwrap();
    let long = root.path().join("a".repeat(120)).join("b".repeat(120));
    std::fs::create_dir_all(&long).unwrap();
    // Bound by its short name and moved, since the fake has no such trick.
    let short = root.path().join("s");
    let fake = FakeAgent::builder().build();
    fake.serve_hybrid(&short).unwrap();
    let path = long.join("vsock");
    std::fs::rename(&short, &path).unwrap();
    connect(&hybrid(&path), timeouts(), SOON).await.unwrap();

    let listener = AnnounceListener::bind(&hybrid(&path)).unwrap();
    assert!(long.join("vsock_1023").exists());
    drop(listener);
    assert!(!long.join("vsock_1023").exists());
}

#[tokio::test]
async fn the_connection_closes_with_its_last_handle_even_while_a_call_is_under_way() {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let agent = virtcontainers_agent::Agent::over(ours, timeouts());
    let clone = agent.clone();
    let call = tokio::spawn(async move { clone.get_oom_event().await });
    let mut frame = [0; 10];
    theirs.read_exact(&mut frame).await.unwrap();
    call.abort();
    drop(call.await);
    drop(agent);
    let mut rest = Vec::new();
    let end = tokio::time::timeout(SOON, theirs.read_to_end(&mut rest)).await;
    end.expect("the connection was closed").unwrap();
}
