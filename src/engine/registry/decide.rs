//! What a rule wants and how two ends differ. A stand-in for `plan::replicate`, which decides more: filters by pattern, two masters.

use crate::base::fault::{Fault, Kind, Outcome};
use crate::model::oci::{Digest, Repository, Tag};
use crate::model::replication::{Difference, Filter, On, Pattern, Rule};

/// Which repositories and tags a rule wants, and what they are called at the targets.
#[derive(Clone, Debug)]
pub struct Selector {
    filters: Vec<Filter>,
    prefix: Option<Repository>,
}

impl Selector {
    /// The selector of a rule.
    ///
    /// # Errors
    /// When a filter cannot be understood.
    pub fn of(rule: &Rule) -> Outcome<Selector> {
        if let Some(filter) = rule.filters.iter().find(|f| !matches!(f.pattern, Pattern::Glob(_))) {
            return Err(Fault::new(Kind::Invalid, format!("{:?} is not understood yet", filter.pattern)));
        }
        Ok(Selector { filters: rule.filters.clone(), prefix: rule.prefix.clone() })
    }

    /// True when the rule wants this repository.
    pub fn wants_repository(&self, repository: &Repository) -> bool {
        self.wants(On::Repository, repository.as_str())
    }

    /// True when the rule wants this tag, in a repository that it wants.
    pub fn wants_tag(&self, tag: &Tag) -> bool {
        self.wants(On::Tag, tag.as_str())
    }

    /// What a repository of the source is called at the targets.
    ///
    /// # Errors
    /// When the prefix makes it too long.
    pub fn at_target(&self, repository: &Repository) -> Outcome<Repository> {
        match &self.prefix {
            None => Ok(repository.clone()),
            Some(prefix) => format!("{prefix}/{repository}").parse(),
        }
    }

    fn wants(&self, on: On, name: &str) -> bool {
        let mut of_kind = self.filters.iter().filter(|f| f.on == on).peekable();
        let begin = of_kind.peek().is_none_or(|f| f.exclude);
        of_kind.fold(begin, |wanted, filter| if matches(filter, name) { !filter.exclude } else { wanted })
    }
}

/// Only a `*` or `**` at the end is known here.
fn matches(filter: &Filter, name: &str) -> bool {
    let Pattern::Glob(glob) = &filter.pattern else { return false };
    match glob.strip_suffix('*') {
        Some(begin) => name.starts_with(begin.trim_end_matches('*')),
        None => name == glob,
    }
}

/// Repositories that a rule's filters name in full: all that can be known where the source lists none.
pub fn named(rule: &Rule) -> Vec<Repository> {
    let of = |f: &Filter| match &f.pattern {
        Pattern::Glob(name) if f.on == On::Repository && !f.exclude => name.parse().ok(),
        _ => None,
    };
    rule.filters.iter().filter_map(of).collect()
}

/// How a tag differs: from what both ends point to, and from what both pointed to when they agreed.
pub fn difference(
    source: Option<&Digest>,
    target: Option<&Digest>,
    seen: Option<&Digest>,
    two_way: bool,
) -> Difference {
    match (source, target) {
        (Some(a), Some(b)) if a == b => Difference::Same,
        (Some(a), Some(b)) if two_way && seen != Some(a) && seen != Some(b) => Difference::Conflict,
        (Some(_), Some(_)) => Difference::Behind,
        (Some(_), None) => Difference::Missing,
        (None, Some(_)) => Difference::Extra,
        (None, None) => Difference::Same,
    }
}
