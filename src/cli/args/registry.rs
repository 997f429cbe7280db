//! The arguments of `registry`.

use clap::{Args, Subcommand, ValueEnum};

/// What to do with registries.
#[derive(Debug, Subcommand)]
pub enum RegistryVerb {
    /// Know a registry, or change what is recorded of it
    #[command(
        visible_alias = "set",
        after_help = "Examples:\n  longshore registry add hq registry.bj.example:5000 --site bj\n  \
        longshore registry add tc registry.tc.example --kind harbor --storage ceph\n  \
        longshore registry add hq registry.bj.example --endpoint 10.0.0.5:5000 --endpoint 10.0.0.6:5000\n\n\
        What is not given stays as it was."
    )]
    Add(Box<RegistryAdd>),
    /// List registries: who answers, how fast, what serves them
    #[command(visible_alias = "list", after_help = "Example: longshore registry ls --json")]
    Ls,
    /// All that is known of a registry: endpoints, version, storage, and of a Harbor its parts, room and runs
    #[command(after_help = "Examples:\n  longshore registry show hq\n  longshore registry show hq --json")]
    Show {
        /// Its name
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// What has to be done so that projects, members and robots of a Harbor are as here: a dry run; --yes does it
    #[command(
        after_help = "Examples:\n  longshore registry access-plan hq\n  longshore registry access-plan hq --yes\n  \
        longshore registry access-plan hq --off\n\n\
        After --yes, grants follow to that Harbor by themselves. What only Harbor has is left alone unless said so.\n\
        Exit status of the dry run: 0 all is as here, 1 something differs or could not be compared."
    )]
    AccessPlan(AccessPlanArgs),
    /// Forget a registry; nothing in it is touched
    #[command(after_help = "Example: longshore registry rm tc")]
    Rm {
        /// Its name
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// Print what a registry needs in its configuration to ask our token service who may do what
    #[command(after_help = "Examples:\n  longshore registry auth-config hq >> config.yml\n  \
        longshore registry auth-config hq --pem > longshore.pem")]
    AuthConfig(AuthConfigArgs),
    /// Check a login at a registry and keep it where the Docker CLI keeps its own
    #[command(after_help = "Examples:\n  longshore registry login hq --username ada\n  \
        pass show ci | longshore registry login hq --username 'robot$feed+ci' --password-stdin\n\n\
        With the credential helper of the Docker CLI's config.json, else in that file itself.")]
    Login(LoginArgs),
    /// Forget the login of a registry
    #[command(after_help = "Example: longshore registry logout hq")]
    Logout {
        /// Its name
        #[arg(value_name = "NAME")]
        name: String,
    },
}

/// What is printed for a registry.
#[derive(Args, Clone, Debug)]
pub struct AuthConfigArgs {
    /// Its name
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Where the registry finds the certificate that tokens are checked with
    #[arg(long, value_name = "FILE", default_value = "/etc/docker/registry/longshore.pem")]
    pub certificate: String,
    /// Print that certificate instead
    #[arg(long)]
    pub pem: bool,
    /// Leave out the part that lets the registry report pushes and deletions
    #[arg(long)]
    pub no_reports: bool,
}

/// How to log in to a registry.
#[derive(Args, Clone, Debug)]
pub struct LoginArgs {
    /// Its name
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Who logs in: a user, or 'robot$PROJECT+NAME'
    #[arg(short, long, value_name = "USER")]
    pub username: String,
    /// Read the password from standard input instead of asking for it on the terminal
    #[arg(long)]
    pub password_stdin: bool,
}

/// What can be recorded of a registry.
#[derive(Args, Clone, Debug)]
pub struct RegistryAdd {
    /// Its name in this install
    #[arg(value_name = "NAME")]
    pub name: String,
    /// What image references call it
    #[arg(value_name = "HOST[:PORT]")]
    pub address: Option<String>,
    /// What serves it
    #[arg(long, value_enum)]
    pub kind: Option<Kind>,
    /// An instance behind the address; give it once for each ('' takes all away)
    #[arg(long = "endpoint", value_name = "HOST[:PORT]")]
    pub endpoints: Option<Vec<String>>,
    /// A site whose hosts pull from it first; give it once for each ('' takes all away)
    #[arg(long = "site", value_name = "SITE")]
    pub sites: Option<Vec<String>>,
    /// It speaks HTTP without TLS
    #[arg(long, value_name = "yes|no", num_args = 0..=1, default_missing_value = "yes")]
    pub plain_http: Option<YesNo>,
    /// A file with further certificate authorities, PEM ('' takes it away)
    #[arg(long, value_name = "FILE")]
    pub ca: Option<String>,
    /// Where it keeps its content, in your words ('' takes it away)
    #[arg(long, value_name = "TEXT")]
    pub storage: Option<String>,
    /// Requests to it at a time, at most
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub parallel: Option<u32>,
}

/// Arguments of `access-plan`.
#[derive(Args, Clone, Debug)]
pub struct AccessPlanArgs {
    /// The registry, of kind harbor
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Do it, and let grants follow from now on
    #[arg(long, conflicts_with = "off")]
    pub yes: bool,
    /// Let grants follow no more; what is there stays
    #[arg(long, conflicts_with_all = ["remove_extra", "replace_unknown", "close_public"])]
    pub off: bool,
    /// Members and robots that only Harbor has lose their roles
    #[arg(long)]
    pub remove_extra: bool,
    /// Roles and rights that there is no word for here give way to what is wanted
    #[arg(long)]
    pub replace_unknown: bool,
    /// Projects that everybody may read are closed
    #[arg(long)]
    pub close_public: bool,
}

/// Yes or no.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum YesNo {
    /// Yes
    Yes,
    /// No
    No,
}

/// What serves a registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// CNCF Distribution, or anything that speaks its protocol
    Distribution,
    /// Harbor
    Harbor,
}
