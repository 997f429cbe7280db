//! `check` and `doctor`: is this pool file good, is everything there that longshore needs.

use std::path::Path;

use crate::cli::cx::{Cx, Done, Stop};
use crate::cli::{DONE, FAILED, Purpose, Verdict, policy, up};

/// `longshore check`
pub async fn file(cx: &mut Cx<'_>, path: &Path, env_file: Option<&Path>) -> Done {
    let (spec, warnings) = up::read_pool_file(path, env_file, &cx.print.io.env).map_err(Stop::said)?;
    // The rules for images belong to an install: where there is none, there are none.
    let verdicts = if cx.backend.has_state(&cx.session) {
        let engine = cx.open(Purpose::Look).await?;
        policy::verdicts(cx, &engine, std::slice::from_ref(&spec)).await?
    } else {
        Vec::new()
    };
    let may_run = verdicts.iter().all(|verdict| verdict.passes);
    let status = if may_run { DONE } else { FAILED };
    if cx.json {
        let pools: Vec<String> = spec.pools.iter().map(|(name, _)| format!("{}/{name}", spec.name)).collect();
        cx.print.json(&serde_json::json!({
            "cluster": spec.name, "pools": pools, "warnings": warnings, "images": verdicts
        }))?;
        return Ok(status);
    }
    up::warn(cx, &warnings);
    if !policy::say(cx, &verdicts) {
        return Ok(status);
    }
    cx.print.line(&format!("{}: good", path.display()))?;
    for (name, pool) in &spec.pools {
        cx.print.line(&format!("  {}/{name}  {} x {}", spec.name, pool.replicas, pool.image))?;
    }
    Ok(DONE)
}

/// `longshore doctor`
pub async fn doctor(cx: &mut Cx<'_>) -> Done {
    let checks = tokio::select! {
        checks = cx.backend.doctor(cx.session.clone()) => checks,
        () = cx.interrupted() => return Err(Stop::said("stopped")),
    };
    if cx.json {
        cx.print.json(&checks)?;
    } else {
        for check in &checks {
            let word = match check.verdict {
                Verdict::Ok => "ok",
                Verdict::Warn => "warn",
                Verdict::Fail => "FAIL",
            };
            cx.print.line(&format!("{word:<4}  {}: {}", check.name, check.finding))?;
            if let Some(advice) = &check.advice {
                cx.print.line(&format!("      -> {advice}"))?;
            }
        }
    }
    let failed = checks.iter().any(|check| check.verdict == Verdict::Fail);
    Ok(if failed { FAILED } else { DONE })
}
