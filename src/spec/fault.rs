//! What is wrong with a pool file: each fault with its place, printed the way compilers do, all of them at once.

use std::fmt;

use crate::base::fault::{Fault, Kind};
use crate::base::text::{count, safe};

/// A place in a file: line and column, both from 1. Line 0 means the file as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct At {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

/// How grave a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The file is refused.
    Error,
    /// The file is taken; something in it has no effect or may surprise.
    Warning,
}

/// One finding in a pool file. Its texts may hold parts of the file: they are sanitised when they are shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolFileFault {
    /// Error or warning.
    pub severity: Severity,
    /// The file, as it was named by the caller (or an `env_file` that it names).
    pub file: String,
    /// Where in the file.
    pub at: At,
    /// The keys that lead to it, like `services.web.ports[0]`; empty for the file as a whole.
    pub path: String,
    /// What is wrong.
    pub what: String,
    /// What would be right.
    pub expected: Option<String>,
    /// What the person can do about it.
    pub hint: Option<String>,
}

impl PoolFileFault {
    /// An error at a place; the file is filled in by the reader.
    pub fn new(at: At, path: &str, what: impl Into<String>) -> PoolFileFault {
        PoolFileFault {
            severity: Severity::Error,
            file: String::new(),
            at,
            path: path.to_owned(),
            what: what.into(),
            expected: None,
            hint: None,
        }
    }

    /// The same finding with what would be right.
    #[must_use]
    pub fn expected(mut self, expected: impl Into<String>) -> PoolFileFault {
        self.expected = Some(expected.into());
        self
    }

    /// The same finding with a next step.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> PoolFileFault {
        self.hint = Some(hint.into());
        self
    }

    /// The same finding in another file (an `env_file`).
    #[must_use]
    pub fn in_file(mut self, file: impl Into<String>) -> PoolFileFault {
        self.file = file.into();
        self
    }
}

impl fmt::Display for PoolFileFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", safe(&self.file))?;
        if self.at.line > 0 {
            write!(f, "{}:{}:", self.at.line, self.at.column)?;
        }
        if self.severity == Severity::Warning {
            f.write_str(" warning:")?;
        }
        if !self.path.is_empty() {
            write!(f, " {}:", safe(&self.path))?;
        }
        write!(f, " {}", safe(&self.what))?;
        if let Some(expected) = &self.expected {
            write!(f, "; expected {}", safe(expected))?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\n    hint: {}", safe(hint))?;
        }
        Ok(())
    }
}

/// A pool file that was refused: everything that is wrong with it, in the order of its lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolFileFaults {
    /// The errors, at least one.
    pub faults: Vec<PoolFileFault>,
    /// What was found besides.
    pub warnings: Vec<PoolFileFault>,
}

impl fmt::Display for PoolFileFaults {
    /// One finding a line (hints on a line of their own), then the number of faults.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for fault in self.faults.iter().chain(&self.warnings) {
            writeln!(f, "{fault}")?;
        }
        let n = u64::try_from(self.faults.len()).unwrap_or(u64::MAX);
        write!(f, "{}: nothing was changed", count(n, "fault"))
    }
}

impl std::error::Error for PoolFileFaults {}

impl From<PoolFileFaults> for Fault {
    /// The first finding as a [`Fault`] of the kind `Invalid`, with the number of the others: for callers with one line.
    fn from(faults: PoolFileFaults) -> Fault {
        let first = faults.faults.first().map_or_else(String::new, ToString::to_string);
        let more = faults.faults.len().saturating_sub(1);
        let fault = Fault::new(Kind::Invalid, first).because("the pool file was refused");
        if more == 0 { fault } else { fault.hint(format!("and {more} more in this file")) }
    }
}
