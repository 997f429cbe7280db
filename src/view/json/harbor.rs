//! The records of `--json` about Harbors.

use serde::Serialize;

use crate::base::clock::Millis;
use crate::base::stamp::rfc3339;
use crate::base::text::Untrusted;
use crate::model::harbor::access::{HarborRobot, Member, MemberKind};
use crate::model::harbor::ask::{PolicyRow, ProjectRow};
use crate::model::harbor::runs::{Endpoint, Execution, Task, TaskCounts};
use crate::model::harbor::view::{AccessView, HarborView, PolicyView};
use crate::model::harbor::{Login, Quota, Space};
use crate::view::harbor;

fn raw(text: &Untrusted) -> String {
    text.raw().to_owned()
}

fn stamp(at: Option<Millis>) -> (Option<String>, Option<i64>) {
    (at.map(rfc3339), at.map(|at| at.0))
}

/// What only Harbor tells of a registry.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "docs/json.md says what each field means, in one place")]
pub struct HarborRecord {
    pub asked: Option<String>,
    pub asked_ms: Option<i64>,
    pub health: Option<String>,
    pub parts: Vec<PartRecord>,
    pub login: Option<String>,
    pub administrator: Option<bool>,
    pub read_only: Option<bool>,
    pub projects: Option<u32>,
    pub repositories: Option<u64>,
    pub space: Option<Space>,
    pub used: Option<u64>,
    pub fullest: Option<FullestRecord>,
    pub policies: Option<Vec<PolicyRecord>>,
    pub access: &'static str,
    pub access_behind_ms: Option<i64>,
    pub access_why: Option<String>,
    pub why: Vec<String>,
}

/// One of Harbor's parts.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "docs/json.md says what each field means, in one place")]
pub struct PartRecord {
    pub part: String,
    pub health: String,
    pub error: Option<String>,
}

/// The project that is nearest to its limit.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "docs/json.md says what each field means, in one place")]
pub struct FullestRecord {
    pub project: Option<String>,
    pub used: u64,
    pub limit: Option<u64>,
}

impl HarborRecord {
    /// The record of what is known.
    pub fn of(view: &HarborView) -> HarborRecord {
        let (asked, asked_ms) = stamp(view.asked);
        let health = view.health.as_ref();
        let parts = health.map_or(&[][..], |h| &h.components);
        let (login, administrator) = match &view.login {
            Some(Login::User { name, admin }) => (Some(raw(name)), Some(*admin)),
            Some(Login::NoPerson) => (None, Some(false)),
            None => (None, None),
        };
        let (access, access_behind_ms, access_why) = match &view.access {
            AccessView::Apart => ("apart", None, None),
            AccessView::Brought { waiting, .. } if waiting.is_empty() => ("brought", None, None),
            AccessView::Brought { waiting, .. } => ("waiting", None, Some(waiting.join("; "))),
            AccessView::Behind { since, why } => ("behind", Some(since.0), Some(raw(why))),
        };
        HarborRecord {
            access,
            access_behind_ms,
            access_why,
            asked,
            asked_ms,
            health: health.map(|h| h.status.to_string()),
            parts: parts
                .iter()
                .map(|c| PartRecord {
                    part: raw(&c.name),
                    health: c.health.to_string(),
                    error: c.error.as_ref().map(raw),
                })
                .collect(),
            login,
            administrator,
            read_only: view.facts.as_ref().and_then(|f| f.read_only),
            projects: view.projects,
            repositories: view.repositories,
            space: view.space,
            used: view.quotas.as_ref().map(|q| q.used),
            fullest: view.quotas.as_ref().and_then(|q| q.fullest.as_ref()).map(|f| FullestRecord {
                project: f.project.as_ref().map(raw),
                used: f.quota.used,
                limit: f.quota.limit,
            }),
            policies: view.policies.as_ref().map(|all| all.iter().map(PolicyRecord::of).collect()),
            why: view.why.iter().map(raw).collect(),
        }
    }
}

/// A replication policy of Harbor's.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "docs/json.md says what each field means, in one place")]
pub struct PolicyRecord {
    pub policy: i64,
    pub name: String,
    pub enabled: bool,
    pub trigger: String,
    pub from: Option<String>,
    pub to: Option<String>,
    pub last: Option<ExecutionRecord>,
}

impl PolicyRecord {
    fn of(view: &PolicyView) -> PolicyRecord {
        PolicyRecord {
            policy: view.id,
            name: raw(&view.name),
            enabled: view.enabled,
            trigger: view.trigger.to_string(),
            from: view.from.as_ref().map(raw),
            to: view.to.as_ref().map(raw),
            last: view.last.as_ref().map(ExecutionRecord::of),
        }
    }

    /// The record of a policy that was asked for.
    pub fn of_row(row: &PolicyRow) -> PolicyRecord {
        let policy = &row.policy;
        PolicyRecord {
            policy: policy.id,
            name: raw(&policy.name),
            enabled: policy.enabled,
            trigger: policy.trigger.to_string(),
            from: policy.from.as_ref().map(|e| raw(&e.name)),
            to: policy.to.as_ref().map(|e| raw(&e.name)),
            last: row.last.as_ref().map(ExecutionRecord::of),
        }
    }
}

