//! Where a service's containers are placed: `deploy.placement`, `platform`, and what `x-longshore` says about hosts.

use std::str::FromStr;

use crate::base::fault::Fault;
use crate::base::ids::{PoolId, SiteName};
use crate::model::constraint::{ATTRIBUTE_EXPECTED, EXPRESSION_EXPECTED};
use crate::model::placement::{LossRule, OnLoss, Placement, Preference};
use crate::model::pool::REPLICAS_MAX;
use crate::spec::cx::{Cx, Field, Section};
use crate::spec::keys;
use crate::spec::tree::Value;

/// Most constraints, preferences and wishes of one pool: each is looked at for every host.
const RULES_MAX: usize = 100;

/// What Compose says about hosts. `image_must_be_there` is read with the image.
pub fn service(cx: &mut Cx<'_>, service: &Section<'_>, deploy: &Section<'_>, to: &mut Placement) {
    to.platform = service.get("platform").and_then(|f| platform(cx, &f));
    if let Some(field) = deploy.get("placement") {
        compose(cx, &field, to);
    }
}

/// A fault of the model at the place of a value: what is wrong, and what was expected or can be done.
fn parsed<T: FromStr<Err = Fault>>(cx: &mut Cx<'_>, field: &Field<'_>, expected: &str) -> Option<T> {
    match cx.text(field)?.parse() {
        Ok(value) => Some(value),
        Err(fault) => {
            let said: Fault = fault;
            let place = field.fault(said.to_string());
            cx.error(match said.hint.as_deref().map(|hint| (hint, hint.strip_prefix("write "))) {
                // The model knows better than the place what would be right.
                Some((_, Some(right))) => place.expected(right),
                Some((hint, None)) if !hint.contains(expected) => place.expected(expected).hint(hint),
                _ => place.expected(expected),
            });
            None
        }
    }
}

fn capped<'t>(cx: &mut Cx<'_>, field: &Field<'t>) -> Vec<Field<'t>> {
    let items = cx.list(field);
    if items.len() > RULES_MAX {
        cx.error(
            field
                .fault(format!("there are {} of them", items.len()))
                .expected(format!("at most {RULES_MAX}")),
        );
        return Vec::new();
    }
    items
}

fn platform(cx: &mut Cx<'_>, field: &Field<'_>) -> Option<String> {
    let text = cx.text(field)?.to_ascii_lowercase();
    let word = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let parts: Vec<&str> = text.split('/').collect();
    if !matches!(parts.len(), 2 | 3) || !parts.iter().all(|p| word(p)) {
        cx.error(field.fault(format!("{text:?} is not a platform")).expected("OS/ARCH, like linux/amd64"));
        return None;
    }
    Some(text)
}

fn compose(cx: &mut Cx<'_>, field: &Field<'_>, to: &mut Placement) {
    let section = cx.section(field, &keys::PLACEMENT);
    if let Some(field) = section.get("constraints") {
        let items = capped(cx, &field);
        to.constraints = items.iter().filter_map(|item| parsed(cx, item, EXPRESSION_EXPECTED)).collect();
    }
    if let Some(field) = section.get("preferences") {
        for item in capped(cx, &field) {
            let preference = cx.section(&item, &keys::PREFERENCE);
            match preference.get("spread") {
                Some(spread) => to.spread.extend(parsed(cx, &spread, ATTRIBUTE_EXPECTED)),
                None if matches!(item.node.value, Value::Map(_)) => {
                    cx.error(item.fault("the preference asks for nothing").expected("spread: ATTRIBUTE"));
                }
                None => {}
            }
        }
    }
    if let Some(field) = section.get("max_replicas_per_node") {
        // Zero is no limit, as in Compose.
        to.max_per_host = cx.number(&field, 0, i64::from(REPLICAS_MAX)).filter(|n| *n > 0);
    }
}

