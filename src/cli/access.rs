//! `user`, `project` and `robot`: who may do what in the registries.

use std::sync::Arc;

use serde::Serialize;

use crate::base::clock::Millis;
use crate::base::fault::{Fault, Kind};
use crate::base::ids::{ProjectName, UserName};
use crate::base::stamp::rfc3339;
use crate::cli::args::access::{AsArgs, AskingAsArgs, ProjectVerb, RobotVerb, RoleArg, UserVerb};
use crate::cli::args::registry::YesNo;
use crate::cli::cx::{Cx, Done, Engine, Stop, read_span};
use crate::cli::{AccessChanged, AccessDoor, DONE, Purpose, act, list as lists, secret};
use crate::model::access::command::{AccessCommand, DRAW};
use crate::model::access::view::{AccessView, RobotView};
use crate::model::access::{Role, Subject};
use crate::model::command::{Accepted, Command};
use crate::model::query::{Reply, Request};
use crate::view::access as rows;
use crate::view::json::access::{MemberRecord, ProjectRecord, RobotRecord, UserRecord};

impl From<RoleArg> for Role {
    fn from(role: RoleArg) -> Role {
        match role {
            RoleArg::Guest => Role::Guest,
            RoleArg::Developer => Role::Developer,
            RoleArg::ProjectAdmin => Role::ProjectAdmin,
        }
    }
}

fn user_name(text: &str) -> Result<UserName, Stop> {
    text.parse().map_err(|e| Stop::usage(&e))
}

fn project_name(text: &str) -> Result<ProjectName, Stop> {
    text.parse().map_err(|e| Stop::usage(&e))
}

/// `PROJECT/NAME`, or the name by which a robot logs in.
fn robot_name(text: &str) -> Result<(ProjectName, UserName), Stop> {
    if let Ok(Subject::Robot(project, name)) = text.parse() {
        return Ok((project, name));
    }
    let Some((project, name)) = text.split_once('/') else {
        let fault = Fault::new(Kind::Invalid, format!("{text:?} does not name a robot"));
        return Err(Stop::usage(&fault.hint("write PROJECT/NAME, such as feed/ci")));
    };
    Ok((project_name(project)?, user_name(name)?))
}

/// When a robot's time ends.
fn end(text: &str, now: Millis) -> Result<Option<Millis>, Stop> {
    if text == "never" {
        return Ok(None);
    }
    read_span(text).filter(|ms| *ms > 0).map(|ms| Some(now.plus(ms))).ok_or_else(|| {
        let fault = Fault::new(Kind::Invalid, format!("--expires {text:?} is not a time"));
        Stop::usage(&fault.hint("write 12h, 90d, or never"))
    })
}

async fn send(cx: &mut Cx<'_>, command: AccessCommand) -> Done {
    act::run(cx, vec![Command::Access(Box::new(command))], act::Patience::Default).await
}

/// The token service that is to be asked, if it is one; its password is asked for.
async fn door(cx: &mut Cx<'_>, of: AsArgs) -> Result<Option<AccessDoor>, Stop> {
    let (Some(url), Some(login)) = (of.service, of.login) else { return Ok(None) };
    let secret = secret::known(cx, of.login_stdin, &format!("password of {login} at {url}")).await?;
    Ok(Some(AccessDoor { url, login, secret, ca: of.ca }))
}

/// Who may do what: all of it by the engine of this machine, or what the user may see by a token service elsewhere.
async fn view(cx: &mut Cx<'_>, of: AsArgs) -> Result<Arc<AccessView>, Stop> {
    if let Some(door) = door(cx, of).await? {
        return Ok(Arc::new(cx.backend.look_access(door).await?));
    }
    let engine = cx.open(Purpose::Look).await?;
    Ok(cx.present(&engine).access.clone())
}

/// Sends a request to the engine of this machine, or to a token service elsewhere.
async fn send_as(cx: &mut Cx<'_>, of: AsArgs, command: AccessCommand) -> Done {
    let Some(door) = door(cx, of).await? else { return send(cx, command).await };
    send_to(cx, door, command, "").await
}

/// Sends a request to a token service elsewhere, and says what it has done.
async fn send_to(cx: &mut Cx<'_>, door: AccessDoor, command: AccessCommand, next: &str) -> Done {
    let text = cx.backend.change_access(door, command).await?.text;
    act::acknowledged(cx, &Accepted { op: None, text });
    if !next.is_empty() && !cx.json {
        cx.print.note(next);
    }
    Ok(DONE)
}

/// Sends a request; as soon as it is durable, says so. What follows it is said on standard error.
async fn tell(cx: &mut Cx<'_>, engine: &Engine, command: AccessCommand, next: &str) -> Done {
    act::acknowledge(cx, engine, Command::Access(Box::new(command))).await?;
    if !next.is_empty() && !cx.json {
        cx.print.note(next);
    }
    Ok(DONE)
}

