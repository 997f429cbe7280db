//! Every deadline and cap of the registry client in one place, each with its reason.

use std::time::Duration;

/// What may differ between uses of the client. The defaults are for real lines; tests shorten them.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Until a connection stands, TLS included: around the world that takes below 2 s.
    pub connect: Duration,
    /// Until an answer begins. A registry on an object store may take seconds for one look-up.
    pub answer: Duration,
    /// The same for lists: the catalog of Distribution walks its storage, over a minute has been seen on S3.
    pub list: Duration,
    /// From the last byte of a blob to the answer: the registry sums it up once more and moves it in its storage.
    pub commit: Duration,
    /// In each such time of waiting for bytes …
    pub window: Duration,
    /// … at least so many must pass, or the transfer counts as dead.
    pub least: u64,
    /// How often one call is tried while the registry fails or cuts the connection.
    pub tries: u32,
    /// The pause before the second try; each later one is twice as long.
    pub pause: Duration,
    /// The longest pause of our own.
    pub pause_max: Duration,
    /// No further try of our own begins so long after the first: a host that does not answer at all costs a minute, not three.
    pub enough: Duration,
    /// All tries and pauses of one call together, those that the registry asks for (429) included.
    pub patience: Duration,
    /// An endpoint that failed is left alone for so long while there is another.
    pub rest: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connect: Duration::from_secs(10),
            answer: Duration::from_secs(30),
            list: Duration::from_secs(120),
            commit: Duration::from_secs(300),
            window: Duration::from_secs(30),
            least: 32 << 10,
            tries: 6,
            pause: Duration::from_millis(250),
            pause_max: Duration::from_secs(10),
            enough: Duration::from_secs(60),
            patience: Duration::from_secs(300),
            rest: Duration::from_secs(10),
        }
    }
}

/// Largest list or answer of a token service. Distribution 2.8.2 does not page tags: 100,000 of them may take 13 MB.
pub(super) const LIST_CAP: usize = 64 << 20;
/// Largest answer that is read to learn what went wrong.
pub(super) const ERROR_CAP: usize = 64 << 10;
/// Longest error text that is kept of an answer.
pub(super) const ERROR_TEXT_MAX: usize = 1024;
/// Largest answer of a token service: a token has a few kB.
pub(super) const TOKEN_CAP: usize = 1 << 20;
/// Hops that are followed to where a blob is kept; usual is one.
pub(super) const HOPS: usize = 5;
/// Tags and repositories that are asked for in one page.
pub(super) const PAGE: usize = 1000;
/// Pages of referrers of one manifest that are read.
pub(super) const REFERRER_PAGES: usize = 100;
/// The life of a token that does not say: the token specification's 60 s.
pub(super) const TOKEN_LIFE: Duration = Duration::from_secs(60);
/// A token is renewed so long before its end (at most a fifth of its life), for clocks that differ and calls that wait.
pub(super) const TOKEN_SPARE: Duration = Duration::from_secs(10);
/// Tokens that are kept: one a repository and kind of right; more are forgotten.
pub(super) const TOKENS_MAX: usize = 4096;
/// Parts of an upload to a registry that takes no blob in one piece, unless it asks for larger ones.
pub(super) const CHUNK: u64 = 16 << 20;
/// Giving an upload up is a courtesy: it is not waited for long.
pub(super) const CANCEL: Duration = Duration::from_secs(5);
