//! What a registry asks for with its 401 (`WWW-Authenticate`), and the scopes that are asked of a token service.

use crate::model::oci::Repository;
use crate::ports::registry::Action;

/// How a registry wants its callers to log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    /// A name and a password with each call.
    Basic,
    /// A token of the service at `realm`.
    Bearer {
        /// Where tokens are asked for.
        realm: String,
        /// For which service they are; part of the question.
        service: Option<String>,
        /// Why the token that was shown did not suffice (`insufficient_scope`, `invalid_token`).
        error: Option<String>,
    },
}

impl Challenge {
    /// Reads all challenges of an answer and takes the one that is preferred: tokens.
    pub fn read<'a>(headers: impl Iterator<Item = &'a str>) -> Option<Challenge> {
        let all: Vec<_> = headers.flat_map(parse).collect();
        let bearer = all.iter().find(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        if let Some((_, given)) = bearer {
            let of =
                |name: &str| given.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.clone());
            if let Some(realm) = of("realm") {
                return Some(Challenge::Bearer { realm, service: of("service"), error: of("error") });
            }
        }
        all.iter().any(|(scheme, _)| scheme.eq_ignore_ascii_case("basic")).then_some(Challenge::Basic)
    }
}

/// Splits `Scheme name="value", name=value, Scheme …` (RFC 9110, 11.6.1): a word without `=` begins a challenge.
fn parse(header: &str) -> Vec<(String, Vec<(String, String)>)> {
    let mut out: Vec<(String, Vec<(String, String)>)> = Vec::new();
    let mut rest = header.trim_start_matches([' ', ',', '\t']);
    while !rest.is_empty() {
        let end = rest.find([' ', ',', '=', '\t']).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        if word.is_empty() {
            break;
        }
        let after = after.trim_start();
        let value = after.strip_prefix('=').map(str::trim_start);
        rest = match (value, out.last_mut()) {
            (Some(value), Some((_, given))) => {
                let (value, after) = quoted(value);
                given.push((word.to_owned(), value));
                after
            }
            (Some(_), None) => break,
            (None, _) => {
                out.push((word.to_owned(), Vec::new()));
                after
            }
        }
        .trim_start_matches([' ', ',', '\t']);
    }
    out
}

/// A value, quoted or not, and what follows it.
fn quoted(text: &str) -> (String, &str) {
    let Some(inner) = text.strip_prefix('"') else {
        let end = text.find([',', ' ']).unwrap_or(text.len());
        let (value, after) = text.split_at(end);
        return (value.to_owned(), after);
    };
    let (mut out, mut chars) = (String::new(), inner.char_indices());
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (out, inner.get(at + 1..).unwrap_or_default()),
            '\\' => out.extend(chars.next().map(|(_, c)| c)),
            c => out.push(c),
        }
    }
    (out, "")
}

/// The word of the token specification for an action.
pub(super) fn word(action: Action) -> &'static str {
    match action {
        Action::Pull => "pull",
        Action::Push => "push",
        Action::Delete => "delete",
    }
}

/// The scope for an action in a repository. Whoever may write must be able to look, too.
pub(super) fn scope(of: &Repository, action: Action) -> String {
    match action {
        Action::Pull => format!("repository:{of}:pull"),
        Action::Push => format!("repository:{of}:pull,push"),
        Action::Delete => format!("repository:{of}:pull,delete"),
    }
}

/// The scope for the list of all repositories.
pub(super) const CATALOG: &str = "registry:catalog:*";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_read_in_all_their_forms() {
        let bearer = |realm: &str, service: Option<&str>, error: Option<&str>| {
            let (realm, service, error) =
                (realm.to_owned(), service.map(str::to_owned), error.map(str::to_owned));
            Some(Challenge::Bearer { realm, service, error })
        };
        for (header, wanted) in [
            (
                r#"Bearer realm="https://a/t",service="r",scope="repository:x:pull,push""#,
                bearer("https://a/t", Some("r"), None),
            ),
            (
                r#"bearer  realm = "https://a/t" , error=insufficient_scope"#,
                bearer("https://a/t", None, Some("insufficient_scope")),
            ),
            (
                r#"Basic realm="x, y", Bearer realm="https://a/\"t",service=r"#,
                bearer("https://a/\"t", Some("r"), None),
            ),
            (r#"Basic realm="Registry""#, Some(Challenge::Basic)),
            ("Basic", Some(Challenge::Basic)),
            ("Bearer", None),
            ("Bearer service=\"no realm\", Basic realm=x", Some(Challenge::Basic)),
            ("Digest realm=x, nonce=y", None),
            ("", None),
            ("=,=\"", None),
        ] {
            assert_eq!(Challenge::read([header].into_iter()), wanted, "{header}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_header_hangs_or_panics(header in ".{0,200}") {
            let _ = Challenge::read([header.as_str()].into_iter());
        }
    }
}
