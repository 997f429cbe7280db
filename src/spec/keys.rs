//! The keys of a pool file as a table: which are obeyed, which have no effect, which are refused, and why.

/// What we do with a key of the Compose Specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Understood and obeyed.
    Obey,
    /// Cannot change anything; not worth a word.
    Ignore,
    /// Cannot change what runs: a warning with the reason.
    Warn(&'static str),
    /// Changes what runs, and we do not do it: an error with the reason and a hint.
    Refuse(&'static str, &'static str),
}

use Rule::{Ignore, Obey, Refuse, Warn};

/// The keys of one kind of map.
#[derive(Debug)]
pub struct Table {
    /// What the map is, for messages.
    pub name: &'static str,
    /// Its keys.
    pub keys: &'static [(&'static str, Rule)],
}

impl Table {
    /// The rule of a key; `None` when there is no such key.
    pub fn rule(&self, key: &str) -> Option<&'static Rule> {
        self.keys.iter().find(|(name, _)| *name == key).map(|(_, rule)| rule)
    }
}

const NOT_SET: &str = "the containers would start without it";
const DROP: &str = "remove the key";
const IN_IMAGE: &str = "remove the key, or set it up in the image";
const COMPOSE_ONLY: &str = "only `docker compose` uses it";

/// The top level.
pub const FILE: Table = Table {
    name: "a pool file",
    keys: &[
        ("name", Obey),
        ("services", Obey),
        ("volumes", Obey),
        ("networks", Obey),
        ("x-longshore", Obey),
        ("version", Warn("the Compose Specification gave it up; remove it")),
        ("include", Refuse("one file describes a cluster", "copy the included services into this file")),
        ("secrets", Refuse(NOT_SET, "mount the files with `volumes`")),
        ("configs", Refuse(NOT_SET, "mount the files with `volumes`")),
        ("models", Refuse(NOT_SET, DROP)),
    ],
};

