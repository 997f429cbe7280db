//! What processes use: CPU time and memory, from the kernel's own books.

use std::fs;
use std::path::Path;

/// Ticks a second in `/proc/PID/stat`, a constant of Linux.
const TICKS: f64 = 100.0;
/// Bytes of a page.
const PAGE: f64 = 4096.0;

/// The numbers after the name in `/proc/PID/stat`; `None` when the process has ended.
fn stat(pid: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(')')?;
    Some(rest.split_whitespace().map(ToOwned::to_owned).collect())
}

/// CPU seconds of one process so far; with `children`, also of those that it has waited for.
fn cpu_of(pid: u32, children: bool) -> f64 {
    let Some(fields) = stat(pid) else { return 0.0 };
    let sum: f64 =
        fields.iter().skip(11).take(if children { 4 } else { 2 }).filter_map(|f| f.parse::<f64>().ok()).sum();
    sum / TICKS
}

/// A process and all that descend from it.
pub fn tree(pid: u32) -> Vec<u32> {
    let mut all = vec![pid];
    let mut next = 0;
    while let Some(&pid) = all.get(next) {
        next += 1;
        let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { continue };
        for task in tasks.flatten() {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_else(|_| String::new());
            all.extend(children.split_whitespace().filter_map(|c| c.parse::<u32>().ok()));
        }
    }
    all
}

/// CPU seconds of a process and its descendants.
pub fn cpu(pid: u32) -> f64 {
    tree(pid).into_iter().map(|p| cpu_of(p, true)).sum()
}

/// Resident memory of a process and its descendants, in MiB.
pub fn rss(pid: u32) -> f64 {
    let pages = |pid: u32| {
        let text = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
        text.split_whitespace().nth(1)?.parse::<f64>().ok()
    };
    tree(pid).into_iter().filter_map(pages).sum::<f64>() * PAGE / f64::from(1 << 20)
}

/// The processes of an engine: the daemon, its containerd and the shims, known by the engine's own directory.
pub fn engine(dir: &Path) -> Vec<u32> {
    let dir = dir.display().to_string();
    let Ok(all) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = all.flatten().filter_map(|e| e.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| {
        let read =
            |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_else(|_| String::new());
        let name = read("comm");
        (name.starts_with("dockerd") || name.starts_with("containerd")) && read("cmdline").contains(&dir)
    })
    .collect()
}

/// CPU seconds of these processes alone.
pub fn cpu_sum(pids: &[u32]) -> f64 {
    pids.iter().map(|pid| cpu_of(*pid, false)).sum()
}

/// CPU seconds of the whole machine that were not idle.
pub fn machine() -> f64 {
    let text = fs::read_to_string("/proc/stat").unwrap_or_else(|_| String::new());
    let fields: Vec<f64> = text
        .lines()
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .skip(1)
        .filter_map(|f| f.parse().ok())
        .collect();
    [0, 1, 2, 5, 6].iter().filter_map(|i| fields.get(*i)).sum::<f64>() / TICKS
}
