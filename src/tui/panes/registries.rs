//! Registries, the repositories of one, the tags of one of those: what they hold and who uses it.

use crate::base::clock::Millis;
use crate::base::text;
use crate::model::registry::{RepositoryRow, TagRow};
use crate::tui::kit::table::{Column, Line, left, rest, right};
use crate::tui::panes::rows::{self, Cx, Listed, RowKey};
use crate::tui::panes::{Pane, PaneId};
use crate::tui::theme::Role;
use crate::tui::verbs::{Act, Verb, When, verb};
use crate::view::registries::{self, RegistryRow};
use crate::view::units;

/// What the tables say of the registries.
pub const PANE: Pane = Pane {
    id: PaneId::Registries,
    title: "Registries",
    doc: "Every image registry that longshore knows, those that need a person first. A registry may have several endpoints \
          that hold the same: calls go to the first that is well. The hosts of a site pull from their site's registry first. \
          A registry that does not answer is lost, not empty.",
    verbs: VERBS,
    columns: COLUMNS,
    words: &[
        ("ok", "all of its endpoints answer"),
        (
            "1 of 2 answer",
            "so many of its endpoints are well; the line beneath says what is wrong with the others",
        ),
        (
            "parts ill",
            "it answers, and Harbor says that not all of its parts are well: the line beneath names them",
        ),
        ("partly read", "it answers, and not all that Harbor could tell was read: the line beneath says why"),
        ("lost", "none of its endpoints answers; the age says since when"),
        ("never seen", "has not answered, and the first try failed: the line beneath says why"),
        ("joining", "is being asked for the first time"),
        ("-", "not known yet, which is not the same as none"),
    ],
    home: false,
};

/// What the tables say of a registry's repositories.
pub const REPOSITORIES: Pane = Pane {
    id: PaneId::Repositories,
    title: "Repositories",
    doc: "The repositories of one registry, in its own order, a part at a time: more are fetched as the cursor comes near the \
          end. The filter asks the registry's whole list, not only what is shown.",
    verbs: BROWSE,
    columns: REPOSITORY_COLUMNS,
    words: &[("used by", "pools of longshore that name an image of it")],
    home: false,
};

/// What the tables say of a repository's tags.
pub const TAGS: Pane = Pane {
    id: PaneId::Tags,
    title: "Tags",
    doc: "The tags of one repository, in the registry's own order, a part at a time: more are fetched as the cursor comes near \
          the end. The filter asks the whole list. Size, platforms and age are read from each tag's manifest: a dash is \
          what has not been read yet.",
    verbs: BROWSE,
    columns: TAG_COLUMNS,
    words: &[
        ("digest", "what the tag points to, by its content; two tags with one digest are the same image"),
        ("size", "bytes of all that the image needs"),
        ("used by", "pools of longshore that run it"),
    ],
    home: false,
};

const FILTER: Verb =
    verb("filter", &["/"], When::Always, Act::Filter, "only rows with this text; !text for those without");
const YANK: Verb = verb(
    "copy command",
    &["y"],
    When::Always,
    Act::Yank,
    "show and copy the command line that does the same",
);

const VERBS: &[Verb] = &[
    verb("open", &["Enter"], When::OnRow, Act::Look, "its repositories"),
    verb("describe", &["d"], When::OnRow, Act::Describe, "all that is known of it, endpoint by endpoint"),
    FILTER,
    verb(
        "replication",
        &["r"],
        When::Always,
        Act::Goto(PaneId::Replication),
        "what is brought from where to where",
    ),
    YANK,
];

const BROWSE: &[Verb] = &[
    verb("open", &["Enter"], When::OnRow, Act::Look, "look into it"),
    verb("describe", &["d"], When::OnRow, Act::Describe, "all that is known of it"),
    FILTER,
    verb("reload", &["r"], When::Always, Act::Reload, "ask the registry again"),
    YANK,
];

/// The columns of registries.
pub const COLUMNS: &[Column] = &[
    rest("REGISTRY", 10, "our name for it"),
    left("STATE", 13, 0, "whether its endpoints answer"),
    left("ADDRESS", 24, 2, "what image references call it"),
    left("KIND", 12, 5, "what serves it"),
    left("SITES", 10, 4, "sites whose hosts pull from it first"),
    right("REPOS", 6, 3, "repositories, as they were counted last"),
    right("TAGS", 7, 1, "tags in all of them"),
    left("VERSION", 10, 6, "its version, where it tells it"),
    left("STORAGE", 10, 7, "where it keeps its content, in the operator's words"),
];

