//! An Ansible inventory, however it was written: groups in groups, variables by their precedence, and the hosts of it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::spec::fault::{At, PoolFileFault};
use crate::spec::inventory::draft::{Draft, FIELDS, Placed, is_address};
use crate::spec::inventory::sheet::Sheet;
use crate::spec::inventory::{GROUP_LABEL, HOSTS_MAX};
use crate::spec::keys;

/// Most groups of one inventory, and most that one host is in: guards against hostile files.
const GROUPS_MAX: usize = 5_000;
const GROUPS_OF_HOST_MAX: usize = 256;
/// The two groups that every inventory has.
pub const ALL: &str = "all";
/// Hosts in no other group.
pub const UNGROUPED: &str = "ungrouped";
/// What our own variables begin with.
const OURS: &str = "longshore_";
/// Variables of Ansible that say how a host is reached; the second is the older name.
const REACH: [[&str; 2]; 3] = [
    ["ansible_host", "ansible_ssh_host"],
    ["ansible_user", "ansible_ssh_user"],
    ["ansible_port", "ansible_ssh_port"],
];
/// Connections that go by ssh.
const BY_SSH: [&str; 4] = ["ssh", "smart", "paramiko", "paramiko_ssh"];
/// The engine of the machine that longshore runs on.
const LOCAL: &str = "unix:///var/run/docker.sock";

/// A group.
#[derive(Debug, Default)]
pub struct Group {
    /// Where it is named first.
    pub at: At,
    /// Its own variables.
    pub vars: BTreeMap<String, Placed>,
    /// Groups within it.
    pub children: BTreeSet<String>,
}

/// A host.
#[derive(Debug, Default)]
pub struct Host {
    /// Its name in the inventory.
    pub name: String,
    /// Where it is named first.
    pub at: At,
    /// Its own variables.
    pub vars: BTreeMap<String, Placed>,
    /// The groups that name it.
    pub groups: BTreeSet<String>,
}

/// All that an inventory says.
#[derive(Debug, Default)]
pub struct Inventory {
    /// Groups by name.
    pub groups: BTreeMap<String, Group>,
    /// Hosts in the file's order.
    pub hosts: Vec<Host>,
    index: HashMap<String, usize>,
}

impl Inventory {
    /// A group of this name, made when it is new.
    pub fn group(&mut self, name: &str, at: At) -> &mut Group {
        self.groups.entry(name.to_owned()).or_insert_with(|| Group { at, ..Group::default() })
    }

    /// A host of this name, made when it is new, as a member of `group`. `None` when there are too many.
    pub fn host(&mut self, name: &str, at: At, group: &str) -> Option<&mut Host> {
        let next = self.hosts.len();
        let i = *self.index.entry(name.to_owned()).or_insert(next);
        if i == next {
            if next >= HOSTS_MAX {
                return None;
            }
            self.hosts.push(Host { name: name.to_owned(), at, ..Host::default() });
        }
        let host = self.hosts.get_mut(i)?;
        host.groups.insert(group.to_owned());
        Some(host)
    }
}

/// The rank of a group's variables: deeper groups win, then those of higher `ansible_group_priority`, then later names.
type Rank = (usize, i64, String);

/// Works out every host with its variables and groups, and adds it to the sheet.
pub fn hosts(sheet: &mut Sheet, inventory: &Inventory) {
    if inventory.groups.len() > GROUPS_MAX {
        let what = format!("there are {} groups", inventory.groups.len());
        return sheet
            .fault(PoolFileFault::new(At::default(), "", what).expected(format!("at most {GROUPS_MAX}")));
    }
    unknown_variables(sheet, inventory);
    let mut parents: HashMap<&str, Vec<&str>> = HashMap::new();
    for (name, group) in &inventory.groups {
        for child in &group.children {
            parents.entry(child).or_default().push(name);
        }
    }
    let Some(ranks) = ranks(sheet, inventory) else { return };
    for host in &inventory.hosts {
        let Some(member) = memberships(sheet, host, &parents) else { continue };
        let mut order: Vec<&Rank> = member.iter().filter_map(|name| ranks.get(name)).collect();
        order.sort_unstable();
        let chain: Vec<&BTreeMap<String, Placed>> = std::iter::once(&host.vars)
            .chain(order.iter().rev().filter_map(|(_, _, name)| Some(&inventory.groups.get(name)?.vars)))
            .collect();
        let look = |name: &str| chain.iter().find_map(|vars| vars.get(name));
        draft(sheet, host, &member, &look).check(sheet);
    }
}

