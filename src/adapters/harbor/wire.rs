//! Harbor's JSON, read leniently: unknown fields are passed over, absent ones mean Go's zero values, which Harbor leaves out.

pub(super) mod estate;

use serde::Deserialize;
use serde_json::Value;

use crate::adapters::harbor::stamp;
use crate::base::clock::Millis;
use crate::base::text::Untrusted;
use crate::model::harbor::access::{Grant, HarborRobot, HarborRole, Member, MemberKind, Right};
use crate::model::harbor::runs::{
    Endpoint, Execution, Policy, PolicyFilter, PolicyTrigger, Progress, Task, TaskCounts,
};
use crate::model::harbor::{ArtifactFacts, Component, HarborHealth, HarborProject, Login, Quota, Wellness};

/// What one of Harbor's objects becomes.
pub(super) trait Read: for<'a> Deserialize<'a> {
    type Noun;
    /// Its number, by which an object that comes twice on two pages is known.
    fn id(&self) -> i64;
    fn read(self) -> Self::Noun;
}

type Text = Option<String>;

fn text(text: Text) -> Untrusted {
    text.unwrap_or_default().into()
}

/// An absent or empty text is none.
fn some(text: Text) -> Option<Untrusted> {
    text.filter(|t| !t.is_empty()).map(Untrusted::from)
}

fn time(text: Text) -> Option<Millis> {
    stamp::millis(&text?)
}

/// A count; Harbor's are signed.
fn number(n: Option<i64>) -> u64 {
    u64::try_from(n.unwrap_or(0)).unwrap_or(0)
}

/// Seconds since 1970, -1 and 0 for never.
fn expiry(seconds: Option<i64>) -> Option<Millis> {
    seconds.filter(|s| *s > 0).map(|s| Millis(s.saturating_mul(1000)))
}

#[derive(Deserialize)]
pub(super) struct HealthBody {
    status: Text,
    components: Option<Vec<ComponentBody>>,
}

#[derive(Deserialize)]
struct ComponentBody {
    name: Text,
    status: Text,
    error: Text,
}

impl HealthBody {
    pub(super) fn noun(self) -> HarborHealth {
        let part = |c: ComponentBody| Component {
            name: text(c.name),
            health: Wellness::of(&c.status.unwrap_or_default()),
            error: some(c.error),
        };
        HarborHealth {
            status: Wellness::of(&self.status.unwrap_or_default()),
            components: self.components.unwrap_or_default().into_iter().map(part).collect(),
        }
    }
}

#[derive(Deserialize)]
pub(super) struct UserBody {
    username: String,
    sysadmin_flag: Option<bool>,
    admin_role_in_auth: Option<bool>,
}

impl UserBody {
    pub(super) fn noun(self) -> Login {
        let admin = self.sysadmin_flag == Some(true) || self.admin_role_in_auth == Some(true);
        Login::User { name: self.username.into(), admin }
    }
}

#[derive(Deserialize)]
pub(super) struct ProjectBody {
    project_id: i64,
    name: String,
    registry_id: Option<i64>,
    repo_count: Option<i64>,
    creation_time: Text,
    metadata: Option<MetadataBody>,
}

#[derive(Deserialize)]
struct MetadataBody {
    /// `"true"` or `"false"`: a text.
    public: Text,
}

impl Read for ProjectBody {
    type Noun = HarborProject;
    fn id(&self) -> i64 {
        self.project_id
    }
    fn read(self) -> HarborProject {
        let public = self.metadata.and_then(|m| m.public);
        HarborProject {
            id: self.project_id,
            name: self.name.into(),
            public: public.and_then(|word| word.parse().ok()),
            repositories: number(self.repo_count),
            cache_of: self.registry_id.filter(|id| *id > 0),
            created: time(self.creation_time),
        }
    }
}

#[derive(Deserialize)]
pub(super) struct SummaryBody {
    quota: Option<QuotaBody>,
}

#[derive(Deserialize)]
struct QuotaBody {
    hard: Option<StorageBody>,
    used: Option<StorageBody>,
}

#[derive(Deserialize)]
struct StorageBody {
    storage: Option<i64>,
}

fn storage(of: Option<StorageBody>) -> Option<i64> {
    of.and_then(|s| s.storage)
}

impl SummaryBody {
    /// None when there is no word of storage; a limit of -1 is none.
    pub(super) fn noun(self) -> Option<Quota> {
        let quota = self.quota?;
        let hard = storage(quota.hard)?;
        Some(Quota { used: number(storage(quota.used)), limit: u64::try_from(hard).ok() })
    }
}

