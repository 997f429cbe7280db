//! The filter of a list: which names are asked for.

/// Whether a name is asked for: with the text in it, without it (`!`), or called so (`=`).
pub fn is_asked(filter: &str, name: &str) -> bool {
    match (filter.strip_prefix('!'), filter.strip_prefix('=')) {
        (Some(without), _) => !name.contains(without),
        (_, Some(exact)) => name == exact,
        _ => name.contains(filter),
    }
}
