//! The OCI client keeps the registry port's promises on a real registry, plain and through several endpoints.
#![expect(clippy::unwrap_used, reason = "a test's helpers")]
#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test's helpers: words, waiting for processes"
)]

#[cfg(test)]
#[allow(dead_code, clippy::allow_attributes, reason = "each test program uses a part of it")]
#[path = "support/registry.rs"]
mod registry;

use std::sync::Arc;

use longshore::adapters::oci::{Client, Limits};
use longshore::base::clock::SystemClock;
use longshore::ports::contract::registry::{ALL, RegistryEnv};
use registry::Registry;

fn client(json: &serde_json::Value) -> Client {
    let registry = serde_json::from_value(json.clone()).unwrap();
    Client::new(&registry, None, Arc::new(SystemClock), Limits::default()).unwrap()
}

async fn keeps_all(client: Client, log: impl Fn() -> String) {
    let env = RegistryEnv::new(Arc::new(client), "contract");
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
    assert!(broken.is_empty(), "broken promises: {broken:?}\n{}", log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_promise_is_kept_by_a_real_registry() {
    let Some(real) = Registry::start() else { return };
    let client = client(&serde_json::json!({ "name": "lab", "address": real.address() }));
    let traffic = client.traffic();
    keeps_all(client, || real.log()).await;
    let all = std::env::var("LONGSHORE_TEST_PROMISE").is_err();
    assert!(
        !all || (traffic.requests() > 300 && traffic.sent() > 9_000_000 && traffic.received() > 9_000_000)
    );
}

/// The first endpoint does not answer: all goes to the second.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_promise_is_kept_behind_an_endpoint_that_is_down() {
    let Some(real) = Registry::start() else { return };
    let dead = format!("127.0.0.1:{}", registry::free_port());
    let endpoints = [dead, real.address()];
    let client =
        client(&serde_json::json!({ "name": "lab", "address": "127.0.0.1:1", "endpoints": endpoints }));
    keeps_all(client.clone(), || real.log()).await;
    assert_eq!(client.active(), 1);
}
