//! The calls that wait: for a process, for its streams, for an event.

use tokio::io::AsyncWriteExt;
use ttrpc::{Code, Result};
use virtcontainers_agent_proto::agent;

use super::Service;
use crate::agent::check;
use crate::agent::model::{Model, status};
use crate::agent::process::Process;

impl Service {
    pub(super) async fn read(
        &self,
        method: &str,
        request: &agent::ReadStreamRequest,
    ) -> Result<agent::ReadStreamResponse> {
        let (id, exec) = (&request.container_id, &request.exec_id);
        let length = request.len as usize;
        let stream = self
            .act(method, |model| {
                let process = model.process(id, exec)?.clone();
                if length == 0 || length > check::MAX_CHUNK {
                    return Err(model.violation(format!("{method} of {length} bytes")));
                }
                if method == "ReadStderr" && process.terminal {
                    return Err(model.violation("ReadStderr of a process with a terminal"));
                }
                Ok(if method == "ReadStdout" {
                    process.stdout
                } else {
                    process.stderr
                })
            })
            .await?;
        let Some(_reading) = stream.begin_read() else {
            let mut model = self.shared.model();
            return Err(model.violation(format!("two of {method} at once for {id}/{exec}")));
        };
        Ok(agent::ReadStreamResponse {
            data: stream.read(request.len).await,
            ..Default::default()
        })
    }

    pub(super) async fn wait(&self, id: &str, exec: &str) -> Result<agent::WaitProcessResponse> {
        let begin = |model: &mut Model| model.begin_wait(id, exec);
        let mut process = self.act("WaitProcess", begin).await?;
        let ended = process.status.wait_for(Option::is_some).await;
        let code = ended.map_or(None, |status| *status);
        self.shared.model().end_wait(id, exec);
        Ok(agent::WaitProcessResponse {
            status: code.ok_or_else(|| status(Code::INTERNAL, "the process was lost"))?,
            ..Default::default()
        })
    }

    pub(super) async fn input(&self, method: &str, id: &str, exec: &str) -> Result<Process> {
        self.act(method, |model| model.process(id, exec).cloned())
            .await
    }

    pub(super) async fn write(
        &self,
        request: &agent::WriteStreamRequest,
    ) -> Result<agent::WriteStreamResponse> {
        let (id, exec) = (&request.container_id, &request.exec_id);
        let process = self.input("WriteStdin", id, exec).await?;
        let length = request.data.len();
        if length == 0 || length > check::MAX_CHUNK {
            let mut model = self.shared.model();
            return Err(model.violation(format!("WriteStdin of {length} bytes")));
        }
        let mut stdin = process.stdin.lock().await;
        let closed = || status(Code::INTERNAL, "Cannot get writer");
        let pipe = stdin.as_mut().ok_or_else(closed)?;
        let written = pipe.write_all(&request.data).await;
        written.map_err(|_| status(Code::INTERNAL, "EPIPE: Broken pipe"))?;
        Ok(agent::WriteStreamResponse {
            len: u32::try_from(length).unwrap_or(u32::MAX),
            ..Default::default()
        })
    }

    pub(super) async fn next_oom(&self) -> Result<agent::OOMEvent> {
        self.enter("GetOOMEvent").await?;
        if std::mem::replace(&mut self.shared.model().awaits_oom, true) {
            return Err(self.shared.model().violation("two of GetOOMEvent at once"));
        }
        let mut over = self.shared.over.subscribe();
        let event = async {
            loop {
                if let Some(id) = self.shared.model().oom.pop_front() {
                    return Some(id);
                }
                tokio::select! {
                    () = self.shared.oom.notified() => {}
                    _ = over.wait_for(|over| *over) => return None,
                }
            }
        };
        let event = event.await;
        self.shared.model().awaits_oom = false;
        let container_id = event.ok_or_else(|| status(Code::INTERNAL, ""))?;
        Ok(agent::OOMEvent {
            container_id,
            ..Default::default()
        })
    }
}