#[derive(Deserialize)]
pub(super) struct ArtifactBody {
    id: i64,
    digest: String,
    #[serde(rename = "type")]
    kind: Text,
    size: Option<i64>,
    tags: Option<Vec<TagBody>>,
    push_time: Text,
    pull_time: Text,
}

#[derive(Deserialize)]
struct TagBody {
    name: String,
}

impl Read for ArtifactBody {
    type Noun = ArtifactFacts;
    fn id(&self) -> i64 {
        self.id
    }
    fn read(self) -> ArtifactFacts {
        let tags = self.tags.unwrap_or_default();
        ArtifactFacts {
            digest: self.digest.into(),
            kind: text(self.kind),
            size: number(self.size),
            tags: tags.into_iter().map(|tag| tag.name.into()).collect(),
            pushed: time(self.push_time),
            pulled: time(self.pull_time),
        }
    }
}

#[derive(Deserialize)]
pub(super) struct MemberBody {
    id: i64,
    entity_name: String,
    entity_type: Text,
    role_id: i64,
    role_name: Text,
}

impl Read for MemberBody {
    type Noun = Member;
    fn id(&self) -> i64 {
        self.id
    }
    fn read(self) -> Member {
        let kind = match self.entity_type.unwrap_or_default().as_str() {
            "u" => MemberKind::User,
            "g" => MemberKind::Group,
            other => MemberKind::Other(other.into()),
        };
        let role = HarborRole::of(self.role_id, &self.role_name.unwrap_or_default());
        Member { id: self.id, name: self.entity_name.into(), kind, role }
    }
}

#[derive(Deserialize)]
pub(super) struct RobotBody {
    id: i64,
    name: String,
    description: Text,
    level: Text,
    duration: Option<i64>,
    expires_at: Option<i64>,
    disable: Option<bool>,
    editable: Option<bool>,
    permissions: Option<Vec<PermissionBody>>,
}

#[derive(Deserialize)]
struct PermissionBody {
    kind: Text,
    namespace: Text,
    access: Option<Vec<AccessBody>>,
}

#[derive(Deserialize)]
struct AccessBody {
    resource: Text,
    action: Text,
}

impl Read for RobotBody {
    type Noun = HarborRobot;
    fn id(&self) -> i64 {
        self.id
    }
    fn read(self) -> HarborRobot {
        let right = |a: AccessBody| Right { resource: text(a.resource), action: text(a.action) };
        let grant = |p: PermissionBody| Grant {
            kind: text(p.kind),
            namespace: text(p.namespace),
            rights: p.access.unwrap_or_default().into_iter().map(right).collect(),
        };
        HarborRobot {
            id: self.id,
            login: self.name.into(),
            description: text(self.description),
            level: text(self.level),
            grants: self.permissions.unwrap_or_default().into_iter().map(grant).collect(),
            days: self.duration.unwrap_or(0),
            expires: expiry(self.expires_at),
            disabled: self.disable.unwrap_or(false),
            editable: self.editable.unwrap_or(false),
        }
    }
}

#[derive(Deserialize)]
pub(super) struct RobotMadeBody {
    pub name: String,
    pub secret: String,
    expires_at: Option<i64>,
}

impl RobotMadeBody {
    pub(super) fn expires(&self) -> Option<Millis> {
        expiry(self.expires_at)
    }
}

#[derive(Deserialize)]
pub(super) struct EndpointBody {
    /// 0 stands for this Harbor itself.
    id: i64,
    name: Text,
    url: Text,
    #[serde(rename = "type")]
    kind: Text,
    insecure: Option<bool>,
    status: Text,
    credential: Option<CredentialBody>,
}

#[derive(Deserialize)]
struct CredentialBody {
    access_key: Text,
}

impl Read for EndpointBody {
    type Noun = Endpoint;
    fn id(&self) -> i64 {
        self.id
    }
    fn read(self) -> Endpoint {
        Endpoint {
            id: self.id,
            name: text(self.name),
            url: text(self.url),
            kind: text(self.kind),
            insecure: self.insecure.unwrap_or(false),
            health: Wellness::of(&self.status.unwrap_or_default()),
            user: some(self.credential.and_then(|c| c.access_key)),
        }
    }
}

#[derive(Deserialize)]
pub(super) struct PolicyBody {
    id: i64,
    name: String,
    description: Text,
    src_registry: Option<EndpointBody>,
    dest_registry: Option<EndpointBody>,
    dest_namespace: Text,
    dest_namespace_replace_count: Option<i64>,
    trigger: Option<TriggerBody>,
    filters: Option<Vec<FilterBody>>,
    replicate_deletion: Option<bool>,
    deletion: Option<bool>,
    #[serde(rename = "override")]
    overrides: Option<bool>,
    enabled: Option<bool>,
    speed: Option<i64>,
    copy_by_chunk: Option<bool>,
    single_active_replication: Option<bool>,
}

