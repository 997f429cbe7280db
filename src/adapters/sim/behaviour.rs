//! How the containers of an image or a pool behave: starting, health, crashes, stopping, logs and load.

use serde::{Deserialize, Serialize};

use crate::adapters::sim::chance::Span;
use crate::base::ids::PoolId;
use crate::model::container::Owner;

/// A kind of behaviour. The first in the scenario that fits a container is its own; one with neither `image` nor `pool`
/// fits all.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Behaviour {
    /// Fits containers of this image; a `*` at the end stands for any rest.
    pub image: Option<String>,
    /// Fits containers of this pool.
    pub pool: Option<PoolId>,
    /// How long the engine takes to start it, in milliseconds.
    pub start_ms: Span,
    /// Its health check passes so long after the start, in milliseconds.
    pub healthy_ms: Span,
    /// So many of a thousand runs turn unhealthy …
    pub unhealthy_per_mille: u32,
    /// … so long after the start, in milliseconds.
    pub unhealthy_ms: Span,
    /// So many of a thousand runs end by themselves …
    pub crash_per_mille: u32,
    /// … so long after the start, in milliseconds …
    pub crash_ms: Span,
    /// … with this exit status.
    pub exit: i64,
    /// They end because the kernel kills them for their memory (exit 137).
    pub oom: bool,
    /// They cannot be started at all, for this reason.
    pub broken: Option<String>,
    /// How long they take to end when asked, in milliseconds.
    pub stop_ms: Span,
    /// They do not end when asked: the engine kills them after the grace time.
    pub ignores_term: bool,
    /// Log lines a minute (3,000,000 are 50,000 a second).
    pub log_per_minute: u64,
    /// What the lines look like.
    pub log_style: LogStyle,
    /// Lines of its own instead of the style's; `{n}`, `{ms}`, `{ip}`, `{path}` and `{id}` are filled in.
    pub log_lines: Vec<String>,
    /// Mean use of CPU in thousandths of a core.
    pub cpu_milli: u64,
    /// How far it rises and falls with the time of day, in thousandths of `cpu_milli`.
    pub daily_swing: u64,
    /// Use of memory in MiB.
    pub memory_mb: u64,
    /// Growth of the memory in MiB an hour (a leak).
    pub memory_growth_mb: u64,
}

impl Default for Behaviour {
    fn default() -> Behaviour {
        Behaviour {
            image: None,
            pool: None,
            start_ms: Span(200, 600),
            healthy_ms: Span(1_000, 3_000),
            unhealthy_per_mille: 0,
            unhealthy_ms: Span(30_000, 60_000),
            crash_per_mille: 0,
            crash_ms: Span(60_000, 600_000),
            exit: 1,
            oom: false,
            broken: None,
            stop_ms: Span(50, 300),
            ignores_term: false,
            log_per_minute: 60,
            log_style: LogStyle::App,
            log_lines: Vec::new(),
            cpu_milli: 120,
            daily_swing: 400,
            memory_mb: 96,
            memory_growth_mb: 0,
        }
    }
}

impl Behaviour {
    /// True when a container of this image and owner behaves so.
    pub fn fits(&self, image: &str, owner: &Owner) -> bool {
        let image_fits = self.image.as_ref().is_none_or(|pattern| match pattern.strip_suffix('*') {
            Some(start) => image.starts_with(start),
            None => image == pattern,
        });
        let pool_fits = self.pool.as_ref().is_none_or(|pool| match owner {
            Owner::Longshore(tag) => tag.pool == *pool,
            _ => false,
        });
        image_fits && pool_fits
    }
}

/// What generated log lines look like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogStyle {
    /// Sentences with levels, errors on standard error.
    #[default]
    App,
    /// A web server's access log.
    Web,
    /// One JSON object a line.
    Json,
}
