//! Scenario files: hosts, images, behaviours, what runs already, and what happens when. TOML in, checked data out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::adapters::sim::behaviour::Behaviour;
use crate::adapters::sim::chance::Span;
use crate::adapters::sim::images::made_digest;
use crate::adapters::sim::trouble::Trouble;
use crate::base::fault::{Fault, Kind, Outcome};
use crate::base::ids::{HostId, InstallId, PoolId};

/// A whole simulated environment. Everything random in it follows from `seed`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Scenario {
    /// What it shows, in a few words.
    pub about: String,
    /// The seed of all chance.
    pub seed: u64,
    /// The hosts.
    pub hosts: Vec<HostPlan>,
    /// The images that registries have, and the hosts that have them already.
    pub images: Vec<ImagePlan>,
    /// How containers behave; the first that fits counts.
    pub behaviours: Vec<Arc<Behaviour>>,
    /// Containers that are there from the start.
    pub existing: Vec<Existing>,
    /// What happens when.
    pub timeline: Vec<Turn>,
}

/// A simulated host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostPlan {
    /// Its name.
    pub name: HostId,
    /// Cores.
    #[serde(default = "HostPlan::cpus")]
    pub cpus: u64,
    /// Memory in MiB.
    #[serde(default = "HostPlan::memory_mb")]
    pub memory_mb: u64,
    /// Engine labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Architecture.
    #[serde(default = "HostPlan::arch")]
    pub arch: String,
    /// Member of a Docker Swarm.
    #[serde(default)]
    pub swarm: bool,
    /// How long a restart takes, in milliseconds.
    #[serde(default = "HostPlan::boot_ms")]
    pub boot_ms: Span,
    /// How long a call takes, in milliseconds.
    #[serde(default = "HostPlan::latency_ms")]
    pub latency_ms: Span,
    /// Networks that somebody has made there.
    #[serde(default)]
    pub networks: Vec<String>,
    /// Volumes that somebody has made there.
    #[serde(default)]
    pub volumes: Vec<String>,
    /// Speed of pulls in MiB a second.
    #[serde(default = "HostPlan::pull_mb_per_s")]
    pub pull_mb_per_s: u64,
    /// Speed at which it gives an image away, in MiB a second.
    #[serde(default = "HostPlan::give_mb_per_s")]
    pub give_mb_per_s: u64,
    /// Calls that its engine works on at a time; the others wait. 0 means no limit.
    #[serde(default)]
    pub slots: usize,
    /// Starts are refused when the memory reserved on it would exceed what it has.
    #[serde(default)]
    pub enforce_memory: bool,
}

impl HostPlan {
    /// A host of 16 cores and 64 GiB that answers within a few milliseconds.
    pub fn new(name: HostId) -> HostPlan {
        HostPlan {
            name,
            cpus: HostPlan::cpus(),
            memory_mb: HostPlan::memory_mb(),
            labels: BTreeMap::new(),
            arch: HostPlan::arch(),
            swarm: false,
            boot_ms: HostPlan::boot_ms(),
            latency_ms: HostPlan::latency_ms(),
            networks: Vec::new(),
            volumes: Vec::new(),
            pull_mb_per_s: HostPlan::pull_mb_per_s(),
            give_mb_per_s: HostPlan::give_mb_per_s(),
            slots: 0,
            enforce_memory: false,
        }
    }

    fn cpus() -> u64 {
        16
    }

    fn memory_mb() -> u64 {
        65_536
    }

    fn arch() -> String {
        "x86_64".into()
    }

    fn boot_ms() -> Span {
        Span(20_000, 40_000)
    }

    fn latency_ms() -> Span {
        Span(2, 12)
    }

    fn pull_mb_per_s() -> u64 {
        80
    }

    fn give_mb_per_s() -> u64 {
        400
    }
}

/// An image that registries have.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImagePlan {
    /// Its reference; without a tag it means `:latest`.
    pub name: String,
    /// Its size in MiB.
    #[serde(default)]
    pub size_mb: u64,
    /// Hosts that have it already.
    #[serde(default)]
    pub on: Vec<HostId>,
    /// All hosts have it already.
    #[serde(default)]
    pub everywhere: bool,
    /// It brings a health check of its own.
    #[serde(default)]
    pub healthcheck: bool,
    /// What registries call it; made from its path and tag when absent.
    #[serde(default)]
    pub digest: Option<String>,
}

impl ImagePlan {
    /// What registries call it.
    pub fn digest(&self) -> String {
        self.digest.clone().unwrap_or_else(|| made_digest(&self.name))
    }
}