#[derive(Deserialize)]
struct TriggerBody {
    #[serde(rename = "type")]
    kind: Text,
    trigger_settings: Option<SettingsBody>,
}

#[derive(Deserialize)]
struct SettingsBody {
    cron: Text,
}

#[derive(Deserialize)]
struct FilterBody {
    #[serde(rename = "type")]
    kind: Text,
    value: Option<Value>,
    decoration: Text,
}

impl TriggerBody {
    fn noun(self) -> PolicyTrigger {
        match self.kind.unwrap_or_default().as_str() {
            "manual" => PolicyTrigger::Manual,
            "event_based" => PolicyTrigger::Event,
            "scheduled" => PolicyTrigger::Scheduled(text(self.trigger_settings.and_then(|s| s.cron))),
            other => PolicyTrigger::Other(other.into()),
        }
    }
}

impl FilterBody {
    fn noun(self) -> PolicyFilter {
        let value = match self.value.unwrap_or_default() {
            Value::String(text) => text,
            Value::Null => String::new(),
            Value::Array(list) => {
                let word = |v: &Value| v.as_str().map_or_else(|| v.to_string(), str::to_owned);
                list.iter().map(word).collect::<Vec<_>>().join(",")
            }
            other => other.to_string(),
        };
        let exclude = self.decoration.as_deref() == Some("excludes");
        PolicyFilter { on: text(self.kind), value: value.into(), exclude }
    }
}

impl Read for PolicyBody {
    type Noun = Policy;
    fn id(&self) -> i64 {
        self.id
    }
    fn read(self) -> Policy {
        Policy {
            id: self.id,
            name: self.name.into(),
            description: text(self.description),
            from: self.src_registry.map(Read::read),
            to: self.dest_registry.map(Read::read),
            namespace: some(self.dest_namespace),
            replaces: self.dest_namespace_replace_count.unwrap_or(-1),
            trigger: self.trigger.map_or_else(|| PolicyTrigger::Other("".into()), TriggerBody::noun),
            filters: self.filters.unwrap_or_default().into_iter().map(FilterBody::noun).collect(),
            deletes: self.replicate_deletion.or(self.deletion).unwrap_or(false),
            overrides: self.overrides.unwrap_or(false),
            enabled: self.enabled.unwrap_or(false),
            kilobits_per_s: Some(number(self.speed)).filter(|n| *n > 0),
            by_chunk: self.copy_by_chunk,
            single: self.single_active_replication,
        }
    }
}

#[derive(Deserialize)]
pub(super) struct ExecutionBody {
    id: i64,
    policy_id: Option<i64>,
    status: Text,
    status_text: Text,
    trigger: Text,
    start_time: Text,
    end_time: Text,
    total: Option<i64>,
    in_progress: Option<i64>,
    succeed: Option<i64>,
    failed: Option<i64>,
    stopped: Option<i64>,
}

impl Read for ExecutionBody {
    type Noun = Execution;
    fn id(&self) -> i64 {
        self.id
    }
    fn read(self) -> Execution {
        Execution {
            id: self.id,
            policy: self.policy_id.unwrap_or(0),
            said: Progress::of(&self.status.unwrap_or_default()),
            why: text(self.status_text),
            trigger: text(self.trigger),
            began: time(self.start_time),
            ended: time(self.end_time),
            tasks: TaskCounts {
                total: number(self.total),
                running: number(self.in_progress),
                done: number(self.succeed),
                failed: number(self.failed),
                stopped: number(self.stopped),
            },
        }
    }
}

#[derive(Deserialize)]
pub(super) struct TaskBody {
    id: i64,
    execution_id: Option<i64>,
    status: Text,
    operation: Text,
    resource_type: Text,
    src_resource: Text,
    dst_resource: Text,
    start_time: Text,
    end_time: Text,
}

impl Read for TaskBody {
    type Noun = Task;
    fn id(&self) -> i64 {
        self.id
    }
    fn read(self) -> Task {
        Task {
            id: self.id,
            execution: self.execution_id.unwrap_or(0),
            state: Progress::of(&self.status.unwrap_or_default()),
            operation: text(self.operation),
            kind: text(self.resource_type),
            from: text(self.src_resource),
            to: text(self.dst_resource),
            began: time(self.start_time),
            ended: time(self.end_time),
        }
    }
}
