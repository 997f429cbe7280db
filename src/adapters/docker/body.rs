//! From a pool's specification to the engine's request: pure, no call is made here.

use std::collections::HashMap;

use bollard::models::{
    ContainerCreateBody, EndpointSettings, HealthConfig, HostConfig, Mount as EngineMount, MountType,
    NetworkingConfig, PortBinding, PortMap, RestartPolicy, RestartPolicyNameEnum,
};

use crate::model::container::Tag;
use crate::model::pool::{HealthCheck, Mount, MountKind, Network, PoolSpec, Port};

/// The whole request for one container. Only the first network is in it: engines before API 1.44 refuse more, so the
/// others are joined by calls of their own.
pub(super) fn create(tag: &Tag, spec: &PoolSpec) -> ContainerCreateBody {
    let mut labels: HashMap<String, String> = spec.labels.clone().into_iter().collect();
    labels.extend(tag.to_labels());
    ContainerCreateBody {
        image: Some(spec.image.clone()),
        cmd: spec.command.clone(),
        // One empty word is the API's way to say "no entry point"; an empty list would mean the image's own.
        entrypoint: spec.entrypoint.clone().map(|e| if e.is_empty() { vec![String::new()] } else { e }),
        env: Some(spec.environment.iter().map(|(k, v)| format!("{k}={v}")).collect()),
        user: spec.user.clone(),
        working_dir: spec.working_dir.clone(),
        labels: Some(labels),
        stop_signal: spec.stop_signal.clone(),
        stop_timeout: Some(grace_seconds(spec.stop_grace_ms)),
        healthcheck: spec.healthcheck.as_ref().map(health),
        exposed_ports: Some(spec.ports.iter().map(port_key).collect()),
        host_config: Some(host(spec)),
        networking_config: spec.networks.first().map(|first| NetworkingConfig {
            endpoints_config: Some(HashMap::from([(first.name.clone(), endpoint(first))])),
        }),
        ..ContainerCreateBody::default()
    }
}

/// Whole seconds, rounded up: the engine knows no smaller unit, and a container must not get less than was promised.
pub(super) fn grace_seconds(ms: u64) -> i64 {
    i64::try_from(ms.div_ceil(1000)).unwrap_or(i64::MAX)
}

/// How a container joins a network.
pub(super) fn endpoint(network: &Network) -> EndpointSettings {
    let aliases = (!network.aliases.is_empty()).then(|| network.aliases.clone());
    EndpointSettings { aliases, ..EndpointSettings::default() }
}

fn host(spec: &PoolSpec) -> HostConfig {
    let limits = &spec.resources;
    HostConfig {
        network_mode: spec.network_mode.clone().or_else(|| spec.networks.first().map(|n| n.name.clone())),
        port_bindings: Some(bindings(&spec.ports)),
        // Longshore itself mends its pools: an engine that also restarts would fight with it.
        restart_policy: Some(RestartPolicy {
            name: Some(RestartPolicyNameEnum::NO),
            maximum_retry_count: None,
        }),
        mounts: Some(spec.mounts.iter().map(mount).collect()),
        nano_cpus: limits.cpu_limit_milli.map(|milli| signed(milli.saturating_mul(1_000_000))),
        // The engine has no reservation of CPU, only weights: 1024 is the weight of one core by convention.
        cpu_shares: limits.cpu_reserved_milli.map(|milli| signed((milli * 1024 / 1000).max(2))),
        memory: limits.memory_limit.map(signed),
        memory_reservation: limits.memory_reserved.map(signed),
        pids_limit: limits.pids_limit,
        ..HostConfig::default()
    }
}

fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn port_key(port: &Port) -> String {
    format!("{}/{}", port.target, port.protocol)
}

fn bindings(ports: &[Port]) -> PortMap {
    let mut map = PortMap::new();
    for port in ports {
        let binding = PortBinding {
            host_ip: port.host_ip.clone(),
            host_port: Some(port.published.map(|p| p.to_string()).unwrap_or_default()),
        };
        map.entry(port_key(port)).or_default().get_or_insert_default().push(binding);
    }
    map
}

fn mount(mount: &Mount) -> EngineMount {
    let typ = match mount.kind {
        MountKind::Bind => MountType::BIND,
        MountKind::Volume => MountType::VOLUME,
        MountKind::Tmpfs => MountType::TMPFS,
    };
    EngineMount {
        typ: Some(typ),
        source: (!mount.source.is_empty()).then(|| mount.source.clone()),
        target: Some(mount.target.clone()),
        read_only: Some(mount.read_only),
        ..EngineMount::default()
    }
}

fn health(check: &HealthCheck) -> HealthConfig {
    let nanos = |ms: Option<u64>| ms.map(|ms| signed(ms.saturating_mul(1_000_000)));
    HealthConfig {
        test: Some(check.test.clone()),
        interval: nanos(check.interval_ms),
        timeout: nanos(check.timeout_ms),
        retries: check.retries.map(i64::from),
        start_period: nanos(check.start_period_ms),
        start_interval: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::{InstallId, OpId, PoolId};
    use crate::model::pool::Resources;

    #[test]
    fn every_field_of_a_pool_reaches_the_engine() {
        let tag = Tag {
            install: InstallId("0a1b2c3d".into()),
            pool: PoolId::new("feed", "web").unwrap(),
            slot: 7,
            generation: 2,
            revision: 3,
            op: OpId(41),
        };
        let port = |published| Port { target: 80, published, host_ip: None, protocol: "tcp".into() };
        let network =
            |name: &str| Network { name: name.into(), aliases: vec!["web".into()], external: false };
        let mount = |kind, source: &str| Mount {
            kind,
            source: source.into(),
            target: "/t".into(),
            read_only: true,
            external: false,
        };
        let spec = PoolSpec {
            image: "lab/busybox:1".into(),
            command: Some(vec!["sleep".into(), "9".into()]),
            entrypoint: Some(vec![]),
            environment: [("A".into(), "b=c".into())].into(),
            ports: vec![port(Some(8080)), port(None)],
            mounts: vec![
                mount(MountKind::Bind, "/s"),
                mount(MountKind::Volume, ""),
                mount(MountKind::Tmpfs, ""),
            ],
            networks: vec![network("feed_default"), network("other")],
            labels: [("a".into(), "b".into()), ("io.longshore.slot".into(), "99".into())].into(),
            user: Some("1:1".into()),
            working_dir: Some("/w".into()),
            healthcheck: Some(HealthCheck {
                test: vec!["NONE".into()],
                interval_ms: Some(1),
                timeout_ms: None,
                retries: Some(3),
                start_period_ms: None,
            }),
            stop_signal: Some("INT".into()),
            stop_grace_ms: 1001,
            resources: Resources {
                cpu_limit_milli: Some(1500),
                memory_limit: Some(1 << 20),
                pids_limit: Some(9),
                cpu_reserved_milli: Some(500),
                memory_reserved: Some(1 << 19),
                ..Resources::default()
            },
            ..PoolSpec::default()
        };
        // Sorted by way of a JSON value: the maps in it have no order of their own.
        let json = serde_json::to_value(create(&tag, &spec)).unwrap();
        insta::assert_snapshot!(serde_json::to_string_pretty(&json).unwrap());
    }
}
