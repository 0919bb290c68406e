//! Logs that grow, are exchanged and begin anew while they are read.

use std::fs::{File, OpenOptions};
use std::io::Write;

use super::*;

const BOTH: &[LogSource] = &[LogSource::Console, LogSource::Supervisor];

fn append(directory: &Path, name: &str, text: &str) {
    let path = directory.join(name);
    let mut file = OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

fn texts(lines: Vec<LogLine>) -> Vec<String> {
    let text = |line: LogLine| String::from_utf8(line.text).unwrap();
    lines.into_iter().map(text).collect()
}

#[tokio::test]
async fn what_is_kept_comes_first_and_then_what_is_new() {
    let place = tempfile::tempdir().unwrap();
    let directory = place.path();
    append(directory, "console.log.1", "one\r\ntwo\n");
    append(directory, "console.log", "three\nfo");
    let mut logs = Logs::in_directory(directory, BOTH).unwrap();
    assert_eq!(texts(logs.read().unwrap()), ["one", "two", "three"]);
    assert_eq!(texts(logs.read().unwrap()), [""; 0]);
    append(directory, "console.log", "ur\n");
    append(directory, "supervisor.log", "{}\n");
    logs.changed().await.unwrap();
    assert_eq!(texts(logs.read().unwrap()), ["four", "{}"]);
    append(directory, "console.log", "never ended");
    assert_eq!(texts(logs.read().unwrap()), [""; 0]);
    assert_eq!(texts(logs.rest()), ["never ended"]);
}

#[tokio::test]
async fn a_file_that_is_exchanged_is_read_to_its_end() {
    let place = tempfile::tempdir().unwrap();
    let directory = place.path();
    append(directory, "console.log", "a\n");
    let mut logs = Logs::in_directory(directory, &[LogSource::Console]).unwrap();
    assert_eq!(texts(logs.read().unwrap()), ["a"]);
    append(directory, "console.log", "b\nc");
    let (newer, older) = (
        directory.join("console.log"),
        directory.join("console.log.1"),
    );
    std::fs::rename(&newer, &older).unwrap();
    append(directory, "console.log", "d\ne\n");
    logs.changed().await.unwrap();
    assert_eq!(texts(logs.read().unwrap()), ["b", "cd", "e"]);
}

#[tokio::test]
async fn a_file_that_begins_anew_is_read_from_its_beginning() {
    let place = tempfile::tempdir().unwrap();
    let directory = place.path();
    append(directory, "console.log", "the first machine\n");
    let mut logs = Logs::in_directory(directory, &[LogSource::Console]).unwrap();
    assert_eq!(texts(logs.read().unwrap()), ["the first machine"]);
    File::create(directory.join("console.log")).unwrap();
    append(directory, "console.log", "another\n");
    assert_eq!(texts(logs.read().unwrap()), ["another"]);
}

#[tokio::test]
async fn only_what_was_asked_for_is_read_and_nothing_is_nothing() {
    let place = tempfile::tempdir().unwrap();
    let directory = place.path();
    append(directory, "console.log", "guest\n");
    let mut logs = Logs::in_directory(directory, &[LogSource::Supervisor]).unwrap();
    assert_eq!(texts(logs.read().unwrap()), [""; 0]);
    let missing = Logs::in_directory(&directory.join("missing"), BOTH).unwrap_err();
    assert_eq!(missing.kind(), std::io::ErrorKind::NotFound);
}

#[tokio::test]
async fn an_older_file_is_read_once_although_there_is_no_newer_one() {
    let place = tempfile::tempdir().unwrap();
    let directory = place.path();
    append(directory, "console.log.1", "old\n");
    let mut logs = Logs::in_directory(directory, &[LogSource::Console]).unwrap();
    assert_eq!(texts(logs.read().unwrap()), ["old"]);
    assert_eq!(texts(logs.read().unwrap()), [""; 0]);
    append(directory, "console.log", "new\n");
    assert_eq!(texts(logs.read().unwrap()), ["new"]);
}
