//! `image`: into a file, out of a file, and held against the rules. All of it is done by the command itself.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use serde_json::json;

use crate::base::fault::{Fault, Kind};
use crate::base::ids::RegistryName;
use crate::base::text::{bytes, count, safe};
use crate::cli::args::image::{CheckArgs, ExportArgs, ImageVerb, ImportArgs, Reach};
use crate::cli::cx::{Cx, Done, Stop};
use crate::cli::print::Printer;
use crate::cli::replicate::platform;
use crate::cli::{DONE, FAILED, Purpose};
use crate::engine::archive::Depot;
use crate::engine::policing::{Checked, checked};
use crate::model::archive::{Carried, ImportAs, Source};
use crate::model::image::{ImageName, is_address};
use crate::model::oci::{Repository, Tag};
use crate::model::policy::ImagePolicy;
use crate::model::query::{Query, Reply, Request};
use crate::model::registry::Registry;

/// Bytes after which the progress is said anew.
const SAY_EVERY: u64 = 16 << 20;

/// `longshore image`
pub async fn run(cx: &mut Cx<'_>, verb: ImageVerb) -> Done {
    match verb {
        ImageVerb::Export(args) => export(cx, args).await,
        ImageVerb::Import(args) => import(cx, args).await,
        ImageVerb::Check(args) => check(cx, args).await,
    }
}

fn depot(cx: &Cx<'_>) -> Result<Depot, Stop> {
    cx.backend.depot().map_err(Stop::from)
}

/// The registry that a reference begins with: a name of this install, or an address. What is recorded of an address counts, but
/// for what the command says of it.
async fn registry(cx: &mut Cx<'_>, first: &str, reach: &Reach) -> Result<Registry, Stop> {
    let says = reach.plain_http || reach.ca.is_some();
    let is_name = !is_address(first);
    if is_name || (!says && cx.backend.has_state(&cx.session)) {
        let engine = cx.open(Purpose::Look).await?;
        let world = cx.present(&engine);
        let known = world.registries.values().map(|view| &view.registry);
        let found =
            known.into_iter().find(|r| if is_name { r.name.as_str() == first } else { r.address == first });
        match found {
            Some(found) => return Ok(found.clone()),
            None if is_name => {
                let text = format!("there is no registry {first}");
                return Err(
                    Stop::said(text).hint("see `longshore registry ls`, or name its address: HOST[:PORT]")
                );
            }
            None => {}
        }
    }
    let address = crate::cli::registry::address(first)?;
    let ca = match &reach.ca {
        None => None,
        Some(path) => {
            let path =
                std::path::absolute(path).map_err(|e| Stop::said(format!("{}: {e}", path.display())))?;
            Some(path.display().to_string())
        }
    };
    let name = RegistryName::new("registry").map_err(Stop::from)?;
    Ok(Registry { plain_http: reach.plain_http, ca, ..Registry::new(name, address) })
}

/// The registry of this install that has this name.
async fn recorded(cx: &mut Cx<'_>, name: &str) -> Result<Option<Registry>, Stop> {
    if !cx.backend.has_state(&cx.session) {
        return Ok(None);
    }
    let engine = cx.open(Purpose::Look).await?;
    let world = cx.present(&engine);
    Ok(world.registries.values().map(|view| &view.registry).find(|r| r.name.as_str() == name).cloned())
}

fn inside(registry: Registry, rest: &str) -> Result<Source, Stop> {
    let whole = format!("{}/{rest}", registry.address);
    let image = whole.parse::<ImageName>().map_err(|e| Stop::usage(&e))?;
    Ok(Source { registry, image })
}

/// A name as in a pool file: it says where the image is.
fn by_itself(image: ImageName) -> Result<Source, Stop> {
    let name = RegistryName::new("registry").map_err(Stop::from)?;
    Ok(Source { registry: Registry::new(name, image.registry.clone()), image })
}

/// An image as commands name it, and the registry that it is in.
async fn named(cx: &mut Cx<'_>, text: &str, reach: &Reach) -> Result<Source, Stop> {
    let (first, rest) = text.split_once('/').ok_or_else(|| {
        let fault = Fault::new(Kind::Invalid, format!("{text:?} names no registry"));
        Stop::usage(&fault.hint("write REGISTRY/REPOSITORY:TAG, with a registry's name or address"))
    })?;
    let registry = registry(cx, first, reach).await?;
    inside(registry, rest)
}

