//! The desk at which registries' clients log in: it decides by what is wanted now, and never waits for the core.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::sync::watch;

use crate::base::clock::SharedClock;
use crate::base::fault::{Fault, Kind, Outcome};
use crate::base::ids::RegistryName;
use crate::model::access::command::AccessCommand;
use crate::model::access::scope::{Granted, Scope};
use crate::model::access::view::AccessView;
use crate::model::access::{Access, Subject};
use crate::model::command::{Accepted, Refusal};
use crate::plan::access::seen::seen_by;
use crate::plan::access::{active, grant};
use crate::ports::desk::{Desk, Hint, Secrets, Strength};

/// What the desk goes by: replaced by the core as soon as a change is durable, before it is acknowledged.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// Who may do what.
    pub access: Arc<Access>,
    /// The registries that tokens are given out for: each calls itself by its name here.
    pub registries: Arc<BTreeSet<RegistryName>>,
}

/// Takes what registries report. False when there is no room for it. It never waits.
pub type HintSink = Arc<dyn Fn(Hint) -> bool + Send + Sync>;

/// Takes what somebody who has logged in wants changed, and says what came of it.
pub type ChangeSink =
    Arc<dyn Fn(Subject, AccessCommand) -> BoxFuture<'static, Result<Accepted, Refusal>> + Send + Sync>;

/// The desk of the engine.
pub struct EngineDesk {
    /// What it goes by.
    pub known: watch::Receiver<Known>,
    /// What checks secrets, on threads of its own.
    pub secrets: Arc<dyn Secrets>,
    /// Where stamps come from.
    pub clock: SharedClock,
    /// Where registries' reports go.
    pub hints: HintSink,
    /// Where changes go: the core, as everybody's.
    pub changes: ChangeSink,
}

impl EngineDesk {
    /// What is known, as long as a core stands behind it.
    fn known(&self) -> Outcome<Known> {
        match self.known.has_changed() {
            Ok(_) => Ok(self.known.borrow().clone()),
            Err(_) => Err(Fault::new(Kind::Unreachable, "the engine that knows who may do what has ended")),
        }
    }
}

/// Who a log-in name means, how strong their secret is, and its hash, if there is one.
fn find(access: &Access, login: &str) -> Option<(Subject, Strength, Option<String>)> {
    let subject: Subject = login.parse().ok()?;
    let (strength, hash) = match &subject {
        Subject::Operator(_) => return None,
        Subject::User(name) => (Strength::Password, access.users.get(name).map(|u| u.password.clone())),
        Subject::Robot(project, name) => {
            (Strength::Drawn, access.robot(project, name).map(|r| r.secret.clone()))
        }
    };
    Some((subject, strength, hash))
}

impl Desk for EngineDesk {
    fn well(&self) -> Outcome<()> {
        self.known().map(drop)
    }

    fn knows(&self, service: &str) -> bool {
        self.known.borrow().registries.iter().any(|name| name.as_str() == service)
    }

