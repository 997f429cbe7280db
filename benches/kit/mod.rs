//! What the benches share: numbers, tables, the program under test, real engines, processes and terminals.

pub mod process;
pub mod pty;

use std::fmt::Display;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// The program under test, built with optimisation.
pub const LONGSHORE: &str = env!("CARGO_BIN_EXE_longshore");

/// The middle value; zero when there is none.
pub fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

/// The value below which so great a part of the values lies; zero when there is none.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place in a short list")]
pub fn quantile(values: &[f64], part: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = part * sorted.len().saturating_sub(1) as f64;
    sorted.get(place.round() as usize).copied().unwrap_or(0.0)
}

/// A whole number from the environment, or what is usual.
pub fn setting(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(usual)
}

/// Where a program is, if it is on the PATH.
pub fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(program)).find(|file| file.is_file())
}

/// Runs the program under test and gives what it said.
pub fn longshore(args: &[&str]) -> Output {
    Command::new(LONGSHORE).args(args).stdin(Stdio::null()).output().expect("longshore runs")
}

/// The same; it must succeed.
pub fn longshore_ok(args: &[&str]) -> String {
    let out = longshore(args);
    assert!(out.status.success(), "longshore {args:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).into_owned()
}

/// Lines of columns, the first column to the left and the others to the right.
#[derive(Default)]
pub struct Table(Vec<Vec<String>>);

impl Table {
    /// A table with these headings.
    pub fn new(headings: &[&str]) -> Table {
        Table(vec![headings.iter().map(ToString::to_string).collect()])
    }

    /// One more line.
    pub fn row(&mut self, cells: &[&dyn Display]) {
        self.0.push(cells.iter().map(ToString::to_string).collect());
    }

    /// Prints it.
    pub fn print(&self) {
        let columns = self.0.iter().map(Vec::len).max().unwrap_or(0);
        let width = |c: usize| self.0.iter().filter_map(|r| r.get(c)).map(|s| s.chars().count()).max();
        let widths: Vec<usize> = (0..columns).map(|c| width(c).unwrap_or(0)).collect();
        for row in &self.0 {
            let cells = row.iter().zip(&widths).enumerate();
            let line: Vec<String> = cells
                .map(|(i, (cell, &w))| if i == 0 { format!("{cell:<w$}") } else { format!("{cell:>w$}") })
                .collect();
            println!("{}", line.join("  "));
        }
    }
}

/// Judges figures against their bounds and remembers whether all are kept.
#[derive(Default)]
pub struct Verdict {
    missed: usize,
}

impl Verdict {
    /// One figure that may be at most so much.
    pub fn at_most(&mut self, what: &str, figure: f64, bound: f64) {
        let kept = figure <= bound;
        self.missed += usize::from(!kept);
        println!("{}  {what}: {figure:.2}, at most {bound:.2}", if kept { "PASS" } else { "FAIL" });
    }

    /// The exit status: a failure when a bound was missed and `LONGSHORE_BENCH_STRICT` is set.
    pub fn status(&self) -> std::process::ExitCode {
        let strict = std::env::var_os("LONGSHORE_BENCH_STRICT").is_some();
        if strict && self.missed > 0 {
            std::process::ExitCode::FAILURE
        } else {
            std::process::ExitCode::SUCCESS
        }
    }
}
