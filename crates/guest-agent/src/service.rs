//! The two services of the protocol, and our own: each method finds its function, each failure its status.

use std::sync::Arc;

use async_trait::async_trait;
use ttrpc::asynchronous::TtrpcContext;
use virtcontainers_agent_proto::agent::*;
use virtcontainers_agent_proto::agent_ttrpc::AgentService;
use virtcontainers_agent_proto::csi::VolumeStatsResponse;
use virtcontainers_agent_proto::empty::Empty;
use virtcontainers_agent_proto::health::health_check_response::ServingStatus;
use virtcontainers_agent_proto::health::{CheckRequest, HealthCheckResponse, VersionCheckResponse};
use virtcontainers_agent_proto::health_ttrpc::Health;
use virtcontainers_agent_proto::process::{ListProcessesRequest, ListProcessesResponse};
use virtcontainers_agent_proto::process_ttrpc::ProcessService;
use virtcontainers_agent_proto::types::Interface;

use crate::agent::Agent;
use crate::blocking::blocking;
use crate::status::Result;
use crate::storage::update_ephemeral;
use crate::{guest, lifecycle, network, processes, sandbox, streams};

/// Version of the protocol, which is not the agent's.
const API_VERSION: &str = "0.0.1";

/// The health service; it needs nothing from the agent, so it always answers.
pub(crate) struct HealthApi;

#[async_trait]
impl Health for HealthApi {
    async fn check(&self, _: &TtrpcContext, _: CheckRequest) -> ttrpc::Result<HealthCheckResponse> {
        Ok(HealthCheckResponse {
            status: ServingStatus::SERVING.into(),
            ..Default::default()
        })
    }

    async fn version(
        &self,
        _: &TtrpcContext,
        _: CheckRequest,
    ) -> ttrpc::Result<VersionCheckResponse> {
        Ok(VersionCheckResponse {
            grpc_version: API_VERSION.to_owned(),
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            ..Default::default()
        })
    }
}

/// The agent service.
pub(crate) struct AgentApi(pub(crate) Arc<Agent>);

/// What a method without a reply of its own answers.
fn empty(result: Result<()>) -> ttrpc::Result<Empty> {
    reply(result.map(|()| Empty::new()))
}

fn reply<T>(result: Result<T>) -> ttrpc::Result<T> {
    result.map_err(|failure| {
        log::debug!("{failure}");
        failure.into()
    })
}

/// Our own service beside those of the protocol.
pub(crate) struct ProcessApi(pub(crate) Arc<Agent>);

#[async_trait]
impl ProcessService for ProcessApi {
    async fn list_processes(
        &self,
        _: &TtrpcContext,
        request: ListProcessesRequest,
    ) -> ttrpc::Result<ListProcessesResponse> {
        reply(processes::list(&self.0, &request.container_id).await)
    }
}

/// Generates the methods: `name(Request) -> Reply = |agent, request| body;`.
macro_rules! methods {
    ($($name:ident($request_type:ty) -> $reply:ty = |$agent:ident, $request:pat_param| $body:expr;)*) => {
        #[async_trait]
        impl AgentService for AgentApi {
            $(async fn $name(&self, _: &TtrpcContext, $request: $request_type) -> ttrpc::Result<$reply> {
                let $agent = &self.0;
                $body
            })*
        }
    };
}

