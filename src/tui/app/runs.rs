//! The views of replication, and what is done to rules, runs and conflicts.

use crate::base::ids::RegistryName;
use crate::base::text;
use crate::model::command::Command;
use crate::model::oci::{Repository, Tag};
use crate::model::query::{PageAsk, Query, Reply, Request};
use crate::model::registry::{Page, TagRow};
use crate::model::replication::known::{Answer, Choice};
use crate::model::replication::{Line, Rule, RuleView, RunId, RunState, RunView, TagRun, TagState};
use crate::tui::app::dialog::{Dialog, Then};
use crate::tui::app::images::PAGE;
use crate::tui::app::{App, Loaded, Mode, Pending, View};
use crate::tui::effect::Effect;
use crate::tui::panes::PaneId;
use crate::tui::panes::replication::{HomeLine, Item, RunItem, matrix_height};
use crate::tui::panes::rows::RowKey;
use crate::tui::verbs::Act;
use crate::view::replication::{self, LineRow, Standing};
use crate::view::units;

/// The tags of a run that goes on are asked for anew after so long.
const RUN_OLD_MS: u64 = 2_000;
/// Blobs beneath a line of the home screen.
const HOME_BLOBS: usize = 2;

/// A conflict of which both sides are being asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Sides {
    /// The asking that it belongs to.
    turn: u64,
    line: Line,
    repository: Repository,
    tag: Tag,
    told: Vec<(RegistryName, Result<Option<TagRow>, String>)>,
}

impl App {
    /// Makes the rows of replication anew.
    pub(crate) fn refresh_replication(&mut self) {
        let (world, now, user) = (self.world.clone(), self.now, self.settings.user.clone());
        let lines = replication::lines(&world, now);
        self.images.summary = replication::summary(&lines);
        self.images.open_operations = world.operations.iter().filter(|o| !o.status.is_over()).count();
        let columns = usize::from(self.size.0);
        let blobs = |row: &LineRow| {
            let view = world.replication.line(&row.line);
            let all = view.map_or(&[][..], |v| &v.transfers);
            let mut told: Vec<String> =
                all.iter().take(HOME_BLOBS).map(|t| replication::transfer(t, now)).collect();
            if all.len() > HOME_BLOBS {
                told.push(format!("and {} more on their way", all.len() - HOME_BLOBS));
            }
            told
        };
        let home = lines.iter().map(|row| HomeLine { row: row.clone(), blobs: blobs(row) }).collect();
        let share = if self.is_wide() { columns / 3 } else { columns };
        self.images.home.note_width = share.saturating_sub(8).max(20);
        self.images.home.set(home, now, &user);
        if self.views.iter().any(|v| matches!(v, View::Replication)) {
            self.images.matrix = replication::matrix(&lines);
            let area = (self.size.0.saturating_sub(2), self.size.1.saturating_sub(4));
            let shown = matrix_height(&self.images.matrix, area).is_some();
            // What the matrix shows and is well needs no row of its own.
            let wanted = |r: &LineRow| !shown || r.standing != Standing::InSync;
            let lines = lines.into_iter().filter(wanted).map(Item::Line);
            let rules = replication::rules(&world, now).into_iter().map(Item::Rule);
            self.images.rules.note_width = columns.saturating_sub(8).max(20);
            self.images.rules.set(lines.chain(rules).collect(), now, &user);
        }
        if self.run_shown().is_some() {
            let tags = self.images.run.rows.all().iter().filter_map(|i| match i {
                RunItem::Tag(t) => Some(t.clone()),
                RunItem::Blob(_) => None,
            });
            let items = self.run_items(tags.collect());
            self.images.run.rows.note_width = columns.saturating_sub(8).max(20);
            self.images.run.rows.set(items, now, &user);
        }
    }

    /// The fourth pane of home: the replication while there are registries, unless the operations were asked for.
    pub fn fourth(&self) -> PaneId {
        let is_replication = !self.world.registries.is_empty() && !self.images.operations_shown;
        if is_replication { PaneId::HomeReplication } else { PaneId::Operations }
    }

    /// The other face of the fourth pane.
    pub(crate) fn switch_fourth(&mut self) {
        self.images.operations_shown = !self.images.operations_shown;
        let what = if self.images.operations_shown { "operations" } else { "replication" };
        self.say(format!("pane 4 shows the {what}: o switches back"));
    }

