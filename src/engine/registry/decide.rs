//! How two ends differ, for one direction. The seam to `plan::replicate::difference`, which knows two masters and tombstones.

use crate::model::oci::{Digest, Repository};
use crate::model::replication::{Difference, Filter, On, Pattern, Rule};

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

/// Whether a name is asked for: with the text in it, without it (`!`), or called so (`=`).
pub fn is_asked(filter: &str, name: &str) -> bool {
    match (filter.strip_prefix('!'), filter.strip_prefix('=')) {
        (Some(without), _) => !name.contains(without),
        (_, Some(exact)) => name == exact,
        _ => name.contains(filter),
    }
}
