//! Running a program in a container: what is asked for, and what goes in and comes out.

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

/// A program to run in a container.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ExecWanted {
    /// Program and arguments.
    pub command: Vec<String>,
    /// With a terminal of its own, so large (columns, rows).
    pub tty: Option<(u16, u16)>,
    /// Standard input is wanted.
    pub stdin: bool,
}

/// A running program in a container. Dropping `input` closes its standard input.
#[derive(Debug)]
pub struct ExecSession {
    /// What goes in.
    pub input: mpsc::Sender<ExecInput>,
    /// What comes out; ends with [`ExecOutput::Exit`] or [`ExecOutput::Lost`].
    pub output: mpsc::Receiver<ExecOutput>,
}

/// Something for a running program.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExecInput {
    /// Bytes for its standard input.
    Bytes(Vec<u8>),
    /// Its terminal has so many columns and rows now.
    Resize(u16, u16),
}

/// Something from a running program.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExecOutput {
    /// Standard output (everything, with a terminal).
    Out(Vec<u8>),
    /// Standard error.
    Err(Vec<u8>),
    /// It ended with this status.
    Exit(i64),
    /// The connection was lost; the program may still run.
    Lost(String),
}
