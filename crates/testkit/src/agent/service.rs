//! The services: each call enters, may go wrong on demand, and goes to the model.

mod waiting;

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::Notify;
use ttrpc::r#async::TtrpcContext;
use ttrpc::{Code, Result};
use virtcontainers_agent_proto::agent_ttrpc::AgentService;
use virtcontainers_agent_proto::empty::Empty;
use virtcontainers_agent_proto::health_ttrpc::Health;
use virtcontainers_agent_proto::process_ttrpc::ProcessService;
use virtcontainers_agent_proto::{
    EXACT_SPEC_FEATURE, LIST_PROCESSES_FEATURE, agent, csi, health, process, types,
};

use super::model::{Model, status};
use super::network::Refusal;
use super::{Fault, Flavor, Shared};

type Context = TtrpcContext;

pub(super) struct Service {
    shared: Arc<Shared>,
    hang_up: Arc<Notify>,
}

impl Service {
    pub(super) fn new(shared: Arc<Shared>, hang_up: Arc<Notify>) -> Self {
        Self { shared, hang_up }
    }

    async fn enter(&self, method: &str) -> Result<()> {
        let fault = {
            let mut model = self.shared.model();
            model.enter(method)?;
            model.faults.get(method).cloned()
        };
        match fault {
            None => Ok(()),
            Some(Fault::Answer(code, message)) => Err(status(code, message)),
            Some(Fault::Silence) => std::future::pending().await,
            Some(Fault::Disconnect) => {
                self.hang_up.notify_one();
                std::future::pending().await
            }
        }
    }

    /// Enters, and does something to the model at once.
    async fn act<T>(&self, method: &str, act: impl FnOnce(&mut Model) -> Result<T>) -> Result<T> {
        self.enter(method).await?;
        act(&mut self.shared.model())
    }

    /// Does something that has an empty reply.
    async fn done(
        &self,
        method: &str,
        act: impl FnOnce(&mut Model) -> Result<()>,
    ) -> Result<Empty> {
        self.act(method, act).await?;
        Ok(Empty::new())
    }
}

#[async_trait]
impl Health for Service {
    async fn check(
        &self,
        _: &Context,
        _: health::CheckRequest,
    ) -> Result<health::HealthCheckResponse> {
        use health::health_check_response::ServingStatus;
        let serving = self.act("Check", |model| Ok(model.check())).await?;
        let state = if serving {
            ServingStatus::SERVING
        } else {
            ServingStatus::NOT_SERVING
        };
        Ok(health::HealthCheckResponse {
            status: state.into(),
            ..Default::default()
        })
    }

    async fn version(
        &self,
        _: &Context,
        _: health::CheckRequest,
    ) -> Result<health::VersionCheckResponse> {
        self.enter("Version").await?;
        Ok(health::VersionCheckResponse {
            grpc_version: "0.0.1".to_owned(),
            agent_version: "4.1.0".to_owned(),
            ..Default::default()
        })
    }
}

fn answer(model: &mut Model, refusal: Refusal) -> ttrpc::Error {
    match refusal {
        Refusal::Answer(error) => error,
        Refusal::Violation(what) => model.violation(what),
    }
}

#[async_trait]
impl AgentService for Service {
    async fn create_sandbox(&self, _: &Context, r: agent::CreateSandboxRequest) -> Result<Empty> {
        self.done("CreateSandbox", |m| m.create_sandbox(&r)).await
    }

    async fn create_container(
        &self,
        _: &Context,
        r: agent::CreateContainerRequest,
    ) -> Result<Empty> {
        self.done("CreateContainer", |m| m.create_container(&r))
            .await
    }

    async fn start_container(&self, _: &Context, r: agent::StartContainerRequest) -> Result<Empty> {
        self.done("StartContainer", |m| m.start_container(&r.container_id))
            .await
    }

    async fn remove_container(
        &self,
        _: &Context,
        r: agent::RemoveContainerRequest,
    ) -> Result<Empty> {
        self.done("RemoveContainer", |m| {
            m.remove_container(&r.container_id, r.timeout)
        })
        .await
    }

    async fn pause_container(&self, _: &Context, r: agent::PauseContainerRequest) -> Result<Empty> {
        self.done("PauseContainer", |m| m.set_paused(&r.container_id, true))
            .await
    }

    async fn resume_container(
        &self,
        _: &Context,
        r: agent::ResumeContainerRequest,
    ) -> Result<Empty> {
        self.done("ResumeContainer", |m| m.set_paused(&r.container_id, false))
            .await
    }

