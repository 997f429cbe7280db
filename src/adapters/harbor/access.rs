//! Members and robots of Harbor's projects, and the changes to them.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use reqwest::Method;
use serde_json::{Value, json};

use crate::adapters::harbor::http::{Call, Limits, encode};
use crate::adapters::harbor::wire::{MemberBody, RobotBody, RobotMadeBody};
use crate::adapters::harbor::{Harbor, KIB, MIB, limits, paging, read};
use crate::base::fault::{Fault, Kind, Outcome};
use crate::base::ids::{ProjectName, UserName};
use crate::model::access::Role;
use crate::model::harbor::access::{
    AccessStep, Applied, Grant, HarborRobot, HarborRole, Member, MemberKind, Right, rights,
};
use crate::model::harbor::{HarborProject, Secret};
use crate::ports::registry_admin::AccessAdmin;

/// A hundred short rows.
const MEMBERS: Limits = limits("list members", 20, 4 * MIB);
/// A hundred robots with all their rights.
const ROBOTS: Limits = limits("list robots", 20, 16 * MIB);
/// A few rows of its database; a person who is new to Harbor is looked for in the directory.
const CHANGE: Limits = limits("change who may do what", 30, 256 * KIB);

impl AccessAdmin for Harbor {
    fn members<'a>(&'a self, project: &'a HarborProject) -> BoxFuture<'a, Outcome<Vec<Member>>> {
        async {
            let list = Call::get(MEMBERS, format!("/api/v2.0/projects/{}/members", project.id));
            paging::all::<MemberBody>(&self.http, &list).await
        }
        .boxed()
    }

    fn robots<'a>(&'a self, project: &'a HarborProject) -> BoxFuture<'a, Outcome<Vec<HarborRobot>>> {
        async {
            let which = format!("Level=project,ProjectID={}", project.id);
            paging::all::<RobotBody>(&self.http, &Call::get(ROBOTS, "/api/v2.0/robots").with("q", which))
                .await
        }
        .boxed()
    }

    fn apply<'a>(&'a self, step: &'a AccessStep) -> BoxFuture<'a, Outcome<Applied>> {
        async move { self.change(step).await.map_err(|fault| fault.because(step.to_string())) }.boxed()
    }
}

impl Harbor {
    async fn change(&self, step: &AccessStep) -> Outcome<Applied> {
        match step {
            AccessStep::CreateProject(project) => {
                let body = json!({"project_name": project.as_str(), "metadata": {"public": "false"}});
                let call = Call::new(CHANGE, Method::POST, "/api/v2.0/projects", Some(body));
                self.done(&call, Some(409)).await
            }
            AccessStep::ClosePublic(project) => {
                // Only this one property: a PUT of the project would take the others along.
                let body = json!({"public": "false"});
                self.done(&in_project(Method::PUT, project, "metadatas/public", Some(body)), None).await
            }
            AccessStep::AddMember { project, user, role } => self.add_member(project, user, *role).await,
            AccessStep::ChangeMember { project, member, role } => {
                let body = json!({"role_id": HarborRole::from(*role).id()});
                let path = format!("members/{}", member.id);
                self.done(&in_project(Method::PUT, project, &path, Some(body)), None).await
            }
            AccessStep::RemoveMember { project, member } => {
                let path = format!("members/{}", member.id);
                self.done(&in_project(Method::DELETE, project, &path, None), Some(404)).await
            }
            AccessStep::AddRobot { project, name, role, days } => {
                self.add_robot(project, name, *role, *days).await
            }
            AccessStep::ChangeRobot { project, robot, role, disabled } => {
                let body = changed(project, robot, *role, *disabled);
                self.done(&Call::new(CHANGE, Method::PUT, robot_path(robot), Some(body)), None).await
            }
            AccessStep::RemoveRobot { robot, .. } => {
                self.done(&Call::new(CHANGE, Method::DELETE, robot_path(robot), None), Some(404)).await
            }
        }
    }