/// `longshore user`
pub async fn user(cx: &mut Cx<'_>, verb: Option<UserVerb>) -> Done {
    match verb {
        None => users(cx, AsArgs::default()).await,
        Some(UserVerb::Ls { of }) => users(cx, of).await,
        Some(UserVerb::Add { name, admin, password, of }) => {
            add_user(cx, &name, admin, password.password_stdin, of).await
        }
        Some(UserVerb::Passwd { name, password, of }) => passwd(cx, &name, password.password_stdin, of).await,
        Some(UserVerb::Set { name, admin, of }) => {
            let (name, admin) = (user_name(&name)?, admin == YesNo::Yes);
            if let Some(door) = door(cx, of).await? {
                return send_to(cx, door, AccessCommand::PutUser { name, password: None, admin }, "").await;
            }
            let engine = act::connect(cx).await?;
            known_user(&cx.present(&engine).access, &name)?;
            tell(cx, &engine, AccessCommand::PutUser { name, password: None, admin }, "").await
        }
        Some(UserVerb::Disable { name, of }) => {
            send_as(cx, of, AccessCommand::DisableUser { name: user_name(&name)?, disabled: true }).await
        }
        Some(UserVerb::Enable { name, of }) => {
            send_as(cx, of, AccessCommand::DisableUser { name: user_name(&name)?, disabled: false }).await
        }
        Some(UserVerb::Rm { name, of }) => {
            send_as(cx, of, AccessCommand::RemoveUser { name: user_name(&name)? }).await
        }
    }
}

fn known_user(access: &AccessView, name: &UserName) -> Result<(), Stop> {
    if access.users.contains_key(name) {
        return Ok(());
    }
    Err(Stop::said(format!("{name} is not a user yet")).hint(format!("longshore user add {name}")))
}

async fn add_user(cx: &mut Cx<'_>, name: &str, admin: bool, from_stdin: bool, of: AskingAsArgs) -> Done {
    let name = user_name(name)?;
    let next = match admin {
        true => format!("{name} may do everything everywhere"),
        false => format!(
            "{name} can log in, and sees nothing yet: longshore project grant PROJECT {name} guest|developer|project-admin"
        ),
    };
    if let (Some(url), Some(login)) = (of.service, of.login) {
        let prompts = [format!("password of {login} at {url}"), format!("password of {name}")];
        let [secret, password] = secret::known_and_chosen(cx, from_stdin, &prompts).await?;
        let password = cx.backend.hash(password).await?;
        let door = AccessDoor { url, login, secret, ca: of.ca };
        return send_to(cx, door, AccessCommand::AddUser { name, password, admin }, &next).await;
    }
    let engine = act::connect(cx).await?;
    if cx.present(&engine).access.users.contains_key(&name) {
        return Err(Stop::said(format!("{name} is a user already: nothing was changed"))
            .hint(format!("another password: longshore user passwd {name}")));
    }
    let password = secret::chosen(cx, from_stdin, &format!("password of {name}")).await?;
    let password = cx.backend.hash(password).await?;
    tell(cx, &engine, AccessCommand::AddUser { name, password, admin }, &next).await
}

async fn passwd(cx: &mut Cx<'_>, name: &str, from_stdin: bool, of: AskingAsArgs) -> Done {
    let name = user_name(name)?;
    if let (Some(url), Some(login)) = (of.service, of.login) {
        let prompts = [format!("password of {login} at {url}"), format!("new password of {name}")];
        let [secret, password] = secret::known_and_chosen(cx, from_stdin, &prompts).await?;
        let password = cx.backend.hash(password).await?;
        let door = AccessDoor { url, login, secret, ca: of.ca };
        return send_to(cx, door, AccessCommand::SetPassword { name, password }, "").await;
    }
    let engine = act::connect(cx).await?;
    known_user(&cx.present(&engine).access, &name)?;
    let password = secret::chosen(cx, from_stdin, &format!("new password of {name}")).await?;
    let password = cx.backend.hash(password).await?;
    tell(cx, &engine, AccessCommand::SetPassword { name, password }, "").await
}

async fn users(cx: &mut Cx<'_>, of: AsArgs) -> Done {
    let access = view(cx, of).await?;
    if cx.json {
        let records: Vec<UserRecord> = UserRecord::all(&access);
        cx.print.json(&records)?;
        return Ok(DONE);
    }
    if access.users.is_empty() {
        cx.print.note("there are no users yet: `longshore user add NAME`");
        return Ok(DONE);
    }
    lists::print_table(cx, &rows::users(&access))?;
    Ok(DONE)
}

