//! All that is wanted, in memory, and the writes that change it: the same list of writes goes to the database and here.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::base::ids::{HostId, InstallId, OpId, PoolId, RegistryName, RuleName, SiteName, Slot};
use crate::model::access::Access;
use crate::model::access::command::AccessChange;
use crate::model::command::Command;
use crate::model::harbor::access::Brought;
use crate::model::host::{HostConfig, HostRecord};
use crate::model::instance::Instance;
use crate::model::journal::Draft;
use crate::model::operation::Operation;
use crate::model::policy::StoredPolicy;
use crate::model::pool::Pool;
use crate::model::prewarm::PrewarmView;
use crate::model::registry::Registry;
use crate::model::replication::{Line, LineLimits, Rule};
use crate::model::site::Site;

/// Everything durable that decisions need. The journal and ended operations stay in the database.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Desired {
    /// This install.
    pub install: InstallId,
    /// Hosts that people added.
    pub hosts: BTreeMap<HostId, HostConfig>,
    /// What people decided about hosts.
    pub records: BTreeMap<HostId, Arc<HostRecord>>,
    /// What people decided about sites.
    pub sites: BTreeMap<SiteName, Site>,
    /// Image registries.
    pub registries: BTreeMap<RegistryName, Registry>,
    /// Replication rules.
    pub rules: BTreeMap<RuleName, Rule>,
    /// Harbors that grants follow to, with what was brought there.
    pub brought: BTreeMap<RegistryName, Brought>,
    /// What lines may carry.
    pub line_limits: BTreeMap<Line, LineLimits>,
    /// Who may do what in the registries.
    pub access: Arc<Access>,
    /// The rules for images.
    pub image_policy: Option<StoredPolicy>,
    /// The engine identity first seen behind each host.
    pub identities: BTreeMap<HostId, String>,
    /// Pools by id.
    pub pools: BTreeMap<PoolId, Pool>,
    /// The newest revision that each pool ever had, gone pools included: numbers are never used twice.
    pub revisions: BTreeMap<PoolId, u32>,
    /// Instances by pool and slot.
    pub instances: BTreeMap<PoolId, BTreeMap<Slot, Instance>>,
    /// Operations that are not over, and the last that are.
    pub operations: BTreeMap<OpId, Operation>,
    /// Commands that wait behind another operation, by their own.
    pub queued: BTreeMap<OpId, QueuedCommand>,
    /// Prewarms that are carried out, and the last that were, host by host.
    pub prewarms: BTreeMap<OpId, Arc<PrewarmView>>,
    /// The number that the next operation gets.
    pub next_op: u64,
}

/// A command that waits for another operation to end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct QueuedCommand {
    /// What was asked.
    pub command: Command,
    /// Who asked.
    pub by: String,
    /// The operation that it waits for.
    pub behind: OpId,
}

/// One durable change. A list of them is one transaction.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// A pool as it is now.
    PutPool(Box<Pool>),
    /// A new specification: the pool carries it, `source` is the file that it came from.
    PutRevision {
        /// The pool with the new specification.
        pool: PoolId,
        /// Its number.
        revision: u32,
        /// The file as it was read; all of its pools share it.
        source: Arc<str>,
        /// Who pushed it.
        by: String,
    },
    /// A pool that is gone, with its instances.
    DropPool(PoolId),
    /// An instance as it is now.
    PutInstance(Instance),
    /// A slot that is not wanted any more.
    DropInstance(PoolId, Slot),
    /// An operation as it is now.
    PutOperation(Operation),
    /// What a prewarm that has ended has brought, host by host.
    PutPrewarm(Arc<PrewarmView>),
    /// A command that waits.
    PutQueued(OpId, Box<QueuedCommand>),
    /// A command that waits no more.
    DropQueued(OpId),
    /// A host that somebody added.
    PutHost(HostConfig),
    /// A host that somebody removed.
    DropHost(HostId),
    /// What people decided about a host.
    PutRecord(HostId, Box<HostRecord>),
    /// What people decided about a site.
    PutSite(Site),
    /// A site that is recorded no more.
    DropSite(SiteName),
    /// What people decided about a registry.
    PutRegistry(Box<Registry>),
    /// A registry that is recorded no more.
    DropRegistry(RegistryName),
    /// A replication rule.
    PutRule(Box<Rule>),
    /// A rule that is gone.
    DropRule(RuleName),
    /// What was brought to a Harbor, to which grants follow from then on.
    PutBrought(RegistryName, Box<Brought>),
    /// Grants follow to it no more.
    DropBrought(RegistryName),
    /// What a line may carry.
    PutLineLimits(LineLimits),
    /// A line without limits of its own.
    DropLineLimits(Line),
    /// Who may do what in the registries: one row.
    Access(Box<AccessChange>),
    /// The rules for images.
    PutImagePolicy(Box<StoredPolicy>),
    /// No rules for images any more.
    DropImagePolicy,
    /// The engine identity behind a host.
    PutIdentity(HostId, String),
    /// A line of the journal.
    Journal(Draft),
}

/// Ended operations that stay in memory, for the console's list and for estimates.
const ENDED_KEPT: usize = 64;

