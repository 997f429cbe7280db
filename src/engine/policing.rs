//! The rules for images: held against what a pool file names when it is pushed, and against every image at placement.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::base::clock::Millis;
use crate::base::ids::{PoolId, RegistryName};
use crate::engine::core::{Core, Incoming};
use crate::engine::handle::Call;
use crate::engine::intake::{Admission, Caller, Decided};
use crate::engine::registry::facts::{Known, Looker};
use crate::model::command::{Accepted, Command, Refusal, RefusalKind};
use crate::model::desired::{Desired, Write};
use crate::model::journal::{Draft, What};
use crate::model::policy::{ImageFacts, ImagePolicy, ImageVerdict, Stance, StoredPolicy};
use crate::model::pool::ClusterSpec;
use crate::model::query::{Query, Reply, Request};
use crate::model::registry::Registry;
use crate::plan::image_policy::{rules, verdict};

/// A pushed pool file waits no longer than this for what its images say; what is not known by then counts as not known.
const LOOK_DEADLINE: Duration = Duration::from_secs(20);
/// And a question about an image that was never looked at no longer than this.
const GLANCE_DEADLINE: Duration = Duration::from_secs(5);
/// Images are looked at again this often, those that are known well enough not at all.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// And judged again this often: their age grows.
const JUDGE_EVERY: Duration = Duration::from_secs(60);
/// The longest text of rules that is kept, in bytes.
const SOURCE_MAX: usize = 1 << 20;
/// Images that one question may name.
const ASKED_MAX: usize = 1_000;

/// One rule and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RuleVerdict {
    /// Its key.
    pub rule: String,
    /// `pass`, `breach` or `unknown`.
    pub verdict: &'static str,
    /// Why; empty when it passes.
    pub why: String,
}

/// An image held against every rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// It may run.
    pub passes: bool,
    /// Every rule, in the policy's order.
    pub rules: Vec<RuleVerdict>,
}

/// Holds an image against every rule and tells what became of each.
pub fn checked(policy: &ImagePolicy, image: &str, facts: Option<&[ImageFacts]>, now: Millis) -> Checked {
    let found = verdict(policy, image, facts, now);
    let of = |rule: String| {
        let broken: Vec<_> = found.breaches.iter().filter(|b| b.rule == rule).collect();
        let word = match broken.as_slice() {
            [] => "pass",
            some if some.iter().all(|b| b.unknown) => "unknown",
            _ => "breach",
        };
        let why: Vec<&str> = broken.iter().map(|b| b.why.as_str()).collect();
        RuleVerdict { rule, verdict: word, why: why.join("; ") }
    };
    Checked { passes: found.passes, rules: rules(policy).into_iter().map(of).collect() }
}

/// An image held against the rules with what is known of it.
fn judged(policy: &ImagePolicy, known: &Known, image: &str, now: Millis) -> ImageVerdict {
    let found = known.get(image).map(|entry| &entry.found);
    let facts = match found {
        Some(Ok((_, facts))) => Some(facts.as_slice()),
        _ => None,
    };
    let mut out = verdict(policy, image, facts, now);
    match found {
        Some(Ok((digest, _))) => out.digest = Some(digest.clone()),
        Some(Err(fault)) => {
            out.breaches.iter_mut().filter(|b| b.unknown).for_each(|b| b.why = format!("not known: {fault}"));
        }
        None => {
            let why = "not known: it has not been looked at yet";
            out.breaches.iter_mut().filter(|b| b.unknown).for_each(|b| why.clone_into(&mut b.why));
        }
    }
    out
}

/// What is to be kept known.
type Wanted = (BTreeSet<String>, BTreeMap<RegistryName, Registry>);

/// The core's part of the rules for images.
pub(super) struct Policing {
    looker: Looker,
    seen: watch::Receiver<Arc<Known>>,
    wanted: watch::Sender<Arc<Wanted>>,
    task: Option<JoinHandle<()>>,
    /// Pools, registries or the rules are others than when images were judged last.
    changed: bool,
    judged: Option<Instant>,
    /// Where a call goes that comes again once its images are known.
    pub(super) inbox: Option<mpsc::WeakSender<Incoming>>,
}

impl Drop for Policing {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

impl Policing {
    pub(super) fn new(looker: Looker) -> Policing {
        let (seen, (wanted, _)) = (looker.watch(), watch::channel(Arc::default()));
        Policing { looker, seen, wanted, task: None, changed: true, judged: None, inbox: None }
    }

    /// Images have to be judged again.
    pub(super) fn note(&mut self) {
        self.changed = true;
    }

    fn is_due(&mut self) -> bool {
        let is_new = self.seen.has_changed().unwrap_or(false);
        let is_old = self.judged.is_none_or(|at| at.elapsed() >= JUDGE_EVERY);
        if self.changed || is_new || is_old {
            self.changed = false;
            self.seen.mark_unchanged();
            self.judged = Some(Instant::now());
            return true;
        }
        false
    }

