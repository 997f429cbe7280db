//! Errors with a kind to branch on, a chain of reasons to read, and a hint that says what to do next.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::base::text::safe;

/// What sort of failure it is: the part that code may branch on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The other side could not be reached, or the connection was cut.
    Unreachable,
    /// No answer within the deadline: the outcome is **unknown**, not failed.
    Timeout,
    /// The named thing does not exist.
    NotFound,
    /// The name or the port is taken, or the state changed meanwhile.
    Conflict,
    /// The other side, or a limit of ours, said no.
    Refused,
    /// What was given cannot be understood.
    Invalid,
    /// No space, memory, descriptors or quota left.
    Exhausted,
    /// Somebody else is the active engine now: this one must not write any more.
    Fenced,
    /// A broken promise inside the program or an answer that makes no sense.
    Bug,
}

/// A failure with its reasons, outermost first, and an optional next step.
///
/// Reasons may hold text from outside: they are sanitised when they are shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// The sort of failure.
    pub kind: Kind,
    /// What went wrong, outermost first.
    pub reasons: Vec<String>,
    /// What the person can do about it.
    pub hint: Option<String>,
}

impl Fault {
    /// A fault with one reason.
    pub fn new(kind: Kind, reason: impl Into<String>) -> Fault {
        Fault { kind, reasons: vec![reason.into()], hint: None }
    }

    /// The same fault, explained by an outer sentence.
    #[must_use]
    pub fn because(mut self, outer: impl Into<String>) -> Fault {
        self.reasons.insert(0, outer.into());
        self
    }

    /// The same fault with one more, innermost reason.
    #[must_use]
    pub fn with_reason(mut self, inner: impl Into<String>) -> Fault {
        self.reasons.push(inner.into());
        self
    }

    /// The same fault with the next step to take.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Fault {
        self.hint = Some(hint.into());
        self
    }

    /// True when the call may or may not have had its effect.
    pub fn is_unknown(&self) -> bool {
        matches!(self.kind, Kind::Timeout | Kind::Unreachable)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, reason) in self.reasons.iter().enumerate() {
            if i > 0 {
                f.write_str(": ")?;
            }
            f.write_str(&safe(reason))?;
        }
        Ok(())
    }
}

impl std::error::Error for Fault {}

/// The result type of everything that can fail.
pub type Outcome<T> = Result<T, Fault>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_shown_outermost_first_and_sanitised() {
        let fault =
            Fault::new(Kind::Refused, "no such image: \u{1b}]52;c;x\u{7}").because("create web.1 on h1");
        assert_eq!(fault.to_string(), r"create web.1 on h1: no such image: \e]52;c;x\x07");
    }
}
