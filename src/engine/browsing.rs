//! The core's side of looking into registries: it hands each question to a task of its own, which answers it.

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::base::fault::{Fault, Kind};
use crate::base::ids::RegistryName;
use crate::engine::core::Core;
use crate::engine::registry::browse::Look;
use crate::model::oci::Repository;
use crate::model::query::{PageAsk, Reply};

impl Core {
    /// Answers what a registry holds, without holding the core.
    pub(super) fn browse(
        &self,
        name: &RegistryName,
        repository: Option<Repository>,
        ask: PageAsk,
        reply: oneshot::Sender<Reply>,
    ) {
        let Some(registry) = self.desired.registries.get(name).cloned() else {
            let fault = Fault::new(Kind::NotFound, format!("there is no registry {name}"));
            return drop(reply.send(Reply::Failed(fault.hint("see `longshore registry ls`"))));
        };
        let (browser, clients, world) =
            (self.layer.browser.clone(), self.clients.clone(), self.world().borrow().clone());
        let counts = self.layer.counting.counts().get(name).cloned().unwrap_or_else(Arc::default);
        tokio::spawn(async move {
            let answer = match clients.one(&registry).await {
                Ok(client) => browser.answer(Look { registry, client, world, counts, repository, ask }).await,
                Err(fault) => {
                    Reply::Failed(fault.because(format!("registry {} cannot be used", registry.name)))
                }
            };
            // Whoever asked may have gone.
            let _ = reply.send(answer);
        });
    }
}