    /// These are to be kept known from now on.
    fn keep(&mut self, wanted: Wanted) {
        if *self.wanted.borrow().as_ref() != wanted {
            self.wanted.send_replace(Arc::new(wanted));
        }
        if self.task.is_none() {
            let (looker, mut wanted) = (self.looker.clone(), self.wanted.subscribe());
            self.task = Some(tokio::spawn(async move {
                loop {
                    let (images, registries) = wanted.borrow_and_update().as_ref().clone();
                    looker.look(&images, &registries).await;
                    looker.forget(&images);
                    tokio::select! {
                        changed = wanted.changed() => if changed.is_err() { return },
                        () = sleep(LOOK_EVERY) => {}
                    }
                }
            }));
        }
    }
}

fn not_allowed(why: &str) -> Refusal {
    Refusal::new(RefusalKind::Limit, format!("the rules for images do not allow this: {why}"))
        .hint("see the rules: longshore policy show; look at an image: longshore image check IMAGE")
}

/// Decides about a command on the rules themselves; `None` when it is about something else.
pub(super) fn decide(desired: &Desired, command: &Command, caller: &Caller, now: Millis) -> Option<Decided> {
    let done = |write: Write, text: &str| {
        let line = Write::Journal(Draft::by(&caller.who, What::Accepted, text));
        let accepted = Accepted { op: None, text: text.to_owned() };
        Some(Ok(Admission { writes: vec![write, line], accepted }))
    };
    match command {
        Command::PutImagePolicy { source, .. } if source.len() > SOURCE_MAX => Some(Err(Refusal::new(
            RefusalKind::Invalid,
            format!("the text of the rules has more than {SOURCE_MAX} bytes"),
        ))),
        Command::PutImagePolicy { policy, source } => {
            let (by, source) = (caller.who.clone(), source.clone());
            let stored = StoredPolicy { policy: (**policy).clone(), source, by, at: now };
            let many = rules(policy).len();
            let text = match many {
                0 => "rules for images set: there are none in them, every image may run".to_owned(),
                1 => "rules for images set: 1 rule; what runs, runs on".to_owned(),
                _ => format!("rules for images set: {many} rules; what runs, runs on"),
            };
            done(Write::PutImagePolicy(Box::new(stored)), &text)
        }
        Command::DropImagePolicy if desired.image_policy.is_none() => Some(Ok(Admission {
            writes: Vec::new(),
            accepted: Accepted {
                op: None,
                text: "there are no rules for images: nothing to change".to_owned(),
            },
        })),
        Command::DropImagePolicy => {
            done(Write::DropImagePolicy, "rules for images taken away: every image may run")
        }
        _ => None,
    }
}

impl Core {
    fn image_rules(&self) -> Option<&ImagePolicy> {
        self.desired.image_policy.as_ref().map(|stored| &stored.policy)
    }

    /// An image held against the rules with what is known of it. A session that only looks places nothing: there what has not
    /// been looked up yet bans nothing.
    fn judged(&self, policy: &ImagePolicy, known: &Known, image: &str, now: Millis) -> ImageVerdict {
        let mut out = judged(policy, known, image, now);
        if !self.is_active() && !known.contains_key(image) {
            out.breaches.retain(|breach| !breach.unknown);
            out.passes = out.breaches.is_empty() || policy.breach == Stance::Warn;
        }
        out
    }

    /// Judges the images of all pools by what is known, and lets placement know.
    pub(super) fn see_policy(&mut self) {
        if !self.layer.policing.is_due() {
            return;
        }
        let mut banned = BTreeMap::new();
        if let Some(policy) = self.image_rules() {
            let images: BTreeSet<String> =
                self.desired.pools.values().map(|p| p.spec.image.clone()).collect();
            let (known, now) = (self.layer.policing.looker.known(), self.clock.now());
            for image in &images {
                let verdict = self.judged(policy, &known, image, now);
                if !verdict.passes {
                    banned.insert(image.clone(), verdict.sentence());
                }
            }
            if policy.needs_facts() {
                let registries = self.desired.registries.clone();
                self.layer.policing.keep((images, registries));
            }
        }
        if self.room.set_banned(banned) {
            self.doubt.everything();
        }
    }

