//! The arguments of `user`, `project` and `robot`.

use clap::{Args, Subcommand, ValueEnum};

use crate::cli::args::registry::YesNo;

/// Where a password comes from. It is never an argument: other users of a machine see those.
#[derive(Args, Clone, Copy, Debug)]
pub struct PasswordArgs {
    /// Read the password from standard input instead of asking for it on the terminal
    #[arg(long)]
    pub password_stdin: bool,
}

/// Where it is asked for, when that is not the engine of this machine.
#[derive(Args, Clone, Debug, Default)]
pub struct AsArgs {
    /// Ask this token service (https://NAME:PORT) instead of this machine's engine, with the rights of --login
    #[arg(long, value_name = "URL", requires = "login")]
    pub service: Option<String>,
    /// The user to log in as there
    #[arg(long, value_name = "NAME", requires = "service")]
    pub login: Option<String>,
    /// A file with further certificate authorities for it, PEM
    #[arg(long, value_name = "FILE", requires = "service")]
    pub ca: Option<std::path::PathBuf>,
    /// Read the password of --login from standard input instead of asking for it on the terminal
    #[arg(long = "password-stdin", requires = "service", id = "login_password_stdin")]
    pub login_stdin: bool,
}

/// The same for a change that asks for a password itself.
#[derive(Args, Clone, Debug)]
pub struct AskingAsArgs {
    /// Ask this token service (https://NAME:PORT) instead of this machine's engine, with the rights of --login
    #[arg(long, value_name = "URL", requires = "login")]
    pub service: Option<String>,
    /// The user to log in as there; with --password-stdin their password is the first line, the new one the second
    #[arg(long, value_name = "NAME", requires = "service")]
    pub login: Option<String>,
    /// A file with further certificate authorities for it, PEM
    #[arg(long, value_name = "FILE", requires = "service")]
    pub ca: Option<std::path::PathBuf>,
}

/// What to do with users.
#[derive(Debug, Subcommand)]
pub enum UserVerb {
    /// Make a user; the password is asked for without showing it
    #[command(after_help = "Examples:\n  longshore user add ada\n  \
        pass show ada | longshore user add ada --password-stdin\n  \
        longshore user add ada --service https://longshore.example.com:5443 --login root\n\n\
        A newcomer needs two things: to be a user, and to be a member of a project (longshore project grant).")]
    Add {
        /// Their name
        #[arg(value_name = "NAME")]
        name: String,
        /// May do everything everywhere
        #[arg(long)]
        admin: bool,
        /// Where the password comes from.
        #[command(flatten)]
        password: PasswordArgs,
        /// Where it is asked for.
        #[command(flatten)]
        of: AskingAsArgs,
    },
    /// List users, and where they are members
    #[command(
        visible_alias = "list",
        after_help = "Examples:\n  longshore user ls --json\n  longshore user ls --service https://longshore.example.com:5443 --login ada\n\n\
        Of a token service elsewhere a system admin sees all, others the members of their projects and themselves."
    )]
    Ls {
        /// Where it is asked for.
        #[command(flatten)]
        of: AsArgs,
    },
    /// Give a user another password
    #[command(after_help = "Example: longshore user passwd ada")]
    Passwd {
        /// Whose
        #[arg(value_name = "NAME")]
        name: String,
        /// Where the password comes from.
        #[command(flatten)]
        password: PasswordArgs,
        /// Where it is asked for.
        #[command(flatten)]
        of: AskingAsArgs,
    },
    /// Say whether a user is a system admin
    #[command(after_help = "Example: longshore user set ada --admin yes")]
    Set {
        /// Whom
        #[arg(value_name = "NAME")]
        name: String,
        /// May do everything everywhere
        #[arg(long, value_name = "yes|no")]
        admin: YesNo,
        /// Where it is asked for.
        #[command(flatten)]
        of: AsArgs,
    },
    /// Keep a user from logging in
    #[command(after_help = "Example: longshore user disable ada\n\n\
        Tokens that were given out before work for five minutes more at most, and a minute of leeway.")]
    Disable {
        /// Whom
        #[arg(value_name = "NAME")]
        name: String,
        /// Where it is asked for.
        #[command(flatten)]
        of: AsArgs,
    },
    /// Let a user log in again
    #[command(after_help = "Example: longshore user enable ada")]
    Enable {
        /// Whom
        #[arg(value_name = "NAME")]
        name: String,
        /// Where it is asked for.
        #[command(flatten)]
        of: AsArgs,
    },
    /// Remove a user and all their memberships
    #[command(after_help = "Example: longshore user rm ada")]
    Rm {
        /// Whom
        #[arg(value_name = "NAME")]
        name: String,
        /// Where it is asked for.
        #[command(flatten)]
        of: AsArgs,
    },
}

/// A member's role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RoleArg {
    /// Pulls
    Guest,
    /// Pulls and pushes
    Developer,
    /// Pulls, pushes, deletes, and says who the members are
    ProjectAdmin,
}

