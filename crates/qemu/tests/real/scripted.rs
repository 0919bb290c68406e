//! Programs that misbehave: scripts in the places of QEMU and of its helper.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use virtcontainers_hypervisor::{Backend, Error, ErrorKind};
use virtcontainers_qemu::{QemuBackend, QemuConfig, VsockChoice};
use virtcontainers_types::Deadlines;

use crate::fixture::Fixture;
use crate::guest::Guest;

/// A false QEMU takes its first client on descriptor 4, `mon`, then follows its script.
const QEMU_HEAD: &str = r#"#!/usr/bin/perl
use strict; use IO::Handle;
open(my $listener, '+<&=', 4) or die; accept(my $client, $listener) or die; $client->autoflush(1);
sub say_line { print $client "$_[0]\r\n" }
sub answer { my $line = <$client>; $line =~ /"id":(\d+)/ or die; say_line(qq({"return": $_[0], "id": $1})) }
sub greet { say_line('{"QMP":{"version":{"qemu":{"micro":0,"minor":2,"major":7},"package":""},"capabilities":[]}}'); answer('{}') }
"#;

fn script(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, text).expect("a script");
    let executable = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(&path, executable).expect("a script");
    path
}

fn fixture() -> Fixture {
    let mut fixture = Fixture::new(Guest::Halts);
    let boot = Duration::from_secs(2);
    fixture.plan.deadlines = Deadlines {
        boot,
        rpc: boot,
        ..fixture.plan.deadlines
    };
    fixture
}

fn folder(fixture: &Fixture) -> &Path {
    fixture.plan.directory.parent().expect("a folder")
}

async fn start_scripted(behaviour: &str) -> (Fixture, Result<(), Error>) {
    let mut fixture = fixture();
    let qemu = script(folder(&fixture), "qemu", &format!("{QEMU_HEAD}{behaviour}"));
    fixture.backend = QemuBackend::new(QemuConfig {
        path: Some(qemu),
        vsock: VsockChoice::VhostUser,
        ..QemuConfig::default()
    });
    let launched = fixture.launch().await;
    let started = launched.start().await;
    if let Ok(machine) = &started {
        machine
            .shutdown(Duration::from_millis(200))
            .await
            .expect("an end");
    }
    (fixture, started.map(drop))
}

async fn check(behaviour: &str, kind: ErrorKind, part: &str) {
    let (fixture, started) = start_scripted(behaviour).await;
    let error = started.expect_err(behaviour);
    let source = std::error::Error::source(&error).map(ToString::to_string);
    let text = format!("{error}: {}", source.unwrap_or_default());
    assert_eq!(error.kind(), kind, "{text}");
    assert!(text.contains(part), "{text}");
    fixture.assert_nothing_is_left();
}

#[tokio::test]
async fn a_qemu_that_never_greets_is_given_up() {
    check("sleep 1000;", ErrorKind::Timeout, "2000 ms").await;
}

#[tokio::test]
async fn a_qemu_that_dies_in_the_middle_is_reported_with_its_words() {
    let dies = "greet(); print STDERR qq(out of luck\\n); exit 3;";
    check(
        dies,
        ErrorKind::Gone,
        "exit status 3; its last words: out of luck",
    )
    .await;
}

#[tokio::test]
async fn a_qemu_that_talks_without_end_is_cut_off() {
    let endless = "while (1) { print $client 'x' x 65536 or last } sleep 1000;";
    check(endless, ErrorKind::Corrupt, "no end").await;
}

#[tokio::test]
async fn a_machine_that_runs_before_its_start_is_refused() {
    let running = r#"greet(); answer('{"running": true, "status": "running"}'); sleep 1000;"#;
    check(running, ErrorKind::Internal, "before its start").await;
}

#[tokio::test]
async fn a_refused_start_is_told_with_qemus_reason() {
    let refuses = r#"greet(); answer('{"running": false, "status": "prelaunch"}');
        my $line = <$client>; $line =~ /"id":(\d+)/;
        say_line(qq({"error": {"class": "GenericError", "desc": "not today"}, "id": $1})); sleep 1000;"#;
    check(refuses, ErrorKind::Internal, "not today").await;
}

#[tokio::test]
async fn a_qemu_that_promises_to_quit_and_does_not_is_killed() {
    let stays = r#"greet(); answer('{"running": false, "status": "prelaunch"}');
        say_line('{"event": "RESUME", "timestamp": {"seconds": 1, "microseconds": 1}}');
        answer('{}'); answer('{}'); sleep 1000;"#;
    let (fixture, started) = start_scripted(stays).await;
    started.expect("it behaved until then");
    fixture.assert_nothing_is_left();
}

async fn launch_with_helper(text: &str) -> (Fixture, Error) {
    let fixture = fixture();
    let helper = script(folder(&fixture), "helper", text);
    let backend = QemuBackend::new(QemuConfig {
        vsock: VsockChoice::VhostUser,
        vsock_helper: Some(helper),
        ..QemuConfig::default()
    });
    let launch = backend.launch(fixture.plan.clone(), fixture.handoffs(), &fixture.ledger);
    let error = launch.await.expect_err("no helper");
    fixture.assert_nothing_is_left();
    (fixture, error)
}

#[tokio::test]
async fn a_helper_that_never_listens_is_given_up() {
    let (_, error) = launch_with_helper("#!/bin/sh\n>vhost.sock\nexec sleep 1000\n").await;
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
}

#[tokio::test]
async fn a_helper_that_fails_is_reported_with_its_words() {
    let (_, error) = launch_with_helper("#!/bin/sh\necho no luck >&2\nexit 4\n").await;
    assert_eq!(error.kind(), ErrorKind::Gone, "{error}");
    let text = error.to_string();
    assert!(
        text.contains("exit status 4") && text.contains("no luck"),
        "{text}"
    );
}
