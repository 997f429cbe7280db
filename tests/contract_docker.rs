//! The Docker adapter keeps the runtime port's promises on a real engine.
#![expect(clippy::unwrap_used, reason = "a test's helpers")]

#[cfg(test)]
#[expect(dead_code, reason = "each test program uses a part of it")]
mod support;

use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use futures_util::{FutureExt, StreamExt};
use longshore::adapters::docker::{DockerEngine, Options};
use longshore::base::ids::{HostId, OpId, PoolId, Seeded};
use longshore::model::container::Tag;
use longshore::model::host::{HostConfig, HostSource};
use longshore::model::pool::PoolSpec;
use longshore::ports::contract::runtime::{ALL, ContractEnv};
use longshore::ports::runtime::LogWanted;
use support::Lab;

fn engine(address: String, options: Options) -> Arc<DockerEngine> {
    let id = HostId::new("lab").unwrap();
    let config = HostConfig { id, address, tls_dir: None, source: HostSource::Added };
    Arc::new(DockerEngine::connect(&config, options).unwrap())
}

/// A port of the host that nobody uses just now.
fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn env(lab: &Lab) -> ContractEnv {
    let (address, image) = (lab.address(), lab.image());
    let seed = u64::from(std::process::id());
    ContractEnv {
        runtime: engine(lab.address(), Options::default()),
        image: lab.image(),
        install: Seeded::new(seed).install(),
        make_stranger: Box::new(move |name| {
            let made = std::process::Command::new("docker")
                .args(["-H", &address, "create", "--network=none", "--name", &name, &image, "true"])
                .output();
            let made = made.map_err(|why| why.to_string()).and_then(|out| {
                if out.status.success() {
                    Ok(())
                } else {
                    Err(String::from_utf8_lossy(&out.stderr).into_owned())
                }
            });
            async move { made }.boxed()
        }),
        free_port: free_port(),
        slots: AtomicU32::new(0),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_promise_is_kept() {
    let Some(lab) = Lab::start() else { return };
    let env = env(&lab);
    let only = std::env::var("LONGSHORE_TEST_PROMISE").ok();
    let mut broken = Vec::new();
    for (name, promise) in ALL.iter().filter(|(name, _)| only.as_deref().is_none_or(|o| o == *name)) {
        match promise(&env).await {
            Ok(()) => println!("kept    {name}"),
            Err(why) => {
                println!("BROKEN  {name}: {why}");
                broken.push(*name);
            }
        }
    }
    assert!(broken.is_empty(), "broken promises: {broken:?}");
}

/// A log that is written faster than anyone reads it arrives whole, and a reader that stops costs nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_log_lines_arrives_whole() {
    let Some(lab) = Lab::start() else { return };
    let env = env(&lab);
    let flood = "i=0; while [ $i -lt 200 ]; do i=$((i+1)); cat /tmp/k; done";
    let script = format!(
        "yes 'a line of a log that is about as long as log lines are, or so' | head -1000 >/tmp/k; {flood}"
    );
    let spec = PoolSpec {
        image: env.image.clone(),
        command: Some(["sh", "-c", &script].map(str::to_owned).into()),
        network_mode: Some("none".to_owned()),
        ..PoolSpec::default()
    };
    let tag = Tag {
        install: env.install.clone(),
        pool: PoolId::new("flood", "web").unwrap(),
        slot: 1,
        generation: 1,
        revision: 1,
        op: OpId(1),
    };
    let id = env.runtime.create(&tag, &spec).await.unwrap();
    env.runtime.start(&id).await.unwrap();
    let wanted = LogWanted { follow: true, ..LogWanted::default() };
    let start = tokio::time::Instant::now();
    let lines = env.runtime.logs(&id, &wanted).await.unwrap();
    let good = lines.filter(|l| {
        let good = l.as_ref().is_ok_and(|l| l.at.0 > 0 && l.text.raw().ends_with("or so"));
        async move { good }
    });
    let count = good.count().await;
    println!("{count} lines in {:.1} s", start.elapsed().as_secs_f64());
    env.runtime.remove(&id).await.unwrap();
    assert_eq!(count, 200_000);
}