    async fn update_container(
        &self,
        _: &Context,
        r: agent::UpdateContainerRequest,
    ) -> Result<Empty> {
        self.done("UpdateContainer", |m| {
            m.container(&r.container_id, Code::INVALID_ARGUMENT)
                .map(drop)
        })
        .await
    }

    async fn exec_process(&self, _: &Context, r: agent::ExecProcessRequest) -> Result<Empty> {
        self.done("ExecProcess", |m| m.exec(&r)).await
    }

    async fn signal_process(&self, _: &Context, r: agent::SignalProcessRequest) -> Result<Empty> {
        self.done("SignalProcess", |m| m.signal(&r)).await
    }

    async fn tty_win_resize(&self, _: &Context, r: agent::TtyWinResizeRequest) -> Result<Empty> {
        self.done("TtyWinResize", |m| m.set_window(&r)).await
    }

    async fn copy_file(&self, _: &Context, r: agent::CopyFileRequest) -> Result<Empty> {
        self.done("CopyFile", |m| m.copy_file(&r)).await
    }

    async fn online_cpu_mem(&self, _: &Context, _: agent::OnlineCPUMemRequest) -> Result<Empty> {
        self.done("OnlineCPUMem", |_| Ok(())).await
    }

    async fn set_guest_date_time(
        &self,
        _: &Context,
        _: agent::SetGuestDateTimeRequest,
    ) -> Result<Empty> {
        self.done("SetGuestDateTime", |_| Ok(())).await
    }

    async fn set_policy(&self, _: &Context, _: agent::SetPolicyRequest) -> Result<Empty> {
        self.done("SetPolicy", |_| {
            Err(status(
                Code::NOT_FOUND,
                "/grpc.AgentService/SetPolicy is not supported",
            ))
        })
        .await
    }

    async fn reseed_random_dev(
        &self,
        _: &Context,
        r: agent::ReseedRandomDevRequest,
    ) -> Result<Empty> {
        self.done("ReseedRandomDev", |m| {
            if r.data.is_empty() {
                Err(m.violation("ReseedRandomDev without data"))
            } else {
                Ok(())
            }
        })
        .await
    }

    async fn add_arp_neighbors(
        &self,
        _: &Context,
        r: agent::AddARPNeighborsRequest,
    ) -> Result<Empty> {
        self.done("AddARPNeighbors", |m| {
            let added = m
                .network
                .add_neighbors(&r.neighbors.get_or_default().ARPNeighbors);
            added.map_err(|refusal| answer(m, refusal))
        })
        .await
    }

    async fn destroy_sandbox(&self, _: &Context, _: agent::DestroySandboxRequest) -> Result<Empty> {
        self.act("DestroySandbox", Model::destroy_sandbox).await?;
        self.shared.over.send_replace(true);
        Ok(Empty::new())
    }

    async fn get_guest_details(
        &self,
        _: &Context,
        _: agent::GuestDetailsRequest,
    ) -> Result<agent::GuestDetailsResponse> {
        let flavor = self
            .act("GetGuestDetails", |model| Ok(model.flavor))
            .await?;
        Ok(guest_details(flavor))
    }

    async fn get_oom_event(
        &self,
        _: &Context,
        _: agent::GetOOMEventRequest,
    ) -> Result<agent::OOMEvent> {
        self.next_oom().await
    }

    async fn stats_container(
        &self,
        _: &Context,
        r: agent::StatsContainerRequest,
    ) -> Result<agent::StatsContainerResponse> {
        let found = |model: &mut Model| {
            model
                .container(&r.container_id, Code::INVALID_ARGUMENT)
                .map(drop)
        };
        self.act("StatsContainer", found).await?;
        let stats = agent::CgroupStats::new();
        Ok(agent::StatsContainerResponse {
            cgroup_stats: Some(stats).into(),
            ..Default::default()
        })
    }

    async fn wait_process(
        &self,
        _: &Context,
        r: agent::WaitProcessRequest,
    ) -> Result<agent::WaitProcessResponse> {
        self.wait(&r.container_id, &r.exec_id).await
    }

    async fn read_stdout(
        &self,
        _: &Context,
        r: agent::ReadStreamRequest,
    ) -> Result<agent::ReadStreamResponse> {
        self.read("ReadStdout", &r).await
    }

