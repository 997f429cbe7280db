//! The checker itself, on planted breaches: each rule can fail, and lawful code passes.

use crate::rules::{self, FILE_LINES, FUNCTION_LINES};
use crate::source::Source;

/// The rules that a text at a path breaks, as `line: rule`.
fn broken(path: &str, text: &str) -> Vec<String> {
    let text = format!("//! For the test.\n{text}");
    rules::check(&Source::new(path, &text)).iter().map(|b| format!("{}: {}", b.line, b.rule)).collect()
}

fn caught(path: &str, text: &str, part: &str) {
    let found = broken(path, text);
    assert!(
        found.iter().any(|f| f.contains(part)),
        "{path}: {text:?} should break {part:?}, broke {found:?}"
    );
}

fn lawful(path: &str, text: &str) {
    assert_eq!(broken(path, text), [""; 0], "{path}: {text:?}");
}

#[test]
fn layers_that_name_upwards_are_caught() {
    caught("src/plan/place.rs", "use crate::store::Store;", "may name base, model; not `store::Store`");
    caught("src/base/text.rs", "fn f() { crate::model::pool::x(); }", "may name nothing of ours");
    caught("src/tui/app/mod.rs", "use crate::engine::handle::Handle;", "not `engine::handle::Handle`");
    caught("src/engine/core.rs", "use crate::{base::ids, adapters::docker};", "not `adapters::docker`");
    caught(
        "src/engine/core.rs",
        "use crate::{\n    base::ids,\n    model::{a, b::{C, D}},\n    wire,\n};",
        "not `wire`",
    );
    caught(
        "src/adapters/sim/host.rs",
        "use crate::adapters::docker::Options;",
        "not `adapters::docker::Options`",
    );
    caught("src/adapters/docker/list.rs", "use crate::adapters::{sim};", "not `adapters::sim`");
    caught("src/engine/core.rs", "use crate::ports::contract::runtime::ALL;", "only tests may name");
    caught("src/view/pools.rs", "use longshore::store::Store;", "not `store::Store`");
    caught("src/view/pools.rs", "use crate::*;", "not `*`");
    caught("src/engine/core.rs", "use super::observe::Observer;", "not `super::observe::Observer`");
    lawful(
        "src/engine/core.rs",
        "use crate::{base::ids, store::Store};\nuse crate::ports::runtime::Observe;",
    );
    lawful("src/tui/run/outside.rs", "use crate::engine::handle::Handle;");
    lawful("src/wire/connect.rs", "use crate::adapters::{docker, sim};");
    lawful("src/plan/place.rs", "// crate::store::Store\nconst A: &str = \"crate::store::Store\";");
    lawful("src/plan/place.rs", "mod tests { use super::*; }\npub(super) struct A;");
}

#[test]
fn crates_out_of_place_are_caught() {
    caught("src/cli/list.rs", "use bollard::Docker;", "`bollard` has no place here");
    caught("src/view/pools.rs", "fn f() -> ratatui::layout::Rect { todo() }", "`ratatui` has no place here");
    caught("src/engine/core.rs", "use rusqlite::{Connection};", "`rusqlite` has no place here");
    caught("src/engine/core.rs", "use ::rusqlite::Connection;", "`rusqlite` has no place here");
    caught("src/tui/keys.rs", "use clap;", "`clap` has no place here");
    caught("src/spec/tree.rs", "use tokio::fs;", "`tokio` has no place here");
    caught(
        "src/plan/place.rs",
        "use std::{collections::BTreeMap, time::Instant};",
        "`std::time` has no place here",
    );
    caught("src/tui/panes/pools.rs", "fn f() { std::fs::read(\"x\"); }", "`std::fs` has no place here");
    caught("src/plan/place.rs", "async fn f() {}", "deciding is pure");
    lawful("src/store/load.rs", "use rusqlite::Connection;");
    lawful("src/tui/keys.rs", "use ratatui::crossterm::event::KeyCode;");
    lawful("src/view/pools.rs", "use crate::model::clap;\nlet clap = 1; x.clap::<u8>();");
}

#[test]
fn re_exports_across_layers_are_caught() {
    caught("src/view/mod.rs", "pub use crate::model::world::World;", "no re-export");
    caught("src/tui/mod.rs", "pub(crate) use ratatui::layout::Rect;", "no re-export");
    caught("src/model/mod.rs", "pub use std::sync::Arc;", "no re-export");
    lawful("src/store/mod.rs", "pub use owner::Store;\npub use crate::store::owner::Work;");
}

#[test]
fn sizes_and_manners_are_caught() {
    let long = "let a = 1;\n".repeat(FUNCTION_LINES);
    caught(
        "src/base/text.rs",
        &format!("fn f(a: [u8; 2]) -> u8 {{\n{long}}}"),
        "at most 70 lines, `f` has 72",
    );
    lawful("src/base/text.rs", &format!("fn f() {{\n{}}}", "let a = '{';\n".repeat(FUNCTION_LINES - 2)));
    caught("src/base/text.rs", &"\n".repeat(FILE_LINES), "at most 600 lines, this one 601");
    caught("src/base/text.rs", "#[allow(dead_code)]\nfn f() {}", "no `allow(");
    caught("src/base/text.rs", "#![cfg_attr(test, allow(dead_code))]", "no `allow(");
    lawful("tests/x.rs", "#[allow(dead_code, reason = \"shared\")]\nmod support;");
    caught("src/base/text.rs", "#[allow(dead_code, reason = \"shared\")]\nfn f() {}", "no `allow(");
    caught("tests/x.rs", "#[expect(dead_code)]\nfn f() {}", "gives its reason");
    lawful("src/base/text.rs", "#[expect(dead_code, reason = \"a (b) c\")]\nfn f() { x.expect(\"y\"); }");
    let bare = rules::check(&Source::new("src/base/text.rs", "use std::fmt;\n"));
    assert_eq!(bare[0].to_string().split(": [base] ").next(), Some("src/base/text.rs:1"));
    assert!(bare[0].rule.contains("`//!` sentence"), "{bare:?}");
}

#[test]
fn files_that_nobody_declares_are_caught() {
    let file = |path: &str, text: &str| Source::new(path, text);
    let house = |text: &str| {
        let sources =
            [file("src/lib.rs", "pub mod base;"), file("src/base/mod.rs", text), file("src/base/ids.rs", "")];
        rules::unreachable(&sources).iter().map(|b| b.path.clone()).collect::<Vec<_>>()
    };
    assert_eq!(house("pub mod ids;"), [""; 0]);
    assert_eq!(house("pub mod idsx; // mod ids;"), ["src/base/ids.rs"]);
}

#[test]
fn the_reader_sees_through_comments_strings_and_lifetimes() {
    let text = "fn a<'x>(s: &'x str) -> char { /* } /* { */ */ let _ = (r#\"}\"#, b'\\'', '{', \"\\\"}\"); '\\u{7d}' }\nfn b();";
    let functions = Source::new("src/a.rs", text).functions();
    assert_eq!(
        functions.iter().map(|f| (f.name.as_str(), f.line, f.lines)).collect::<Vec<_>>(),
        [("a", 1, 1)]
    );
    let strings: Vec<String> = Source::new("src/a.rs", text).strings.into_iter().map(|(_, s)| s).collect();
    assert_eq!(strings, ["}", "\\\"}"]);
}
