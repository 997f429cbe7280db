//! Harbor's own replication: looking at it, starting and stopping it.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use reqwest::Method;
use serde_json::json;

use crate::adapters::harbor::http::{Call, Limits};
use crate::adapters::harbor::wire::{EndpointBody, ExecutionBody, PolicyBody, TaskBody};
use crate::adapters::harbor::{Harbor, KIB, MIB, limits, paging};
use crate::base::fault::{Fault, Kind, Outcome};
use crate::base::text::Untrusted;
use crate::model::harbor::runs::{Endpoint, Execution, Policy, Task, TaskLog};
use crate::model::registry::Page;
use crate::ports::registry_admin::RunAdmin;

const BASE: &str = "/api/v2.0/replication";

/// A hundred short rows. Same for the next.
const ENDPOINTS: Limits = limits("list replication endpoints", 20, 4 * MIB);
/// See [`ENDPOINTS`].
const POLICIES: Limits = limits("list replication policies", 20, 4 * MIB);
/// A hundred rows whose numbers are summed up over all tasks.
const EXECUTIONS: Limits = limits("list executions", 30, 4 * MIB);
/// A hundred rows with the names of many tags.
const TASKS: Limits = limits("list tasks", 30, 16 * MIB);
/// A task writes a line for each blob; the end of a log tells why it failed.
const LOG: Limits = Limits { tail: true, ..limits("read a task's log", 30, MIB) };
/// Harbor answers before anything is listed or copied.
const START: Limits = limits("start a replication", 30, 256 * KIB);
/// Harbor tells each task's worker, one after another, before it answers.
const STOP: Limits = limits("stop a replication", 60, 256 * KIB);

impl RunAdmin for Harbor {
    fn endpoints(&self) -> BoxFuture<'_, Outcome<Vec<Endpoint>>> {
        async { paging::all::<EndpointBody>(&self.http, &Call::get(ENDPOINTS, "/api/v2.0/registries")).await }
            .boxed()
    }

    fn policies(&self) -> BoxFuture<'_, Outcome<Vec<Policy>>> {
        async {
            paging::all::<PolicyBody>(&self.http, &Call::get(POLICIES, format!("{BASE}/policies"))).await
        }
        .boxed()
    }

    fn executions<'a>(
        &'a self,
        policy: i64,
        next: Option<&'a str>,
    ) -> BoxFuture<'a, Outcome<Page<Execution>>> {
        async move {
            let list = Call::get(EXECUTIONS, format!("{BASE}/executions"));
            let list = list.with("policy_id", policy.to_string()).with("sort", "-start_time");
            paging::one::<ExecutionBody>(&self.http, &list, next).await
        }
        .boxed()
    }

    fn tasks<'a>(&'a self, execution: i64, next: Option<&'a str>) -> BoxFuture<'a, Outcome<Page<Task>>> {
        async move {
            let list = Call::get(TASKS, format!("{BASE}/executions/{execution}/tasks"));
            paging::one::<TaskBody>(&self.http, &list, next).await
        }
        .boxed()
    }

    fn log(&self, execution: i64, task: i64) -> BoxFuture<'_, Outcome<TaskLog>> {
        async move {
            let call = Call::get(LOG, format!("{BASE}/executions/{execution}/tasks/{task}/log"));
            let answer = self.http.send(&call).await?;
            let text = String::from_utf8_lossy(&answer.body);
            // The first line of a log whose beginning was left out is not whole.
            let text = match (answer.cut, text.split_once('\n')) {
                (true, Some((_, whole))) => whole,
                _ => &text,
            };
            Ok(TaskLog { text: Untrusted::from(text), cut: answer.cut })
        }
        .boxed()
    }

    fn start(&self, policy: i64) -> BoxFuture<'_, Outcome<i64>> {
        async move {
            let body = json!({"policy_id": policy});
            let call = Call::new(START, Method::POST, format!("{BASE}/executions"), Some(body));
            let answer = self.http.send(&call).await?;
            answer.made.ok_or_else(|| {
                Fault::new(Kind::Bug, "it has begun, but Harbor did not tell its number")
                    .hint("do not start it again: look at the policy's executions")
            })
        }
        .boxed()
    }

    fn stop(&self, execution: i64) -> BoxFuture<'_, Outcome<()>> {
        async move {
            let call = Call::new(STOP, Method::PUT, format!("{BASE}/executions/{execution}"), None);
            self.http.send(&call).await?;
            Ok(())
        }
        .boxed()
    }
}
