//! Hosts as rows: whether they answer, what they hold, what is used of them.

use crate::base::clock::Millis;
use crate::base::ids::HostId;
use crate::base::text;
use crate::model::host::{HostView, Seen};
use crate::model::world::World;
use crate::view::pools::Used;
use crate::view::units::{self, Grade};

/// One host.
#[derive(Clone, Debug, PartialEq)]
pub struct HostRow {
    /// Which.
    pub id: HostId,
    /// How it is reached, sanitised.
    pub address: String,
    /// Whether it answers, in one or two words.
    pub state: String,
    /// Why it does not, in one sentence.
    pub why: Option<String>,
    /// How it stands.
    pub grade: Grade,
    /// Containers of this install.
    pub ours: u32,
    /// All containers.
    pub total: u32,
    /// Cores.
    pub cpus: u64,
    /// Memory in bytes.
    pub memory: u64,
    /// Measured use of the sampled containers.
    pub used: Used,
    /// Engine version, sanitised.
    pub version: String,
}

/// All hosts, by name.
pub fn rows(world: &World, now: Millis) -> Vec<HostRow> {
    world.hosts.values().map(|host| row(world, host, now)).collect()
}

fn row(world: &World, host: &HostView, now: Millis) -> HostRow {
    let (grade, state, why) = seen(&host.seen, now);
    let mut used = Used::default();
    for usage in host.usage.values() {
        used.add(usage);
    }
    let install = world.engine.install.as_ref();
    let ours = host.containers.iter().filter(|c| install.is_some_and(|i| c.owner.ours(i).is_some())).count();
    HostRow {
        id: host.config.id.clone(),
        address: text::safe(&host.config.address).into_owned(),
        state,
        why,
        grade,
        ours: u32::try_from(ours).unwrap_or(u32::MAX),
        total: u32::try_from(host.containers.len()).unwrap_or(u32::MAX),
        cpus: host.facts.cpus,
        memory: host.facts.memory,
        used,
        version: host.facts.version.safe().into_owned(),
    }
}

/// How much a host's view can be trusted: grade, a word, and the reason.
pub fn seen(seen: &Seen, now: Millis) -> (Grade, String, Option<String>) {
    match seen {
        Seen::Never { why: None } => (Grade::Busy, "connecting".to_owned(), None),
        Seen::Never { why: Some(why) } => {
            (Grade::Bad, "never seen".to_owned(), Some(text::safe(why).into_owned()))
        }
        Seen::At(_) => (Grade::Ok, "ok".to_owned(), None),
        Seen::Lost { last, why, .. } => {
            let state = format!("lost {}", units::age(now.since(*last)));
            (Grade::Lost, state, Some(text::safe(why).into_owned()))
        }
    }
}