/// A variable of ours that there is not is a slip of the pen.
fn unknown_variables(sheet: &mut Sheet, inventory: &Inventory) {
    let of_groups = inventory.groups.values().flat_map(|g| &g.vars);
    for (name, given) in of_groups.chain(inventory.hosts.iter().flat_map(|h| &h.vars)) {
        let Some(field) = name.strip_prefix(OURS).filter(|field| !FIELDS.contains(field)) else { continue };
        let fault = PoolFileFault::new(given.at, name, format!("longshore knows no variable {name}"));
        sheet.fault(match keys::near(field, FIELDS.iter().copied()) {
            Some(near) => fault.hint(format!("did you mean {OURS}{near}?")),
            None => fault.expected(format!("{OURS} and one of {}", FIELDS.join(", "))),
        });
    }
}

/// The rank of every group; `None` when groups contain themselves. The depth is the longest way from `all`.
fn ranks(sheet: &mut Sheet, inventory: &Inventory) -> Option<BTreeMap<String, Rank>> {
    let mut waits: BTreeMap<&str, usize> = inventory.groups.keys().map(|n| (n.as_str(), 0)).collect();
    for child in inventory.groups.values().flat_map(|g| &g.children) {
        *waits.entry(child).or_default() += 1;
    }
    let mut depths: BTreeMap<&str, usize> = BTreeMap::new();
    let mut ready: Vec<&str> = waits.iter().filter(|(_, n)| **n == 0).map(|(name, _)| *name).collect();
    while let Some(name) = ready.pop() {
        let depth = *depths.entry(name).or_insert(usize::from(name != ALL));
        for child in inventory.groups.get(name).into_iter().flat_map(|g| &g.children) {
            let deep = depths.entry(child).or_insert(1);
            *deep = (*deep).max(depth + 1);
            if let Some(n) = waits.get_mut(child.as_str()) {
                *n -= 1;
                if *n == 0 {
                    ready.push(child);
                }
            }
        }
    }
    let looped: Vec<&str> = waits.iter().filter(|(_, n)| **n > 0).map(|(name, _)| *name).collect();
    if let Some(first) = looped.first() {
        let at = inventory.groups.get(*first).map(|g| g.at).unwrap_or_default();
        let what = format!(
            "groups contain themselves: {}",
            looped.iter().take(5).copied().collect::<Vec<_>>().join(", ")
        );
        sheet.fault(PoolFileFault::new(at, "", what).hint("take one of them out of `children`"));
        return None;
    }
    let priority = |name: &str| {
        let given = inventory.groups.get(name)?.vars.get("ansible_group_priority")?;
        given.text.trim().parse::<i64>().ok()
    };
    let rank = |(name, depth): (&&str, &usize)| {
        ((*name).to_owned(), (*depth, priority(name).unwrap_or(1), (*name).to_owned()))
    };
    Some(depths.iter().map(rank).collect())
}

/// Every group that a host is in, directly or through others, with `all` and, when it is in no other, `ungrouped`.
fn memberships(
    sheet: &mut Sheet,
    host: &Host,
    parents: &HashMap<&str, Vec<&str>>,
) -> Option<BTreeSet<String>> {
    let mut member = BTreeSet::new();
    let mut open: Vec<&str> = host.groups.iter().map(String::as_str).collect();
    while let Some(name) = open.pop() {
        if name != UNGROUPED && member.insert(name.to_owned()) {
            open.extend(parents.get(name).into_iter().flatten());
        }
        if member.len() > GROUPS_OF_HOST_MAX {
            let what = format!("the host {:?} is in too many groups", host.name);
            sheet.fault(
                PoolFileFault::new(host.at, "", what).expected(format!("at most {GROUPS_OF_HOST_MAX}")),
            );
            return None;
        }
    }
    if member.iter().all(|name| name == ALL) {
        member.insert(UNGROUPED.to_owned());
    }
    member.insert(ALL.to_owned());
    Some(member)
}