    async fn read_stderr(
        &self,
        _: &Context,
        r: agent::ReadStreamRequest,
    ) -> Result<agent::ReadStreamResponse> {
        self.read("ReadStderr", &r).await
    }

    async fn write_stdin(
        &self,
        _: &Context,
        r: agent::WriteStreamRequest,
    ) -> Result<agent::WriteStreamResponse> {
        self.write(&r).await
    }

    async fn close_stdin(&self, _: &Context, r: agent::CloseStdinRequest) -> Result<Empty> {
        let process = self
            .input("CloseStdin", &r.container_id, &r.exec_id)
            .await?;
        if process.terminal {
            return Err(self
                .shared
                .model()
                .violation("CloseStdin of a process with a terminal"));
        }
        process.stdin.lock().await.take();
        Ok(Empty::new())
    }

    async fn update_interface(
        &self,
        _: &Context,
        mut r: agent::UpdateInterfaceRequest,
    ) -> Result<types::Interface> {
        let interface = r.interface.take().unwrap_or_default();
        let update = |model: &mut Model| {
            let updated = model.network.update(interface.clone());
            updated.map_err(|refusal| answer(model, refusal))
        };
        self.act("UpdateInterface", update).await?;
        Ok(interface)
    }

    async fn update_routes(
        &self,
        _: &Context,
        mut r: agent::UpdateRoutesRequest,
    ) -> Result<agent::Routes> {
        let wanted = r.routes.take().unwrap_or_default();
        let add = |model: &mut Model| {
            let added = model.network.add_routes(wanted.Routes);
            added.map_err(|refusal| answer(model, refusal))?;
            Ok(model.network.routes.clone())
        };
        let routes = self.act("UpdateRoutes", add).await?;
        Ok(agent::Routes {
            Routes: routes,
            ..Default::default()
        })
    }

    async fn list_interfaces(
        &self,
        _: &Context,
        _: agent::ListInterfacesRequest,
    ) -> Result<agent::Interfaces> {
        let list = self
            .act("ListInterfaces", |model| Ok(model.network.interfaces()))
            .await?;
        Ok(agent::Interfaces {
            Interfaces: list,
            ..Default::default()
        })
    }

    async fn list_routes(&self, _: &Context, _: agent::ListRoutesRequest) -> Result<agent::Routes> {
        let list = self
            .act("ListRoutes", |model| Ok(model.network.routes.clone()))
            .await?;
        Ok(agent::Routes {
            Routes: list,
            ..Default::default()
        })
    }

    async fn get_metrics(
        &self,
        _: &Context,
        _: agent::GetMetricsRequest,
    ) -> Result<agent::Metrics> {
        self.enter("GetMetrics").await?;
        let metrics = "# TYPE kata_agent_threads gauge\nkata_agent_threads 3\n".to_owned();
        Ok(agent::Metrics {
            metrics,
            ..Default::default()
        })
    }

    async fn get_volume_stats(
        &self,
        _: &Context,
        _: agent::VolumeStatsRequest,
    ) -> Result<csi::VolumeStatsResponse> {
        self.enter("GetVolumeStats").await?;
        Ok(csi::VolumeStatsResponse::new())
    }
}

#[async_trait]
impl ProcessService for Service {
    async fn list_processes(
        &self,
        _: &Context,
        r: process::ListProcessesRequest,
    ) -> Result<process::ListProcessesResponse> {
        let list = |model: &mut Model| model.list_processes(&r.container_id);
        Ok(process::ListProcessesResponse {
            processes: self.act("ListProcesses", list).await?,
            ..Default::default()
        })
    }
}

pub(super) fn guest_details(flavor: Flavor) -> agent::GuestDetailsResponse {
    let features = match flavor {
        Flavor::Kata => vec!["seccomp".to_owned()],
        Flavor::Exact => ["seccomp", EXACT_SPEC_FEATURE, LIST_PROCESSES_FEATURE]
            .map(str::to_owned)
            .to_vec(),
    };
    let details = agent::AgentDetails {
        version: "4.1.0".to_owned(),
        init_daemon: true,
        storage_handlers: vec!["virtio-fs".to_owned(), "ephemeral".to_owned()],
        supports_seccomp: true,
        extra_features: features,
        ..Default::default()
    };
    agent::GuestDetailsResponse {
        mem_block_size_bytes: 128 << 20,
        agent_details: Some(details).into(),
        ..Default::default()
    }
}
