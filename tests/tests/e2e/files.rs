//! Files of the host in a container: what each side sees of the other, and what it must not do.

mod bundle;
mod rootfs;

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use rustix::fs::{CWD, Mode, XattrFlags, setxattr};
use virtcontainers_tests::Place;
use virtcontainers_tests::bundle::Bundle;

/// How many small files are carried each way.
const MANY: usize = 10_000;

fn volume(place: &Place) -> Result<String> {
    let source = place.path("volume");
    std::fs::create_dir(&source)?;
    Ok(format!("{}:/v", source.display()))
}

#[test]
fn changes_by_the_host_arrive() -> Result<()> {
    let place = Place::new()?;
    let option = volume(&place)?;
    let file = |name: &str| place.path("volume").join(name);
    std::fs::write(file("changed"), "old")?;
    std::fs::write(file("gone"), "")?;
    // All is looked at before, so that it is in the caches of the guest.
    let script = "cat /v/changed; ls /v/later 2>&1; cat /v/gone; echo; read go; \
                  until [ \"$(cat /v/changed)\" = new ] && [ -e /v/later ] && [ ! -e /v/gone ]; \
                  do :; done; echo seen";
    let mut started = place
        .run(
            &place.id("changes"),
            ["--volume", &option],
            ["sh", "-c", script],
        )
        .stdin(Stdio::piped())
        .start()?;
    let mut stdin = started.take_stdin().context("no input")?;
    let mut lines = BufReader::new(started.take_stdout().context("no output")?).lines();
    let mut line = || lines.next().context("no line")?.context("no text");
    ensure!(line()?.starts_with("old"), "the old content comes first");
    ensure!(line()?.is_empty(), "the file that goes is there");
    std::fs::write(file("changed"), "new")?;
    std::fs::write(file("later"), "")?;
    std::fs::remove_file(file("gone"))?;
    let since = Instant::now();
    stdin.write_all(b"go\n")?;
    assert_eq!(line()?, "seen");
    eprintln!("changes were seen after {:?}", since.elapsed());
    drop(stdin);
    started.finish()?.expect(0)?;
    place.assert_clean()
}

#[test]
fn links_stay_links_on_both_sides() -> Result<()> {
    let place = Place::new()?;
    let option = volume(&place)?;
    let path = |name: &str| place.path("volume").join(name);
    std::fs::write(path("target"), "behind")?;
    symlink("target", path("relative"))?;
    symlink("/nowhere/at/all", path("dangling"))?;
    std::fs::hard_link(path("target"), path("hard"))?;
    let script = "cd /v; readlink relative; readlink dangling; cat relative; echo; stat -c %h hard; \
                  ln -s ../up made; ln target second";
    let run = place
        .run(
            &place.id("links"),
            ["--volume", &option],
            ["sh", "-c", script],
        )
        .finish()?
        .expect(0)?;
    assert_eq!(run.text(), "target\n/nowhere/at/all\nbehind\n2\n");
    assert_eq!(std::fs::read_link(path("made"))?.to_str(), Some("../up"));
    assert_eq!(std::fs::metadata(path("target"))?.nlink(), 3);
    place.assert_clean()
}

#[test]
fn owners_and_permissions_are_the_same_on_both_sides() -> Result<()> {
    let place = Place::new()?;
    let option = volume(&place)?;
    let path = |name: &str| place.path("volume").join(name);
    std::fs::write(path("file"), "")?;
    chown(path("file"), Some(1234), Some(5678))?;
    std::fs::set_permissions(path("file"), std::fs::Permissions::from_mode(0o4751))?;
    rustix::fs::mkfifoat(CWD, path("pipe"), Mode::from_raw_mode(0o600))?;
    let script = "cd /v; stat -c '%u:%g %a %F' file pipe; touch made; chown 99:98 made; \
                  chmod 2640 made; mkdir -m 1777 folder; mkfifo own; touch -d @1000000000 old";
    let run = place
        .run(
            &place.id("owners"),
            ["--volume", &option],
            ["sh", "-c", script],
        )
        .finish()?
        .expect(0)?;
    assert_eq!(
        run.text(),
        "1234:5678 4751 regular empty file\n0:0 600 fifo\n"
    );
    let made = std::fs::metadata(path("made"))?;
    let got = (made.uid(), made.gid(), made.mode() & 0o7777);
    assert_eq!(got, (99, 98, 0o2640));
    let folder = std::fs::metadata(path("folder"))?;
    assert_eq!(folder.mode() & 0o7777, 0o1777);
    assert_eq!(std::fs::metadata(path("old"))?.mtime(), 1_000_000_000);
    place.assert_clean()
}

