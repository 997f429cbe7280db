//! Rules on images: what may run at all, checked when a pool file is pushed and again at placement.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::base::clock::Millis;
use crate::model::oci::{Digest, Platform};

/// Rules that an image must meet; what is not stated is not asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ImagePolicy {
    /// Registries that images may come from (`HOST[:PORT]`, `*` for any text); empty allows all.
    pub registries: Vec<String>,
    /// One of these digests must be its lowest layers: the bases that may be built upon, each a list of layers.
    pub bases: Vec<Base>,
    /// Ports that it must not expose.
    pub ports_denied: Vec<u16>,
    /// It must not run as root.
    pub no_root: bool,
    /// Labels that it must have; a value of `*` allows any that is not empty.
    pub labels: BTreeMap<String, String>,
    /// It must not be older than so many days.
    pub age_days_max: Option<u32>,
    /// It must be named by its digest.
    pub digest_required: bool,
}

/// A base image that may be built upon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    /// What people call it.
    pub name: String,
    /// The digests of its layers, uncompressed, the lowest first (`rootfs.diff_ids` of its configuration).
    pub layers: Vec<Digest>,
}

/// What an image's configuration says of it (image specification, image configuration).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ImageFacts {
    /// For which platform it was made.
    pub platform: Platform,
    /// When it was made.
    pub created: Option<Millis>,
    /// The user that its program runs as; empty means root.
    pub user: String,
    /// Ports that it exposes.
    pub ports: Vec<u16>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// The digests of its layers, uncompressed, the lowest first.
    pub layers: Vec<Digest>,
}

/// One rule that an image does not meet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Breach {
    /// Which rule, by its key in the policy.
    pub rule: String,
    /// What is wrong, in words with the values found and wanted.
    pub why: String,
}