/// Ended prewarms that stay in memory with all of their hosts; the database and the journal keep all.
const PREWARMS_KEPT: usize = 16;

impl Desired {
    /// Makes one change in memory. The caller has made it durable before.
    pub fn apply(&mut self, write: &Write) {
        match write {
            Write::PutPool(pool) => {
                self.pools.insert(pool.id.clone(), (**pool).clone());
            }
            Write::DropPool(id) => {
                self.pools.remove(id);
                self.instances.remove(id);
            }
            Write::PutInstance(instance) => {
                self.instances
                    .entry(instance.pool.clone())
                    .or_default()
                    .insert(instance.slot, instance.clone());
            }
            Write::DropInstance(pool, slot) => {
                if let Some(slots) = self.instances.get_mut(pool) {
                    slots.remove(slot);
                }
            }
            Write::PutOperation(op) => self.put_operation(op),
            Write::PutPrewarm(view) => self.put_prewarm(view),
            Write::PutQueued(op, queued) => {
                self.queued.insert(*op, (**queued).clone());
            }
            Write::DropQueued(op) => {
                self.queued.remove(op);
            }
            Write::PutHost(host) => {
                self.hosts.insert(host.id.clone(), host.clone());
            }
            Write::DropHost(host) => {
                self.hosts.remove(host);
                self.identities.remove(host);
                self.records.remove(host);
            }
            Write::PutRecord(host, record) => {
                self.records.insert(host.clone(), Arc::new((**record).clone()));
            }
            Write::PutSite(site) => {
                self.sites.insert(site.name.clone(), site.clone());
            }
            Write::DropSite(site) => {
                self.sites.remove(site);
            }
            Write::PutRegistry(_)
            | Write::DropRegistry(_)
            | Write::PutRule(_)
            | Write::DropRule(_)
            | Write::PutBrought(..)
            | Write::DropBrought(_)
            | Write::PutLineLimits(_)
            | Write::DropLineLimits(_) => self.apply_replication(write),
            Write::Access(change) => Arc::make_mut(&mut self.access).change((**change).clone()),
            Write::PutImagePolicy(stored) => self.image_policy = Some((**stored).clone()),
            Write::DropImagePolicy => self.image_policy = None,
            Write::PutIdentity(host, identity) => {
                self.identities.insert(host.clone(), identity.clone());
            }
            Write::PutRevision { pool, revision, .. } => {
                self.revisions.insert(pool.clone(), *revision);
            }
            Write::Journal(_) => {}
        }
    }

    /// The changes about registries and replication.
    fn apply_replication(&mut self, write: &Write) {
        match write {
            Write::PutRegistry(registry) => {
                self.registries.insert(registry.name.clone(), (**registry).clone());
            }
            Write::DropRegistry(name) => {
                self.registries.remove(name);
            }
            Write::PutRule(rule) => {
                self.rules.insert(rule.name.clone(), (**rule).clone());
            }
            Write::DropRule(name) => {
                self.rules.remove(name);
            }
            Write::PutBrought(name, brought) => {
                self.brought.insert(name.clone(), (**brought).clone());
            }
            Write::DropBrought(name) => {
                self.brought.remove(name);
            }
            Write::PutLineLimits(limits) => {
                self.line_limits.insert(limits.line.clone(), limits.clone());
            }
            Write::DropLineLimits(line) => {
                self.line_limits.remove(line);
            }
            _ => {}
        }
    }

    fn put_prewarm(&mut self, view: &Arc<PrewarmView>) {
        self.prewarms.insert(view.op, view.clone());
        let is_open = |op: &OpId| self.operations.get(op).is_some_and(|o| !o.status.is_over());
        let ended: Vec<OpId> = self.prewarms.keys().filter(|op| !is_open(op)).copied().collect();
        for old in ended.iter().take(ended.len().saturating_sub(PREWARMS_KEPT)) {
            self.prewarms.remove(old);
        }
    }

    fn put_operation(&mut self, op: &Operation) {
        self.next_op = self.next_op.max(op.id.0 + 1);
        self.operations.insert(op.id, op.clone());
        let ended: Vec<OpId> =
            self.operations.values().filter(|o| o.status.is_over()).map(|o| o.id).collect();
        for old in ended.iter().take(ended.len().saturating_sub(ENDED_KEPT)) {
            self.operations.remove(old);
        }
    }

    /// The operation under way (or stalled) on a pool.
    pub fn running_on(&self, pool: &PoolId) -> Option<&Operation> {
        self.operations.values().rev().find(|o| {
            !o.status.is_over()
                && !matches!(o.status, crate::model::operation::OpStatus::Queued { .. })
                && o.pools.contains(pool)
        })
    }

    /// Milliseconds that one container took in this pool's last scale-up that came to its end; `None` without a past.
    pub fn pace_ms(&self, pool: &PoolId) -> Option<u64> {
        use crate::model::operation::{OpKind, OpStatus};
        self.operations.values().rev().find_map(|o| match (&o.kind, &o.status, o.ended) {
            (OpKind::Scale { from, to, .. }, OpStatus::Done, Some(ended))
                if to > from && o.pools.contains(pool) =>
            {
                Some(ended.since(o.at) / u64::from(to - from))
            }
            _ => None,
        })
    }
}