/// `longshore project`
pub async fn project(cx: &mut Cx<'_>, verb: Option<ProjectVerb>) -> Done {
    match verb {
        None => projects(cx, AsArgs::default()).await,
        Some(ProjectVerb::Ls { of }) => projects(cx, of).await,
        Some(ProjectVerb::Members { name, of }) => members(cx, &project_name(&name)?, of).await,
        Some(ProjectVerb::Add { name, of }) => {
            let name = project_name(&name)?;
            if let Some(door) = door(cx, of).await? {
                return send_to(cx, door, AccessCommand::PutProject { name }, "").await;
            }
            let engine = act::connect(cx).await?;
            let is_new = !cx.present(&engine).access.projects.contains_key(&name);
            let next = format!("nobody is a member yet: longshore project grant {name} USER project-admin");
            let next = if is_new { next.as_str() } else { "" };
            tell(cx, &engine, AccessCommand::PutProject { name }, next).await
        }
        Some(ProjectVerb::Rm { name, of }) => {
            send_as(cx, of, AccessCommand::RemoveProject { name: project_name(&name)? }).await
        }
        Some(ProjectVerb::Grant { project, user, role, of }) => {
            let (project, user) = (project_name(&project)?, user_name(&user)?);
            send_as(cx, of, AccessCommand::Grant { project, user, role: role.into() }).await
        }
        Some(ProjectVerb::Revoke { project, user, of }) => {
            let (project, user) = (project_name(&project)?, user_name(&user)?);
            send_as(cx, of, AccessCommand::Revoke { project, user }).await
        }
    }
}

async fn projects(cx: &mut Cx<'_>, of: AsArgs) -> Done {
    let is_elsewhere = of.service.is_some();
    let access = view(cx, of).await?;
    if cx.json {
        let records: Vec<ProjectRecord> = ProjectRecord::all(&access);
        cx.print.json(&records)?;
        return Ok(DONE);
    }
    if access.projects.is_empty() {
        cx.print.note(match is_elsewhere {
            true => "you are a member of no project there",
            false => "there are no projects yet: `longshore project add PROJECT`",
        });
        return Ok(DONE);
    }
    lists::print_table(cx, &rows::projects(&access))?;
    Ok(DONE)
}

async fn members(cx: &mut Cx<'_>, name: &ProjectName, of: AsArgs) -> Done {
    let is_elsewhere = of.service.is_some();
    let access = view(cx, of).await?;
    let Some(project) = access.projects.get(name) else {
        return Err(unknown_project(&access, name, is_elsewhere));
    };
    let now = cx.now();
    if cx.json {
        cx.print.json(&MemberRecord::all(&access, project, now))?;
        return Ok(DONE);
    }
    let table = rows::members(&access, project, now);
    if table.is_empty() {
        cx.print.note(&format!("nobody is a member of {name}: `longshore project grant {name} USER ROLE`"));
        return Ok(DONE);
    }
    lists::print_table(cx, &table)?;
    Ok(DONE)
}

fn unknown_project(access: &AccessView, name: &ProjectName, is_elsewhere: bool) -> Stop {
    let hint = match access.projects.len() {
        _ if is_elsewhere => "you see only projects that you are a member of".to_owned(),
        0 => format!("there are none yet: longshore project add {name}"),
        _ => "see `longshore project ls`".to_owned(),
    };
    Stop::said(format!("there is no project {name}")).hint(hint)
}

/// `longshore robot`
pub async fn robot(cx: &mut Cx<'_>, verb: Option<RobotVerb>) -> Done {
    match verb {
        None => robots(cx, None, AsArgs::default()).await,
        Some(RobotVerb::Ls { project, of }) => robots(cx, project.as_deref(), of).await,
        Some(RobotVerb::Add { robot, role, expires, of }) => {
            let ((project, name), expires) = (robot_name(&robot)?, end(&expires, cx.now())?);
            let (login, secret) = (Subject::Robot(project.clone(), name.clone()), DRAW.to_owned());
            let command = AccessCommand::MakeRobot { project, name, role: role.into(), secret, expires };
            with_secret(cx, of, command, &login, expires).await
        }
        Some(RobotVerb::Renew { robot, expires, new_secret, of }) => {
            let ((project, name), expires) = (robot_name(&robot)?, end(&expires, cx.now())?);
            if !new_secret {
                let command = AccessCommand::RenewRobot { project, name, secret: None, expires };
                return send_as(cx, of, command).await;
            }
            let (login, secret) = (Subject::Robot(project.clone(), name.clone()), Some(DRAW.to_owned()));
            let command = AccessCommand::RenewRobot { project, name, secret, expires };
            with_secret(cx, of, command, &login, expires).await
        }
        Some(RobotVerb::Disable { robot, of }) => {
            let (project, name) = robot_name(&robot)?;
            send_as(cx, of, AccessCommand::DisableRobot { project, name, disabled: true }).await
        }
        Some(RobotVerb::Enable { robot, of }) => {
            let (project, name) = robot_name(&robot)?;
            send_as(cx, of, AccessCommand::DisableRobot { project, name, disabled: false }).await
        }
        Some(RobotVerb::Rm { robot, of }) => {
            let (project, name) = robot_name(&robot)?;
            send_as(cx, of, AccessCommand::RemoveRobot { project, name }).await
        }
    }
}