    /// The run that is looked at.
    pub(crate) fn run_shown(&self) -> Option<RunId> {
        self.views.iter().rev().find_map(|v| if let View::Run(id) = v { Some(*id) } else { None })
    }

    /// The rows of a run: tags that need a person, blobs on their way, the other tags.
    fn run_items(&self, tags: Vec<TagRun>) -> Vec<RunItem> {
        let repl = &self.world.replication;
        let of = |r: &&RuleView| r.run.as_ref().map(|r| r.id) == self.run_shown();
        let rule = repl.rules.iter().find(of);
        let over = rule.and_then(|r| r.run.as_ref()).is_none_or(|r| r.state.is_over());
        let lines = repl.lines.iter().filter(|l| rule.is_some_and(|r| replication::takes(&r.rule, &l.line)));
        let blobs = lines.filter(|_| !over).flat_map(|l| &l.transfers).cloned().map(RunItem::Blob);
        let (first, rest): (Vec<TagRun>, Vec<TagRun>) = tags.into_iter().partition(replication::needs_person);
        let tags = |t: Vec<TagRun>| t.into_iter().map(RunItem::Tag);
        tags(first).chain(blobs).chain(tags(rest)).collect()
    }

    /// A part of a run's tags has come, or not.
    pub(crate) fn run_paged(&mut self, run: RunId, first: bool, part: Result<Page<TagRun>, String>) {
        if self.run_shown() != Some(run) {
            return;
        }
        match part {
            Err(why) => self.images.run.state = Loaded::Failed(why),
            Ok(page) => {
                let before = if first { &[][..] } else { self.images.run.rows.all() };
                let mut tags: Vec<TagRun> = before
                    .iter()
                    .filter_map(|i| if let RunItem::Tag(t) = i { Some(t.clone()) } else { None })
                    .collect();
                tags.extend(page.items);
                let (items, now) = (self.run_items(tags), self.now);
                self.images.run.state = Loaded::Here;
                self.images.run.next = page.next;
                self.images.run.rows.set(items, now, &self.settings.user);
            }
        }
    }

    /// True when the tags that are shown are of a run that has gone on since. (Only while one part holds them: else the rows
    /// would move under the cursor.)
    pub(crate) fn run_is_old(&self) -> bool {
        let list = &self.images.run;
        let goes_on = self
            .run_shown()
            .and_then(|id| self.world.replication.run(id))
            .is_some_and(|r| !r.state.is_over());
        let short = list.rows.count() <= PAGE as usize && list.state == Loaded::Here;
        goes_on && short && list.asked.is_some_and(|at| self.now.since(at) >= RUN_OLD_MS)
    }

    /// The rule under the cursor, or that of the run that is looked at.
    fn rule_at_hand(&self) -> Option<&RuleView> {
        match self.top() {
            PaneId::Replication => match self.images.rules.cursor.at.as_ref()? {
                RowKey::Rule(name) => self.world.replication.rule(name),
                RowKey::Line(line) => {
                    self.world.replication.rules.iter().find(|r| replication::takes(&r.rule, line))
                }
                _ => None,
            },
            PaneId::Run => {
                let run = self.run_shown()?;
                self.world.replication.rules.iter().find(|r| r.run.as_ref().is_some_and(|r| r.id == run))
            }
            _ => None,
        }
    }

    fn run_at_hand(&self) -> Option<&RunView> {
        self.rule_at_hand().and_then(|r| r.run.as_ref())
    }

    fn tag_of_run(&self) -> Option<&TagRun> {
        match self.images.run.rows.current() {
            Some(RunItem::Tag(tag)) if self.top() == PaneId::Run => Some(tag),
            _ => None,
        }
    }

    /// Why nothing can be done to the rule at hand; `None` when it can.
    pub(crate) fn no_rule(&self) -> Option<String> {
        self.rule_at_hand().is_none().then(|| "no rule is under the cursor".to_owned())
    }

    /// Why nothing can be done to the run at hand; `None` when it can.
    pub(crate) fn no_run(&self) -> Option<String> {
        match self.run_at_hand() {
            None => Some("no run is under the cursor".to_owned()),
            Some(run) if run.state.is_over() => Some(format!("{} is over", run.id)),
            Some(_) => None,
        }
    }