/// A service, that is a pool.
pub const SERVICE: Table = Table {
    name: "a service",
    keys: &[
        ("image", Obey),
        ("command", Obey),
        ("entrypoint", Obey),
        ("environment", Obey),
        ("env_file", Obey),
        ("ports", Obey),
        ("volumes", Obey),
        ("tmpfs", Obey),
        ("networks", Obey),
        ("network_mode", Obey),
        ("labels", Obey),
        ("user", Obey),
        ("working_dir", Obey),
        ("healthcheck", Obey),
        ("stop_signal", Obey),
        ("stop_grace_period", Obey),
        ("restart", Obey),
        ("scale", Obey),
        ("deploy", Obey),
        ("cpus", Obey),
        ("mem_limit", Obey),
        ("mem_reservation", Obey),
        ("pids_limit", Obey),
        ("pull_policy", Obey),
        ("platform", Obey),
        ("x-longshore", Obey),
        ("annotations", Warn("annotations are not passed on")),
        ("attach", Warn(COMPOSE_ONLY)),
        ("container_name", Warn("containers are named after cluster, pool and number")),
        ("depends_on", Warn("pools start together; a container that ends too early is started again")),
        ("develop", Warn(COMPOSE_ONLY)),
        ("expose", Warn("containers of one network reach all ports of each other")),
        (
            "logging",
            Refuse("the engine's own log driver is used", "remove the key, or set the driver in the engine"),
        ),
        ("blkio_config", Refuse(NOT_SET, DROP)),
        ("build", Refuse("images are not built here", "build and push the image, then give `image:`")),
        ("cap_add", Refuse(NOT_SET, IN_IMAGE)),
        ("cap_drop", Refuse("the containers would be less confined", DROP)),
        ("cgroup", Refuse(NOT_SET, DROP)),
        ("cgroup_parent", Refuse(NOT_SET, DROP)),
        ("configs", Refuse(NOT_SET, "mount the files with `volumes`")),
        ("cpu_count", Refuse(NOT_SET, "use `cpus`")),
        ("cpu_percent", Refuse(NOT_SET, "use `cpus`")),
        ("cpu_period", Refuse(NOT_SET, "use `cpus`")),
        ("cpu_quota", Refuse(NOT_SET, "use `cpus`")),
        ("cpu_rt_period", Refuse(NOT_SET, DROP)),
        ("cpu_rt_runtime", Refuse(NOT_SET, DROP)),
        ("cpu_shares", Refuse(NOT_SET, "use `cpus`")),
        ("cpuset", Refuse(NOT_SET, "use `cpus`")),
        ("credential_spec", Refuse(NOT_SET, DROP)),
        ("device_cgroup_rules", Refuse(NOT_SET, DROP)),
        ("devices", Refuse(NOT_SET, DROP)),
        ("dns", Refuse(NOT_SET, "set it in the engine's configuration")),
        ("dns_opt", Refuse(NOT_SET, "set it in the engine's configuration")),
        ("dns_search", Refuse(NOT_SET, "set it in the engine's configuration")),
        ("domainname", Refuse(NOT_SET, DROP)),
        ("extends", Refuse("one file describes a cluster", "use a YAML anchor and `<<: *name`")),
        ("external_links", Refuse(NOT_SET, "use a network that both share")),
        ("extra_hosts", Refuse(NOT_SET, "use the name server of the network")),
        ("gpus", Refuse(NOT_SET, DROP)),
        ("group_add", Refuse(NOT_SET, "use `user: name:group`")),
        ("hostname", Refuse("the containers of a pool have names of their own", DROP)),
        ("init", Refuse(NOT_SET, "put an init program in the image (`entrypoint: [tini, --]`)")),
        ("ipc", Refuse(NOT_SET, DROP)),
        ("isolation", Refuse(NOT_SET, DROP)),
        ("label_file", Refuse(NOT_SET, "write the labels under `labels`")),
        ("links", Refuse(NOT_SET, "use the service's name: pools of a cluster share a network")),
        ("mac_address", Refuse("the containers of a pool need addresses of their own", DROP)),
        ("mem_swappiness", Refuse(NOT_SET, DROP)),
        ("memswap_limit", Refuse(NOT_SET, DROP)),
        ("models", Refuse(NOT_SET, DROP)),
        ("oom_kill_disable", Refuse(NOT_SET, DROP)),
        ("oom_score_adj", Refuse(NOT_SET, DROP)),
        ("pid", Refuse(NOT_SET, DROP)),
        ("post_start", Refuse("hooks are not run", IN_IMAGE)),
        ("pre_stop", Refuse("hooks are not run", IN_IMAGE)),
        ("privileged", Refuse(NOT_SET, "give the program what it needs by `volumes` and `user`")),
        (
            "profiles",
            Refuse("every service of the file is a pool", "keep optional services in a file of their own"),
        ),
        ("provider", Refuse("only containers are run", DROP)),
        ("read_only", Refuse("the containers would be less confined", DROP)),
        ("runtime", Refuse(NOT_SET, "set it in the engine's configuration")),
        ("secrets", Refuse(NOT_SET, "mount the files with `volumes`")),
        ("security_opt", Refuse("the containers would be confined otherwise", DROP)),
        ("shm_size", Refuse(NOT_SET, DROP)),
        ("stdin_open", Refuse("pools run without a terminal", DROP)),
        ("storage_opt", Refuse(NOT_SET, DROP)),
        ("sysctls", Refuse(NOT_SET, "set them on the hosts")),
        ("tty", Refuse("pools run without a terminal", DROP)),
        ("ulimits", Refuse(NOT_SET, "set them in the engine's configuration")),
        ("use_api_socket", Refuse(NOT_SET, DROP)),
        ("userns_mode", Refuse(NOT_SET, DROP)),
        ("uts", Refuse(NOT_SET, DROP)),
        ("volumes_from", Refuse(NOT_SET, "name the volumes under `volumes`")),
    ],
};

/// `deploy`.
pub const DEPLOY: Table = Table {
    name: "deploy",
    keys: &[
        ("replicas", Obey),
        ("resources", Obey),
        ("restart_policy", Obey),
        ("labels", Obey),
        ("update_config", Obey),
        ("mode", Obey),
        ("placement", Obey),
        ("endpoint_mode", Warn("pools have no virtual address")),
        ("rollback_config", Warn("a rollback goes as an update does")),
    ],
};

/// `deploy.placement`.
pub const PLACEMENT: Table = Table {
    name: "deploy.placement",
    keys: &[("constraints", Obey), ("preferences", Obey), ("max_replicas_per_node", Obey)],
};

/// One of `deploy.placement.preferences`.
pub const PREFERENCE: Table = Table { name: "a placement preference", keys: &[("spread", Obey)] };

/// `deploy.resources`.
pub const RESOURCES: Table =
    Table { name: "deploy.resources", keys: &[("limits", Obey), ("reservations", Obey)] };

/// `deploy.resources.limits`.
pub const LIMITS: Table =
    Table { name: "deploy.resources.limits", keys: &[("cpus", Obey), ("memory", Obey), ("pids", Obey)] };

/// `deploy.resources.reservations`.
pub const RESERVATIONS: Table = Table {
    name: "deploy.resources.reservations",
    keys: &[
        ("cpus", Obey),
        ("memory", Obey),
        ("devices", Refuse(NOT_SET, DROP)),
        ("generic_resources", Refuse(NOT_SET, DROP)),
    ],
};

