//! `hosts label`: changes of what is recorded about hosts.

use std::collections::BTreeMap;

use crate::base::fault::{Fault, Kind};
use crate::base::ids::HostId;
use crate::cli::act;
use crate::cli::args::hosts::HostLabel;
use crate::cli::cx::{Cx, Done, Stop};
use crate::cli::hosts::stated::{Stated, label};
use crate::cli::hosts::{Named, host_id};
use crate::model::command::{Command, HostEdit};
use crate::model::constraint::is_label_key;

/// `longshore hosts label`
pub async fn run(cx: &mut Cx<'_>, args: &HostLabel) -> Done {
    let (names, labels) = words(&args.words)?;
    let stated = Stated::read(&args.record)?;
    if labels.is_empty() && stated == Stated::default() {
        let fault = Fault::new(Kind::Invalid, "nothing is to be changed");
        return Err(Stop::usage(&fault.hint("write KEY=VALUE, KEY-, --site, --class or another option")));
    }
    if args.of_site.is_some() && !names.is_empty() {
        let fault =
            Fault::new(Kind::Invalid, "--of-site means all hosts of a site, and hosts are named besides");
        return Err(Stop::usage(&fault.hint("name the hosts, or the site")));
    }
    let named = Named::read(&names, args.of_site.as_deref())?;
    let engine = act::connect(cx).await?;
    let hosts = named.hosts(cx, &engine).await?;
    let world = cx.present(&engine);
    let edits = hosts.into_iter().map(|host| {
        let before = world.hosts.get(&host).map(|view| view.record.capacity).unwrap_or_default();
        (host, stated.edit(&labels, before))
    });
    act::send(cx, &engine, together(edits), act::Patience::Default).await
}

/// One command for all hosts that change alike.
pub fn together(edits: impl Iterator<Item = (HostId, HostEdit)>) -> Vec<Command> {
    let mut groups: Vec<(Vec<HostId>, HostEdit)> = Vec::new();
    for (host, edit) in edits {
        match groups.iter_mut().find(|(_, known)| *known == edit) {
            Some((hosts, _)) => hosts.push(host),
            None => groups.push((vec![host], edit)),
        }
    }
    groups.into_iter().map(|(hosts, edit)| Command::EditHosts { hosts, edit: Box::new(edit) }).collect()
}

/// Hosts, labels to set, and labels to take away.
fn words(words: &[String]) -> Result<(Vec<String>, BTreeMap<String, Option<String>>), Stop> {
    let (mut names, mut labels) = (Vec::new(), BTreeMap::new());
    for word in words {
        if word.contains('=') {
            let (key, value) = label(word)?;
            labels.insert(key, Some(value));
        } else if let Some(key) = word.strip_suffix('-').filter(|key| is_label_key(key)) {
            labels.insert(key.to_owned(), None);
        } else {
            host_id(word)?;
            names.push(word.clone());
        }
    }
    Ok((names, labels))
}