    /// Why nothing of the run at hand can be tried again; `None` when something can.
    pub(crate) fn no_retry(&self) -> Option<String> {
        match self.run_at_hand() {
            None => Some("no run is under the cursor".to_owned()),
            Some(run) if run.tags.failed + run.tags.unknown == 0 && run.state != RunState::Failed => {
                Some(format!("nothing of {} has failed", run.id))
            }
            Some(_) => None,
        }
    }

    /// Why no deletions can be confirmed; `None` when they can.
    pub(crate) fn no_review(&self) -> Option<String> {
        match self.rule_at_hand() {
            None => Some("no rule is under the cursor".to_owned()),
            Some(rule) if self.reviews(&rule.rule) == 0 || rule.run.is_none() => {
                Some(format!("no deletion of {} waits for a yes", rule.rule.name))
            }
            Some(_) => None,
        }
    }

    /// Why there is no tag to act on; `None` when there is.
    pub(crate) fn no_tag(&self, conflict: bool) -> Option<String> {
        match self.tag_of_run() {
            None => Some("no tag is under the cursor".to_owned()),
            Some(tag) if conflict && tag.state != TagState::Conflict => {
                Some("only a tag that was moved on both sides has sides to choose from".to_owned())
            }
            Some(_) => None,
        }
    }

    fn reviews(&self, rule: &Rule) -> u32 {
        let lines = self.world.replication.lines.iter().filter(|l| replication::takes(rule, &l.line));
        lines.map(|l| l.reviews).sum()
    }

    /// Does what a verb of rules and runs says.
    pub(crate) fn run_act(&mut self, act: Act) -> Vec<Effect> {
        match act {
            Act::RunRule => {
                let Some(rule) = self.rule_at_hand().map(|r| r.rule.name.clone()) else { return Vec::new() };
                self.say(format!("sending: longshore replicate run {rule}"));
                return self.command(Command::Replicate { rule });
            }
            Act::PauseRun => return self.pause_run(),
            Act::StopRun => self.ask_stop(),
            Act::RetryRun => {
                let Some(id) = self.run_at_hand().map(|r| r.id) else { return Vec::new() };
                self.say(format!("trying once more what failed in {id}"));
                return self.command(Command::RetryRun(id));
            }
            Act::Raise => {
                let Some(tag) = self.tag_of_run() else { return Vec::new() };
                let (image, line) = (format!("{}:{}", tag.repository, tag.tag), Some(tag.line.clone()));
                self.say(format!("sending: bring {image} first"));
                return self.command(Command::Prioritise { image, line });
            }
            Act::Choose => return self.ask_sides(),
            Act::ConfirmDeletes => self.ask_deletes(),
            Act::Switch => self.switch_fourth(),
            _ => {}
        }
        Vec::new()
    }

    fn pause_run(&mut self) -> Vec<Effect> {
        let Some((id, state)) = self.run_at_hand().map(|r| (r.id, r.state)) else { return Vec::new() };
        let (word, command) = match state {
            RunState::Paused => ("resume", Command::ResumeRun(id)),
            _ => ("pause", Command::PauseRun(id)),
        };
        self.say(format!("sending: longshore replicate {word} {id}"));
        self.command(command)
    }

    fn place_name(&self) -> String {
        match self.settings.environment.as_str() {
            "" => String::new(),
            name => format!(" in {name}"),
        }
    }

    fn ask_stop(&mut self) {
        let Some(run) = self.run_at_hand().cloned() else { return };
        let (right, all) = replication::run_tags(&run);
        let body = vec![
            format!("{} of {}: {}.", run.id, run.rule, replication::run_line(&run, self.now)),
            format!(
                "{} stay as they are. What has arrived stays at the target and is not sent again.",
                text::count(u64::from(all.saturating_sub(right)), "tag")
            ),
            format!("The same: longshore replicate stop {}", run.id),
        ];
        let label = format!("Stop {}{}", run.id, self.place_name());
        let buttons = vec![(label, Then::Do(Box::new(Command::StopRun(run.id))))];
        let mut dialog = Dialog::ask(format!("Stop {}?", run.id), body, buttons, self.now);
        "Let it run".clone_into(&mut dialog.buttons[0].0);
        self.mode = Mode::Dialog(dialog);
    }

