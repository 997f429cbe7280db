//! The house rules as data, and the checks that hold a source file against them.

use std::fmt;

use crate::source::Source;

/// The longest file and the longest function, in lines.
pub const FILE_LINES: usize = 600;
pub const FUNCTION_LINES: usize = 70;

/// Who may name whom: the first row whose path begins the file's path counts. A layer may always name itself, a `*` all.
/// A nested module (`adapters::docker`) stands for itself alone.
pub const LAYERS: &[(&str, &str, &[&str])] = &[
    ("src/base/", "base", &[]),
    ("src/model/", "model", &["base"]),
    ("src/spec/", "spec", &["base", "model"]),
    ("src/plan/", "plan", &["base", "model"]),
    ("src/ports/contract/", "ports::contract", &["base", "model", "ports"]),
    ("src/ports/", "ports", &["base", "model"]),
    ("src/store/", "store", &["base", "model"]),
    ("src/adapters/credentials", "adapters::credentials", &["base", "model"]),
    ("src/adapters/docker/", "adapters::docker", &["base", "model", "ports", "adapters::credentials"]),
    ("src/adapters/archive/", "adapters::archive", &["base", "model", "ports"]),
    (
        "src/adapters/harbor/",
        "adapters::harbor",
        &["base", "model", "ports", "adapters::credentials", "adapters::oci"],
    ),
    ("src/adapters/oci/", "adapters::oci", &["base", "model", "ports", "adapters::credentials"]),
    ("src/adapters/tokens/", "adapters::tokens", &["base", "model", "ports"]),
    ("src/adapters/sim/", "adapters::sim", &["base", "model", "ports"]),
    ("src/adapters/", "adapters", &["base", "model", "ports"]),
    ("src/engine/", "engine", &["base", "model", "spec", "plan", "ports", "store"]),
    ("src/view/", "view", &["base", "model"]),
    ("src/tui/run.rs", "tui", &["base", "model", "view", "engine"]),
    ("src/tui/run/", "tui", &["base", "model", "view", "engine"]),
    ("src/tui/", "tui", &["base", "model", "view"]),
    ("src/cli/", "cli", &["base", "model", "spec", "view", "engine"]),
    ("src/wire", "wire", &["*"]),
    ("src/main.rs", "main", &["wire"]),
    ("src/lib.rs", "lib", &[]),
    // Tests, examples and benches stand outside of the house and may look into every room.
    ("", "tests", &["*"]),
];

/// Modules that only their own folder and tests may name.
const FOR_TESTS: &str = "ports::contract";

/// Everywhere in `src/`.
const ALL: &[&str] = &["src/"];
/// What waits and talks: the layers with tasks.
const ASYNC: &[&str] = &[
    "src/adapters/",
    "src/cli/",
    "src/engine/",
    "src/main.rs",
    "src/ports/",
    "src/store/",
    "src/tui/run",
    "src/wire",
];
/// What touches the machine.
const MACHINE: &[&str] = &[
    "src/adapters/archive/",
    "src/adapters/credentials",
    "src/adapters/docker/",
    "src/adapters/harbor/",
    "src/adapters/oci/",
    "src/adapters/tokens/",
    "src/cli/",
    "src/engine/",
    "src/store/",
    "src/tui/run",
    "src/wire",
];
/// The two files of the console that hold the terminal.
const TERMINAL: &[&str] = &["src/tui/screen.rs", "src/tui/term.rs"];