/// Containers that are there from the start.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Existing {
    /// Whose they are.
    pub belongs: Belongs,
    /// Their image.
    pub image: String,
    /// On these hosts; empty means all.
    #[serde(default)]
    pub hosts: Vec<HostId>,
    /// So many on each of the hosts.
    #[serde(default = "one")]
    pub count: u32,
    /// Started so many seconds before the beginning.
    #[serde(default = "a_day")]
    pub age_s: Span,
    /// Ended with this status; running when absent.
    #[serde(default)]
    pub exited: Option<i64>,
    /// Published port of the first of each host.
    #[serde(default)]
    pub port: Option<u16>,
}

fn one() -> u32 {
    1
}

fn a_day() -> Span {
    Span(3_600, 90_000)
}

/// Whose an existing container is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Belongs {
    /// A service of a Compose project.
    Compose {
        /// The project.
        project: String,
        /// The service.
        service: String,
    },
    /// A service of Docker Swarm.
    Swarm {
        /// The service.
        service: String,
    },
    /// Nobody's: made by hand under this name (numbered when there are several).
    Loose {
        /// The name.
        name: String,
    },
    /// A pool of a longshore: slots are counted over the hosts, generation, revision and operation are 1.
    Pool {
        /// The install that made them.
        install: InstallId,
        /// The pool.
        pool: PoolId,
    },
}

/// Something that happens to a host at a time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Turn {
    /// Seconds after the beginning.
    pub at_s: u64,
    /// The host.
    pub host: HostId,
    /// What happens.
    pub trouble: Trouble,
}

impl Scenario {
    /// Reads and checks a scenario file.
    ///
    /// # Errors
    /// `Invalid` with the line where the text cannot be understood, or naming the thing that does not fit.
    pub fn parse(text: &str) -> Outcome<Scenario> {
        let scenario: Scenario = toml::from_str(text).map_err(|e| {
            let start = e.span().map_or(0, |span| span.start);
            let line = 1 + text.bytes().take(start).filter(|b| *b == b'\n').count();
            Fault::new(Kind::Invalid, e.message().replace('\n', " "))
                .because(format!("scenario, line {line}"))
        })?;
        scenario.check()?;
        Ok(scenario)
    }

    /// Checks what the format alone cannot: names that must exist and must not be doubled.
    ///
    /// # Errors
    /// `Invalid`, naming what is wrong.
    pub fn check(&self) -> Outcome<()> {
        let invalid = |reason: String| Err(Fault::new(Kind::Invalid, reason).because("scenario"));
        let mut names = BTreeSet::new();
        for host in &self.hosts {
            if !names.insert(&host.name) {
                return invalid(format!("host {} is there twice", host.name));
            }
        }
        let named =
            self.images.iter().flat_map(|i| i.on.iter().map(move |h| (format!("image {}", i.name), h)));
        let named = named
            .chain(self.existing.iter().flat_map(|e| {
                e.hosts.iter().map(move |h| (format!("existing containers of {}", e.image), h))
            }))
            .chain(self.timeline.iter().map(|t| (format!("timeline at {} s", t.at_s), &t.host)));
        for (what, host) in named {
            if !names.contains(host) {
                return invalid(format!("{what}: there is no host {host}"));
            }
        }
        for (i, b) in self.behaviours.iter().enumerate() {
            if [b.crash_per_mille, b.unhealthy_per_mille].iter().any(|p| *p > 1000) {
                return invalid(format!("behaviour {}: a number of a thousand is above 1000", i + 1));
            }
        }
        Ok(())
    }

    /// So many equal hosts (`h1`, `h2` …) that all have this image.
    ///
    /// # Errors
    /// None in practice: the names are valid.
    pub fn uniform(hosts: usize, image: &str) -> Outcome<Scenario> {
        let hosts = (1..=hosts).map(|i| Ok(HostPlan::new(HostId::new(&format!("h{i}"))?)));
        let image = ImagePlan {
            name: image.into(),
            size_mb: 80,
            on: Vec::new(),
            everywhere: true,
            healthcheck: false,
            digest: None,
        };
        Ok(Scenario {
            about: "equal hosts".into(),
            seed: 1,
            hosts: hosts.collect::<Outcome<_>>()?,
            images: vec![image],
            ..Scenario::default()
        })
    }

    /// So many equal hosts with so many running containers each that belong to nobody. Change `existing[0].belongs` to
    /// give them to a pool.
    ///
    /// # Errors
    /// When there are more containers on a host than can be counted.
    pub fn sized(hosts: usize, containers_per_host: usize) -> Outcome<Scenario> {
        let count = u32::try_from(containers_per_host)
            .map_err(|_| Fault::new(Kind::Invalid, "too many containers on a host"))?;
        let mut scenario = Scenario::uniform(hosts, "app:1")?;
        scenario.existing.push(Existing {
            belongs: Belongs::Loose { name: "box".into() },
            image: "app:1".into(),
            hosts: Vec::new(),
            count,
            age_s: a_day(),
            exited: None,
            port: None,
        });
        Ok(scenario)
    }
}