/// What `x-longshore` of the pool `cluster/name` says about hosts.
pub fn extension(cx: &mut Cx<'_>, cluster: &str, name: &str, ours: &Section<'_>, to: &mut Placement) {
    if let Some(field) = ours.get("strategy") {
        to.strategy = parsed(cx, &field, "spread, binpack or random").unwrap_or_default();
    }
    if let Some(field) = ours.get("sites") {
        for item in capped(cx, &field) {
            let site: Option<SiteName> = parsed(cx, &item, "the name of a site");
            once(cx, &item, &mut to.sites, site);
        }
    }
    if let Some(field) = ours.get("apart") {
        for item in capped(cx, &field) {
            let pool = other_pool(cx, cluster, name, &item);
            once(cx, &item, &mut to.apart, pool);
        }
    }
    if let Some(field) = ours.get("prefer") {
        for item in capped(cx, &field) {
            to.prefer.extend(wish(cx, &item));
        }
    }
    if let Some(field) = ours.get("on_host_loss") {
        to.on_loss = on_loss(cx, &field);
    }
}

fn once<T: PartialEq>(cx: &mut Cx<'_>, item: &Field<'_>, all: &mut Vec<T>, one: Option<T>) {
    let Some(one) = one else { return };
    if all.contains(&one) {
        cx.error(item.fault("this is given twice").hint("keep one of them"));
    } else {
        all.push(one);
    }
}

/// `POOL` of the same cluster, or `CLUSTER/POOL`.
fn other_pool(cx: &mut Cx<'_>, cluster: &str, name: &str, item: &Field<'_>) -> Option<PoolId> {
    let text = cx.text(item)?;
    let whole = if text.contains('/') { text.to_owned() } else { format!("{cluster}/{text}") };
    match whole.parse::<PoolId>() {
        Ok(pool) if pool.cluster.as_str() == cluster && pool.pool.as_str() == name => {
            let fault = item.fault("a pool cannot be kept apart from itself");
            cx.error(fault.hint("`deploy.placement.max_replicas_per_node: 1` puts one container on a host"));
            None
        }
        Ok(pool) => Some(pool),
        Err(fault) => {
            cx.error(item.fault(fault.to_string()).expected("a pool of this file, or CLUSTER/POOL"));
            None
        }
    }
}

fn wish(cx: &mut Cx<'_>, item: &Field<'_>) -> Option<Preference> {
    let section = cx.section(item, &keys::X_PREFER);
    let (matches, weight) = (section.get("match"), section.get("weight"));
    if matches!(item.node.value, Value::Map(_)) && (matches.is_none() || weight.is_none()) {
        let missing = if matches.is_none() { "match" } else { "weight" };
        let fault = item.fault(format!("the wish has no `{missing}`"));
        cx.error(fault.expected("{match: EXPRESSION, weight: 1 to 100, or -100 to -1 to avoid}"));
    }
    let constraint = matches.and_then(|f| parsed(cx, &f, EXPRESSION_EXPECTED));
    let number = weight.as_ref().and_then(|f| cx.number::<i32>(f, -100, 100));
    if let (Some(0), Some(field)) = (number, &weight) {
        cx.error(
            field.fault("a wish of weight 0 asks for nothing").expected("1 to 100, or -100 to -1 to avoid"),
        );
        return None;
    }
    Some(Preference { constraint: constraint?, weight: number? })
}

/// A rule alone, or a map with the rule and its numbers.
fn on_loss(cx: &mut Cx<'_>, field: &Field<'_>) -> OnLoss {
    let expected = "wait, elsewhere, same-class or never";
    let mut out = OnLoss::default();
    if matches!(field.node.value, Value::Text(_)) {
        out.rule = parsed::<LossRule>(cx, field, expected);
        return out;
    }
    let section = cx.section(field, &keys::X_ON_HOST_LOSS);
    out.rule = section.get("rule").and_then(|f| parsed(cx, &f, expected));
    if let Some(ms) = section.get("after").and_then(|f| cx.duration(&f)) {
        out.after_ms = ms;
    }
    if let Some(n) = section.get("at_once").and_then(|f| cx.number(&f, 1, i64::from(REPLICAS_MAX))) {
        out.at_once = n;
    }
    out
}
