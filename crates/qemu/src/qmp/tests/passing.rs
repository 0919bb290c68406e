//! Descriptors go to QEMU one at a time.

use std::os::fd::OwnedFd;
use std::time::Duration;

use qapi::qmp;

use super::{SOON, connected};
use crate::qmp::Failure;

fn descriptor() -> OwnedFd {
    std::io::pipe().expect("a pipe").0.into()
}

#[tokio::test]
async fn a_second_descriptor_waits_until_the_first_was_taken() {
    let (monitor, peer) = connected().await;
    let play = async {
        let (name, first) = peer.hear().await;
        assert_eq!(name, "getfd");
        // What was asked after the second descriptor, and brings none.
        let (name, status) = peer.hear().await;
        assert_eq!(name, "stop");
        peer.answer(status, "{}").await;
        peer.answer(first, "{}").await;
        let (name, second) = peer.hear().await;
        assert_eq!(name, "getfd");
        peer.answer(second, "{}").await;
    };
    let (first, second, stopped, ()) = tokio::join!(
        monitor.pass("one".to_owned(), descriptor(), SOON),
        monitor.pass("two".to_owned(), descriptor(), SOON),
        monitor.execute(qmp::stop {}, SOON),
        play
    );
    first.expect("it was taken");
    second.expect("it was taken");
    stopped.expect("an empty answer");
}

#[tokio::test]
async fn a_descriptor_that_nobody_wants_passed_any_more_is_not() {
    let (monitor, peer) = connected().await;
    let short = Duration::from_millis(20);
    let (first, second) = tokio::join!(
        monitor.pass("one".to_owned(), descriptor(), short),
        monitor.pass("two".to_owned(), descriptor(), short),
    );
    for passed in [first, second] {
        let late = matches!(passed, Err(Failure::Timeout { .. }));
        assert!(late, "{passed:?}");
    }
    let play = async {
        let (name, first) = peer.hear().await;
        assert_eq!(name, "getfd");
        peer.answer(first, "{}").await;
        let (name, third) = peer.hear().await;
        assert_eq!(name, "cont", "the second was given up");
        peer.answer(third, "{}").await;
    };
    let (answer, ()) = tokio::join!(monitor.execute(qmp::cont {}, SOON), play);
    answer.expect("an empty answer");
}

#[tokio::test]
async fn a_refused_descriptor_makes_way_for_the_next() {
    let (monitor, peer) = connected().await;
    let play = async {
        let (_, first) = peer.hear().await;
        peer.say(&format!(
            r#"{{"id": {first}, "error": {{"class": "GenericError", "desc": "no"}}}}"#
        ))
        .await;
        let (name, second) = peer.hear().await;
        assert_eq!(name, "getfd");
        peer.answer(second, "{}").await;
    };
    let (first, second, ()) = tokio::join!(
        monitor.pass("one".to_owned(), descriptor(), SOON),
        monitor.pass("two".to_owned(), descriptor(), SOON),
        play
    );
    assert!(matches!(first, Err(Failure::Refused { .. })), "{first:?}");
    second.expect("it was taken");
}
