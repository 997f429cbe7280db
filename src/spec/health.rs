//! `healthcheck` of a service.

use crate::model::pool::HealthCheck;
use crate::spec::cx::{Cx, Field, Section};
use crate::spec::keys;
use crate::spec::tree::Value;

/// The health check; `None` leaves the image's own as it is.
pub fn read(cx: &mut Cx<'_>, service: &Section<'_>) -> Option<HealthCheck> {
    let field = service.get("healthcheck")?;
    let section = cx.section(&field, &keys::HEALTHCHECK);
    let mut test = section.get("test").map(|f| read_test(cx, &f)).unwrap_or_default();
    let off = section.get("disable").and_then(|f| cx.truth(&f)).unwrap_or(false);
    if off {
        if test.first().is_some_and(|t| t != "NONE") {
            cx.error(
                field.fault("`disable: true` and a `test` contradict each other").hint("keep one of them"),
            );
        }
        test = vec!["NONE".to_owned()];
    }
    if test.is_empty() {
        let what = "the health check has no `test`: the image's own is used, and there is none if the image has none";
        cx.warn(field.fault(what).hint("write `test: [CMD, …]` to be sure"));
    }
    let mut time = |key: &str, least: u64| {
        let field = section.get(key)?;
        let ms = cx.duration(&field)?;
        if ms < least {
            cx.error(field.fault(format!("`{key}` is {ms} ms")).expected(format!("at least {least} ms")));
        }
        Some(ms)
    };
    let (interval_ms, timeout_ms) = (time("interval", 1), time("timeout", 1));
    let start_period_ms = time("start_period", 0);
    let retries = section.get("retries").and_then(|f| cx.number::<u32>(&f, 1, 1_000_000));
    Some(HealthCheck { test, interval_ms, timeout_ms, retries, start_period_ms })
}

fn read_test(cx: &mut Cx<'_>, field: &Field<'_>) -> Vec<String> {
    if let Value::Text(text) = &field.node.value {
        return match text.as_str() {
            "NONE" => vec!["NONE".to_owned()],
            "" => Vec::new(),
            text => vec!["CMD-SHELL".to_owned(), text.to_owned()],
        };
    }
    let test = cx.texts(field);
    let fine = match test.first().map(String::as_str) {
        None | Some("CMD") if test.len() != 1 => true,
        Some("CMD-SHELL") => test.len() == 2,
        Some("NONE") => test.len() == 1,
        _ => false,
    };
    if !fine {
        cx.error(
            field
                .fault("the test does not say how it is run")
                .expected("[CMD, program, arguments…], [CMD-SHELL, line] or [NONE]")
                .hint("put CMD before the program"),
        );
    }
    test
}
