//! The console in a real terminal on a real engine: what a person sees, what reaches the terminal, and how it comes back.

use std::time::Duration;

use crate::site::{INSTALL_LABEL, Site, pause, running, slots, so_many_run, until, within};
use crate::support::Lab;
use crate::terminal::Terminal;

#[test]
fn a_pool_is_scaled_by_keys_and_taken_back() {
    let Some(lab) = Lab::shared() else { return };
    let site = Site::on(&lab.address());
    site.ok(&["up", &site.sleepers("keys", "web", 2, &lab.image())]);
    let install = site.install();
    let mut console = Terminal::open(&site, &[], (120, 40));
    console.until_shows(&[
        "keys/web",
        "1 Pools (1)",
        "2 Containers of keys/web (2)",
        "3 Logs of keys/web",
        "4 Operations",
    ]);
    console.until_shows(&["web.1", "running", "engine active", "hosts 1 ok"]);
    console.keys("+++");
    console.until_shows(&["2→5", "Enter now", "Esc drops it", "new, by spread: local +3"]);
    console.keys("\x1b");
    console.until("the change is dropped", |s| !s.contains("2→5") && !s.contains("Enter now"));
    pause(600);
    assert_eq!(slots(&lab, &install, "web"), running(2), "Esc sends nothing");
    console.keys("+++\r");
    until("three more run", || (slots(&lab, &install, "web") == running(5)).then_some(()));
    console.until_shows(&["Containers of keys/web (5)", "web.5", "scale keys/web 2→5"]);
    console.until("it is done", |s| s.contains("done in"));
    console.keys("u");
    console.until("undo is done", |s| {
        s.contains("undo keys/web 5→2") && s.contains("Containers of keys/web (2)")
    });
    until("they are gone", || so_many_run(slots(&lab, &install, "web"), 2).then_some(()));
    // Somebody else, through this console's engine.
    site.run(&["scale", "keys/web", "3", "--wait"]).expect(0, &["accepted", "done"]);
    console.until_shows(&["Containers of keys/web (3)"]);
    console.quit();
    site.run(&["down", "keys"]).expect(0, &["done"]);
}

#[test]
fn a_small_terminal_shows_one_pane_at_a_time() {
    let Some(lab) = Lab::shared() else { return };
    let site = Site::on(&lab.address());
    site.ok(&["up", &site.sleepers("small", "web", 2, &lab.image())]);
    let mut console = Terminal::open(&site, &[], (80, 24));
    console.until_shows(&["small/web", "Pools"]);
    console.keys("2");
    console.until_shows(&["web.1", "web.2", "running"]);
    console.keys("3");
    console.until_shows(&["Logs of small/web"]);
    console.keys("4");
    console.until_shows(&["up small/web", "done"]);
    console.keys("1");
    console.until_shows(&["small/web", "WANT"]);
    console.keys("?");
    console.until_shows(&["Esc closes", "take back"]);
    console.keys("\x1b");
    // (Escape and a key that come together are one key with Alt.)
    console.until("help is gone", |s| !s.contains("Esc closes"));
    console.keys("q");
    console.until_shows(&["Quit the console", "Cancel"]);
    // What is typed ahead does not answer: the question takes Enter only when it has been there for a moment.
    pause(1000);
    console.keys("\r");
    console.until("the first answer is no", |s| !s.contains("Quit the console"));
    console.quit();
    site.run(&["down", "small"]).expect(0, &["done"]);
}

#[test]
fn a_read_only_console_refuses() {
    let Some(lab) = Lab::shared() else { return };
    let site = Site::on(&lab.address());
    site.ok(&["up", &site.sleepers("look", "web", 2, &lab.image())]);
    let install = site.install();
    for attached in [false, true] {
        let engine = attached.then(|| site.engine());
        let mut console = Terminal::open(&site, &["--read-only"], (120, 40));
        console.until_shows(&["look/web", "web.1"]);
        console.keys("+\r");
        console.until("it says read-only", |s| s.contains("read-only"));
        pause(500);
        assert_eq!(slots(&lab, &install, "web"), running(2));
        console.quit();
        drop(engine);
    }
    site.run(&["down", "look"]).expect(0, &["done"]);
}

/// ESC, OSC, CSI, C1, a right-to-left override, a zero-width space, BEL, CR and backspace.
const HOSTILE: &str = "\x1b]52;c;aGk=\x07\x1b[2J\u{9b}31m\u{202e}evil\u{200b}\u{2066}\r\x08";