/// The columns of repositories.
pub const REPOSITORY_COLUMNS: &[Column] = &[
    rest("REPOSITORY", 20, "its path"),
    right("TAGS", 8, 1, "tags in it"),
    left("USED BY", 28, 2, "pools that name an image of it"),
];

/// The columns of tags.
pub const TAG_COLUMNS: &[Column] = &[
    rest("TAG", 14, "its name"),
    left("DIGEST", 12, 1, "what it points to: the first digits"),
    right("SIZE", 5, 0, "bytes of all that it needs"),
    right("AGE", 4, 2, "since the image was made, as it says itself"),
    left("PLATFORMS", 20, 4, "what it was made for"),
    left("USED BY", 22, 3, "pools that run it"),
];

impl Listed for RegistryRow {
    fn key(&self) -> RowKey {
        RowKey::Registry(self.name.clone())
    }

    fn words(&self) -> String {
        format!("{} {} {} {} {}", self.name, self.state, self.address, self.kind, self.sites)
    }

    fn notes(&self, _now: Millis, _user: &str) -> Vec<(String, Role)> {
        let role = if self.grade.is_problem() { rows::role(self.grade) } else { Role::Note };
        self.notes.iter().map(|n| (n.clone(), role)).collect()
    }

    fn line(&self, _cx: &Cx<'_>, cursor: bool) -> Line {
        let plain = if self.grade.is_problem() { rows::role(self.grade) } else { Role::Text };
        let or_none = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
        let number = |n: Option<u32>| n.map_or("-".to_owned(), |n| n.to_string());
        Line::Row {
            mark: rows::mark(self.grade),
            cells: vec![
                (self.name.to_string(), plain),
                (self.state.clone(), rows::role(self.grade)),
                (self.address.clone(), Role::Dim),
                (self.kind.to_owned(), Role::Dim),
                (or_none(&self.sites), Role::Dim),
                (number(self.repositories), plain),
                (number(self.tags), plain),
                (or_none(&self.version), Role::Dim),
                (or_none(&self.storage), Role::Dim),
            ],
            cursor,
            run: None,
        }
    }
}

impl Listed for RepositoryRow {
    fn key(&self) -> RowKey {
        RowKey::Repository(self.repository.clone())
    }

    fn words(&self) -> String {
        self.repository.to_string()
    }

    fn line(&self, _cx: &Cx<'_>, cursor: bool) -> Line {
        Line::Row {
            mark: (' ', Role::Text),
            cells: vec![
                (self.repository.to_string(), Role::Text),
                (self.tags.map_or("-".to_owned(), |n| n.to_string()), Role::Text),
                (registries::pools(&self.used_by), Role::Dim),
            ],
            cursor,
            run: None,
        }
    }
}

impl Listed for TagRow {
    fn key(&self) -> RowKey {
        RowKey::Tag(self.tag.clone())
    }

    fn words(&self) -> String {
        self.tag.to_string()
    }

    fn notes(&self, _now: Millis, _user: &str) -> Vec<(String, Role)> {
        self.why.iter().map(|why| (why.to_string(), Role::Warn)).collect()
    }

    fn line(&self, cx: &Cx<'_>, cursor: bool) -> Line {
        let none = || "-".to_owned();
        let platforms = if self.platforms.is_empty() { none() } else { registries::platforms(self) };
        Line::Row {
            mark: (if self.why.is_some() { '!' } else { ' ' }, Role::Warn),
            cells: vec![
                (self.tag.to_string(), Role::Text),
                (self.digest.as_ref().map_or_else(none, |d| d.short().to_owned()), Role::Dim),
                (self.size.map_or_else(none, units::size), Role::Text),
                (self.created.map_or_else(none, |at| text::age(cx.now.since(at))), Role::Text),
                (platforms, Role::Dim),
                (registries::pools(&self.used_by), Role::Dim),
            ],
            cursor,
            run: None,
        }
    }
}