methods! {
    create_sandbox(CreateSandboxRequest) -> Empty =
        |agent, request| empty(sandbox::create(agent, request).await);
    destroy_sandbox(DestroySandboxRequest) -> Empty =
        |agent, _| empty(sandbox::destroy(agent).await);

    create_container(CreateContainerRequest) -> Empty =
        |agent, request| empty(lifecycle::create(agent, request).await);
    start_container(StartContainerRequest) -> Empty =
        |agent, request| empty(lifecycle::start(agent, &request.container_id).await);
    pause_container(PauseContainerRequest) -> Empty =
        |agent, request| empty(lifecycle::pause(agent, &request.container_id).await);
    resume_container(ResumeContainerRequest) -> Empty =
        |agent, request| empty(lifecycle::resume(agent, &request.container_id).await);
    update_container(UpdateContainerRequest) -> Empty = |agent, request| {
        empty(lifecycle::update(agent, &request.container_id, request.resources.as_ref()).await)
    };
    stats_container(StatsContainerRequest) -> StatsContainerResponse =
        |agent, request| reply(lifecycle::stats(agent, &request.container_id).await);
    remove_container(RemoveContainerRequest) -> Empty =
        |agent, request| empty(lifecycle::remove(agent, &request.container_id, request.timeout).await);

    exec_process(ExecProcessRequest) -> Empty =
        |agent, request| empty(lifecycle::exec(agent, request).await);
    signal_process(SignalProcessRequest) -> Empty =
        |agent, request| empty(streams::signal(agent, &request).await);
    wait_process(WaitProcessRequest) -> WaitProcessResponse = |agent, request| {
        reply(streams::wait(agent, &request).await.map(|status| WaitProcessResponse {
            status,
            ..Default::default()
        }))
    };
    write_stdin(WriteStreamRequest) -> WriteStreamResponse =
        |agent, request| reply(streams::write(agent, &request).await);
    read_stdout(ReadStreamRequest) -> ReadStreamResponse =
        |agent, request| reply(streams::read(agent, &request, streams::Source::Output).await);
    read_stderr(ReadStreamRequest) -> ReadStreamResponse =
        |agent, request| reply(streams::read(agent, &request, streams::Source::Errors).await);
    close_stdin(CloseStdinRequest) -> Empty = |agent, request| {
        empty(streams::close(agent, &request.container_id, &request.exec_id).await)
    };
    tty_win_resize(TtyWinResizeRequest) -> Empty =
        |agent, request| empty(streams::resize(agent, &request));

    update_interface(UpdateInterfaceRequest) -> Interface =
        |agent, request| reply(network::update_interface(agent, request).await);
    update_routes(UpdateRoutesRequest) -> Routes =
        |agent, request| reply(network::update_routes(agent, request).await);
    list_interfaces(ListInterfacesRequest) -> Interfaces =
        |_agent, _| reply(network::list_interfaces().await);
    list_routes(ListRoutesRequest) -> Routes = |_agent, _| reply(network::list_routes().await);
    add_arp_neighbors(AddARPNeighborsRequest) -> Empty =
        |_agent, request| empty(network::add_neighbours(request).await);

    online_cpu_mem(OnlineCPUMemRequest) -> Empty =
        |_agent, request| empty(guest::online(request.nb_cpus, request.cpu_only).await);
    update_ephemeral_mounts(UpdateEphemeralMountsRequest) -> Empty =
        |_agent, request| empty(request.storages.iter().try_for_each(update_ephemeral));
    get_guest_details(GuestDetailsRequest) -> GuestDetailsResponse =
        |agent, request| reply(guest::details(agent, &request));
    get_oom_event(GetOOMEventRequest) -> OOMEvent = |agent, _| {
        reply(agent.oom.next().await.map(|container_id| OOMEvent {
            container_id,
            ..Default::default()
        }))
    };
    get_metrics(GetMetricsRequest) -> Metrics =
        |agent, _| Ok(Metrics { metrics: guest::metrics(agent), ..Default::default() });
    get_volume_stats(VolumeStatsRequest) -> VolumeStatsResponse = |_agent, request| {
        reply(blocking(move || guest::volume_stats(&request.volume_guest_path)).await)
    };
    get_diagnostic_data(GetDiagnosticDataRequest) -> GetDiagnosticDataResponse = |agent, request| {
        reply(guest::diagnostic_data(agent, &request).map(|data| GetDiagnosticDataResponse {
            data,
            ..Default::default()
        }))
    };
    remove_stale_virtiofs_share_mounts(RemoveStaleVirtiofsShareMountsRequest) -> Empty = |agent, _| {
        let agent = Arc::clone(agent);
        empty(blocking(move || guest::touch_share_mounts(&agent)).await)
    };
    copy_file(CopyFileRequest) -> Empty = |agent, request| {
        let agent = Arc::clone(agent);
        empty(blocking(move || guest::copy_file(&agent, &request)).await)
    };
    reseed_random_dev(ReseedRandomDevRequest) -> Empty =
        |_agent, request| empty(guest::reseed(&request.data));
    set_guest_date_time(SetGuestDateTimeRequest) -> Empty =
        |_agent, request| empty(guest::set_time(request.Sec, request.Usec));
}
