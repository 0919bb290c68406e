//! `CopyFile`: what arrives, and what does not get out of the shared folder.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;

use ttrpc::Code;
use virtcontainers_agent_proto::agent::{CopyFileRequest, VolumeStatsRequest};

use crate::harness::{Agent, code, ctx};

const FILE: u32 = 0o100_000;
const FOLDER: u32 = 0o040_000;
const LINK: u32 = 0o120_000;

fn file(path: &Path, data: &[u8]) -> CopyFileRequest {
    CopyFileRequest {
        path: path.to_str().unwrap().to_owned(),
        file_size: data.len() as i64,
        file_mode: FILE | 0o640,
        dir_mode: 0o750,
        data: data.to_vec(),
        ..Default::default()
    }
}

async fn copy(agent: &Agent, request: &CopyFileRequest) -> Code {
    code(agent.api.copy_file(ctx(), request).await)
}

#[tokio::test]
async fn files_folders_and_links_arrive_with_mode_and_owner() {
    let agent = Agent::start().await;
    let shared = agent.run_dir().join("shared/containers");
    let request = CopyFileRequest {
        uid: 7,
        gid: 8,
        ..file(&shared.join("a/b/c.txt"), b"hello")
    };
    assert_eq!(copy(&agent, &request).await, Code::OK);
    assert_eq!(std::fs::read(shared.join("a/b/c.txt")).unwrap(), b"hello");
    let data = std::fs::metadata(shared.join("a/b/c.txt")).unwrap();
    assert_eq!(
        (data.uid(), data.gid(), data.permissions().mode() & 0o7777),
        (7, 8, 0o640)
    );
    assert_eq!(
        std::fs::metadata(shared.join("a"))
            .unwrap()
            .permissions()
            .mode()
            & 0o777,
        0o750
    );

    let folder = CopyFileRequest {
        file_mode: FOLDER | 0o2775,
        ..file(&shared.join("d"), b"")
    };
    assert_eq!(copy(&agent, &folder).await, Code::OK);
    assert_eq!(
        std::fs::metadata(shared.join("d"))
            .unwrap()
            .permissions()
            .mode()
            & 0o7777,
        0o2775
    );

    let link = CopyFileRequest {
        file_mode: LINK | 0o777,
        ..file(&shared.join("l"), b"a/b")
    };
    assert_eq!(copy(&agent, &link).await, Code::OK);
    assert_eq!(
        copy(&agent, &link).await,
        Code::OK,
        "a link can be replaced"
    );
    assert_eq!(
        std::fs::read_link(shared.join("l")).unwrap(),
        Path::new("a/b")
    );
    let names = std::fs::read_dir(&shared).unwrap().count();
    assert_eq!(names, 3, "no unfinished files");
}

#[tokio::test]
async fn pieces_come_in_order_and_the_name_appears_at_the_end() {
    let agent = Agent::start().await;
    let path = agent.run_dir().join("shared/containers/big");
    let piece = |offset: i64, data: &[u8]| CopyFileRequest {
        offset,
        file_size: 6,
        ..file(&path, data)
    };
    assert_eq!(copy(&agent, &piece(0, b"ab")).await, Code::OK);
    assert!(!path.exists());
    assert_eq!(
        copy(&agent, &piece(4, b"ef")).await,
        Code::INVALID_ARGUMENT,
        "a gap"
    );
    assert_eq!(
        copy(&agent, &piece(2, b"cdefg")).await,
        Code::INVALID_ARGUMENT,
        "too much"
    );
    assert_eq!(copy(&agent, &piece(-1, b"x")).await, Code::INVALID_ARGUMENT);
    assert_eq!(copy(&agent, &piece(2, b"cdef")).await, Code::OK);
    assert_eq!(std::fs::read(&path).unwrap(), b"abcdef");
    assert_eq!(
        copy(&agent, &file(&path, b"new")).await,
        Code::OK,
        "offset 0 starts anew"
    );
    assert_eq!(std::fs::read(&path).unwrap(), b"new");
}

#[tokio::test]
async fn nothing_gets_out_of_the_shared_folder() {
    let agent = Agent::start().await;
    let shared = agent.run_dir().join("shared/containers");
    let outside = agent.run_dir().join("outside");
    std::fs::create_dir_all(&shared).unwrap();
    std::fs::create_dir_all(&outside).unwrap();
    symlink(&outside, shared.join("absolute")).unwrap();
    symlink("../../outside", shared.join("relative")).unwrap();
    symlink(outside.join("target"), shared.join("file")).unwrap();
    for path in [
        "/etc/vc-escape".into(),
        agent.run_dir().join("vc-escape"),
        shared.join("../vc-escape"),
        shared.join("x/../../../outside/vc-escape"),
        shared.join("absolute/vc-escape"),
        shared.join("relative/vc-escape"),
        shared.join("absolute/made/vc-escape"),
        shared.clone(),
    ] {
        let refused = copy(&agent, &file(&path, b"x")).await;
        assert!(
            matches!(refused, Code::INVALID_ARGUMENT | Code::INTERNAL),
            "{path:?}"
        );
    }
    // A link in the place of the file is replaced, not followed.
    assert_eq!(
        copy(&agent, &file(&shared.join("file"), b"x")).await,
        Code::OK
    );
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
    assert!(!Path::new("/etc/vc-escape").exists());
    assert!(!agent.run_dir().join("vc-escape").exists());
    let device = CopyFileRequest {
        file_mode: 0o060_644,
        ..file(&shared.join("dev"), b"")
    };
    assert_eq!(copy(&agent, &device).await, Code::INVALID_ARGUMENT);
}

#[tokio::test]
async fn volumes_tell_their_size() {
    let agent = Agent::start().await;
    let asked = VolumeStatsRequest {
        volume_guest_path: "/tmp".into(),
        ..Default::default()
    };
    let stats = agent.api.get_volume_stats(ctx(), &asked).await.unwrap();
    assert_eq!(stats.usage.len(), 2);
    assert!(stats.usage[0].total >= stats.usage[0].used);
    assert_eq!(stats.volume_condition.message, "OK");
    let asked = VolumeStatsRequest {
        volume_guest_path: "/nope".into(),
        ..Default::default()
    };
    assert_ne!(
        code(agent.api.get_volume_stats(ctx(), &asked).await),
        Code::OK
    );
}
