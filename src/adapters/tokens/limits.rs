//! The bounds of the token service, each with its reason.

use std::time::Duration;

/// What the listener allows. Tests make it smaller.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections at a time; one more waits in the kernel's queue. A site's hosts all pull at once when a pool grows.
    pub connections: usize,
    /// Of those, so many from one address (of IPv6: from its /64), so that nobody takes them all. Not counted where a proxy in
    /// front makes all connections.
    pub connections_of_address: usize,
    /// Time for a TLS handshake, and for the headers of a request: who is slower holds a place that others need.
    pub headers: Duration,
    /// Time for a request's body and for its answer.
    pub request: Duration,
    /// A connection is not used longer than so.
    pub connection: Duration,
    /// Bytes of a request's line and headers: many scopes make a long line.
    pub header_bytes: usize,
    /// Bytes of a log-in form.
    pub form_bytes: usize,
    /// Bytes of a registry's report; it sends a few events at a time, a kilobyte each.
    pub events_bytes: usize,
    /// Failed log-ins under one name from one address, within [`Limits::window`]. Not by name alone: then anybody
    /// could lock anybody out.
    pub failures_of_name: u32,
    /// Failed log-ins from one address (of IPv6: from its /64), within [`Limits::window`].
    pub failures_of_address: u32,
    /// Changes of one user that were refused, within [`Limits::window`]; each is a line of the journal under their name.
    pub refusals_of_user: u32,
    /// All changes of one user within [`Limits::window`]: they are lines of the journal, too.
    pub changes_of_user: u32,
    /// How long failures and refusals count.
    pub window: Duration,
    /// How often failed log-ins are told to the journal, all of that time together.
    pub journal_every: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections: 512,
            connections_of_address: 128,
            headers: Duration::from_secs(10),
            request: Duration::from_secs(20),
            connection: Duration::from_secs(120),
            header_bytes: 32 << 10,
            form_bytes: 32 << 10,
            events_bytes: 1 << 20,
            failures_of_name: 10,
            failures_of_address: 60,
            refusals_of_user: 30,
            changes_of_user: 300,
            window: Duration::from_secs(60),
            journal_every: Duration::from_secs(60),
        }
    }
}

/// How long a token is valid: as long as a right that was taken away still works (Distribution adds a minute of leeway).
pub const TOKEN_MS: u64 = 5 * 60_000;
/// Passwords checked at a time: each takes a core and 19 MiB for some 50 ms.
pub const CHECKS_AT_ONCE: usize = 2;
/// Log-ins that may wait for that; one more is told to come again.
pub const CHECKS_WAITING: usize = 256;
/// The longest password or secret, in bytes: hashing a longer one would be work for nothing.
pub const SECRET_MAX: usize = 1024;
/// Names and addresses whose failures are counted; beyond that, the oldest are forgotten.
pub const FAILURES_MAX: usize = 4096;
/// Journal lines about failed log-ins at a time; the rest is summed up in one.
pub const FAILURE_LINES: usize = 8;
/// Journal lines at a time altogether: those, as many about rights that were refused, the sums of both, and one about
/// connections that were closed.
pub const TOLD_MAX: usize = 2 * FAILURE_LINES + 3;
