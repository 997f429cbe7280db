//! Containers that are said to have died and are not listed so yet.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::base::ids::ContainerId;
use crate::model::container::{Container, State};
use crate::ports::runtime::EngineEvent;

/// First wait before a list is repeated that still shows a container running whose end was announced; it doubles.
const DYING_PAUSE: Duration = Duration::from_millis(100);
/// So often is such a list repeated before the usual rhythm is good enough: about a minute in all.
const DYING_TRIES: u32 = 9;

/// Containers whose end was announced while the list still shows them running: Docker says `die` first, then cleans up
/// (a second or more on a busy machine), and only then lists them as ended. No further event tells of that.
#[derive(Default)]
pub struct Dying {
    ids: BTreeSet<ContainerId>,
    tries: u32,
}

impl Dying {
    /// Takes an event in.
    pub fn hear(&mut self, event: EngineEvent) {
        let Some(id) = event.container else { return };
        match event.action.raw() {
            "die" => {
                self.ids.insert(id);
                self.tries = 0;
            }
            "start" | "destroy" => drop(self.ids.remove(&id)),
            _ => {}
        }
    }

    /// Takes a list in.
    pub fn see(&mut self, containers: &[Container]) {
        if self.ids.is_empty() {
            return;
        }
        self.tries += 1;
        if self.tries > DYING_TRIES {
            self.ids.clear();
        }
        let running = containers.iter().filter(|c| c.state == State::Running);
        let running: BTreeSet<&ContainerId> = running.map(|c| &c.id).collect();
        self.ids.retain(|id| running.contains(id));
    }

    /// When the next list is due at the latest; `usual` when nothing is dying.
    pub fn relist_in(&self, usual: Duration) -> Duration {
        if self.ids.is_empty() { usual } else { (DYING_PAUSE * (1 << self.tries)).min(usual) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::Millis;
    use crate::model::container::Owner;

    const RELIST_EVERY: Duration = Duration::from_secs(10);

    #[test]
    fn a_list_that_lags_behind_a_death_is_soon_repeated() {
        let event = |action: &str| EngineEvent {
            container: Some(ContainerId::new("ab")),
            action: action.into(),
            at: Millis(0),
        };
        let listed = |state| {
            let owner = Owner::Nobody;
            let (name, image) = ("web".into(), "app:1".into());
            let (ports, id, created) = (Vec::new(), ContainerId::new("ab"), Millis(0));
            let health = crate::model::container::Health::None;
            [Container { id, name, image, state, health, exit: None, created, ports, address: None, owner }]
        };
        let mut dying = Dying::default();
        dying.see(&listed(State::Running));
        assert_eq!(dying.relist_in(RELIST_EVERY), RELIST_EVERY);
        dying.hear(event("kill"));
        assert_eq!(dying.relist_in(RELIST_EVERY), RELIST_EVERY, "a signal is no death");
        dying.hear(event("die"));
        let mut waits = Vec::new();
        while dying.relist_in(RELIST_EVERY) < RELIST_EVERY {
            dying.see(&listed(State::Running));
            waits.push(dying.relist_in(RELIST_EVERY));
        }
        assert!(
            waits[0] <= DYING_PAUSE * 2 && waits.len() >= 6,
            "soon and often, but not for ever: {waits:?}"
        );
        dying.hear(event("die"));
        dying.see(&listed(State::Exited));
        assert_eq!(dying.relist_in(RELIST_EVERY), RELIST_EVERY, "the list has caught up");
        dying.hear(event("die"));
        dying.hear(event("start"));
        assert_eq!(dying.relist_in(RELIST_EVERY), RELIST_EVERY, "it was started again");
    }
}
