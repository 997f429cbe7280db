//! `advice`: risks, each with its evidence and the command that mends it.

use crate::base::ids::HostId;
use crate::cli::Purpose;
use crate::cli::cx::{Cx, Done, Stop, listing_status};
use crate::model::command::Target;
use crate::model::world::World;
use crate::view::advice::{Advice, advise};
use crate::view::json::fleet::AdviceRecord;

/// `longshore advice`
pub async fn run(cx: &mut Cx<'_>, target: Option<&str>) -> Done {
    let engine = cx.open(Purpose::Look).await?;
    let world = cx.settled(&engine).await?;
    if let Some(target) = target
        && !is_known(&world, target)
    {
        return Err(Stop::said(format!("there is no pool, cluster, host or site {target}"))
            .hint("see `longshore pools`, `longshore hosts` and `longshore sites`"));
    }
    let about = |advice: &Advice| target.is_none_or(|target| concerns(&advice.subject, target));
    let found: Vec<Advice> = advise(&world, cx.now()).into_iter().filter(about).collect();
    if cx.json {
        let records: Vec<AdviceRecord<'_>> = found.iter().map(AdviceRecord::of).collect();
        cx.print.json(&records)?;
        return Ok(listing_status(&world));
    }
    if found.is_empty() {
        let all = world.hosts.values().all(|host| host.is_live());
        let known = if all { "" } else { " in what is known, but not every host answers" };
        cx.print.note(&format!("no risk was found{known}"));
    }
    for advice in &found {
        let Advice { risk, severity, subject, evidence, command } = advice;
        cx.print.line(&format!("{:<6}  {subject}: {risk}: {evidence}", severity.word()))?;
        cx.print.line(&format!("        -> {command}"))?;
    }
    Ok(listing_status(&world))
}

/// True for a subject that is the target, or one of its pools.
fn concerns(subject: &str, target: &str) -> bool {
    subject == target || subject.strip_prefix(target).is_some_and(|rest| rest.starts_with('/'))
}

fn is_known(world: &World, target: &str) -> bool {
    let pools = target.parse::<Target>().is_ok_and(|t| world.pools.keys().any(|id| t.covers(id)));
    let host = target.parse::<HostId>().is_ok_and(|id| world.hosts.contains_key(&id));
    pools || host || target.parse().is_ok_and(|site| world.sites.contains_key(&site))
}