/// What to do with projects.
#[derive(Debug, Subcommand)]
pub enum ProjectVerb {
    /// Make a project: the first part of its repositories' paths
    #[command(after_help = "Example: longshore project add feed")]
    Add {
        /// Its name
        #[arg(value_name = "PROJECT")]
        name: String,
        /// Where it is asked for.
        #[command(flatten)]
        of: AsArgs,
    },
    /// List projects, with how many members they have
    #[command(visible_alias = "list", after_help = "Example: longshore project ls --json")]
    Ls {
        /// Where it is asked for.
        #[command(flatten)]
        of: AsArgs,
    },
    /// Remove a project with its memberships and robots; its images stay in the registries
    #[command(after_help = "Example: longshore project rm feed")]
    Rm {
        /// Which
        #[arg(value_name = "PROJECT")]
        name: String,
        /// Where it is asked for.
        #[command(flatten)]
        of: AsArgs,
    },
    /// List the members and robots of a project
    #[command(after_help = "Example: longshore project members feed")]
    Members {
        /// Which
        #[arg(value_name = "PROJECT")]
        name: String,
        /// Where it is asked for.
        #[command(flatten)]
        of: AsArgs,
    },
    /// Make a user a member of a project, or change a member's role, in all registries at once
    #[command(after_help = "Examples:\n  longshore project grant feed ada project-admin\n  \
        longshore project grant feed bob guest\n  \
        longshore project grant feed bob guest --service https://longshore.example.com:5443 --login ada")]
    Grant {
        /// Where
        #[arg(value_name = "PROJECT")]
        project: String,
        /// Whom
        #[arg(value_name = "USER")]
        user: String,
        /// To be what
        #[arg(value_name = "ROLE", value_enum)]
        role: RoleArg,
        /// Where it is asked for.
        #[command(flatten)]
        of: AsArgs,
    },
    /// End a membership
    #[command(after_help = "Example: longshore project revoke feed bob\n\n\
        Tokens that were given out before work for five minutes more at most, and a minute of leeway.")]
    Revoke {
        /// Where
        #[arg(value_name = "PROJECT")]
        project: String,
        /// Whose
        #[arg(value_name = "USER")]
        user: String,
        /// Where it is asked for.
        #[command(flatten)]
        of: AsArgs,
    },
}

/// What to do with robots.
#[derive(Debug, Subcommand)]
pub enum RobotVerb {
    /// Make a robot and print its secret, once
    #[command(after_help = "Examples:\n  longshore robot add feed/ci --role developer\n  \
        longshore robot add feed/scan --role guest --expires never\n\n\
        It logs in as robot$PROJECT+NAME; in a shell, put that in single quotes.")]
    Add {
        /// Where, and its name there
        #[arg(value_name = "PROJECT/NAME")]
        robot: String,
        /// What it may do there
        #[arg(long, value_enum)]
        role: RoleArg,
        /// How long it can log in: 12h, 90d, or never
        #[arg(long, value_name = "TIME", default_value = "90d")]
        expires: String,
        /// Where it is asked for.
        #[command(flatten)]
        of: AsArgs,
    },
    /// List robots, those whose time is over or ends soon first
    #[command(
        visible_alias = "list",
        after_help = "Examples:\n  longshore robot ls\n  longshore robot ls feed"
    )]
    Ls {
        /// Only those of this project
        #[arg(value_name = "PROJECT")]
        project: Option<String>,
        /// Where it is asked for.
        #[command(flatten)]
        of: AsArgs,
    },
    /// Give a robot more time from now on, and a new secret if you want
    #[command(after_help = "Examples:\n  longshore robot renew feed/ci\n  \
        longshore robot renew feed/ci --expires 30d --new-secret")]
    Renew {
        /// Which
        #[arg(value_name = "PROJECT/NAME")]
        robot: String,
        /// How long it can log in: 12h, 90d, or never
        #[arg(long, value_name = "TIME", default_value = "90d")]
        expires: String,
        /// Make a new secret and print it, once; the old one no longer counts
        #[arg(long)]
        new_secret: bool,
        /// Where it is asked for.
        #[command(flatten)]
        of: AsArgs,
    },
    /// Keep a robot from logging in
    #[command(after_help = "Example: longshore robot disable feed/ci")]
    Disable {
        /// Which
        #[arg(value_name = "PROJECT/NAME")]
        robot: String,
        /// Where it is asked for.
        #[command(flatten)]
        of: AsArgs,
    },
    /// Let a robot log in again
    #[command(after_help = "Example: longshore robot enable feed/ci")]
    Enable {
        /// Which
        #[arg(value_name = "PROJECT/NAME")]
        robot: String,
        /// Where it is asked for.
        #[command(flatten)]
        of: AsArgs,
    },
    /// Remove a robot
    #[command(after_help = "Example: longshore robot rm feed/ci")]
    Rm {
        /// Which
        #[arg(value_name = "PROJECT/NAME")]
        robot: String,
        /// Where it is asked for.
        #[command(flatten)]
        of: AsArgs,
    },
}
