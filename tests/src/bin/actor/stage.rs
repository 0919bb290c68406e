//! An actor at work: its runtime, and one call after the other.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Result;
use virtcontainers::oci::{CommandLine, exec_process};
use virtcontainers::types::{ContainerId, ProcessIdentity, SandboxStatus};
use virtcontainers::{
    ContainerIo, CreateOptions, ExecRequest, Runtime, RuntimeError, RuntimeOptions,
};
use virtcontainers_process::Identity;
use virtcontainers_tests::history::{Call, Ending, Event, INCARNATION, Journal, Verb, now};

use crate::journaled::Journaled;
use crate::setting::Setting;

/// What SIGKILL is called by number.
const SIGKILL: u32 = 9;

/// An actor.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) setting: Setting,
    pub(crate) runtime: Runtime,
    journal: Option<Arc<Journal>>,
    calls: u64,
}

impl Stage {
    pub(crate) fn new(setting: Setting) -> Result<Self> {
        let journal = setting.journal.as_deref().map(Journal::open).transpose()?;
        let journal = journal.map(Arc::new);
        let mut options: RuntimeOptions = setting.options()?;
        if let Some(journal) = &journal {
            let store = Journaled::new(setting.store()?, Arc::clone(journal));
            options.store = Some(Arc::new(store));
        }
        Ok(Self {
            runtime: Runtime::new(options, setting.shared_backend()?)?,
            setting,
            journal,
            calls: 0,
        })
    }

    /// Carries out one call and tells how it ended, in the history and on standard output.
    pub(crate) async fn call(&mut self, call: Call) -> Result<Ending> {
        self.calls += 1;
        let from = now();
        if let Some(journal) = &self.journal {
            journal.enter(Some(self.calls));
            journal.tell(from, Event::Began(call.clone()))?;
        }
        let ended = self.perform(&call).await;
        let ending = match ended {
            Ok(status) => Ending::Done {
                generation: status.as_ref().map(|status| status.generation),
                state: status.map(|status| status.state),
            },
            Err(error) => Ending::Refused {
                kind: match error.downcast_ref::<RuntimeError>() {
                    Some(error) => error.kind().as_str().to_owned(),
                    None => "none of the runtime".to_owned(),
                },
                message: format!("{error:#}"),
            },
        };
        if let Some(journal) = &self.journal {
            journal.tell(from, Event::Ended(ending.clone()))?;
            journal.enter(None);
        }
        println!(
            "{}",
            serde_json::json!({ "call": call, "ending": ending, "number": self.calls })
        );
        Ok(ending)
    }

    /// Gives the status that the operation results in, if it gives one.
    async fn perform(&self, call: &Call) -> Result<Option<SandboxStatus>> {
        let runtime = &self.runtime;
        let id = &self.setting.id;
        let first = ContainerId::from(id.clone());
        let container = call.container.as_ref().unwrap_or(&first);
        match call.verb {
            Verb::Create => {
                let mark = format!("{}-{}", std::process::id(), self.calls);
                let annotations = BTreeMap::from([(INCARNATION.to_owned(), mark)]);
                let config = self.setting.sandbox(annotations)?;
                let options = CreateOptions::default();
                let sandbox = runtime.create_sandbox(config, options).await?;
                drop(sandbox);
                Ok(None)
            }
            Verb::Start => Ok(Some(runtime.start_sandbox(id).await?)),
            Verb::Stop => Ok(Some(runtime.stop_sandbox(id, call.force).await?)),
            Verb::Pause => Ok(Some(runtime.pause_sandbox(id).await?)),
            Verb::Resume => Ok(Some(runtime.resume_sandbox(id).await?)),
            Verb::Status => Ok(Some(runtime.status_sandbox(id).await?)),
            Verb::Delete => {
                runtime.delete_sandbox(id, call.force).await?;
                Ok(None)
            }
            Verb::List => self.listed().await,
            Verb::Annotate => {
                let annotations = call.annotation.iter();
                let annotations = annotations.map(|(key, value)| (key.clone(), value.to_string()));
                runtime.set_annotations(id, annotations.collect()).await?;
                Ok(None)
            }
            Verb::CreateContainer => {
                let config = self.setting.container(container);
                let io = ContainerIo::default().with_stand_in();
                runtime.create_container(id, config, io).await?;
                Ok(None)
            }
            Verb::StartContainer => {
                runtime.start_container(id, container).await?;
                Ok(None)
            }
            Verb::StopContainer => {
                runtime.stop_container(id, container, call.force).await?;
                Ok(None)
            }
            Verb::DeleteContainer => {
                runtime.delete_container(id, container).await?;
                Ok(None)
            }
            Verb::Kill => {
                runtime.kill_container(id, container, SIGKILL, true).await?;
                Ok(None)
            }
            Verb::Exec => {
                self.exec(container).await?;
                Ok(None)
            }
            Verb::Recover => {
                for recovered in runtime.recover(false).await? {
                    recovered.outcome?;
                }
                Ok(None)
            }
        }
    }

    /// Our sandbox in the list of all; `None` when it is not there.
    async fn listed(&self) -> Result<Option<SandboxStatus>> {
        let listed = self.runtime.list_sandboxes().await?;
        let ours = |id: &Option<_>| id.as_ref() == Some(&self.setting.id);
        let found = listed.into_iter().find(|listed| ours(&listed.id));
        Ok(found.map(|listed| listed.status).transpose()?)
    }

    async fn exec(&self, container: &ContainerId) -> Result<()> {
        let command = CommandLine {
            args: vec!["true".to_owned()],
            ..CommandLine::default()
        };
        let request = ExecRequest {
            container: container.clone(),
            process: exec_process(&command),
            io: ContainerIo::default(),
        };
        let entered = self.runtime.enter_detached(&self.setting.id, request);
        let ProcessIdentity { pid, start_time } = entered.await?;
        let stand_in = Identity { pid, start_time };
        stand_in.wait_gone(self.runtime.deadlines().rpc).await?;
        Ok(())
    }
}