#[derive(Serialize)]
struct Made<'a> {
    accepted: bool,
    op: Option<String>,
    text: &'a str,
    login: String,
    secret: &'a str,
    expires: Option<String>,
    expires_ms: Option<i64>,
}

/// Asks for a robot's new secret: drawn here for the engine of this machine, which gets the hash, and drawn by a token service
/// elsewhere, which tells it once.
async fn drawn(cx: &mut Cx<'_>, of: AsArgs, mut command: AccessCommand) -> Result<(String, String), Stop> {
    if let Some(door) = door(cx, of).await? {
        let AccessChanged { text, secret } = cx.backend.change_access(door, command).await?;
        let untold = || {
            Stop::said(format!("done ({text}), but the token service has told no secret"))
                .hint("another longshore runs there? give the robot a secret with `longshore robot renew --new-secret`")
        };
        let secret = secret.ok_or_else(untold)?;
        return Ok((text, secret));
    }
    let engine = act::connect(cx).await?;
    let (secret, hash) = cx.backend.draw().await?;
    if let Some(place) = command.robot_hash() {
        *place = hash;
    }
    let request = Request::Command(Command::Access(Box::new(command)));
    let Reply::Accepted(accepted) = cx.ask(&engine, request).await? else {
        return Err(Stop::misfit());
    };
    Ok((accepted.text, secret))
}

/// Sends a request that gives a robot a new secret, and prints that: the only time that it is there to be read.
async fn with_secret(
    cx: &mut Cx<'_>,
    of: AsArgs,
    command: AccessCommand,
    login: &Subject,
    expires: Option<Millis>,
) -> Done {
    let (text, secret) = drawn(cx, of, command).await?;
    let (text, secret, login) = (text.as_str(), secret.as_str(), login.to_string());
    if cx.json {
        let (expires, expires_ms) = (expires.map(rfc3339), expires.map(|at| at.0));
        let made = Made { accepted: true, op: None, text, login, secret, expires, expires_ms };
        cx.print.json_line(&made)?;
        return Ok(DONE);
    }
    cx.print.line(&format!("accepted: {text}"))?;
    cx.print.line(&format!("login:  {login}"))?;
    cx.print.line(&format!("secret: {secret}"))?;
    cx.print.note("the secret is shown this once and kept nowhere: put it away now");
    cx.print.note(&format!("to log in: docker login -u '{login}' --password-stdin REGISTRY"));
    Ok(DONE)
}

async fn robots(cx: &mut Cx<'_>, project: Option<&str>, of: AsArgs) -> Done {
    let project = project.map(project_name).transpose()?;
    let is_elsewhere = of.service.is_some();
    let access = view(cx, of).await?;
    if let Some(name) = project.as_ref().filter(|name| !access.projects.contains_key(name)) {
        return Err(unknown_project(&access, name, is_elsewhere));
    }
    let now = cx.now();
    let wanted = |r: &&RobotView| project.as_ref().is_none_or(|name| r.project == *name);
    let robots: Vec<&RobotView> = rows::problems_first(&access, now).into_iter().filter(wanted).collect();
    if cx.json {
        let records: Vec<RobotRecord> = robots.iter().map(|r| RobotRecord::of(r, now)).collect();
        cx.print.json(&records)?;
        return Ok(DONE);
    }
    if robots.is_empty() {
        cx.print.note(match is_elsewhere {
            true => "the projects that you are a member of there have no robots",
            false => "there are no robots: `longshore robot add PROJECT/NAME --role ROLE`",
        });
        return Ok(DONE);
    }
    lists::print_table(cx, &rows::robots(&robots, now))?;
    Ok(DONE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn robots_are_named_in_both_forms_and_times_are_read() {
        for text in ["feed/ci", "robot$feed+ci"] {
            let (project, name) = robot_name(text).unwrap();
            assert_eq!((project.as_str(), name.as_str()), ("feed", "ci"));
        }
        assert!(["feed", "feed/", "/ci", "feed/a/b", "Feed/ci"].iter().all(|t| robot_name(t).is_err()));
        let now = Millis(1_000);
        assert_eq!(end("1h", now).unwrap(), Some(Millis(3_601_000)));
        assert_eq!(end("never", now).unwrap(), None);
        assert!(["", "0d", "soon", "-1d"].iter().all(|t| end(t, now).is_err()));
    }
}