    fn authenticate<'a>(
        &'a self,
        login: &'a str,
        secret: &'a str,
    ) -> BoxFuture<'a, Outcome<Option<Subject>>> {
        Box::pin(async move {
            // A name that nobody can have is no secret: it costs nothing.
            let Some((subject, strength, hash)) = find(&self.known()?.access, login) else { return Ok(None) };
            let is_right = self.secrets.verify(secret.to_owned(), hash, strength).await?;
            // Looked up anew: it may have been taken away while the secret was checked.
            let is_active = active(&self.known()?.access, &subject, self.clock.now()).is_ok();
            Ok((is_right && is_active).then_some(subject))
        })
    }

    fn allowed(&self, subject: &Subject, asked: &[Scope]) -> Outcome<Granted> {
        Ok(grant(&self.known()?.access, subject, asked, self.clock.now()))
    }

    fn change(&self, by: Subject, command: AccessCommand) -> BoxFuture<'static, Result<Accepted, Refusal>> {
        (self.changes)(by, command)
    }

    fn seen(&self, by: &Subject) -> Outcome<AccessView> {
        Ok(seen_by(&self.known()?.access, by, self.clock.now()))
    }

    fn draw(&self) -> BoxFuture<'static, Outcome<(String, String)>> {
        let secrets = self.secrets.clone();
        Box::pin(async move {
            let secret = secrets.draw()?;
            let hash = secrets.hash(secret.clone(), Strength::Drawn).await?;
            Ok((secret, hash))
        })
    }

    fn hint(&self, hint: Hint) -> bool {
        (self.hints)(hint)
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;
    use crate::base::clock::{Clock, Millis, TokioClock};
    use crate::model::access::{ROBOT, Role};
    use crate::plan::access::apply::apply;

    /// Hashes that say what they are the hash of: the real ones are tested where they are made.
    struct Plain;

    impl Secrets for Plain {
        fn hash(&self, secret: String, _: Strength) -> BoxFuture<'static, Outcome<String>> {
            Box::pin(async move { Ok(format!("$argon2id${secret}")) })
        }

        fn verify(
            &self,
            secret: String,
            hash: Option<String>,
            _: Strength,
        ) -> BoxFuture<'static, Outcome<bool>> {
            Box::pin(async move { Ok(hash == Some(format!("$argon2id${secret}"))) })
        }

        fn draw(&self) -> Outcome<String> {
            Ok("drawn".to_owned())
        }
    }

    struct Place {
        known: watch::Sender<Known>,
        desk: EngineDesk,
        clock: Arc<TokioClock>,
    }

    fn place() -> (Place, mpsc::Receiver<Hint>) {
        let clock = Arc::new(TokioClock::starting_at(Millis(1_000_000)));
        let names = ["north".parse().unwrap()].into();
        let (known, seen) = watch::channel(Known { registries: Arc::new(names), ..Known::default() });
        let (hints, taken) = mpsc::channel(1);
        let hints: HintSink = Arc::new(move |hint| hints.try_send(hint).is_ok());
        let changes: ChangeSink = Arc::new(|_, _| unreachable!("nothing is changed here"));
        let desk = EngineDesk { known: seen, secrets: Arc::new(Plain), clock: clock.clone(), hints, changes };
        (Place { known, desk, clock }, taken)
    }

    impl Place {
        fn ask(&self, command: AccessCommand) {
            let by = Subject::Operator("os".into());
            self.known.send_modify(|known| {
                let applied = apply(&known.access, &by, command, self.clock.now()).unwrap();
                let access = Arc::make_mut(&mut known.access);
                applied.changes.into_iter().for_each(|change| access.change(change));
            });
        }

        async fn logs_in(&self, login: &str, secret: &str) -> bool {
            self.desk.authenticate(login, secret).await.unwrap().is_some()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_logs_in_is_looked_up_each_time_and_an_end_is_an_end() {
        let (place, _hints) = place();
        let (ada, feed) = ("ada".parse().unwrap(), "feed".parse().unwrap());
        let password = Some("$argon2id$pw".to_owned());
        place.ask(AccessCommand::PutUser { name: ada, password, admin: false });
        place.ask(AccessCommand::PutProject { name: feed });
        assert!(place.logs_in("ada", "pw").await && !place.logs_in("ada", "wrong").await);
        for nobody in ["bob", "os", "", "Ada", "robot$feed+ci"] {
            assert!(!place.logs_in(nobody, "pw").await, "{nobody}");
        }
        let pull = Scope::list("repository:feed/web:pull,push").unwrap();
        let subject: Subject = "ada".parse().unwrap();
        assert!(place.desk.allowed(&subject, &pull).unwrap().scopes.is_empty());
        let (project, user) = ("feed".parse().unwrap(), "ada".parse().unwrap());
        place.ask(AccessCommand::Grant { project, user, role: Role::Guest });
        let granted = place.desk.allowed(&subject, &pull).unwrap().scopes;
        assert_eq!(granted[0].to_string(), "repository:feed/web:pull");
        let (project, name) = ("feed".parse().unwrap(), "ci".parse().unwrap());
        let (role, secret) = (Role::Developer, "$argon2id$s".to_owned());
        let expires = Some(place.clock.now().plus(1_000));
        place.ask(AccessCommand::MakeRobot { project, name, role, secret, expires });
        let robot = format!("{ROBOT}feed+ci");
        assert!(place.logs_in(&robot, "s").await);
        tokio::time::advance(std::time::Duration::from_secs(2)).await;
        assert!(!place.logs_in(&robot, "s").await, "its time is over");
        place.ask(AccessCommand::DisableUser { name: "ada".parse().unwrap(), disabled: true });
        assert!(!place.logs_in("ada", "pw").await, "disabled");
        assert!(place.desk.allowed(&subject, &pull).unwrap().scopes.is_empty(), "also after the log-in");
    }

    #[tokio::test(start_paused = true)]
    async fn a_desk_without_an_engine_gives_nothing_and_one_without_room_says_so() {
        let (place, mut hints) = place();
        assert!(place.desk.knows("north") && !place.desk.knows("south") && place.desk.well().is_ok());
        let hint = Hint {
            registry: None,
            repository: "feed/web".parse().unwrap(),
            tag: None,
            digest: None,
            action: crate::ports::desk::Happened::Push,
        };
        assert!(place.desk.hint(hint.clone()) && !place.desk.hint(hint.clone()));
        assert_eq!(hints.recv().await, Some(hint.clone()));
        assert!(place.desk.hint(hint));
        let Place { known, desk, .. } = place;
        drop(known);
        assert!(desk.well().is_err() && desk.authenticate("ada", "pw").await.is_err());
        assert!(desk.allowed(&"ada".parse().unwrap(), &[]).is_err());
    }
}