/// `deploy.restart_policy`.
pub const RESTART_POLICY: Table = Table {
    name: "deploy.restart_policy",
    keys: &[("condition", Obey), ("delay", Obey), ("max_attempts", Obey), ("window", Obey)],
};

/// `deploy.update_config`.
pub const UPDATE_CONFIG: Table = Table {
    name: "deploy.update_config",
    keys: &[
        ("parallelism", Obey),
        ("delay", Obey),
        ("failure_action", Warn("an update that fails stops and says so")),
        ("max_failure_ratio", Warn("an update that fails stops and says so")),
        ("monitor", Warn("an update watches the health checks")),
        ("order", Warn("updates go in longshore's own order")),
    ],
};

/// `healthcheck`.
pub const HEALTHCHECK: Table = Table {
    name: "healthcheck",
    keys: &[
        ("test", Obey),
        ("interval", Obey),
        ("timeout", Obey),
        ("retries", Obey),
        ("start_period", Obey),
        ("disable", Obey),
        ("start_interval", Warn("`interval` is used during the start as well")),
    ],
};

/// A port in the long form.
pub const PORT: Table = Table {
    name: "a port",
    keys: &[
        ("target", Obey),
        ("published", Obey),
        ("host_ip", Obey),
        ("protocol", Obey),
        ("name", Ignore),
        ("app_protocol", Ignore),
        ("mode", Obey),
    ],
};

/// A mount in the long form.
pub const MOUNT: Table = Table {
    name: "a volume of a service",
    keys: &[
        ("type", Obey),
        ("source", Obey),
        ("target", Obey),
        ("read_only", Obey),
        ("bind", Obey),
        ("volume", Obey),
        ("tmpfs", Obey),
        ("consistency", Ignore),
        ("image", Refuse("images are not mounted", DROP)),
    ],
};

/// `bind` of a mount.
pub const MOUNT_BIND: Table = Table {
    name: "bind",
    keys: &[
        ("create_host_path", Warn("a missing folder is treated as the engine treats it")),
        ("propagation", Refuse(NOT_SET, DROP)),
        ("recursive", Refuse(NOT_SET, DROP)),
        ("selinux", Refuse(NOT_SET, "label the folder on the host")),
    ],
};

/// `volume` of a mount.
pub const MOUNT_VOLUME: Table = Table {
    name: "volume",
    keys: &[
        ("labels", Warn("volumes are not labelled")),
        ("nocopy", Refuse(NOT_SET, DROP)),
        ("subpath", Refuse(NOT_SET, DROP)),
    ],
};

/// `tmpfs` of a mount.
pub const MOUNT_TMPFS: Table = Table {
    name: "tmpfs",
    keys: &[
        ("size", Refuse("memory of a tmpfs is not limited by itself", "use the memory limit of the pool")),
        ("mode", Refuse(NOT_SET, DROP)),
    ],
};

/// A service's membership of a network.
pub const MEMBERSHIP: Table = Table {
    name: "a network of a service",
    keys: &[
        ("aliases", Obey),
        ("priority", Warn("networks are joined in the order of the file")),
        ("gw_priority", Refuse(NOT_SET, DROP)),
        ("interface_name", Refuse(NOT_SET, DROP)),
        ("ipv4_address", Refuse("the containers of a pool need addresses of their own", DROP)),
        ("ipv6_address", Refuse("the containers of a pool need addresses of their own", DROP)),
        ("link_local_ips", Refuse(NOT_SET, DROP)),
        ("mac_address", Refuse("the containers of a pool need addresses of their own", DROP)),
        ("driver_opts", Refuse(NOT_SET, DROP)),
    ],
};

const MAKE_IT: &str = "make the network yourself and say `external: true`";

/// A network at the top level.
pub const NETWORK: Table = Table {
    name: "a network",
    keys: &[
        ("name", Obey),
        ("external", Obey),
        ("driver", Obey),
        ("labels", Warn("networks carry our labels only")),
        ("attachable", Ignore),
        ("driver_opts", Refuse("networks are made with the engine's defaults", MAKE_IT)),
        ("enable_ipv4", Refuse("networks are made with the engine's defaults", MAKE_IT)),
        ("enable_ipv6", Refuse("networks are made with the engine's defaults", MAKE_IT)),
        ("internal", Refuse("networks are made with the engine's defaults", MAKE_IT)),
        ("ipam", Refuse("networks are made with the engine's defaults", MAKE_IT)),
    ],
};

/// A volume at the top level.
pub const VOLUME: Table = Table {
    name: "a volume",
    keys: &[
        ("name", Obey),
        ("external", Obey),
        ("driver", Obey),
        ("labels", Warn("volumes are not labelled")),
        (
            "driver_opts",
            Refuse(
                "volumes are made with the engine's defaults",
                "make the volume yourself and say `external: true`",
            ),
        ),
    ],
};

