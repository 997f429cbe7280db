//! Several real engines, each with a network and an address of its own: hosts as far as anybody outside can tell.

use std::path::PathBuf;
use std::process::Command;

use crate::support::Lab;
use crate::tls;

/// One host: an engine in its own network namespace.
pub struct Host {
    /// Its name.
    pub name: String,
    /// Where its engine listens, with TLS.
    pub address: String,
    /// Its engine.
    pub lab: Lab,
}

/// Hosts on one bridge. Dropping it ends the engines and takes the networks away.
pub struct Fleet {
    /// The hosts.
    pub hosts: Vec<Host>,
    /// Our certificates.
    pub tls: tempfile::TempDir,
    _net: Net,
}

/// The bridge and the namespaces; gone when dropped, after the engines.
struct Net {
    bridge: String,
    spaces: Vec<String>,
}

fn ip(args: &str) -> Result<(), String> {
    let done = Command::new("ip").args(args.split(' ')).output().map_err(|e| format!("ip: {e}"))?;
    if done.status.success() {
        Ok(())
    } else {
        Err(format!("ip {args}: {}", String::from_utf8_lossy(&done.stderr)))
    }
}

impl Net {
    /// `count` namespaces on one bridge, with the addresses `10.77.N.1` and so on; the bridge is `10.77.N.254`.
    fn new(count: usize) -> Result<Net, String> {
        let own = std::process::id() % 10_000;
        let net = Net {
            bridge: format!("lsb{own}"),
            spaces: (1..=count).map(|i| format!("ls-{own}-{i}")).collect(),
        };
        let bridge = &net.bridge;
        ip(&format!("link add {bridge} type bridge"))?;
        ip(&format!("addr add {}/24 dev {bridge}", address(254)))?;
        ip(&format!("link set {bridge} up"))?;
        for (at, space) in net.spaces.iter().enumerate() {
            let (outer, inner) = (format!("lsv{own}x{at}"), format!("lsw{own}x{at}"));
            ip(&format!("netns add {space}"))?;
            ip(&format!("link add {outer} type veth peer name {inner}"))?;
            ip(&format!("link set {outer} master {bridge} up"))?;
            ip(&format!("link set {inner} netns {space} name eth0"))?;
            ip(&format!("-n {space} addr add {}/24 dev eth0", address(at + 1)))?;
            ip(&format!("-n {space} link set eth0 up"))?;
            ip(&format!("-n {space} link set lo up"))?;
        }
        Ok(net)
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        let mut done: Vec<Result<(), String>> =
            self.spaces.iter().map(|space| ip(&format!("netns del {space}"))).collect();
        done.push(ip(&format!("link del {}", self.bridge)));
        done.into_iter().filter_map(Result::err).for_each(|why| println!("left behind: {why}"));
    }
}

/// An address on the bridge of this test program.
fn address(n: usize) -> String {
    format!("10.77.{}.{n}", std::process::id() % 250)
}

impl Fleet {
    /// So many hosts `h1`, `h2` …; `None`, with the reason printed, when that is not possible here.
    pub fn start(count: usize) -> Option<Fleet> {
        if std::env::var("LONGSHORE_TEST_DOCKERD").as_deref() != Ok("1") {
            println!("skipped: no engines (LONGSHORE_TEST_DOCKERD=1 as root starts some)");
            return None;
        }
        let net = match Net::new(count) {
            Ok(net) => net,
            Err(why) => {
                println!("skipped: no networks of their own for engines: {why}");
                return None;
            }
        };
        let tls = tempfile::tempdir().expect("a directory for certificates");
        let addresses: Vec<String> = (1..=count).map(address).collect();
        tls::certificates(tls.path(), &addresses.iter().map(String::as_str).collect::<Vec<_>>());
        // Side by side: each takes many seconds.
        let starting: Vec<_> = std::thread::scope(|scope| {
            let begin = |(address, space): (&String, &String)| {
                let more = tls::listen(tls.path(), &format!("{address}:2376"));
                let space = PathBuf::from("/var/run/netns").join(space);
                scope.spawn(move || Lab::start_in(&space, &more))
            };
            let started: Vec<_> = addresses.iter().zip(&net.spaces).map(begin).collect();
            started.into_iter().map(|engine| engine.join().expect("an engine")).collect()
        });
        let hosts = starting.into_iter().zip(&addresses).enumerate().map(|(at, (lab, address))| {
            Some(Host { name: format!("h{}", at + 1), address: format!("tcp://{address}:2376"), lab: lab? })
        });
        Some(Fleet { hosts: hosts.collect::<Option<_>>()?, tls, _net: net })
    }

    /// The host of this name.
    pub fn host(&mut self, name: &str) -> &mut Host {
        self.hosts.iter_mut().find(|h| h.name == name).expect("a host of the fleet")
    }
}
