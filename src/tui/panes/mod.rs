//! The views of the console, one file each, and the table of them from which help, palette and tests are made.

pub mod access;
pub mod advice;
pub mod containers;
pub mod heat;
pub mod hosts;
pub mod journal;
pub mod logs;
pub mod operations;
pub mod pools;
pub mod registries;
pub mod replication;
pub mod rows;
pub mod sites;
pub mod text;

use crate::tui::kit::table::Column;
use crate::tui::verbs::Verb;

/// Which view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PaneId {
    /// Home, 1.
    Pools,
    /// Home, 2.
    Containers,
    /// Home, 3.
    Logs,
    /// Home, 4.
    Operations,
    /// Home, 4, while there are registries.
    HomeReplication,
    /// All hosts.
    Hosts,
    /// The containers of one host.
    OnHost,
    /// All hosts as cells.
    Heat,
    /// Sites.
    Sites,
    /// Risks.
    Advice,
    /// All operations.
    AllOperations,
    /// The journal.
    Journal,
    /// Registries.
    Registries,
    /// The repositories of one registry.
    Repositories,
    /// The tags of one repository.
    Tags,
    /// Projects, members and robots.
    Access,
    /// Lines, rules and runs.
    Replication,
    /// One run of a rule.
    Run,
    /// A log on the whole screen.
    FullLogs,
    /// Text: inspect and details.
    Text,
}

/// A view, as tables tell of it.
#[derive(Debug)]
pub struct Pane {
    /// Which.
    pub id: PaneId,
    /// Its title.
    pub title: &'static str,
    /// What it is for, for somebody who has never seen it.
    pub doc: &'static str,
    /// What can be done in it.
    pub verbs: &'static [Verb],
    /// Its columns.
    pub columns: &'static [Column],
    /// Its words: word and meaning.
    pub words: &'static [(&'static str, &'static str)],
    /// It is one of the four of the home screen.
    pub home: bool,
}

/// Every view.
pub const ALL: &[Pane] = &[
    pools::PANE,
    containers::PANE,
    logs::HOME_PANE,
    operations::HOME_PANE,
    replication::HOME_PANE,
    hosts::PANE,
    containers::HOST_PANE,
    heat::PANE,
    sites::PANE,
    advice::PANE,
    operations::PANE,
    journal::PANE,
    registries::PANE,
    registries::REPOSITORIES,
    registries::TAGS,
    access::PANE,
    replication::PANE,
    replication::RUN,
    logs::PANE,
    text::PANE,
];

/// The view with this id.
pub fn pane(id: PaneId) -> &'static Pane {
    ALL.iter().find(|p| p.id == id).unwrap_or(&ALL[0])
}

/// Words that several views use.
pub const STATES: &[(&str, &str)] = &[
    ("waiting", "has no container yet; the sentence beside it says what it waits for"),
    ("pulling", "the host fetches the image"),
    ("checking", "runs, but its health check has not decided yet"),
    ("running", "runs and has no health check"),
    ("healthy", "runs and its health check passes"),
    ("unhealthy", "runs, but its health check fails"),
    ("crash loop", "ended again and again; the next attempt comes after a pause that doubles"),
    ("back-off", "ended, and is replaced after a pause"),
    ("finished", "ended for good, as its restart policy says"),
    ("host lost", "last seen on a host that does not answer: it may well run on"),
    ("waiting for its host", "its host is lost, and its pool's rule is that it waits for that host"),
    ("moving", "serves until its successor on another host does"),
];
