//! What the bearer of a token may do: scopes as registries' clients ask for them, and what they are granted.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::base::clock::Millis;
use crate::base::fault::{Fault, Kind};
use crate::model::oci::REPOSITORY_MAX;

/// The most scopes in one request: a push that mounts from many repositories asks for a dozen.
pub const SCOPES_MAX: usize = 64;

/// One right that a token can carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Right {
    /// Read.
    #[serde(rename = "pull")]
    Pull,
    /// Write.
    #[serde(rename = "push")]
    Push,
    /// Remove.
    #[serde(rename = "delete")]
    Delete,
    /// Everything; a registry asks for it before it lists its repositories.
    #[serde(rename = "*")]
    All,
}

impl Right {
    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Right::Pull => "pull",
            Right::Push => "push",
            Right::Delete => "delete",
            Right::All => "*",
        }
    }
}

/// Rights on one thing of a registry: `TYPE:NAME:RIGHT[,RIGHT…]` (Distribution, token scope documentation).
///
/// The name is kept as it came, since the registry compares it as text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Scope {
    /// `repository` or `registry`; others are of no registry that we know.
    #[serde(rename = "type")]
    pub kind: String,
    /// The repository's path, or `catalog`.
    pub name: String,
    /// What may be done with it. Rights that we do not know are left out when it is read: they are never granted.
    #[serde(rename = "actions")]
    pub rights: BTreeSet<Right>,
}

impl Scope {
    /// Reads a list of scopes with spaces between.
    ///
    /// # Errors
    /// `Invalid` when one makes no sense or there are more than [`SCOPES_MAX`].
    pub fn list(text: &str) -> Result<Vec<Scope>, Fault> {
        let scopes: Vec<&str> = text.split(' ').filter(|s| !s.is_empty()).collect();
        if scopes.len() > SCOPES_MAX {
            let count = scopes.len();
            return Err(Fault::new(
                Kind::Invalid,
                format!("{count} scopes at once; {SCOPES_MAX} are allowed"),
            ));
        }
        scopes.into_iter().map(str::parse).collect()
    }
}

impl FromStr for Scope {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Scope, Fault> {
        let wrong = || {
            Fault::new(Kind::Invalid, format!("{text:?} is not a scope")).hint("repository:NAME:pull,push")
        };
        // The name may hold a colon of its own, before a port: the outer two count.
        let (kind, rest) = text.split_once(':').ok_or_else(wrong)?;
        let (name, rights) = rest.rsplit_once(':').ok_or_else(wrong)?;
        let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"()".contains(&b);
        let path = |b: u8| b.is_ascii_alphanumeric() || b"/:._-".contains(&b);
        let is_ok = (1..=32).contains(&kind.len())
            && kind.bytes().all(word)
            && (1..=2 * REPOSITORY_MAX).contains(&name.len())
            && name.bytes().all(path);
        if !is_ok {
            return Err(wrong());
        }
        let known = [Right::Pull, Right::Push, Right::Delete, Right::All];
        let rights = rights.split(',').filter_map(|r| known.into_iter().find(|k| k.name() == r)).collect();
        Ok(Scope { kind: kind.to_owned(), name: name.to_owned(), rights })
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rights: Vec<&str> = self.rights.iter().map(|r| r.name()).collect();
        write!(f, "{}:{}:{}", self.kind, self.name, rights.join(","))
    }
}

/// What a subject gets of what was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Granted {
    /// The rights that are granted: of each scope the part that is allowed; a scope of which nothing is allowed is left out.
    pub scopes: Vec<Scope>,
    /// When the subject's own time ends: no token is valid longer.
    pub until: Option<Millis>,
    /// Rights that were asked for and are not granted, each with the reason, for the record.
    pub denied: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_read_with_ports_lists_and_rights_that_we_do_not_know() {
        let scope = |text: &str| text.parse::<Scope>().unwrap();
        let plain = scope("repository:feed/web:push,pull");
        assert_eq!((plain.kind.as_str(), plain.name.as_str()), ("repository", "feed/web"));
        assert_eq!(plain.rights, BTreeSet::from([Right::Pull, Right::Push]));
        assert_eq!(scope("repository:localhost:5000/feed/web:pull").name, "localhost:5000/feed/web");
        assert_eq!(scope("registry:catalog:*").rights, BTreeSet::from([Right::All]));
        assert_eq!(scope("repository:feed/web:fly,pull,pull").to_string(), "repository:feed/web:pull");
        assert_eq!(scope("repository(plugin):feed/web:").rights, BTreeSet::new());
        let list = Scope::list("repository:a/b:pull  repository:a/c:pull,push").unwrap();
        assert_eq!(list.len(), 2);
        assert_eq!(Scope::list("").unwrap(), []);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for bad in [
            "",
            ":",
            "::",
            "repository",
            "repository:a",
            "repository::pull",
            "Repo:a:pull",
            "repository:a b:pull",
        ] {
            assert!(bad.parse::<Scope>().is_err(), "{bad:?}");
        }
        assert!(format!("repository:{}:pull", "a".repeat(600)).parse::<Scope>().is_err());
        assert!("repository:a\u{202e}:pull".parse::<Scope>().is_err());
        assert!(Scope::list(&"registry:catalog:* ".repeat(SCOPES_MAX + 1)).is_err());
    }
}
