//! The demonstration: a fleet of twelve hosts in two sites and three pool files to begin with.

use crate::adapters::sim::scenario::Scenario;
use crate::base::fault::Outcome;

/// The fleet of `longshore demo` and its pool files, by file name.
///
/// # Errors
/// None once its test has passed: the files are part of the program.
pub fn demo() -> Outcome<(Scenario, Vec<(&'static str, &'static str)>)> {
    let scenario = Scenario::parse(include_str!("../../../fixtures/demo/fleet.toml"))?;
    let pools = vec![
        ("feed.yml", include_str!("../../../fixtures/demo/feed.yml")),
        ("pay.yml", include_str!("../../../fixtures/demo/pay.yml")),
        ("search.yml", include_str!("../../../fixtures/demo/search.yml")),
    ];
    Ok((scenario, pools))
}
