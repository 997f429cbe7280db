//! The promises of a [`RegistryClient`] by name: the test of each adapter runs [`ALL`] of them, on a simulated registry or a real one.

use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::ports::contract::{registry_look as look, registry_move as moving};
use crate::ports::registry::RegistryClient;

/// What a run of the promises needs. Each promise writes to repositories of its own, which stay.
pub struct RegistryEnv {
    /// The registry under test; its caller may pull, push, delete and list.
    pub registry: Arc<dyn RegistryClient>,
    /// What the repositories of this run begin with, such as `contract-1`: nothing else uses them.
    pub prefix: String,
    /// Counts what was given out, so that promises may run side by side and no two blobs are equal by chance.
    pub made: AtomicU32,
}

impl RegistryEnv {
    /// A run on this registry.
    pub fn new(registry: Arc<dyn RegistryClient>, prefix: impl Into<String>) -> RegistryEnv {
        RegistryEnv { registry, prefix: prefix.into(), made: AtomicU32::new(0) }
    }
}

/// One promise: its name and its check. An error says in words how it was broken.
pub type RegistryPromise = (&'static str, for<'a> fn(&'a RegistryEnv) -> BoxFuture<'a, Result<(), String>>);

macro_rules! promises {
    ($($module:ident::$name:ident),* $(,)?) => {
        &[$((stringify!($name), |env| $module::$name(env).boxed())),*]
    };
}

/// Every promise.
pub const ALL: &[RegistryPromise] = promises![
    look::facts_are_told,
    look::an_absent_repository_is_not_found,
    look::an_absent_manifest_is_none_to_head_and_not_found_to_get,
    look::every_tag_is_listed_once,
    look::every_repository_is_listed_once,
    look::an_emptied_repository_has_an_empty_list_of_tags,
    look::referrers_are_listed_with_their_kind,
    look::a_referrer_may_come_before_its_subject,
    look::no_referrers_is_an_empty_list,
    look::rights_are_told_before_the_first_byte,
    moving::a_blob_that_was_written_is_there_and_reads_back,
    moving::a_large_blob_comes_through_in_parts,
    moving::an_empty_blob_can_be_written,
    moving::a_blob_reads_on_from_an_offset,
    moving::an_absent_blob_is_not_found,
    moving::a_blob_with_another_digest_is_refused_and_not_seen,
    moving::a_source_that_fails_is_told_as_it_is_and_leaves_nothing,
    moving::a_source_of_the_wrong_length_leaves_nothing,
    moving::a_blob_is_written_once_more_without_harm,
    moving::one_blob_written_twice_at_once_is_there,
    moving::a_mount_gives_the_blob_or_says_no,
    moving::a_mount_of_an_absent_blob_says_no,
    moving::manifests_of_all_four_kinds_come_back_byte_for_byte,
    moving::a_manifest_is_found_by_its_digest_before_it_has_a_tag,
    moving::indexes_nest,
    moving::a_manifest_without_its_blobs_is_a_conflict,
    moving::an_index_without_its_manifests_is_a_conflict,
    moving::a_tag_moves_to_what_was_put_last,
    moving::a_removed_tag_leaves_its_manifest,
    moving::a_removed_manifest_takes_every_tag_along,
];