    /// The images that have to be known before a request can be answered.
    fn images_asked(&self, request: &Request) -> BTreeSet<String> {
        let of_pool = |id: &PoolId| self.desired.pools.get(id).map(|pool| pool.spec.image.clone());
        let of_ask = |image: &Option<String>, pool: &Option<PoolId>| {
            image.clone().or_else(|| pool.as_ref().and_then(of_pool))
        };
        match request {
            Request::Command(Command::Up { spec, .. }) => {
                spec.pools.iter().map(|(_, pool)| pool.image.clone()).collect()
            }
            Request::Command(Command::Prewarm(ask)) | Request::Query(Query::Coverage(ask)) => {
                of_ask(&ask.image, &ask.pool).into_iter().collect()
            }
            Request::Query(Query::Estimate(ask)) => of_ask(&ask.image, &ask.pool).into_iter().collect(),
            Request::Query(Query::Why { pool, .. } | Query::Preview { pool, .. }) => {
                of_pool(pool).into_iter().collect()
            }
            _ => BTreeSet::new(),
        }
    }

    /// Lets a pool file, a prewarm, or a question about where something would go wait until its images are known, beside the
    /// core; gives the call back when it need not wait.
    pub(super) fn look_first(&mut self, incoming: Incoming) -> Option<Incoming> {
        let request = match &incoming.call {
            Call::Ask { request, .. } => request,
            Call::Looked { .. } => {
                // What was looked up for it counts for its answer.
                self.see_policy();
                return Some(incoming);
            }
            _ => return Some(incoming),
        };
        if !self.image_rules().is_some_and(ImagePolicy::needs_facts) {
            return Some(incoming);
        }
        let mut images = self.images_asked(request);
        let is_change = matches!(request, Request::Command(_));
        let deadline = if is_change { LOOK_DEADLINE } else { GLANCE_DEADLINE };
        if is_change && (incoming.caller.read_only || !self.is_active()) {
            return Some(incoming);
        }
        if !is_change {
            // A question is answered with what is known, however old.
            let known = self.layer.policing.looker.known();
            images.retain(|image| !known.contains_key(image));
        }
        if self.layer.policing.looker.knows(images.iter().map(String::as_str)) {
            return Some(incoming);
        }
        let Some(inbox) = self.layer.policing.inbox.clone() else { return Some(incoming) };
        let (looker, registries) = (self.layer.policing.looker.clone(), self.desired.registries.clone());
        tokio::spawn(async move {
            // What is not known by then is judged as such.
            let _ = timeout(deadline, looker.look(&images, &registries)).await;
            let Incoming { caller, call: Call::Ask { request, reply } } = incoming else { return };
            if let Some(calls) = inbox.upgrade() {
                // A core that has ended answers nothing: the caller is told so by the channel.
                let _ = calls.send(Incoming { caller, call: Call::Looked { request, reply } }).await;
            }
        });
        None
    }

    /// Whether the images of a pool file may run: what people are warned of, or why not.
    pub(super) fn may_push(&self, spec: &ClusterSpec) -> Result<Vec<String>, Refusal> {
        let Some(policy) = self.image_rules() else { return Ok(Vec::new()) };
        let (known, now) = (self.layer.policing.looker.known(), self.clock.now());
        let (mut warnings, mut refused) = (Vec::new(), Vec::new());
        for (name, pool) in &spec.pools {
            let verdict = judged(policy, &known, &pool.image, now);
            if verdict.breaches.is_empty() {
                continue;
            }
            let words = format!("{}/{name}: image {}: {}", spec.name, pool.image, verdict.sentence());
            if verdict.passes { warnings.push(words) } else { refused.push(words) }
        }
        if refused.is_empty() {
            return Ok(warnings);
        }
        Err(not_allowed(&refused.join("; ")))
    }

    /// Whether an image may be brought onto hosts: what people are warned of, or why not.
    pub(super) fn may_bring(&self, image: &str) -> Result<Option<String>, Refusal> {
        let Some(policy) = self.image_rules() else { return Ok(None) };
        let verdict = self.judged(policy, &self.layer.policing.looker.known(), image, self.clock.now());
        let words = || format!("image {image}: {}", verdict.sentence());
        match (verdict.passes, verdict.breaches.is_empty()) {
            (true, true) => Ok(None),
            (true, false) => Ok(Some(words())),
            (false, _) => Err(not_allowed(&words())),
        }
    }

    /// Answers what the rules say of images, without holding the core.
    pub(super) fn check_images(&self, images: Vec<String>, reply: oneshot::Sender<Reply>) {
        let Some(policy) = self.image_rules().cloned() else {
            return drop(reply.send(Reply::ImageVerdicts(Vec::new())));
        };
        let images: BTreeSet<String> = images.into_iter().take(ASKED_MAX).collect();
        let (looker, registries) = (self.layer.policing.looker.clone(), self.desired.registries.clone());
        let now = self.clock.now();
        tokio::spawn(async move {
            if policy.needs_facts() {
                let _ = timeout(LOOK_DEADLINE, looker.look(&images, &registries)).await;
            }
            let known = looker.known();
            let verdicts = images.iter().map(|image| judged(&policy, &known, image, now)).collect();
            let _ = reply.send(Reply::ImageVerdicts(verdicts));
        });
    }
}
