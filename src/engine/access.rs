//! Who may do what in the registries: requests about it, decided purely, and what is shown of it.

pub mod desk;
pub mod service;

use crate::base::clock::Millis;
use crate::engine::intake::{Admission, Caller, Decided};
use crate::model::access::Subject;
use crate::model::command::{Accepted, Command};
use crate::model::desired::{Desired, Write};
use crate::model::journal::{Draft, What};
use crate::plan::access::apply::apply;

/// Decides about a command that changes who may do what; `None` when it is about something else. One list serves all
/// registries, so a grant is one change that holds at every site, and one line of the journal.
pub fn decide(desired: &Desired, command: &Command, caller: &Caller, now: Millis) -> Option<Decided> {
    let Command::Access(asked) = command else { return None };
    // Whoever talks to the engine itself is who the kernel says, on its own machine: a system admin. Who came by the token
    // service may do what their roles say.
    let by = caller.login.clone().unwrap_or_else(|| Subject::Operator(caller.who.clone()));
    Some(apply(&desired.access, &by, (**asked).clone(), now).map(|applied| {
        let text = applied.sentence;
        let mut writes: Vec<Write> =
            applied.changes.into_iter().map(|change| Write::Access(Box::new(change))).collect();
        if !writes.is_empty() {
            writes.push(Write::Journal(Draft::by(&caller.who, What::Accepted, text.clone())));
        }
        Admission { writes, accepted: Accepted { op: None, text } }
    }))
}
