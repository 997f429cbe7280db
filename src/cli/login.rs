//! `registry auth-config`, `registry login` and `registry logout`: how a registry asks us, and how we log in to it.

use serde::Serialize;

use crate::base::fault::{Fault, Kind};
use crate::base::ids::RegistryName;
use crate::cli::args::registry::{AuthConfigArgs, LoginArgs};
use crate::cli::cx::{Cx, Done, Engine, Stop};
use crate::cli::{DONE, Purpose, RegistryAuth, act, secret};
use crate::model::command::Command;
use crate::model::registry::{Registry, RegistryKind};
use crate::model::world::World;
use crate::view::registry_auth::{AuthConfig, auth_config};

fn name(text: &str) -> Result<RegistryName, Stop> {
    text.parse().map_err(|e| Stop::usage(&e))
}

fn find(world: &World, name: &RegistryName) -> Result<Registry, Stop> {
    world.registries.get(name).map(|view| view.registry.clone()).ok_or_else(|| {
        let hint = match world.registries.len() {
            0 => format!("there are none yet: longshore registry add {name} HOST[:PORT]"),
            _ => "see `longshore registry ls`".to_owned(),
        };
        Stop::said(format!("there is no registry {name}")).hint(hint)
    })
}

async fn look(cx: &mut Cx<'_>, name: &RegistryName) -> Result<(Engine, Registry), Stop> {
    let engine = cx.open(Purpose::Look).await?;
    let registry = find(&cx.present(&engine), name)?;
    Ok((engine, registry))
}

#[derive(Serialize)]
struct Record<'a> {
    registry: &'a str,
    realm: String,
    service: &'a str,
    issuer: &'a str,
    certificate: &'a str,
    certificate_file: String,
    pem: &'a str,
    config: &'a str,
}

/// What the token service says about itself, or how to configure it.
fn configured(cx: &Cx<'_>) -> Result<RegistryAuth, Stop> {
    cx.backend.registry_auth(&cx.session)?.ok_or_else(|| {
        Stop::said("no token service is configured: registries have nobody to ask").hint(
            "write a section [token-service] with listen, url, certificate and key into config.toml; docs/access.md explains it",
        )
    })
}

/// `longshore registry auth-config`
pub async fn config(cx: &mut Cx<'_>, args: AuthConfigArgs) -> Done {
    let name = name(&args.name)?;
    let (engine, registry) = look(cx, &name).await?;
    if registry.kind == RegistryKind::Harbor {
        return Err(Stop::said(format!("{name} is a Harbor, which has users and tokens of its own")).hint(
            "auth-config is for plain Distribution registries (docker-registry, registry:2, registry:3)",
        ));
    }
    // An engine that has only just begun is still about to open it, and makes its key then.
    let is_done = |world: &World| {
        world.access.service.as_ref().is_none_or(|service| service.open || service.trouble.is_some())
    };
    cx.world_when(&engine, is_done).await?;
    let auth = configured(cx)?;
    if args.pem {
        cx.print.text(&auth.pem)?;
        return Ok(DONE);
    }
    let text = auth_config(&AuthConfig {
        registry: name.to_string(),
        base: auth.url.clone(),
        service: name.to_string(),
        issuer: auth.issuer.clone(),
        certificate: args.certificate.clone(),
        events_secret: (!args.no_reports).then(|| auth.events_secret.clone()),
    });
    if cx.json {
        let record = Record {
            registry: name.as_str(),
            realm: format!("{}/token", auth.url),
            service: name.as_str(),
            issuer: &auth.issuer,
            certificate: &args.certificate,
            certificate_file: auth.certificate.display().to_string(),
            pem: &auth.pem,
            config: &text,
        };
        cx.print.json(&record)?;
        return Ok(DONE);
    }
    cx.print.text(&text)?;
    let path = &args.certificate;
    cx.print.note(&format!(
        "put this into the configuration of {name}, put `longshore registry auth-config {name} --pem` at {path} there, and restart it"
    ));
    if !args.no_reports {
        cx.print.note("it holds the secret of reports: only the registry should be able to read that file");
    }
    if auth.url.starts_with("http://") {
        cx.print.note(&format!(
            "{} can be reached from this machine only, by registries and by their clients",
            auth.url
        ));
    }
    Ok(DONE)
}

/// `longshore registry login`
pub async fn log_in(cx: &mut Cx<'_>, args: LoginArgs) -> Done {
    let name = name(&args.name)?;
    if args.username.is_empty() || args.username.contains(':') || args.username.chars().any(char::is_control)
    {
        let fault = Fault::new(Kind::Invalid, format!("{:?} is no name to log in with", args.username));
        return Err(Stop::usage(&fault.hint("users: NAME; robots: 'robot$PROJECT+NAME' in single quotes")));
    }
    let engine = act::connect(cx).await?;
    let registry = find(&cx.present(&engine), &name)?;
    let prompt = format!("password of {} at {}", args.username, registry.address);
    let secret = secret::known(cx, args.password_stdin, &prompt).await?;
    let kept = cx.backend.log_in(registry, args.username.clone(), secret).await?;
    if kept.ends_with(".json") {
        cx.print.note(&format!(
            "kept in {kept}, which holds it as good as in the clear: a credential helper keeps it better"
        ));
    }
    // The engine looks logins up when it connects: it has to be told.
    act::acknowledge(cx, &engine, Command::RenewLogin(name)).await?;
    Ok(DONE)
}

/// `longshore registry logout`
pub async fn log_out(cx: &mut Cx<'_>, text: &str) -> Done {
    let name = name(text)?;
    let engine = act::connect(cx).await?;
    let registry = find(&cx.present(&engine), &name)?;
    match cx.backend.log_out(registry).await? {
        None => cx.print.note(&format!("no login for {name} was kept: nothing to forget")),
        Some(kept) => {
            cx.print.note(&format!("the login was taken out of {kept}"));
            act::acknowledge(cx, &engine, Command::RenewLogin(name)).await?;
        }
    }
    Ok(DONE)
}
