//! The lab engine itself: it starts, holds its image, runs a container and leaves nothing behind.

#[cfg(test)]
#[expect(dead_code, reason = "each test program uses a part of it")]
mod support;

#[test]
fn a_lab_engine_starts_runs_and_leaves_nothing() {
    let Some(lab) = support::Lab::start_own(&[]) else { return };
    let said = lab.docker_ok(&["run", "--rm", support::IMAGE, "sh", "-c", "echo ahoy"]);
    assert_eq!(said, "ahoy");
    let dir = lab.dir().expect("own").to_owned();
    lab.docker_ok(&["run", "-d", support::IMAGE, "sleep", "1000"]);
    drop(lab);
    assert!(!dir.exists(), "{} is still there", dir.display());
}
