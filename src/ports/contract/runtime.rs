//! The promises of [`Runtime`] by name: each adapter's test runs [`ALL`] of them.

use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::base::ids::InstallId;
use crate::ports::contract::{runtime_images as images, runtime_life as life, runtime_look as look};
use crate::ports::runtime::Runtime;

/// Makes a container of that name that is not ours, behind the port's back.
pub type MakeStranger = Box<dyn Fn(String) -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// What a run of the promises needs. Every promise makes its own containers and removes them.
pub struct ContractEnv {
    /// The engine under test.
    pub runtime: Arc<dyn Runtime>,
    /// An image that is on the host and has busybox (`sh`, `sleep`, `httpd`, `nc`) on its path.
    pub image: String,
    /// The install whose name the containers carry; a fresh one a run.
    pub install: InstallId,
    /// Makes a container of a stranger.
    pub make_stranger: MakeStranger,
    /// A port of the host that is free, for the promise about taken ports.
    pub free_port: u16,
    /// Counts the slots given out, so that promises may run side by side.
    pub slots: AtomicU32,
}

/// One promise: its name and its check. An error says in words how it was broken.
pub type Promise = (&'static str, for<'a> fn(&'a ContractEnv) -> BoxFuture<'a, Result<(), String>>);

macro_rules! promises {
    ($($module:ident::$name:ident),* $(,)?) => {
        &[$((stringify!($name), |env| $module::$name(env).boxed())),*]
    };
}

/// Every promise.
pub const ALL: &[Promise] = promises![
    life::create_is_idempotent_by_name,
    life::create_racing_makes_one,
    life::name_taken_by_stranger_is_conflict,
    life::list_after_start_shows_running_with_tag,
    life::start_is_idempotent,
    life::stop_is_idempotent_and_honours_grace,
    life::stop_of_absent_is_not_found,
    life::remove_is_idempotent,
    life::missing_image_is_not_found,
    life::an_image_can_have_two_names,
    images::what_a_reference_stands_for_is_told,
    images::an_archive_brings_the_same_image,
    images::an_archive_that_breaks_off_brings_nothing,
    life::bad_command_is_refused_with_reason,
    life::port_conflict_is_conflict,
    life::labels_survive,
    life::networks_are_made_and_removed,
    life::what_others_make_is_told_and_never_made,
    look::ping_answers_and_images_show_the_one_in_use,
    look::ending_tells_exit_status,
    look::inspect_is_json_with_the_id,
    look::inspect_of_absent_is_not_found,
    look::logs_come_in_order_with_stamps,
    look::logs_tail_and_since,
    look::hostile_log_lines_arrive_unchanged,
    look::events_hint_at_start_and_die,
    look::usage_of_running_only,
    look::health_turns_healthy_and_unhealthy,
    look::exec_runs_and_tells_status,
    look::exec_feeds_stdin,
];