/// Crates and parts of the standard library: where in `src/` each may be named. Every dependency has a row.
pub const FOREIGN: &[(&str, &[&[&str]])] = &[
    ("argon2", &[&["src/adapters/tokens/"]]),
    ("base64", &[&["src/adapters/"]]),
    ("bollard", &[&["src/adapters/docker/"]]),
    ("bytes", &[&["src/adapters/", "src/engine/", "src/model/exec.rs", "src/ports/"]]),
    ("clap", &[&["src/cli/"]]),
    ("clap_complete", &[&["src/cli/"]]),
    ("croner", &[&["src/plan/"]]),
    ("crossterm", &[&["src/tui/"]]),
    ("csv", &[&["src/spec/inventory/"]]),
    ("directories", &[&["src/wire"]]),
    ("futures_util", &[ASYNC]),
    ("globset", &[&["src/plan/"]]),
    ("http_body_util", &[&["src/adapters/docker/", "src/adapters/tokens/"]]),
    ("httpdate", &[&["src/adapters/harbor/", "src/adapters/oci/"]]),
    ("hyper", &[&["src/adapters/docker/", "src/adapters/tokens/"]]),
    ("hyper_util", &[&["src/adapters/docker/", "src/adapters/tokens/"]]),
    ("jiff", &[&["src/wire"]]),
    ("jsonwebtoken", &[&["src/adapters/tokens/"]]),
    ("nix", &[MACHINE, TERMINAL]),
    ("ratatui", &[&["src/tui/"]]),
    ("rcgen", &[&["src/adapters/tokens/"]]),
    ("regex", &[&["src/model/constraint.rs", "src/plan/", "src/tui/"]]),
    ("reqwest", &[&["src/adapters/oci/", "src/adapters/harbor/", "src/adapters/tokens/"]]),
    ("rusqlite", &[&["src/store/"]]),
    (
        "rustls",
        &[&["src/adapters/docker/", "src/adapters/harbor/", "src/adapters/oci/", "src/adapters/tokens/"]],
    ),
    ("rustls_native_certs", &[&["src/adapters/oci/"]]),
    ("saphyr_parser", &[&["src/spec/"]]),
    ("semver", &[&["src/plan/"]]),
    ("serde", &[ALL]),
    ("serde_json", &[ALL]),
    ("sha2", &[&["src/base/hash.rs"]]),
    ("tar", &[&["src/adapters/archive/"]]),
    (
        "tempfile",
        &[&[
            "src/wire",
            "src/adapters/docker/",
            "src/adapters/tokens/listener/tests.rs",
            "src/store/owner/tests.rs",
            "src/store/replication/tests.rs",
        ]],
    ),
    ("terminal_size", &[&["src/cli/", "src/wire"]]),
    ("tikv_jemallocator", &[&["src/main.rs"]]),
    // base/clock.rs has the clock that follows virtual time, model/exec.rs the two channels of a session.
    ("tokio", &[ASYNC, &["src/adapters/sim/", "src/base/clock.rs", "src/model/exec.rs"]]),
    ("tokio_rustls", &[&["src/adapters/docker/", "src/adapters/tokens/"]]),
    ("tokio_util", &[&["src/engine/"]]),
    ("toml", &[&["src/adapters/sim/", "src/spec/policy.rs", "src/tui/theme.rs", "src/wire"]]),
    ("tower_service", &[&["src/adapters/docker/"]]),
    ("unicode_segmentation", &[&["src/base/text.rs", "src/tui/kit/"]]),
    ("unicode_width", &[&["src/base/text.rs"]]),
    ("x509_parser", &[&["src/adapters/tokens/"]]),
    // One function reads a pool file from the disk; all else in spec is pure.
    ("std::fs", &[MACHINE, TERMINAL, &["src/spec/mod.rs"]]),
    ("std::env", &[MACHINE, &["src/wire"]]),
    // spec only uses its address types.
    ("std::net", &[MACHINE, &["src/spec/"]]),
    ("std::process", &[MACHINE, &["src/main.rs"]]),
    ("std::thread", &[MACHINE, TERMINAL]),
    ("std::time", &[MACHINE, TERMINAL, &["src/base/clock.rs", "src/ports/", "src/adapters/sim/"]]),
];

/// Words that have no place in a layer, with the reason.
const NO_WORDS: &[(&str, &str, &str)] = &[
    ("src/plan/", "async", "deciding is pure"),
    ("src/plan/", "await", "deciding is pure"),
    ("src/view/", "async", "wording is pure"),
    ("src/tui/panes/", "async", "drawing does no IO"),
    ("src/tui/draw/", "async", "drawing does no IO"),
    ("src/tui/kit/", "async", "drawing does no IO"),
];

/// One broken rule.
#[derive(Debug, PartialEq)]
pub struct Breach {
    pub path: String,
    pub line: usize,
    pub layer: &'static str,
    pub rule: String,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: [{}] {}", self.path, self.line, self.layer, self.rule)
    }
}

