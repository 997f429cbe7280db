//! One service of a pool file: the plain keys here, the others by the files beside this one.

use crate::model::pool::{PoolSpec, STOP_GRACE_MS};
use crate::spec::cx::{Cx, Field, Section, join};
use crate::spec::fault::{At, PoolFileFault};
use crate::spec::file::Cluster;
use crate::spec::tree::Value;
use crate::spec::{deploy, environment, health, image, keys, mounts, networks, ports, words};

/// Reads a service as the pool `name`. What is wrong is reported; the result then holds what was understood.
pub fn read(cx: &mut Cx<'_>, cluster: &Cluster, name: &str, at: At, field: &Field<'_>) -> PoolSpec {
    let mut spec = PoolSpec {
        stop_grace_ms: STOP_GRACE_MS,
        update_parallelism: 1,
        replicas: 1,
        core: cluster.core,
        ..PoolSpec::default()
    };
    if field.node.value == Value::Null {
        let fault = PoolFileFault::new(at, &field.path, "the service is empty");
        cx.error(fault.expected("at least `image`"));
        return spec;
    }
    let service = cx.section(field, &keys::SERVICE);
    read_image(cx, &service, at, field, &mut spec);
    spec.command = service.get("command").and_then(|f| command(cx, &f));
    spec.entrypoint = service.get("entrypoint").and_then(|f| command(cx, &f));
    spec.environment = environment::read(cx, &service);
    spec.ports = ports::read(cx, &service);
    spec.mounts = mounts::read(cx, cluster, &service);
    networks::read(cx, cluster, &service, name, &mut spec);
    if let Some(labels) = service.get("labels") {
        spec.labels = deploy::labels_of(cx, &labels);
    }
    spec.healthcheck = health::read(cx, &service);
    read_process(cx, &service, &mut spec);
    deploy::read(cx, &cluster.name, name, &service, &mut spec);
    spec
}

fn read_image(cx: &mut Cx<'_>, service: &Section<'_>, at: At, field: &Field<'_>, spec: &mut PoolSpec) {
    if let Some(policy) = service.get("pull_policy")
        && let Some(text) = cx.text(&policy)
        && !matches!(text, "missing" | "if_not_present")
    {
        spec.placement.image_must_be_there = text == "never";
        if text != "never" {
            let fault = policy.fault(format!("the pull policy {text:?} is not supported"));
            let fault = fault.expected("missing, or never");
            cx.error(fault.hint("give every version of the image a tag of its own"));
        }
    }
    let Some(image) = service.get("image") else {
        let Value::Map(entries) = &field.node.value else { return };
        if !entries.iter().any(|e| e.key == "build" || e.key == "extends" || e.key == "provider") {
            let fault = PoolFileFault::new(at, &join(&field.path, "image"), "the service has no `image`");
            cx.error(fault.expected("the image that its containers are made from"));
        }
        return;
    };
    let Some(text) = cx.text(&image) else { return };
    if let Err(why) = image::check(text) {
        let fault = image.fault(format!("{text:?} is not an image: {why}"));
        cx.error(fault.expected("[registry[:port]/]name[:tag][@digest]"));
    }
    text.clone_into(&mut spec.image);
}

/// A list of words, or a line that is split as a shell would.
fn command(cx: &mut Cx<'_>, field: &Field<'_>) -> Option<Vec<String>> {
    if let Value::List(_) = field.node.value {
        return Some(cx.texts(field));
    }
    match words::split(cx.text(field)?) {
        Ok(words) => Some(words),
        Err(why) => {
            cx.error(field.fault(why).hint("write it as a list: [program, argument]"));
            None
        }
    }
}

/// User, folder and end of the process.
fn read_process(cx: &mut Cx<'_>, service: &Section<'_>, spec: &mut PoolSpec) {
    let mut text = |key: &str, fine: &dyn Fn(&str) -> bool, expected: &str| -> Option<String> {
        let field = service.get(key)?;
        let text = cx.text(&field)?.to_owned();
        if !fine(&text) {
            cx.error(field.fault(format!("{text:?} does not fit here")).expected(expected));
        }
        Some(text)
    };
    let user = |t: &str| !t.is_empty() && !t.contains(char::is_whitespace) && t.split(':').count() <= 2;
    let signal =
        |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+' || b == b'-');
    spec.user = text("user", &user, "NAME or UID, with :GROUP or :GID if needed");
    spec.working_dir = text("working_dir", &|t| t.starts_with('/'), "an absolute path inside the container");
    spec.stop_signal = text("stop_signal", &signal, "a signal like SIGTERM, INT or 15");
    if let Some(ms) = service.get("stop_grace_period").and_then(|f| cx.duration(&f)) {
        spec.stop_grace_ms = ms;
    }
}
