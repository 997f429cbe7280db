//! Typed names and ids, each checked when it is made, and the seeded source of random ids.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::base::fault::{Fault, Kind};

/// Longest name that we accept for a cluster, a pool or a host, in bytes (a DNS label).
pub const NAME_MAX: usize = 63;

/// Checks a name: lower-case letters, digits, `-`, `_` and `.`, starting with a letter or a digit.
pub fn check_name(what: &str, name: &str) -> Result<(), Fault> {
    let first_ok = name.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let rest_ok = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b));
    if first_ok && rest_ok && name.len() <= NAME_MAX {
        return Ok(());
    }
    Err(Fault::new(Kind::Invalid, format!("{what} name {name:?} is not valid"))
        .hint("use 1 to 63 lower-case letters, digits, '-', '_' or '.', starting with a letter or a digit"))
}

macro_rules! name_type {
    ($(#[$doc:meta])* $type:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(Arc<str>);

        impl $type {
            /// The name, checked.
            ///
            /// # Errors
            /// When the name breaks the rule of [`check_name`].
            pub fn new(name: &str) -> Result<$type, Fault> {
                check_name($what, name)?;
                Ok($type(Arc::from(name)))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $type {
            type Error = Fault;
            fn try_from(name: String) -> Result<$type, Fault> {
                $type::new(&name)
            }
        }

        impl FromStr for $type {
            type Err = Fault;
            fn from_str(name: &str) -> Result<$type, Fault> {
                $type::new(name)
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> String {
                name.0.to_string()
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &self.0)
            }
        }
    };
}

name_type!(
    /// A line of business: the first half of a pool's id, the `name:` of its pool file.
    ClusterName,
    "cluster"
);
name_type!(
    /// The second half of a pool's id: the service in its pool file.
    PoolName,
    "pool"
);
name_type!(
    /// The name that this install gave to a host (an engine's address has a name of its own).
    HostId,
    "host"
);

name_type!(
    /// The name of a site: a data centre, or any part of the fleet that fails as one.
    SiteName,
    "site"
);

name_type!(
    /// The name that this install gave to an image registry (its address has a name of its own).
    RegistryName,
    "registry"
);
name_type!(
    /// The name of a replication rule.
    RuleName,
    "rule"
);
name_type!(
    /// The first part of a repository's path, to which people get rights: a project.
    ProjectName,
    "project"
);
name_type!(
    /// A person, or a robot, that logs in to a registry.
    UserName,
    "user"
);

/// A pool: `cluster/pool`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PoolId {
    /// The line of business.
    pub cluster: ClusterName,
    /// The pool in it.
    pub pool: PoolName,
}

impl PoolId {
    /// The pool `pool` of `cluster`, both checked.
    ///
    /// # Errors
    /// When one of the names is not valid.
    pub fn new(cluster: &str, pool: &str) -> Result<PoolId, Fault> {
        Ok(PoolId { cluster: ClusterName::new(cluster)?, pool: PoolName::new(pool)? })
    }
}

impl fmt::Display for PoolId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}/{}", self.cluster.as_str(), self.pool.as_str()))
    }
}

impl FromStr for PoolId {
    type Err = Fault;
    fn from_str(text: &str) -> Result<PoolId, Fault> {
        match text.split_once('/') {
            Some((cluster, pool)) => PoolId::new(cluster, pool),
            None => Err(Fault::new(Kind::Invalid, format!("{text:?} does not name a pool"))
                .hint("write it as CLUSTER/POOL, for example feed/web")),
        }
    }
}

impl TryFrom<String> for PoolId {
    type Error = Fault;
    fn try_from(text: String) -> Result<PoolId, Fault> {
        text.parse()
    }
}

impl From<PoolId> for String {
    fn from(id: PoolId) -> String {
        id.to_string()
    }
}

/// The number of an instance in its pool, counted from 1.
pub type Slot = u32;

/// An engine's id of a container (64 hexadecimal digits on Docker).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ContainerId(Arc<str>);

impl ContainerId {
    /// The id as an engine gave it. Anything but letters, digits, `-`, `_` and `.` is dropped, so that it can stand in a path.
    pub fn new(id: &str) -> ContainerId {
        let clean: String =
            id.chars().filter(|c| c.is_ascii_alphanumeric() || "-_.".contains(*c)).take(128).collect();
        ContainerId(clean.into())
    }

    /// The whole id.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first 12 characters, as the Docker CLI shows them.
    pub fn short(&self) -> &str {
        self.0.get(..12).unwrap_or(&self.0)
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.short())
    }
}

/// The number of an operation in this install, counted from 1 and never used twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OpId(pub u64);

impl fmt::Display for OpId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("op-{}", self.0))
    }
}

impl FromStr for OpId {
    type Err = Fault;
    fn from_str(text: &str) -> Result<OpId, Fault> {
        let digits = text.strip_prefix("op-").unwrap_or(text);
        digits.parse().map(OpId).map_err(|_| {
            Fault::new(Kind::Invalid, format!("{text:?} is not an operation")).hint("write it as op-12 or 12")
        })
    }
}

/// This install: eight hexadecimal digits made once a state directory. Containers carry it as a label.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct InstallId(pub Arc<str>);

impl fmt::Display for InstallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A small seeded source of pseudo-random numbers (SplitMix64, Steele, Lea and Flood 2014). Not for secrets.
#[derive(Clone, Debug)]
pub struct Seeded(u64);

impl Seeded {
    /// A source that repeats itself for the same seed.
    pub fn new(seed: u64) -> Seeded {
        Seeded(seed)
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound` (zero when `bound` is zero).
    pub fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.next_u64() % bound }
    }

    /// A new install id.
    pub fn install(&mut self) -> InstallId {
        InstallId(format!("{:08x}", self.next_u64() >> 32).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        assert!(PoolId::from_str("feed/web").is_ok());
        for bad in
            ["", "feed", "feed/", "/web", "Feed/web", "feed/we b", "feed/\u{202e}web", "feed/-web", "a/b/c"]
        {
            assert!(PoolId::from_str(bad).is_err(), "{bad:?} passed");
        }
        assert!(HostId::new(&"x".repeat(64)).is_err());
    }

    #[test]
    fn seeded_numbers_repeat() {
        let (mut a, mut b) = (Seeded::new(7), Seeded::new(7));
        assert!((0..100).all(|_| a.next_u64() == b.next_u64()));
    }
}
