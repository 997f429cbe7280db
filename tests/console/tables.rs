//! The tables of panes and verbs: no key twice, everything explained.

use longshore::tui::keys::Key;
use longshore::tui::panes::ALL;
use longshore::tui::verbs::{self, Verb};

fn verbs(pane: &'static longshore::tui::panes::Pane) -> Vec<&'static Verb> {
    verbs::of(pane).collect()
}

#[test]
fn no_key_has_two_meanings_in_a_pane() {
    for pane in ALL {
        let mut seen = Vec::new();
        for verb in verbs(pane) {
            for key in verb.keys {
                let key = Key::parse(key).unwrap_or_else(|| panic!("{key} is no key"));
                assert!(!seen.contains(&key), "{:?}: {key:?} twice, again in {:?}", pane.id, verb.name);
                seen.push(key);
            }
        }
    }
}

#[test]
fn everything_is_explained() {
    for pane in ALL {
        assert!(pane.doc.len() > 40, "{:?}", pane.id);
        assert!(verbs(pane).iter().all(|v| !v.doc.is_empty() && !v.name.is_empty()));
        assert!(
            pane.columns
                .iter()
                .all(|c| !c.doc.is_empty() && c.title.len() <= usize::from(c.width.max(8)) + 4)
        );
        assert!(pane.columns.iter().filter(|c| c.grows).count() <= 1);
    }
}

#[test]
fn the_keys_of_habit_do_no_harm() {
    use longshore::tui::verbs::Act;
    for pane in ALL {
        let act =
            |key: &str| verbs(pane).into_iter().find(|v| v.has(Key::parse(key).unwrap())).map(|v| v.act);
        assert_eq!(act("Ctrl-D"), Some(Act::Half(1)));
        assert_eq!(act("Ctrl-U"), Some(Act::Half(-1)));
        assert_eq!(act("Ctrl-K"), None);
        assert_eq!(act("Ctrl-A"), None);
        assert_eq!(act("e"), None);
    }
}