    fn ask_deletes(&mut self) {
        let Some((rule, run)) = self.rule_at_hand().and_then(|r| Some((r.rule.clone(), r.run.as_ref()?.id)))
        else {
            return;
        };
        let count = text::count(u64::from(self.reviews(&rule)), "tag");
        let targets: Vec<String> = rule.targets.iter().map(ToString::to_string).collect();
        let body = vec![
            format!("{count} gone from {}: {run} found them still at {}.", rule.source, targets.join(", ")),
            "They are deleted there for good. A tag that another rule brings there is not among them."
                .to_owned(),
            format!("See them first, or keep some: longshore replicate deletes {}", rule.name),
            format!("Type {} to go on:", rule.name),
        ];
        let act = Then::Typed(
            rule.name.to_string(),
            Box::new(Command::ConfirmDeletes { rule: rule.name.clone(), run }),
        );
        let label = format!("Delete {count}{}", self.place_name());
        let mut dialog = Dialog::ask(format!("Delete {count}?"), body, vec![(label, act)], self.now);
        dialog.input = Some(crate::tui::kit::input::Input::default());
        self.mode = Mode::Dialog(dialog);
    }

    /// Asks both registries what their tag of a conflict points to, so that the question can name it.
    fn ask_sides(&mut self) -> Vec<Effect> {
        let Some(tag) = self.tag_of_run().cloned() else { return Vec::new() };
        let TagRun { line, repository, tag, .. } = tag;
        self.say(format!("asking {} and {} about {repository}:{tag}", line.from, line.to));
        let mut effects = Vec::new();
        let turn = self.images.sides_turn.wrapping_add(1);
        self.images.sides_turn = turn;
        for registry in [line.from.clone(), line.to.clone()] {
            let ask = PageAsk { filter: format!("={tag}"), after: None, limit: 1 };
            let repository = Some(repository.clone());
            let query = Query::Browse { registry: registry.clone(), repository, ask };
            effects.push(self.ask(Request::Query(query), Pending::Side { registry, turn }).1);
        }
        self.images.sides = Some(Sides { turn, line, repository, tag, told: Vec::new() });
        effects
    }

    /// One side has answered. When both have, the question is put. An answer to a question before the last one is of another
    /// tag, or as old as that.
    pub(crate) fn side_told(&mut self, registry: RegistryName, turn: u64, reply: Reply) {
        let fits = |s: &mut Sides| s.turn == turn && s.told.iter().all(|(name, _)| *name != registry);
        let Some(mut sides) = self.images.sides.take_if(fits) else { return };
        let told = match reply {
            Reply::Tags(page) => Ok(page.items.into_iter().find(|t| t.tag == sides.tag)),
            Reply::Refused(r) => Err(r.to_string()),
            Reply::Failed(f) => Err(f.to_string()),
            _ => Err("the engine gave another answer than was asked for".to_owned()),
        };
        sides.told.push((registry, told));
        if sides.told.len() < 2 {
            self.images.sides = Some(sides);
            return;
        }
        sides.told.sort_by_key(|(name, _)| *name != sides.line.from);
        if let Some((name, why)) = sides.told.iter().find_map(|(n, t)| t.as_ref().err().map(|why| (n, why))) {
            let hint = "nobody should choose without knowing both sides: try again when it answers";
            self.warn(format!("{name} could not be asked: {why}"), Some(hint.to_owned()));
            return;
        }
        // Something else was opened while the answers were awaited: nothing takes its place.
        if !matches!(self.mode, Mode::Normal) {
            return self
                .say(format!("{}:{}: both sides have answered; c asks again", sides.repository, sides.tag));
        }
        self.foot = None;
        self.mode = Mode::Dialog(self.which_side(&sides));
    }

