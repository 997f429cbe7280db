//! The arguments of `images`, `image` and `policy`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// What to do with the list of images.
#[derive(Debug, Subcommand)]
pub enum ImagesVerb {
    /// List what a registry holds: its repositories, or the tags of one of them
    #[command(
        after_help = "Examples:\n  longshore images ls hq\n  longshore images ls hq feed/web --filter v1.2\n  \
        longshore images ls hq feed/web --filter '!rc' --limit 20\n\n\
        A filter is a text that the name has in it, !TEXT for names without it, =TEXT for the one that is called so."
    )]
    Ls(ListArgs),
}

/// Arguments of `images ls`.
#[derive(Args, Clone, Debug)]
pub struct ListArgs {
    /// The registry, by its name here
    #[arg(value_name = "REGISTRY")]
    pub registry: String,
    /// The repository; none lists the repositories
    #[arg(value_name = "REPOSITORY")]
    pub repository: Option<String>,
    /// Only names with this text in them (!TEXT: without it, =TEXT: called so)
    #[arg(long, value_name = "TEXT")]
    pub filter: Option<String>,
    /// At most so many rows
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,
    /// Go on where a part before ended
    #[arg(long, value_name = "PLACE")]
    pub after: Option<String>,
}

/// What to do with single images.
#[derive(Debug, Subcommand)]
pub enum ImageVerb {
    /// Write images, with all that is signed and said about them, into one file
    #[command(after_help = "Examples:\n  longshore image export hq/feed/web:v1 -o web.tar\n  \
        longshore image export hq/feed/web:v1 hq/feed/db:v4 --platform linux/arm64 -o branch.tar\n  \
        longshore image export registry.example:5000/feed/web@sha256:… -o web.tar\n\n\
        The file is a tar in the OCI image layout: skopeo reads it as oci-archive:FILE:REPOSITORY:TAG.\n\
        With one --platform, an image stands for itself; with several, its index stays as it is and lacks the others.")]
    Export(ExportArgs),
    /// Bring the images of a file into a registry; what is there already stays
    #[command(after_help = "Examples:\n  longshore image import web.tar --to branch\n  \
        longshore image import web.tar --to branch/mirror\n  \
        longshore image import one.tar --to registry.example:5000 --as feed/web:v1")]
    Import(ImportArgs),
    /// Hold an image against the rules for images; exit status 1 if it breaks one
    #[command(after_help = "Examples:\n  longshore image check hq/feed/web:v1\n  \
        longshore image check registry.example:5000/feed/web:v1 --policy rules.toml\n\n\
        With --policy, and with an address instead of a registry's name, it needs neither engine nor state: for CI.")]
    Check(CheckArgs),
}

/// How a registry is reached that is named by its address.
#[derive(Args, Clone, Debug, Default)]
pub struct Reach {
    /// It speaks HTTP without TLS (for a registry that is named by its address)
    #[arg(long)]
    pub plain_http: bool,
    /// A file with further certificate authorities, PEM (for a registry that is named by its address)
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
}

/// Arguments of `image export`.
#[derive(Args, Clone, Debug)]
pub struct ExportArgs {
    /// Images: REGISTRY/REPOSITORY:TAG with a registry's name here or its address; also @DIGEST
    #[arg(value_name = "IMAGE", required = true)]
    pub images: Vec<String>,
    /// The file to write; it must not be there yet
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
    /// Only this platform (OS/ARCHITECTURE[/VARIANT]); may be given several times
    #[arg(long = "platform", value_name = "PLATFORM")]
    pub platforms: Vec<String>,
    /// How registries are reached.
    #[command(flatten)]
    pub reach: Reach,
}

/// Arguments of `image import`.
#[derive(Args, Clone, Debug)]
pub struct ImportArgs {
    /// The file: a tar in the OCI image layout
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Where to: a registry's name here or its address, and what to put before each path
    #[arg(long, value_name = "REGISTRY[/PREFIX]")]
    pub to: String,
    /// What the one image in the file is to be called
    #[arg(long = "as", value_name = "REPOSITORY:TAG")]
    pub name: Option<String>,
    /// How the registry is reached.
    #[command(flatten)]
    pub reach: Reach,
}

/// Arguments of `image check`.
#[derive(Args, Clone, Debug)]
pub struct CheckArgs {
    /// The image, as a pool file names it, or with a registry's name here instead of its address
    #[arg(value_name = "IMAGE")]
    pub image: String,
    /// The rules, TOML; without it those of this install (`longshore policy set`)
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// How the registry is reached.
    #[command(flatten)]
    pub reach: Reach,
}

/// What to do with the rules for images.
#[derive(Debug, Subcommand)]
pub enum PolicyVerb {
    /// Let these rules count for every image from now on; what runs, runs on
    #[command(after_help = "Example: longshore policy set rules.toml\n\n\
        Kept with the install: all consoles and commands share them. They are looked at when a pool file is pushed and\n\
        when a container is placed.")]
    Set {
        /// The rules, TOML
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Print the rules that count, as they were set
    #[command(after_help = "Example: longshore policy show")]
    Show,
    /// Take the rules away: every image may run
    #[command(after_help = "Example: longshore policy rm")]
    Rm,
}