#[test]
fn no_hostile_byte_reaches_the_terminal() {
    let Some(lab) = Lab::shared() else { return };
    let site = Site::on(&lab.address());
    let image = lab.image();
    let project = format!("com.docker.compose.project=evil{HOSTILE}");
    let service = format!("com.docker.compose.service={HOSTILE}");
    let note = format!("note{HOSTILE}={HOSTILE}");
    let made = ["--label", &project, "--label", &service, "--label", &note];
    let mut args = vec!["run", "-d", "--network=none"];
    args.extend(made);
    args.extend([image.as_str(), "sleep", "100000"]);
    let stranger = lab.docker_ok(&args);
    let script = "    command: [sh, -c, 'while :; do printf \"\\033]52;c;eA==\\007\\033[2J\\302\\233A\\342\\200\\256rtl\\342\\200\\213\\r\\b\\033P+q\\033\\\\ mark\\n\"; sleep 0.3; done']\n    stop_signal: SIGKILL\n    labels: {note: \"\\e]52;c;x\\a\\u202E\"}\n";
    site.ok(&["up", &site.pool_file("evil", "web", 1, &format!("    image: {image}\n{script}"))]);
    let mut console = Terminal::open(&site, &[], (120, 40));
    console.until_shows(&["evil/web", "mark"]);
    for keys in [
        ":hosts\r",
        "\x1b",
        ":journal\r",
        "\x1b",
        ":operations\r",
        "\x1b",
        "2d",
        "\x1b",
        "\x1b",
        "l",
        "\x1b",
        "?",
        "\x1b",
    ] {
        console.keys(keys);
        pause(250);
    }
    let shown = console.screen();
    assert!(!shown.contains('\u{202e}') && !shown.contains('\u{200b}'), "{shown}");
    console.quit();
    let strange = console.unlisted();
    assert!(strange.is_empty(), "sequences that are on no list reached the terminal: {strange:?}");
    lab.docker_ok(&["rm", "-f", &stranger]);
    site.run(&["down", "evil"]).expect(0, &["done"]);
}

#[test]
fn the_terminal_comes_back_whole_after_signals() {
    let site = Site::without_engine();
    for signal in ["TERM", "HUP", "INT"] {
        let mut console = Terminal::open(&site, &[], (120, 40));
        console.until_shows(&["longshore"]);
        console.until("it is on its own screen", |_| true);
        console.signal(signal);
        console.ends_whole();
    }
}

#[test]
fn a_stopped_console_gives_the_terminal_back_and_takes_it_again() {
    let site = Site::without_engine();
    let mut console = Terminal::open(&site, &[], (120, 40));
    console.until_shows(&["longshore"]);
    console.signal("TSTP");
    within(Duration::from_secs(5), "the terminal is the shell's", || {
        (!console.is_full_screen()).then_some(())
    });
    console.signal("CONT");
    within(Duration::from_secs(5), "the console is back", || console.is_full_screen().then_some(()));
    console.until_shows(&["longshore"]);
    console.quit();
}

#[test]
fn any_size_and_any_resize_is_survived() {
    let Some(lab) = Lab::shared() else { return };
    let site = Site::on(&lab.address());
    site.ok(&["up", &site.sleepers("size", "web", 2, &lab.image())]);
    let mut console = Terminal::open(&site, &[], (120, 40));
    console.until_shows(&["size/web"]);
    let sizes =
        [(1, 1), (120, 40), (0, 0), (3, 200), (200, 3), (39, 9), (40, 10), (80, 24), (500, 200), (2, 2)];
    for round in 0..12 {
        for size in sizes {
            console.resize(size);
            if round % 3 == 0 {
                console.keys("+-123?");
            }
            pause(4);
        }
    }
    console.resize((120, 40));
    console.keys("\x1b\x1b\x1b\x1b1");
    console.until_shows(&["size/web", "Pools"]);
    console.quit();
    site.run(&["down", "size"]).expect(0, &["done"]);
}

#[test]
fn a_console_whose_terminal_is_gone_ends() {
    let site = Site::without_engine();
    let mut console = Terminal::open(&site, &[], (120, 40));
    console.until_shows(&["longshore"]);
    console.hang_up();
    within(Duration::from_secs(2), "it has ended", || console.ended().then_some(()));
    let free = site.run(&["up", &site.sleepers("free", "web", 1, "app:1"), "--wait=1"]);
    assert!(free.err.contains("no engine is running"), "the lock is free: {free:?}");
}