    /// Sends a call of which nothing is read; one status may mean that it was so already.
    async fn done(&self, call: &Call, already: Option<u16>) -> Outcome<Applied> {
        match self.http.send(call).await {
            Ok(_) => Ok(Applied::Done),
            Err(failed) if failed.status.is_some() && failed.status == already => Ok(Applied::Already),
            Err(failed) => Err(failed.fault),
        }
    }

    async fn add_member(&self, project: &ProjectName, user: &UserName, role: Role) -> Outcome<Applied> {
        let role = HarborRole::from(role);
        let body = json!({"role_id": role.id(), "member_user": {"username": user.as_str()}});
        let fault = match self.http.send(&in_project(Method::POST, project, "members", Some(body))).await {
            Ok(_) => return Ok(Applied::Done),
            Err(failed) if failed.status == Some(409) => failed.fault,
            Err(failed) => return Err(failed.fault),
        };
        // There is such a member: with this role, all is well. (The name is matched in part.)
        let mut list = in_project(Method::GET, project, "members", None).with("entityname", user.as_str());
        list.limits = MEMBERS;
        let all = paging::all::<MemberBody>(&self.http, &list).await?;
        match all.iter().find(|m| m.kind == MemberKind::User && m.name.raw() == user.as_str()) {
            Some(is) if is.role == role => Ok(Applied::Already),
            Some(is) => Err(fault.with_reason(format!("{user} is {} there", is.role))),
            None => Err(fault),
        }
    }

    async fn add_robot(
        &self,
        project: &ProjectName,
        name: &UserName,
        role: Role,
        days: Option<u32>,
    ) -> Outcome<Applied> {
        if days == Some(0) {
            return Err(Fault::new(Kind::Invalid, "a robot cannot live for less than a day in Harbor"));
        }
        let grant =
            Grant { kind: "project".into(), namespace: project.as_str().into(), rights: rights(role) };
        let body = json!({
            "name": name.as_str(),
            "description": "made by longshore",
            "level": "project",
            "disable": false,
            "duration": days.map_or(-1, i64::from),
            "permissions": [permission(&grant)],
        });
        let call = Call::new(CHANGE, Method::POST, "/api/v2.0/robots", Some(body));
        let answer = self.http.send(&call).await?;
        let made: RobotMadeBody = read(&call, &answer.body).map_err(|fault| {
            fault.because("the robot is made, but its secret is lost").hint("end it and make it anew")
        })?;
        let expires = made.expires();
        Ok(Applied::Robot { login: made.name.into(), secret: Secret::new(made.secret), expires })
    }
}

/// A call below a project that is named by its name.
fn in_project(method: Method, project: &ProjectName, rest: &str, body: Option<Value>) -> Call {
    let path = format!("/api/v2.0/projects/{}/{rest}", encode(project.as_str()));
    Call { by_name: true, ..Call::new(CHANGE, method, path, body) }
}

fn permission(grant: &Grant) -> Value {
    let right = |r: &Right| json!({"resource": r.resource.raw(), "action": r.action.raw()});
    let access: Vec<Value> = grant.rights.iter().map(right).collect();
    json!({"kind": grant.kind.raw(), "namespace": grant.namespace.raw(), "access": access})
}

fn robot_path(robot: &HarborRobot) -> String {
    format!("/api/v2.0/robots/{}", robot.id)
}

/// A robot goes back whole; its name and level must be those it has, and its life stays.
fn changed(project: &ProjectName, robot: &HarborRobot, role: Option<Role>, disabled: bool) -> Value {
    let new = role.map(|role| {
        vec![Grant { kind: "project".into(), namespace: project.as_str().into(), rights: rights(role) }]
    });
    let grants = new.as_ref().unwrap_or(&robot.grants);
    json!({
        "id": robot.id,
        "name": robot.login.raw(),
        "description": robot.description.raw(),
        "level": robot.level.raw(),
        "duration": robot.days,
        "disable": disabled,
        "permissions": grants.iter().map(permission).collect::<Vec<_>>(),
    })
}
