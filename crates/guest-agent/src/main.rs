//! `vc-guest-agent`: process 1 of a guest, and the host's hand in it.
//!
//! It mounts the kernel's file systems, loads the modules it needs, listens on vsock port 1024 and
//! serves the ttrpc protocol of kata-agent: sandbox, containers, processes and their streams,
//! network, files. `docs/architecture.md` says who calls it; `virtcontainers-agent-proto` has the
//! messages.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

mod agent;
mod blocking;
mod config;
mod console;
mod container;
mod containers;
mod descriptor;
mod device;
mod guest;
mod init;
mod lifecycle;
mod logging;
mod modules;
mod network;
mod oom;
mod process;
mod processes;
mod program;
mod reaper;
mod sandbox;
mod server;
mod service;
mod status;
mod stdio;
mod storage;
mod streams;
mod sys;

use agent::Agent;
use config::options::Request;
use config::{Config, cmdline, options};
use container::Engine;
use modules::Modules;

/// How long an idle helper thread is kept.
const THREAD_KEEP_ALIVE: Duration = Duration::from_secs(1);

/// Stack of a helper thread, in bytes; they make system calls and little else.
const THREAD_STACK: usize = 256 * 1024;

/// How long the reply to the last request may take to leave before the power goes.
const LINGER: Duration = Duration::from_millis(20);

fn main() -> ExitCode {
    sys::frugal_allocator();
    let request = if std::process::id() == 1 {
        Ok(Request::Serve(Box::new(as_init())))
    } else {
        options::parse(std::env::args_os().skip(1))
    };
    match request {
        Ok(Request::Serve(config)) => serve(*config),
        Ok(Request::Print(text)) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(mistake) => {
            eprintln!("vc-guest-agent: {mistake}");
            ExitCode::FAILURE
        }
    }
}

/// Sets the machine up as far as reading the command line needs, and reads it.
fn as_init() -> Config {
    let problems = init::mount_all();
    let mut config = Config {
        init: true,
        ..Config::default()
    };
    let line = std::fs::read_to_string("/proc/cmdline").unwrap_or_default();
    let warnings = cmdline::apply(&mut config, &line);
    for text in problems.into_iter().chain(warnings) {
        eprintln!("vc-guest-agent: {text}");
    }
    config
}

/// Serves until the sandbox ends; as init, powers off then, and never returns before.
fn serve(config: Config) -> ExitCode {
    let init = config.init;
    let result = on_event_loop(config);
    if let Err(message) = &result {
        eprintln!("vc-guest-agent: {message}");
    }
    if init {
        init::power_off();
    }
    if result.is_ok() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn on_event_loop(config: Config) -> Result<(), String> {
    // First of all, while there is a single thread: the engine forks.
    let engine = Engine::new(config.run_dir.clone(), config.cgroup_root.clone())
        .map_err(|error| format!("start the container engine: {error}"))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .thread_keep_alive(THREAD_KEEP_ALIVE)
        .thread_stack_size(THREAD_STACK)
        .build()
        .map_err(|error| format!("start the event loop: {error}"))?;
    let result = runtime.block_on(run(config, engine));
    runtime.shutdown_background();
    result
}

async fn run(config: Config, engine: Engine) -> Result<(), String> {
    let log_stream = logging::install(config.log_level, config.log_vport);
    let modules = Modules::new(init::MODULES);
    if config.init {
        init::set_up(&modules);
    } else {
        sys::adopt_orphans().map_err(|error| format!("become the parent of orphans: {error}"))?;
    }
    let reaper = reaper::Reaper::default();
    reaper
        .start()
        .map_err(|error| format!("listen for the end of children: {error}"))?;
    let agent = Arc::new(Agent::new(config, engine, reaper, modules));
    let config = &agent.config;
    let _server = server::serve(&config.listen, Arc::clone(&agent))
        .await
        .map_err(|error| format!("listen on {}: {error}", config.listen))?;
    if config.announce_vport != 0 {
        tokio::spawn(server::announce(config.announce_vport));
    }
    if device::has_network_device(Path::new("/sys")) {
        // The host sets it up soon, and is not here yet.
        let modules = agent.modules.clone();
        tokio::spawn(async move { modules.load([modules::NET]).await });
    }
    if let Some(stream) = log_stream {
        tokio::spawn(stream.serve(config.log_vport));
    }
    if config.debug_console {
        tokio::spawn(console::serve(
            agent.reaper.clone(),
            config.debug_console_vport,
        ));
    }
    log::info!("listening on {}", config.listen);
    agent.sandbox.wait_end().await;
    tokio::time::sleep(LINGER).await;
    Ok(())
}