/// `security.capability` (`linux/capability.h`, revision 2): CAP_CHOWN, permitted and effective.
fn file_capability() -> Vec<u8> {
    let words: [u32; 5] = [0x0200_0001, 1, 0, 0, 0];
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

#[test]
fn attributes_of_files_count_in_the_guest() -> Result<()> {
    let place = Place::new()?;
    // A copy under a name that busybox knows, since the links to it share its attributes.
    let program = place.rootfs().join("bin/fgrep");
    std::fs::remove_file(&program)?;
    std::fs::copy(place.rootfs().join("bin/busybox"), &program)?;
    let empty = XattrFlags::empty();
    setxattr(&program, "security.capability", &file_capability(), empty)?;
    let mut bundle = Bundle::new(&place, "/bin/fgrep CapEff /proc/self/status")?;
    let process = &mut bundle.spec["process"];
    process["noNewPrivileges"] = false.into();
    process["user"] = serde_json::json!({"uid": 1000, "gid": 1000});
    let run = bundle.run(&place.id("xattr"))?.finish()?.expect(0)?;
    assert_eq!(run.text().trim(), "CapEff:\t0000000000000001");
    place.assert_clean()
}

#[test]
fn ten_thousand_small_files_of_the_host_are_read() -> Result<()> {
    let place = Place::new()?;
    let option = volume(&place)?;
    let volume = place.path("volume");
    for number in 0..MANY {
        std::fs::write(volume.join(number.to_string()), "1\n")?;
    }
    let script = "cd /v; ls | wc -l; ls | xargs cat | grep -c 1";
    let run = place
        .run(
            &place.id("read"),
            ["--volume", &option],
            ["sh", "-c", script],
        )
        .finish()?
        .expect(0)?;
    assert_eq!(run.text(), format!("{MANY}\n{MANY}\n"));
    eprintln!("{MANY} files were read in {:?}", run.took);
    place.assert_clean()
}

#[test]
fn ten_thousand_small_files_are_written_to_the_host() -> Result<()> {
    let place = Place::new()?;
    let option = volume(&place)?;
    let volume = place.path("volume");
    let script =
        format!("cd /v; i=0; while [ $i -lt {MANY} ]; do echo $i > $i || exit; i=$((i+1)); done");
    let run = place
        .run(
            &place.id("written"),
            ["--volume", &option],
            ["sh", "-c", &script],
        )
        .finish()?
        .expect(0)?;
    eprintln!("{MANY} files were written in {:?}", run.took);
    for number in 0..MANY {
        let text = std::fs::read_to_string(volume.join(number.to_string()))?;
        assert_eq!(text, format!("{number}\n"));
    }
    place.assert_clean()
}

#[test]
fn a_read_only_volume_is_kept_so_by_the_host() -> Result<()> {
    let place = Place::new()?;
    let volume = place.path("volume");
    std::fs::create_dir(&volume)?;
    // With every right in the guest, which can do what it wants with mounts of its own.
    let script = "touch /v/x; mount -o remount,rw,bind /v; touch /v/x; ls /v | wc -l";
    let mut bundle =
        Bundle::new(&place, script)?.mount("bind", &volume, "/v", &["rbind", "ro", "rprivate"]);
    let rights = serde_json::json!(["CAP_SYS_ADMIN", "CAP_DAC_OVERRIDE"]);
    for set in ["bounding", "effective", "permitted"] {
        bundle.spec["process"]["capabilities"][set] = rights.clone();
    }
    let run = bundle.run(&place.id("ro"))?.finish()?.expect(0)?;
    assert_eq!(run.text(), "0\n");
    assert_eq!(
        run.stderr.matches("Read-only file system").count(),
        2,
        "{}",
        run.stderr
    );
    place.assert_clean()
}