/// Says now and then how far it is: on a terminal only, in one line.
struct Progress<'p, 'i>(Mutex<(u64, &'p mut Printer<'i>)>);

impl<'p, 'i> Progress<'p, 'i> {
    fn on(print: &'p mut Printer<'i>) -> Progress<'p, 'i> {
        Progress(Mutex::new((0, print)))
    }

    fn tell(&self, passed: u64, what: &str) {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if said.1.rewrites() && (passed == 0 || passed >= said.0 + SAY_EVERY) {
            said.0 = passed;
            let line = format!("{} · {}", safe(what), bytes(passed));
            said.1.progress(&line);
        }
    }
}

async fn export(cx: &mut Cx<'_>, args: ExportArgs) -> Done {
    let depot = depot(cx)?;
    let platforms = args.platforms.iter().map(|text| platform(text)).collect::<Result<Vec<_>, _>>()?;
    let mut sources = Vec::new();
    for text in &args.images {
        sources.push(named(cx, text, &args.reach).await?);
    }
    let stopped = cx.interrupted();
    let progress = Progress::on(&mut cx.print);
    let tell = |passed: u64, what: &str| progress.tell(passed, what);
    let written = tokio::select! {
        written = depot.export(&sources, &platforms, &args.output, &tell) => written?,
        () = stopped => return Err(Stop::said("stopped: no file was written")),
    };
    if cx.json {
        cx.print.json(&written)?;
        return Ok(DONE);
    }
    for image in &written.images {
        let of = if image.platforms.is_empty() {
            String::new()
        } else {
            format!("  {}", image.platforms.join(", "))
        };
        let with = if image.referrers > 0 {
            format!("  with {}", count(image.referrers as u64, "referrer"))
        } else {
            String::new()
        };
        cx.print.line(&format!("{}  {}{of}{with}", image.image, image.digest))?;
        if !image.left_out.is_empty() {
            cx.print.note(&format!(
                "left out of {}: {}; most registries take such an index only if they have these already",
                image.image,
                image.left_out.join(", ")
            ));
        }
    }
    let (file, size) = (args.output.display(), bytes(written.bytes));
    cx.print.line(&format!("{file}: {size}, {}", count(written.blobs as u64, "blob")))?;
    Ok(DONE)
}

async fn import(cx: &mut Cx<'_>, args: ImportArgs) -> Done {
    if cx.session.read_only {
        return Err(Stop::said("this session is read-only: nothing was changed")
            .hint("leave out --read-only to change something"));
    }
    let depot = depot(cx)?;
    let (first, prefix) = args.to.split_once('/').map_or((args.to.as_str(), None), |(f, p)| (f, Some(p)));
    let prefix = prefix.map(|p| p.trim_end_matches('/')).filter(|p| !p.is_empty());
    let prefix = prefix.map(str::parse::<Repository>).transpose().map_err(|e| Stop::usage(&e))?;
    let name = args.name.as_deref().map(|text| called(text, prefix.as_ref())).transpose()?;
    let to = registry(cx, first, &args.reach).await?;
    let names = ImportAs { prefix, name };
    let stopped = cx.interrupted();
    let progress = Progress::on(&mut cx.print);
    let tell = |passed: u64, what: &str| progress.tell(passed, what);
    let done = tokio::select! {
        done = depot.import(&args.file, &to, &names, &tell) => done?,
        () = stopped => {
            return Err(Stop::said("stopped: what has arrived stays, and no tag points to anything that is missing")
                .hint("give the same command again: it goes on with what is missing"));
        }
    };
    if cx.json {
        cx.print.json(&done)?;
        return Ok(DONE);
    }
    for image in &done {
        cx.print.line(&sentence(image))?;
    }
    Ok(DONE)
}

/// `REPOSITORY:TAG`, below the prefix.
fn called(text: &str, prefix: Option<&Repository>) -> Result<(Repository, Tag), Stop> {
    let (path, tag) = text.rsplit_once(':').ok_or_else(|| {
        let fault = Fault::new(Kind::Invalid, format!("--as: {text:?} has no tag"));
        Stop::usage(&fault.hint("write REPOSITORY:TAG"))
    })?;
    let path = prefix.map_or_else(|| path.to_owned(), |prefix| format!("{prefix}/{path}"));
    Ok((path.parse().map_err(|e| Stop::usage(&e))?, tag.parse().map_err(|e| Stop::usage(&e))?))
}

