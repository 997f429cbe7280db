//! Who answers behind an address: an engine's own id decides. One engine is one host, under one name.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::base::ids::HostId;
use crate::model::desired::{Desired, Write};
use crate::model::host::{HostView, Seen};
use crate::model::instance::Instance;
use crate::model::journal::{Draft, What};

/// The names on record by engine: looked at for each view, so not searched each time.
pub struct Engines(HashMap<String, Vec<HostId>>);

impl Engines {
    /// Those that are on record now.
    pub fn of(desired: &Desired) -> Engines {
        let mut engines: HashMap<String, Vec<HostId>> = HashMap::with_capacity(desired.identities.len());
        for (host, identity) in &desired.identities {
            engines.entry(identity.clone()).or_default().push(host.clone());
        }
        Engines(engines)
    }
}

/// The view as it may be believed. Another engine behind a known name, or an engine that is a host already under another
/// name, is not taken: its containers are not counted, nothing is done there. An engine that was known under a name which
/// is gone keeps its containers under the new one.
pub fn check(
    desired: &Desired,
    engines: &Engines,
    hosts: &BTreeMap<HostId, Arc<HostView>>,
    view: &Arc<HostView>,
    learnt: &mut Vec<Write>,
) -> Arc<HostView> {
    let (id, identity) = (&view.config.id, view.facts.engine_id.raw());
    if identity.is_empty() || !view.is_live() {
        return view.clone();
    }
    let recorded = desired.identities.get(id);
    if recorded.is_some_and(|known| known != identity) {
        let why = format!(
            "another engine answers at this address, nothing is done there; if that is right: longshore hosts accept {id}"
        );
        return Arc::new(HostView { other_engine: true, ..(*refused(view, why)).clone() });
    }
    let others = || engines.0.get(identity).into_iter().flatten().filter(|other| *other != id);
    // Whoever is on record is the host; of two on record, the first by name.
    if let Some(twin) =
        others().find(|other| hosts.contains_key(*other) && (recorded.is_none() || *other < id))
    {
        return refused(
            view,
            format!(
                "it is the same engine as host {twin}: one engine is one host; remove one of the two names (a cloned machine: give its engine an id of its own)"
            ),
        );
    }
    if recorded.is_none() {
        learnt.push(Write::PutIdentity(id.clone(), identity.to_owned()));
    }
    for old in others() {
        take_over(desired, old, id, !hosts.contains_key(old), learnt);
    }
    view.clone()
}

/// True when a change that was just learnt decides what this view may be taken for.
pub fn is_about(write: &Write, view: &HostView) -> bool {
    matches!(write, Write::PutIdentity(_, identity) if identity == view.facts.engine_id.raw())
}

fn refused(view: &HostView, why: String) -> Arc<HostView> {
    Arc::new(HostView {
        seen: Seen::Never { why: Some(why) },
        containers: Arc::default(),
        usage: Arc::default(),
        ..view.clone()
    })
}

/// Records on another name of the same engine go to the present one.
fn take_over(desired: &Desired, old: &HostId, new: &HostId, old_is_gone: bool, learnt: &mut Vec<Write>) {
    let of_old = desired.instances.values().flat_map(BTreeMap::values).filter(|i| i.host == *old);
    let moved: Vec<Write> =
        of_old.map(|i| Write::PutInstance(Instance { host: new.clone(), ..i.clone() })).collect();
    if !moved.is_empty() {
        let count = crate::base::text::count(moved.len() as u64, "container");
        let text =
            format!("host {new} is the engine that was known as {old}: {count} on record there are its own");
        learnt.push(Write::Journal(Draft::engine(What::Observed, text).host(new)));
        learnt.extend(moved);
    }
    if old_is_gone && !desired.hosts.contains_key(old) {
        learnt.push(Write::DropHost(old.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::Millis;
    use crate::model::host::{HostConfig, HostFacts, HostSource};

    fn view(name: &str, engine: &str) -> Arc<HostView> {
        let id = HostId::new(name).unwrap();
        let config =
            HostConfig { id, address: "tcp://h1:2376".into(), tls_dir: None, source: HostSource::Added };
        let facts = Arc::new(HostFacts { engine_id: engine.into(), ..HostFacts::default() });
        Arc::new(HostView { seen: Seen::At(Millis(1)), facts, ..HostView::never(config) })
    }

    fn why(view: &HostView) -> &str {
        match &view.seen {
            Seen::Never { why: Some(why) } => why,
            seen => panic!("{seen:?}"),
        }
    }

    #[test]
    fn another_engine_behind_a_known_address_is_not_the_same_host() {
        let (mut desired, mut learnt, hosts) = (Desired::default(), Vec::new(), BTreeMap::new());
        assert!(check(&desired, &Engines::of(&desired), &hosts, &view("h1", "AAAA"), &mut learnt).is_live());
        learnt.drain(..).for_each(|write| desired.apply(&write));
        assert!(check(&desired, &Engines::of(&desired), &hosts, &view("h1", "AAAA"), &mut learnt).is_live());
        let other = check(&desired, &Engines::of(&desired), &hosts, &view("h1", "BBBB"), &mut learnt);
        assert!(!other.is_live() && learnt.is_empty());
        assert!(why(&other).contains("another engine answers at this address"), "{}", why(&other));
    }

    #[test]
    fn of_two_names_on_record_the_first_is_the_host() {
        let mut desired = Desired::default();
        let hosts: BTreeMap<_, _> =
            ["a", "b"].map(|n| (HostId::new(n).unwrap(), view(n, "AAAA"))).into_iter().collect();
        for name in ["a", "b"] {
            desired.apply(&Write::PutIdentity(HostId::new(name).unwrap(), "AAAA".into()));
        }
        let mut learnt = Vec::new();
        assert!(check(&desired, &Engines::of(&desired), &hosts, &view("a", "AAAA"), &mut learnt).is_live());
        let second = check(&desired, &Engines::of(&desired), &hosts, &view("b", "AAAA"), &mut learnt);
        assert!(why(&second).contains("the same engine as host a"), "{}", why(&second));
        assert_eq!(learnt, []);
    }
}
