//! Users, groups, working folder, environment.

use crate::harness::Agent;
use crate::spec::{command, sh};
use crate::{run, run_process};

#[tokio::test]
async fn numbers_of_user_and_groups() {
    let agent = Agent::start().await;
    let (output, _) = run(&agent, "id -u; id -g; id -G; umask", |spec| {
        let user = spec.Process.as_mut().unwrap().User.as_mut().unwrap();
        (user.UID, user.GID) = (1234, 77);
        user.AdditionalGids = vec![8, 9];
    })
    .await;
    assert_eq!(output, "1234\n77\n77 8 9\n0022\n");
}

#[tokio::test]
async fn names_come_from_the_containers_own_files() {
    let agent = Agent::start().await;
    let root = tempfile::tempdir().unwrap();
    let etc = root.path();
    std::fs::write(etc.join("passwd"), "a:x:0:0::/root:\nweb:x:33:34::/srv:\n").unwrap();
    std::fs::write(etc.join("group"), "web:x:34:\nlogs:x:40:web\n").unwrap();
    let source = etc.display().to_string();
    let (output, _) = run(&agent, "id -u; id -G; echo $HOME", |spec| {
        spec.Process
            .as_mut()
            .unwrap()
            .User
            .as_mut()
            .unwrap()
            .Username = "web".to_owned();
        spec.Mounts
            .push(crate::mount("bind", &source, "/etc", &["rbind", "ro"]));
    })
    .await;
    assert_eq!(output, "33\n34 40\n/srv\n");
}

#[tokio::test]
async fn an_unknown_name_is_refused_and_leaves_nothing() {
    let agent = Agent::start().await;
    let (code, message) = crate::refusal(&agent, |spec| {
        spec.Process
            .as_mut()
            .unwrap()
            .User
            .as_mut()
            .unwrap()
            .Username = "nobody-here".to_owned();
    })
    .await;
    assert_eq!(code, ttrpc::Code::INVALID_ARGUMENT);
    assert!(
        message.contains("nobody-here") && message.contains("/etc/passwd"),
        "{message}"
    );
    agent.run("c1", sh("true")).await;
}

#[tokio::test]
async fn the_working_folder_is_made_and_home_has_a_default() {
    let agent = Agent::start().await;
    let (output, _) = run(&agent, "pwd; echo $HOME", |spec| {
        spec.Process.as_mut().unwrap().Cwd = "/tmp/new/folder".to_owned();
    })
    .await;
    assert!(output.starts_with("/tmp/new/folder\n/"), "{output}");
    let (output, _) = run(&agent, "echo $HOME", |spec| {
        spec.Process
            .as_mut()
            .unwrap()
            .Env
            .push("HOME=/own".to_owned());
    })
    .await;
    assert_eq!(output, "/own\n");
}

#[tokio::test]
async fn a_program_is_found_along_the_path_of_its_environment() {
    let agent = Agent::start().await;
    let (output, status) = run_process(&agent, command(&["echo", "a b", "c"]), |_| {}).await;
    assert_eq!((output.as_str(), status), ("a b c\n", 0));
    let (_, status) = run_process(&agent, command(&["echo"]), |spec| {
        spec.Process.as_mut().unwrap().Env = vec!["PATH=/nowhere".to_owned()];
    })
    .await;
    assert_eq!(status, 127);
}

#[tokio::test]
async fn an_exec_has_a_user_of_its_own() {
    let agent = Agent::start().await;
    agent.run("c1", sh("cat")).await;
    let mut process = sh("id -u; pwd; echo $FOO");
    process.User.as_mut().unwrap().UID = 5;
    process.Cwd = "/tmp".to_owned();
    process.Env.push("FOO=bar".to_owned());
    agent.exec("c1", "e1", process).await.unwrap();
    assert_eq!(agent.output("c1", "e1").await, "5\n/tmp\nbar\n");
    let mut process = sh("true");
    process.User.as_mut().unwrap().Username = "nobody-here".to_owned();
    assert!(agent.exec("c1", "e2", process).await.is_err());
    // A refused exec leaves its id free.
    agent.exec("c1", "e2", sh("exit 4")).await.unwrap();
    assert_eq!(agent.wait("c1", "e2").await.unwrap(), 4);
}
