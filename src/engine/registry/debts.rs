//! Tags that were written without all that refers to them (signatures, bills of materials): that is owed until a run has brought
//! it. Kept in memory as in the journal.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use crate::base::ids::{RegistryName, RuleName};
use crate::model::oci::{Repository, Tag};
use crate::model::replication::Rule;
use crate::plan::replicate::filter::Selector;
use crate::store::replication::{Note, Owed};

#[derive(Default)]
struct State {
    owed: BTreeSet<Owed>,
    rules: Vec<Rule>,
}

/// All that is owed.
#[derive(Default)]
pub struct Debts(Mutex<State>);

impl Debts {
    /// What the journal has.
    pub fn new(owed: Vec<Owed>) -> Debts {
        Debts(Mutex::new(State { owed: owed.into_iter().collect(), rules: Vec::new() }))
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// True when what refers to a tag has still to be brought.
    pub fn owes(&self, what: &Owed) -> bool {
        self.with(|s| s.owed.contains(what))
    }

    /// A tag is to be written without all that refers to it. (It is in the journal by now.)
    pub fn owe(&self, what: Owed) {
        self.with(|s| s.owed.insert(what));
    }

    /// All that refers to a tag is at the registry now, where its repository is called `there`. If that was owed, rules that
    /// carry the tag on from there may have carried it without: they owe it from now on.
    pub fn paid(&self, what: &Owed, there: &Repository) -> Vec<Note> {
        let (of_rule, registry, _, tag) = what;
        self.with(|s| {
            let Some(paid) = s.owed.take(what) else { return Vec::new() };
            let others = s.rules.iter().filter(|rule| rule.name != *of_rule);
            let next: Vec<Owed> = others.flat_map(|rule| carried_on(rule, registry, there, tag)).collect();
            s.owed.extend(next.iter().cloned());
            std::iter::once(Note::Paid(paid)).chain(next.into_iter().map(Note::Owed)).collect()
        })
    }

    /// What is owed of a rule's tags.
    pub fn of(&self, rule: &RuleName) -> BTreeSet<Owed> {
        self.with(|s| s.owed.iter().filter(|owed| owed.0 == *rule).cloned().collect())
    }

    /// All tags of a rule were compared: what was owed `before` that of others than those `met` is owed no more.
    pub fn sweep(&self, before: &BTreeSet<Owed>, met: &BTreeSet<Owed>) -> Vec<Note> {
        self.drop_if(|owed| before.contains(owed) && !met.contains(owed))
    }

    /// These are the rules from now on; what no rule brings any more is owed no more.
    pub fn keep(&self, rules: &[Rule]) -> Vec<Note> {
        self.with(|s| s.rules = rules.to_vec());
        let writes_to = |r: &Rule, to: &RegistryName| r.targets.contains(to) || r.two_way && r.source == *to;
        self.drop_if(|owed| !rules.iter().any(|r| r.name == owed.0 && writes_to(r, &owed.1)))
    }

    fn drop_if(&self, is_over: impl Fn(&Owed) -> bool) -> Vec<Note> {
        self.with(|s| s.owed.extract_if(.., |owed| is_over(owed)).map(Note::Paid).collect())
    }
}

/// Where a rule brings a tag from this registry: to its targets or, with two masters, back to its source.
fn carried_on(rule: &Rule, from: &RegistryName, there: &Repository, tag: &Tag) -> Vec<Owed> {
    let Ok(selector) = Selector::of(rule) else { return Vec::new() };
    let wants = |at: &Repository| selector.wants_repository(at) && selector.wants_tag(tag);
    let of = |to: &RegistryName, at: &Repository| (rule.name.clone(), to.clone(), at.clone(), tag.clone());
    if rule.source == *from && wants(there) {
        rule.targets.iter().map(|to| of(to, there)).collect()
    } else if rule.two_way && rule.targets.contains(from) {
        selector.at_source(there).filter(wants).iter().map(|at| of(&rule.source, at)).collect()
    } else {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(name: &str, source: &str, target: &str) -> Rule {
        let (name, source) = (RuleName::new(name).unwrap(), RegistryName::new(source).unwrap());
        Rule { targets: vec![RegistryName::new(target).unwrap()], ..Rule::new(name, source) }
    }

    fn owed(rule: &str, registry: &str, tag: &str) -> Owed {
        let (rule, registry) = (RuleName::new(rule).unwrap(), RegistryName::new(registry).unwrap());
        (rule, registry, "feed/web".parse().unwrap(), tag.parse().unwrap())
    }

    #[test]
    fn who_carried_a_tag_on_without_its_signature_owes_it_when_that_has_come() {
        let debts = Debts::new(vec![owed("first", "site", "v1")]);
        debts.keep(&[rule("first", "hq", "site"), rule("next", "site", "edge"), rule("other", "hq", "tc")]);
        let there = "hq/feed/web".parse().unwrap();
        let notes = debts.paid(&owed("first", "site", "v1"), &there);
        let (_, registry, _, tag) = owed("next", "edge", "v1");
        let next = (RuleName::new("next").unwrap(), registry, there.clone(), tag);
        assert_eq!(notes, [Note::Paid(owed("first", "site", "v1")), Note::Owed(next.clone())]);
        assert!(debts.owes(&next) && !debts.owes(&owed("first", "site", "v1")));
        assert_eq!(debts.paid(&owed("first", "site", "v1"), &there), [], "it was not owed");
    }

    #[test]
    fn a_rule_of_two_ways_carries_it_back_to_its_source() {
        let debts = Debts::new(vec![owed("first", "site", "v1")]);
        let back = |name, prefix: &str| {
            let prefix = Some(prefix.parse().unwrap());
            Rule { two_way: true, prefix, ..rule(name, "other", "site") }
        };
        debts.keep(&[rule("first", "hq", "site"), back("masters", "hq"), back("elsewhere", "tc")]);
        let notes = debts.paid(&owed("first", "site", "v1"), &"hq/feed/web".parse().unwrap());
        assert_eq!(notes[1..], [Note::Owed(owed("masters", "other", "v1"))], "by the name that it has there");
    }

    #[test]
    fn what_is_gone_or_brought_by_no_rule_is_owed_no_more() {
        let all = ["v1", "v2"].map(|tag| owed("first", "site", tag));
        let debts = Debts::new([&all[..], &[owed("other", "tc", "v1")]].concat());
        let before = debts.of(&all[0].0);
        // What another rule hands on while this one compares is not lost.
        debts.owe(owed("first", "site", "v3"));
        assert_eq!(debts.sweep(&before, &[all[0].clone()].into()), [Note::Paid(all[1].clone())]);
        assert_eq!(debts.paid(&owed("first", "site", "v3"), &"feed/web".parse().unwrap()).len(), 1);
        assert_eq!(debts.keep(&[rule("other", "hq", "tc")]), [Note::Paid(all[0].clone())]);
        assert!(debts.owes(&owed("other", "tc", "v1")));
    }
}
