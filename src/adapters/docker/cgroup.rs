//! The use of containers read from the kernel's control groups: no call to the engine, some microseconds each.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Where the kernel shows its control groups.
pub(super) const CGROUP_ROOT: &str = "/sys/fs/cgroup";
/// Files are read into a buffer of this size: `memory.stat` has up to 4 kB.
const BUFFER: usize = 8 * 1024;
/// A limit changes only by `docker update`: it is read again with every so many samples.
const LIMIT_EVERY: u32 = 16;
/// Above this the kernel means "no limit" (version 1 writes the largest number of pages).
const NO_LIMIT: u64 = 1 << 60;

/// Raw numbers of one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sample {
    /// CPU time used so far, in nanoseconds.
    pub(super) cpu_nanos: u64,
    /// Memory without inactive page cache, in bytes.
    pub(super) memory: u64,
    /// Memory limit in bytes.
    pub(super) limit: Option<u64>,
}

/// The files of one container.
#[derive(Debug)]
pub(super) struct Files {
    v2: bool,
    cpu: PathBuf,
    memory: PathBuf,
    stat: PathBuf,
    limit: PathBuf,
    last_limit: Option<u64>,
    samples: u32,
}

impl Files {
    /// Looks for a container's control group in the usual places, then where `proc_cgroup` (the text of
    /// `/proc/PID/cgroup`, if known) says.
    pub(super) fn find(root: &Path, id: &str, proc_cgroup: Option<&str>) -> Option<Files> {
        let usual = [format!("docker/{id}"), format!("system.slice/docker-{id}.scope")];
        let told = proc_cgroup.and_then(|text| told_path(text, id));
        let mut places = usual.into_iter().chain(told);
        places.find_map(|place| Files::at_v1(root, &place).or_else(|| Files::at_v2(root, &place)))
    }

    fn at_v1(root: &Path, place: &str) -> Option<Files> {
        let memory = root.join("memory").join(place);
        let cpu = ["cpuacct", "cpu,cpuacct"].map(|c| root.join(c).join(place).join("cpuacct.usage"));
        Some(Files {
            v2: false,
            cpu: cpu.into_iter().find(|path| path.exists())?,
            stat: memory.join("memory.stat"),
            limit: memory.join("memory.limit_in_bytes"),
            memory: Some(memory.join("memory.usage_in_bytes")).filter(|path| path.exists())?,
            last_limit: None,
            samples: 0,
        })
    }

    fn at_v2(root: &Path, place: &str) -> Option<Files> {
        let dir = root.join(place);
        Some(Files {
            v2: true,
            cpu: dir.join("cpu.stat"),
            stat: dir.join("memory.stat"),
            limit: dir.join("memory.max"),
            memory: Some(dir.join("memory.current")).filter(|path| path.exists())?,
            last_limit: None,
            samples: 0,
        })
    }

    /// Reads the numbers; `None` when the container has ended.
    pub(super) fn sample(&mut self, buffer: &mut Buffer) -> Option<Sample> {
        let (cpu_key, cpu_unit, cache_key) =
            if self.v2 { ("usage_usec", 1000, "inactive_file") } else { ("", 1, "total_inactive_file") };
        let cpu = buffer.read(&self.cpu).and_then(|text| value(text, cpu_key))?;
        let used = buffer.read(&self.memory).and_then(|text| value(text, ""))?;
        let cache = buffer.read(&self.stat).and_then(|text| value(text, cache_key)).unwrap_or(0);
        if self.samples.is_multiple_of(LIMIT_EVERY) {
            // Version 2 writes the word `max`, which is no number.
            self.last_limit = buffer.read(&self.limit).and_then(|text| value(text, ""));
        }
        self.samples = self.samples.wrapping_add(1);
        Some(Sample {
            cpu_nanos: cpu.saturating_mul(cpu_unit),
            memory: used.saturating_sub(cache),
            limit: self.last_limit.filter(|limit| *limit < NO_LIMIT),
        })
    }
}

/// The path in `/proc/PID/cgroup` that names the container.
fn told_path(text: &str, id: &str) -> Option<String> {
    let mut paths = text.lines().filter_map(|line| line.splitn(3, ':').nth(2));
    paths.find(|path| path.contains(id)).map(|path| path.trim_start_matches('/').to_owned())
}

/// A buffer that is used for all files.
pub(super) struct Buffer(Box<[u8; BUFFER]>);

impl Buffer {
    pub(super) fn new() -> Buffer {
        Buffer(Box::new([0; BUFFER]))
    }

    fn read(&mut self, path: &Path) -> Option<&[u8]> {
        let mut file = File::open(path).ok()?;
        let length = file.read(&mut self.0[..]).ok()?;
        self.0.get(..length)
    }
}

/// The number after `key` at the start of a line, or at the very start when the key is empty.
fn value(text: &[u8], key: &str) -> Option<u64> {
    for line in text.split(|b| *b == b'\n') {
        let Some(rest) = line.strip_prefix(key.as_bytes()) else { continue };
        let rest = if key.is_empty() { Some(rest) } else { rest.strip_prefix(b" ") };
        if let Some(digits) = rest {
            return std::str::from_utf8(digits).ok()?.trim().parse().ok();
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(root: &Path, files: &[(&str, &str)]) {
        for (path, text) in files {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
    }

    fn sample(files: &[(&str, &str)], proc_cgroup: Option<&str>) -> Option<Sample> {
        let root = tempfile::tempdir().unwrap();
        put(root.path(), files);
        Files::find(root.path(), "abc", proc_cgroup)?.sample(&mut Buffer::new())
    }

    #[test]
    fn version_1_is_read() {
        let files = [
            ("cpuacct/docker/abc/cpuacct.usage", "5000\n"),
            ("memory/docker/abc/memory.usage_in_bytes", "1000\n"),
            ("memory/docker/abc/memory.stat", "cache 1\ninactive_file 1\ntotal_inactive_file 300\n"),
            ("memory/docker/abc/memory.limit_in_bytes", "9223372036854771712\n"),
        ];
        assert_eq!(sample(&files, None), Some(Sample { cpu_nanos: 5000, memory: 700, limit: None }));
    }

    #[test]
    fn version_2_is_read_below_systemd_and_where_proc_says() {
        let at = |place: &str| {
            let texts = [
                ("cpu.stat", "usage_usec 7\nuser_usec 3\n"),
                ("memory.current", "50\n"),
                ("memory.stat", "anon 1\ninactive_file 20\n"),
                ("memory.max", "4096\n"),
            ];
            texts.map(|(file, text)| (format!("{place}/{file}"), text))
        };
        let wanted = Some(Sample { cpu_nanos: 7000, memory: 30, limit: Some(4096) });
        let scope = at("system.slice/docker-abc.scope");
        assert_eq!(sample(&scope.each_ref().map(|(p, t)| (p.as_str(), *t)), None), wanted);
        let own = at("my.slice/x/abc");
        let own = own.each_ref().map(|(p, t)| (p.as_str(), *t));
        assert_eq!(sample(&own, Some("0::/my.slice/x/abc\n")), wanted);
        assert_eq!(sample(&own, Some("0::/other\n")), None);
        assert_eq!(sample(&own, None), None);
    }
}