/// An `env_file` in the long form.
pub const ENV_FILE: Table =
    Table { name: "an env_file", keys: &[("path", Obey), ("required", Obey), ("format", Obey)] };

/// `x-longshore` at the top level.
pub const X_FILE: Table = Table { name: "x-longshore of a file", keys: &[("core", Obey)] };

/// `x-longshore` of a service.
pub const X_SERVICE: Table = Table {
    name: "x-longshore of a service",
    keys: &[
        ("limits", Obey),
        ("protect", Obey),
        ("core", Obey),
        ("strategy", Obey),
        ("sites", Obey),
        ("apart", Obey),
        ("prefer", Obey),
        ("on_host_loss", Obey),
        ("reserve", Obey),
        ("follow", Refuse("this version does not scale pools after one another", DROP)),
        ("ip", Refuse("this version has no fixed addresses", DROP)),
        ("kind", Refuse("this version has no pets", DROP)),
        ("volume", Refuse("this version makes no volumes of a size", "use `volumes`")),
    ],
};

/// `x-longshore.limits`.
pub const X_LIMITS: Table =
    Table { name: "x-longshore.limits", keys: &[("min", Obey), ("max", Obey), ("step", Obey)] };

/// One of `x-longshore.prefer`.
pub const X_PREFER: Table =
    Table { name: "a wish of x-longshore.prefer", keys: &[("match", Obey), ("weight", Obey)] };

/// `x-longshore.on_host_loss`.
pub const X_ON_HOST_LOSS: Table =
    Table { name: "x-longshore.on_host_loss", keys: &[("rule", Obey), ("after", Obey), ("at_once", Obey)] };

/// `x-longshore.reserve`.
pub const X_RESERVE: Table =
    Table { name: "x-longshore.reserve", keys: &[("disk", Obey), ("bandwidth", Obey)] };

/// Every table, for the tests of the documentation.
pub const ALL: &[&Table] = &[
    &FILE,
    &SERVICE,
    &DEPLOY,
    &PLACEMENT,
    &PREFERENCE,
    &RESOURCES,
    &LIMITS,
    &RESERVATIONS,
    &RESTART_POLICY,
    &UPDATE_CONFIG,
    &HEALTHCHECK,
    &PORT,
    &MOUNT,
    &MOUNT_BIND,
    &MOUNT_VOLUME,
    &MOUNT_TMPFS,
    &MEMBERSHIP,
    &NETWORK,
    &VOLUME,
    &ENV_FILE,
    &X_FILE,
    &X_SERVICE,
    &X_LIMITS,
    &X_PREFER,
    &X_ON_HOST_LOSS,
    &X_RESERVE,
];

/// Most words that a mistyped one is compared with.
const NEAR_MAX: usize = 200;

/// The word among `known` that `word` most likely stands for: at most a third of its letters differ.
pub fn near<'w>(word: &str, known: impl Iterator<Item = &'w str>) -> Option<&'w str> {
    let length = word.chars().count();
    if length > 40 {
        return None;
    }
    let plain = word.to_lowercase().replace('-', "_");
    let known: Vec<&str> = known.take(NEAR_MAX).collect();
    let by_edits = known
        .iter()
        .map(|name| (distance(&plain, &name.to_lowercase().replace('-', "_")), name))
        .filter(|(far, _)| *far <= (length / 3).clamp(1, 3))
        .min_by_key(|(far, _)| *far)
        .map(|(_, name)| *name);
    // `mem` for `memory`.
    let begins = |name: &&&str| length >= 3 && name.to_lowercase().starts_with(&plain);
    by_edits.or_else(|| known.iter().find(begins).copied())
}

/// Edits between two words; two swapped neighbours count as one (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let same = usize::from(a[i - 1] != b[j - 1]);
            let mut best = (rows[i - 1][j] + 1).min(row[j - 1] + 1).min(rows[i - 1][j - 1] + same);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_keys_are_found_and_far_ones_are_not() {
        let nearest = |word| near(word, SERVICE.keys.iter().map(|(name, _)| *name));
        let cases =
            [("enviroment", "environment"), ("port", "ports"), ("Image", "image"), ("env-file", "env_file")];
        for (typed, meant) in cases {
            assert_eq!(nearest(typed), Some(meant), "{typed}");
        }
        assert_eq!(nearest("hcaltehkceh"), None);
        assert_eq!(nearest(""), None);
    }

    #[test]
    fn no_key_stands_twice_in_its_table() {
        for table in ALL {
            let mut names: Vec<_> = table.keys.iter().map(|(name, _)| name).collect();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), table.keys.len(), "{}", table.name);
        }
    }
}
