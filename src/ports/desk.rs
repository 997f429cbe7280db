//! The port between the service that gives out tokens and those who decide: who somebody is, what they may do, what a
//! registry reports. The service itself knows no roles.

use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::base::fault::Outcome;
use crate::base::ids::RegistryName;
use crate::model::access::Subject;
use crate::model::access::command::AccessCommand;
use crate::model::access::scope::{Granted, Scope};
use crate::model::access::view::AccessView;
use crate::model::command::{Accepted, Refusal};
use crate::model::oci::{Digest, Repository, Tag};

/// Where log-ins, rights and reports are dealt with.
pub trait Desk: Send + Sync {
    /// Whether tokens can be given out now.
    ///
    /// # Errors
    /// Why not: what is known of users is not there yet.
    fn well(&self) -> Outcome<()>;

    /// Whether a registry calls itself so in its configuration (`auth.token.service`).
    fn knows(&self, service: &str) -> bool;

    /// Who logs in with this name and secret; `None` when nobody does. An unknown name must take as long as a wrong secret.
    /// `Exhausted` when too many log in at once.
    fn authenticate<'a>(&'a self, login: &'a str, secret: &'a str)
    -> BoxFuture<'a, Outcome<Option<Subject>>>;

    /// What a token for the subject may carry of what was asked for.
    ///
    /// # Errors
    /// When what is known of users is not there.
    fn allowed(&self, subject: &Subject, asked: &[Scope]) -> Outcome<Granted>;

    /// Changes who may do what, as somebody who has logged in: with the rights that they have then.
    ///
    /// # Errors
    /// The refusal, in words.
    fn change(&self, by: Subject, command: AccessCommand) -> BoxFuture<'static, Result<Accepted, Refusal>>;

    /// What somebody who has logged in may see of who may do what.
    ///
    /// # Errors
    /// When what is known of users is not there.
    fn seen(&self, by: &Subject) -> Outcome<AccessView>;

    /// A new secret for a robot, and its hash as it may be kept. `Exhausted` when too many ask at once.
    fn draw(&self) -> BoxFuture<'static, Outcome<(String, String)>>;

    /// Takes a registry's report. False when there is no room for it: the registry repeats it later.
    fn hint(&self, hint: Hint) -> bool;
}

/// What a registry says has happened. Never the truth: it may be late, doubled, out of order, lost or a lie, so whoever
/// takes it goes and looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hint {
    /// Which registry says so, as the address that it reports to tells.
    pub registry: Option<RegistryName>,
    /// Where.
    pub repository: Repository,
    /// The tag, where it says one.
    pub tag: Option<Tag>,
    /// The content, where it says it.
    pub digest: Option<Digest>,
    /// What has happened.
    pub action: Happened,
}

/// What a registry can report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happened {
    /// A manifest was put.
    Push,
    /// A manifest or a tag was removed.
    Delete,
}

/// How much guessing a secret has to withstand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strength {
    /// People chose it: each guess must be costly.
    Password,
    /// It was drawn at random by [`Secrets::draw`]: nobody can guess it, so checking it is cheap.
    Drawn,
}

/// Secrets as they may be kept.
pub trait Secrets: Send + Sync {
    /// The hash of a secret in the PHC string format, with a salt of its own.
    fn hash(&self, secret: String, strength: Strength) -> BoxFuture<'static, Outcome<String>>;

    /// Whether the secret has this hash. With no hash it takes as long, and is false. `Exhausted` when too many wait.
    fn verify(
        &self,
        secret: String,
        hash: Option<String>,
        strength: Strength,
    ) -> BoxFuture<'static, Outcome<bool>>;

    /// A new secret from the machine's own source of randomness, in letters and digits.
    ///
    /// # Errors
    /// When the machine gives no randomness.
    fn draw(&self) -> Outcome<String>;
}

/// Tokens that the engine gives itself for one registry: it decides who may do what there, and needs no log-in of its own.
pub trait OwnTokens: Send + Sync {
    /// A token and how long it is valid, for the scopes that are asked for; `None` when the token service at `realm` is not
    /// ours, or the service that calls itself so is not this registry: then who asks logs in as anybody does.
    ///
    /// # Errors
    /// When it cannot be signed.
    fn give(
        &self,
        realm: &str,
        service: Option<&str>,
        scopes: &[String],
    ) -> Outcome<Option<(String, Duration)>>;
}