fn sentence(image: &Carried) -> String {
    let mut out = format!("{}  {}  ", image.image, image.digest.short());
    out += &if image.was_there {
        "was there already".to_owned()
    } else {
        format!("{} sent ({}), {} there", count(image.sent as u64, "blob"), bytes(image.bytes), image.there)
    };
    if let Some(before) = &image.before {
        out += &format!("; its tag pointed to {} before", before.short());
    }
    if image.referrers > 0 {
        out += &format!("; with {}", count(image.referrers as u64, "referrer"));
    }
    out
}

async fn check(cx: &mut Cx<'_>, args: CheckArgs) -> Done {
    let policy = match &args.policy {
        Some(path) => read_policy(path)?,
        None => stored(cx).await?,
    };
    // A name as in a pool file stands for itself; only what begins with a registry's name here is looked up.
    let known = args.image.parse::<ImageName>().ok();
    let source = match (args.image.split_once('/'), known) {
        (Some((first, rest)), known) if !is_address(first) => match (recorded(cx, first).await?, known) {
            (Some(registry), _) => inside(registry, rest)?,
            (None, Some(image)) => by_itself(image)?,
            (None, None) => named(cx, &args.image, &args.reach).await?,
        },
        (None, Some(image)) => by_itself(image)?,
        _ => named(cx, &args.image, &args.reach).await?,
    };
    let looked = if policy.needs_facts() {
        let depot = depot(cx)?;
        tokio::select! {
            looked = depot.look(&source.registry, &source.image) => looked.map(Some),
            () = cx.interrupted() => return Err(Stop::said("stopped")),
        }
    } else {
        Ok(None)
    };
    let name = source.image.to_string();
    let (digest, facts, unread) = match looked {
        Ok(Some((digest, summary))) => (Some(digest), Some(summary.facts), summary.why),
        Ok(None) => (None, None, None),
        Err(fault) => (None, None, Some(fault)),
    };
    let facts = facts.filter(|_| unread.is_none());
    let checked = checked(&policy, &name, facts.as_deref(), cx.now());
    if cx.json {
        let why = unread.as_ref().map(ToString::to_string);
        cx.print.json(&json!({ "image": name, "digest": digest, "passes": checked.passes,
            "rules": checked.rules, "unread": why }))?;
    } else {
        said(cx, &name, &checked, unread.as_ref())?;
    }
    Ok(if checked.passes { DONE } else { FAILED })
}

fn said(cx: &mut Cx<'_>, name: &str, checked: &Checked, unread: Option<&Fault>) -> Result<(), Stop> {
    if let Some(why) = unread {
        cx.print.note(&format!("{name} could not be looked at: {why}"));
        if let Some(hint) = &why.hint {
            cx.print.note(&format!("hint: {}", safe(hint)));
        }
    }
    for rule in &checked.rules {
        let why = if rule.why.is_empty() { String::new() } else { format!(": {}", rule.why) };
        cx.print.line(&format!("{:<7}  {}{why}", rule.verdict, safe(&rule.rule)))?;
    }
    let verdict = if checked.passes { "may run" } else { "may not run" };
    cx.print.line(&format!("{name} {verdict}"))
}

/// Reads a file of rules.
pub fn read_policy(path: &Path) -> Result<ImagePolicy, Stop> {
    let shown = path.display().to_string();
    let text =
        std::fs::read_to_string(path).map_err(|e| Stop::said(format!("{shown}: cannot be read: {e}")))?;
    crate::spec::policy::read_policy(&shown, &text).map_err(|faults| Stop::said(faults.to_string()))
}

/// The rules of this install.
async fn stored(cx: &mut Cx<'_>) -> Result<ImagePolicy, Stop> {
    let engine = cx.open(Purpose::Look).await?;
    let Reply::ImagePolicy(found) = cx.ask(&engine, Request::Query(Query::ImagePolicy)).await? else {
        return Err(Stop::misfit());
    };
    found.map(|stored| stored.policy).ok_or_else(|| {
        Stop::said("this install has no rules for images")
            .hint("give a file with --policy FILE, or set one: longshore policy set FILE")
    })
}