fn draft<'v>(
    sheet: &mut Sheet,
    host: &Host,
    member: &BTreeSet<String>,
    look: &dyn Fn(&str) -> Option<&'v Placed>,
) -> Draft {
    let mut draft = Draft { at: host.at, name: host.name.clone(), ..Draft::default() };
    for field in FIELDS {
        if let Some(given) = look(&format!("{OURS}{field}")) {
            draft.fields.insert(field, given.clone());
        }
    }
    if let (false, Some(given)) = (draft.fields.contains_key("site"), look("site")) {
        draft.fields.insert("site", given.clone());
    }
    if !draft.fields.contains_key("address") {
        let address = address(sheet, host, look);
        draft.address_said = address.is_none();
        draft.fields.extend(address.map(|address| ("address", address)));
    }
    for (name, given) in &draft.fields {
        if ["{{", "{%"].iter().any(|mark| given.text.contains(mark)) {
            draft.address_said |= *name == "address";
            let fault = PoolFileFault::new(given.at, name, "templates are not evaluated here");
            sheet.fault(fault.expected("a plain value").hint(format!("give the host {OURS}{name}")));
        }
    }
    let groups = member.iter().filter(|name| !matches!(name.as_str(), ALL | UNGROUPED));
    draft.labels = groups
        .map(|name| (format!("{GROUP_LABEL}{name}"), Placed { at: host.at, text: "true".to_owned() }))
        .collect();
    draft
}

/// `ssh://[user@]host[:port]` from Ansible's variables, or this machine's engine for local connections.
fn address<'v>(sheet: &mut Sheet, host: &Host, look: &dyn Fn(&str) -> Option<&'v Placed>) -> Option<Placed> {
    let connection = look("ansible_connection").map(|c| (c, c.text.rsplit('.').next().unwrap_or("")));
    match connection {
        Some((given, "local")) => return Some(Placed { at: given.at, text: LOCAL.to_owned() }),
        Some((given, other)) if !BY_SSH.contains(&other) => {
            let what = format!("the connection {:?} of {:?} reaches no engine", given.text, host.name);
            let fault = PoolFileFault::new(given.at, "ansible_connection", what).expected("ssh or local");
            sheet.fault(fault.hint(format!("give the host {OURS}address")));
            return None;
        }
        _ => {}
    }
    let [machine, user, port] = REACH.map(|names| names.iter().find_map(|name| look(name)));
    let name = machine.map_or(host.name.as_str(), |m| m.text.as_str());
    let shown =
        if name.parse::<std::net::Ipv6Addr>().is_ok() { format!("[{name}]") } else { name.to_owned() };
    let user_part = user.map_or_else(String::new, |u| format!("{}@", u.text));
    let port_part = port.map_or_else(String::new, |p| format!(":{}", p.text));
    let text = format!("ssh://{user_part}{shown}{port_part}");
    let at = machine.or(user).or(port).map_or(host.at, |given| given.at);
    let port_fits = port.is_none_or(|p| p.text.parse::<u16>().is_ok_and(|n| n > 0));
    // Ansible takes a comment behind a variable of a group as part of its value: such an address has blanks.
    if !port_fits || !is_address(&text) || [name, &user_part].iter().any(|t| t.contains('/')) {
        let what = format!("the variables of {:?} make no address: {text:?}", host.name);
        let fault =
            PoolFileFault::new(at, "", what).expected("ssh://[ansible_user@]ansible_host[:ansible_port]");
        sheet.fault(fault.hint(format!("mend them, or give the host {OURS}address")));
        return None;
    }
    Some(Placed { at, text })
}