#[test]
fn a_terminal_that_reads_nothing_does_not_stop_the_engine() {
    let Some(lab) = Lab::shared() else { return };
    let site = Site::on(&lab.address());
    let talk = format!(
        "    image: {}\n    command: [sh, -c, 'while :; do echo many lines of a log that nobody reads; sleep 0.01; done']\n    stop_signal: SIGKILL\n",
        lab.image()
    );
    site.ok(&["up", &site.pool_file("stall", "web", 2, &talk)]);
    let install = site.install();
    let mut console = Terminal::open(&site, &[], (120, 40));
    console.until_shows(&["stall/web", "many lines"]);
    console.read(false);
    pause(2500);
    site.run(&["scale", "stall/web", "4", "--wait"]).expect(0, &["accepted", "done"]);
    assert_eq!(slots(&lab, &install, "web"), running(4));
    console.read(true);
    console.until_shows(&["Containers of stall/web (4)"]);
    console.quit();
    site.run(&["down", "stall"]).expect(0, &["done"]);
}

#[test]
fn without_an_engine_the_first_page_says_so_and_what_to_do() {
    let site = Site::without_engine();
    let mut console = Terminal::open(&site, &[], (120, 40));
    console.until_shows(&["longshore demo", "hosts add", "/nonexistent/longshore-test/docker.sock"]);
    console.quit();
    let mut demo = Terminal::open(&site, &["demo"], (120, 40));
    demo.until_shows(&["Pools (", "PRACTICE"]);
    demo.quit();
}

#[test]
fn a_console_takes_over_from_an_engine_that_is_killed_and_goes_on_scaling() {
    let Some(lab) = Lab::shared() else { return };
    let site = Site::on(&lab.address());
    let mut engine = site.engine();
    site.run(&["up", &site.sleepers("over", "web", 2, &lab.image()), "--wait"]).expect(0, &["done"]);
    let install = site.install();
    let mut console = Terminal::open(&site, &[], (120, 40));
    console.until_shows(&["over/web", "web.2"]);
    // A stopped engine is named, and what it said last stays on the screen.
    engine.signal("STOP");
    console.until("its silence is shown", |s| s.contains("silent for") && s.contains("over/web"));
    engine.signal("CONT");
    console.until("it speaks again", |s| !s.contains("silent for"));
    engine.kill();
    until("the console is the engine", || site.journal().last().unwrap().contains("epoch 2").then_some(()));
    console.keys("+\r");
    until("it scales", || (slots(&lab, &install, "web") == running(3)).then_some(()));
    console.quit();
    site.run(&["down", "over"]).expect(0, &["done"]);
    let ours = lab.docker_ok(&["ps", "-aq", "--filter", &format!("label={INSTALL_LABEL}={install}")]);
    assert_eq!(ours, "");
}

/// Set for the child of the test below, which is this very program.
const PANICS: &str = "LONGSHORE_TEST_CHILD_PANICS";

/// Takes the terminal as the console does, and panics in one of its threads.
#[test]
fn child_that_panics() {
    if std::env::var_os(PANICS).is_none() {
        return;
    }
    let _guard = longshore::tui::term::Guard::take().unwrap();
    let (_, mut output) = longshore::tui::term::open().unwrap();
    std::io::Write::write_all(&mut output, longshore::tui::term::ENTER.as_bytes()).unwrap();
    println!("the child has the terminal");
    pause(500);
    let ended = std::thread::spawn(|| panic!("on purpose")).join();
    // The hook has given the terminal back by itself: this way out runs no destructor.
    nix::sys::signal::raise(nix::sys::signal::Signal::SIGKILL).unwrap();
    drop(ended);
}

#[test]
fn a_panic_gives_the_terminal_back() {
    let mut command = portable_pty::CommandBuilder::new(std::env::current_exe().unwrap());
    command.args(["console::child_that_panics", "--exact", "--nocapture"]);
    command.env(PANICS, "1");
    let mut terminal = Terminal::of(command, (80, 24));
    terminal.until("the child has the terminal", |_| terminal.is_full_screen());
    terminal.ends_whole();
    assert!(terminal.screen().contains("on purpose"), "the reason can be read: {}", terminal.screen());
}