/// The row of [`LAYERS`] that a file falls under.
pub fn layer_of(path: &str) -> (&'static str, &'static [&'static str]) {
    let row = LAYERS.iter().find(|(prefix, ..)| path.starts_with(prefix));
    row.map_or(("tests", &["*"]), |(_, layer, may)| (*layer, *may))
}

/// Holds one file against every rule that a single file can break.
pub fn check(source: &Source) -> Vec<Breach> {
    let layer = layer_of(&source.path).0;
    let mut out = Vec::new();
    let mut add =
        |line: usize, rule: String| out.push(Breach { path: source.path.clone(), line, layer, rule });
    if !source.text.starts_with("//! ") {
        add(1, "the first line is a `//!` sentence that says what the file is for".to_owned());
    }
    let lines = source.text.lines().count();
    if lines > FILE_LINES {
        add(lines, format!("a file has at most {FILE_LINES} lines, this one {lines}"));
    }
    for f in source.functions().iter().filter(|f| f.lines > FUNCTION_LINES) {
        add(f.line, format!("a function has at most {FUNCTION_LINES} lines, `{}` has {}", f.name, f.lines));
    }
    for (line, inside) in source.attributes("allow") {
        // Support that several test programs share: none of them uses all of it, so `expect` would be unfulfilled in some.
        if source.path.starts_with("tests/") && inside.contains("dead_code") && inside.contains("reason =") {
            continue;
        }
        add(line, "no `allow(…)`: use `#[expect(…, reason = \"…\")]`".to_owned());
    }
    for (line, inside) in source.attributes("expect") {
        if source.path != "src/lib.rs" && !inside.contains("reason =") {
            add(line, "an `expect(…)` gives its reason".to_owned());
        }
    }
    for (line, rule) in imports(source).into_iter().chain(foreign(source)).chain(re_exports(source)) {
        add(line, rule);
    }
    out
}

fn imports(source: &Source) -> Vec<(usize, String)> {
    let (layer, may) = layer_of(&source.path);
    if !source.path.starts_with("src/") {
        return Vec::new();
    }
    let within =
        |path: &str, of: &str| path == of || path.strip_prefix(of).is_some_and(|r| r.starts_with("::"));
    let mut out = Vec::new();
    let named = source.paths("crate").into_iter().chain(source.paths("longshore"));
    for (line, path) in named {
        let own = within(&path, layer);
        let hidden = within(&path, FOR_TESTS) && !within(layer, "ports");
        if hidden {
            out.push((line, format!("only tests may name `{FOR_TESTS}`")));
        } else if !own && !may.iter().any(|m| *m == "*" || within(&path, m)) {
            let may = if may.is_empty() { "nothing of ours".to_owned() } else { may.join(", ") };
            out.push((line, format!("may name {may}; not `{path}`")));
        }
    }
    for (line, path) in source.paths("super") {
        if path != "*" {
            out.push((line, format!("`crate::` paths, not `super::{path}`")));
        }
    }
    out
}

fn foreign(source: &Source) -> Vec<(usize, String)> {
    let mut out = Vec::new();
    if !source.path.starts_with("src/") {
        return out;
    }
    for (name, places) in FOREIGN {
        let allowed = places.iter().copied().flatten().any(|p| source.path.starts_with(p));
        if allowed {
            continue;
        }
        let lines: Vec<usize> = match name.strip_prefix("std::") {
            Some(part) => {
                let of = |p: &str| p == part || p.strip_prefix(part).is_some_and(|r| r.starts_with("::"));
                source.paths("std").into_iter().filter(|(_, p)| of(p)).map(|(line, _)| line).collect()
            }
            None => source.names_crate(name),
        };
        let tests = source.tests_from();
        let inside = |line: &usize| *line < tests || !matches!(*name, "tempfile" | "std::fs" | "std::time");
        out.extend(
            lines.into_iter().filter(inside).map(|line| (line, format!("`{name}` has no place here"))),
        );
    }
    for (place, word, why) in NO_WORDS.iter().filter(|(place, ..)| source.path.starts_with(place)) {
        out.extend(
            source.words(word).map(|at| (source.line_of(at), format!("no `{word}` in {place}: {why}"))),
        );
    }
    out
}

/// A layer hands on its own names only: a re-export of another layer or crate would make the table blind.
fn re_exports(source: &Source) -> Vec<(usize, String)> {
    let (layer, _) = layer_of(&source.path);
    let mut out = Vec::new();
    for at in source.words("use") {
        let before = source.code[..at].trim_end();
        let public = before.ends_with("pub")
            || before.ends_with(')')
                && before.rfind("pub(").is_some_and(|i| !before[i..].contains(['\n', ';']));
        if !public || !source.path.starts_with("src/") {
            continue;
        }
        let end = source.code[at..].find(';').map_or(source.code.len(), |i| at + i);
        let statement = Source::new(&source.path, &source.code[at..end]);
        let line = source.line_of(at);
        let ours = statement.paths("crate").into_iter().all(|(_, p)| p.starts_with(layer));
        let crates = FOREIGN.iter().any(|(name, _)| !statement.names_crate(name).is_empty());
        if !ours || crates || !statement.paths("std").is_empty() {
            out.push((line, "no re-export across layers or of other crates".to_owned()));
        }
    }
    out
}

/// Files of `src/` that no module declares.
pub fn unreachable(sources: &[Source]) -> Vec<Breach> {
    let mut out = Vec::new();
    let inside =
        |s: &&Source| s.path.starts_with("src/") && !["src/lib.rs", "src/main.rs"].contains(&s.path.as_str());
    for source in sources.iter().filter(inside) {
        let path =
            source.path.strip_suffix("/mod.rs").or(source.path.strip_suffix(".rs")).unwrap_or(&source.path);
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let parents = [format!("{folder}.rs"), format!("{folder}/mod.rs"), format!("{folder}/lib.rs")];
        let declared = sources.iter().filter(|s| parents.contains(&s.path)).any(|parent| {
            parent.words("mod").any(|at| {
                parent.code[at + 3..]
                    .trim_start()
                    .strip_prefix(name)
                    .is_some_and(|r| r.trim_start().starts_with(';'))
            })
        });
        if !declared {
            let rule = format!("no module declares this file: `mod {name};` is missing");
            out.push(Breach { path: source.path.clone(), line: 1, layer: layer_of(&source.path).0, rule });
        }
    }
    out
}