    fn which_side(&self, sides: &Sides) -> Dialog {
        let Sides { line, repository, tag, told, .. } = sides;
        let mut body = vec![format!("{repository}:{tag} was changed on both sides since they were equal.")];
        let row = |name: &RegistryName| {
            let side = told.iter().find(|(n, _)| n == name);
            side.and_then(|(_, told)| told.as_ref().ok()).and_then(Option::as_ref)
        };
        let digest = |name: &RegistryName| row(name).and_then(|row| row.digest.clone());
        let (source, target) = (digest(&line.from), digest(&line.to));
        let command = |choice: Choice| Command::ResolveConflict {
            line: line.clone(),
            repository: repository.clone(),
            tag: tag.clone(),
            answer: Answer { choice, source: source.clone(), target: target.clone() },
        };
        let mut buttons = Vec::new();
        for (name, choice) in [(&line.from, Choice::SourceWins), (&line.to, Choice::TargetWins)] {
            let Some(row) = row(name) else {
                body.push(format!("{name}: the tag is not there any more."));
                let label = format!("Delete it at the other side too{}", self.place_name());
                buttons.push((label, Then::Do(Box::new(command(choice)))));
                continue;
            };
            let digest = row.digest.as_ref().map_or("digest not known", |d| d.short()).to_owned();
            let age = row.created.map_or_else(
                || "age not known".to_owned(),
                |at| format!("made {}", units::ago(self.now.since(at))),
            );
            let size = row.size.map(|n| format!(", {}", units::size(n))).unwrap_or_default();
            body.push(format!("{name}: {digest}, {age}{size}"));
            let label = format!("Keep {name}'s {digest}{}", self.place_name());
            buttons.push((label, Then::Do(Box::new(command(choice)))));
        }
        if source.is_some() && target.is_some() {
            let text = format!("Both: {}'s stays under {tag}-{}, too.", line.to, line.to);
            body.push(text);
            let label = format!("Keep both{}", self.place_name());
            buttons.push((label, Then::Do(Box::new(command(Choice::KeepBoth)))));
        }
        body.push(
            "The side that is kept is copied over the other; the other's tag points to it from then on."
                .to_owned(),
        );
        Dialog::ask(format!("{repository}:{tag}: which side counts?"), body, buttons, self.now)
    }

    /// All that is known of a line, a rule, a tag of a run or a blob.
    pub(crate) fn described_run(&self, key: &RowKey) -> Vec<String> {
        let now = self.now;
        let gone = || vec!["gone".to_owned()];
        match key {
            RowKey::Line(line) => replication::described_line(&self.world, line, now),
            RowKey::Rule(name) => replication::described_rule(&self.world, name, now),
            RowKey::RunTag(line, path, tag) => {
                let is = |t: &&TagRun| t.line == *line && t.repository == *path && t.tag == *tag;
                let tags = self.images.run.rows.all().iter().filter_map(|i| match i {
                    RunItem::Tag(t) => Some(t),
                    RunItem::Blob(_) => None,
                });
                tags.filter(|t| is(t)).map(replication::described_tag).next().unwrap_or_else(gone)
            }
            RowKey::Blob(line, digest) => {
                let all = self.world.replication.line(line).map_or(&[][..], |l| &l.transfers);
                match all.iter().find(|t| t.digest == *digest) {
                    Some(t) => vec![
                        format!("blob: {digest}"),
                        format!("line: {line}"),
                        format!("into: {}", t.repository),
                        format!("state: {}", replication::transfer(t, now)),
                        format!("began: {}", units::ago(now.since(t.since))),
                    ],
                    None => vec!["arrived, or not on its way any more".to_owned()],
                }
            }
            _ => gone(),
        }
    }

    /// The command line that shows or does the same.
    pub(crate) fn image_command(&self, key: &RowKey) -> String {
        let registry = || {
            self.views.iter().rev().find_map(|v| match v {
                View::Repositories(name) | View::Tags(name, _) => Some(name.to_string()),
                _ => None,
            })
        };
        match key {
            RowKey::Registry(name) => format!("longshore images ls {name}"),
            RowKey::Repository(path) => {
                format!("longshore images ls {} {path}", registry().unwrap_or_default())
            }
            RowKey::Tag(_) => match self.views.iter().rev().find(|v| matches!(v, View::Tags(..))) {
                Some(View::Tags(name, path)) => format!("longshore images ls {name} {path}"),
                _ => "longshore registry ls".to_owned(),
            },
            RowKey::Rule(name) => format!("longshore replicate run {name}"),
            _ => "longshore replicate status".to_owned(),
        }
    }
}