/// An execution of a policy: a run, in Harbor's words.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "docs/json.md says what each field means, in one place")]
pub struct ExecutionRecord {
    pub execution: i64,
    pub policy: i64,
    pub state: String,
    pub said: String,
    pub trigger: String,
    pub began: Option<String>,
    pub began_ms: Option<i64>,
    pub ended: Option<String>,
    pub ended_ms: Option<i64>,
    pub tasks: TaskCounts,
    pub reason: Option<String>,
}

impl ExecutionRecord {
    /// The record of an execution.
    pub fn of(run: &Execution) -> ExecutionRecord {
        let ((began, began_ms), (ended, ended_ms)) = (stamp(run.began), stamp(run.ended));
        ExecutionRecord {
            execution: run.id,
            policy: run.policy,
            state: harbor::run_stands(run).1,
            said: run.said.to_string(),
            trigger: raw(&run.trigger),
            began,
            began_ms,
            ended,
            ended_ms,
            tasks: run.tasks,
            reason: Some(raw(&run.why)).filter(|why| !why.is_empty()),
        }
    }
}

/// A task of an execution.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "docs/json.md says what each field means, in one place")]
pub struct TaskRecord {
    pub task: i64,
    pub execution: i64,
    pub state: String,
    pub operation: String,
    pub from: String,
    pub to: String,
    pub began: Option<String>,
    pub began_ms: Option<i64>,
    pub ended: Option<String>,
    pub ended_ms: Option<i64>,
}

impl TaskRecord {
    /// The record of a task.
    pub fn of(task: &Task) -> TaskRecord {
        let ((began, began_ms), (ended, ended_ms)) = (stamp(task.began), stamp(task.ended));
        TaskRecord {
            task: task.id,
            execution: task.execution,
            state: harbor::task_stands(task).1,
            operation: raw(&task.operation),
            from: raw(&task.from),
            to: raw(&task.to),
            began,
            began_ms,
            ended,
            ended_ms,
        }
    }
}

/// A project of Harbor's.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "docs/json.md says what each field means, in one place")]
pub struct ProjectRecord {
    pub project: String,
    pub id: i64,
    pub public: Option<bool>,
    pub repositories: u64,
    pub cache: bool,
    pub used: Option<u64>,
    pub limit: Option<u64>,
    pub why: Option<String>,
}

impl ProjectRecord {
    /// The record of a project.
    pub fn of(row: &ProjectRow) -> ProjectRecord {
        let quota: Option<Quota> = row.quota;
        ProjectRecord {
            project: raw(&row.project.name),
            id: row.project.id,
            public: row.project.public,
            repositories: row.project.repositories,
            cache: row.project.cache_of.is_some(),
            used: quota.map(|q| q.used),
            limit: quota.and_then(|q| q.limit),
            why: row.why.as_ref().map(raw),
        }
    }
}

/// A member of a project of Harbor's.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "docs/json.md says what each field means, in one place")]
pub struct MemberRecord {
    pub name: String,
    pub kind: String,
    pub role: String,
    pub ours: Option<&'static str>,
}

impl MemberRecord {
    /// The record of a member.
    pub fn of(member: &Member) -> MemberRecord {
        MemberRecord {
            name: raw(&member.name),
            kind: member_kind(&member.kind),
            role: member.role.to_string(),
            ours: member.role.ours().map(crate::model::access::Role::word),
        }
    }
}

/// What sort of member it is, in a word.
pub fn member_kind(kind: &MemberKind) -> String {
    match kind {
        MemberKind::User => "user".to_owned(),
        MemberKind::Group => "group".to_owned(),
        MemberKind::Other(word) => word.safe().into_owned(),
    }
}

/// A robot of Harbor's.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "docs/json.md says what each field means, in one place")]
pub struct RobotRecord {
    pub login: String,
    pub id: i64,
    pub description: String,
    pub disabled: bool,
    pub expires: Option<String>,
    pub expires_ms: Option<i64>,
    pub rights: Vec<String>,
}

impl RobotRecord {
    /// The record of a robot.
    pub fn of(robot: &HarborRobot) -> RobotRecord {
        let (expires, expires_ms) = stamp(robot.expires);
        RobotRecord {
            login: raw(&robot.login),
            id: robot.id,
            description: raw(&robot.description),
            disabled: robot.disabled,
            expires,
            expires_ms,
            rights: rights(robot),
        }
    }
}

/// What a robot may do: `feed: pull repository, push repository`, one text a place.
pub fn rights(robot: &HarborRobot) -> Vec<String> {
    let one = |grant: &crate::model::harbor::access::Grant| {
        let all: Vec<String> =
            grant.rights.iter().map(|r| format!("{} {}", r.action.safe(), r.resource.safe())).collect();
        format!("{}: {}", grant.namespace.safe(), all.join(", "))
    };
    robot.grants.iter().map(one).collect()
}

/// A registry that Harbor copies to or from.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "docs/json.md says what each field means, in one place")]
pub struct HarborEndpointRecord {
    pub name: String,
    pub id: i64,
    pub url: String,
    pub kind: String,
    pub health: String,
    pub insecure: bool,
    pub user: Option<String>,
}

impl HarborEndpointRecord {
    /// The record of a registry.
    pub fn of(e: &Endpoint) -> HarborEndpointRecord {
        HarborEndpointRecord {
            name: raw(&e.name),
            id: e.id,
            url: raw(&e.url),
            kind: raw(&e.kind),
            health: e.health.to_string(),
            insecure: e.insecure,
            user: e.user.as_ref().map(raw),
        }
    }
}
