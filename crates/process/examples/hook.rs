//! Runs a hook that reads the state, complains and fails: `cargo run --example hook`.

use std::time::Duration;

use virtcontainers_process::{Hook, HookCall, Mark, run_hook};

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let script = "echo \"I do not like this: $(cat)\"; exit 3";
    let hook = Hook {
        path: "/bin/sh".into(),
        args: ["my-hook", "-c", script].map(Into::into).to_vec(),
        env: vec!["PATH=/usr/bin:/bin".into()],
        timeout: Some(Duration::from_secs(10)),
    };
    // Unguessable in real life, and written down before the hook is run.
    let mark = Mark::new(format!("example-{}", std::process::id()), "hook-prestart-0");
    let call = HookCall {
        state: br#"{"ociVersion":"1.2.0","id":"web","status":"creating","bundle":"/srv/web"}"#,
        directory: "/".as_ref(),
        network_namespace: None,
        mark: &mark,
    };
    match run_hook(&hook, call).await {
        Ok(()) => println!("the hook is content"),
        Err(error) => println!("{:?}: {error}", error.kind()),
    }
}
