//! A closer look at simulated containers: inspect, logs, and programs run in them.

use std::collections::BTreeMap;

use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use tokio::sync::mpsc;
use tokio::time::{Duration, sleep};

use crate::adapters::sim::gate::{CALL_DEADLINE_MS, CallKind, Done};
use crate::adapters::sim::host::SimHost;
use crate::adapters::sim::inspect::inspect;
use crate::adapters::sim::play::statements;
use crate::adapters::sim::shell::{Ran, Shell, is_shell};
use crate::adapters::sim::trouble::Link;
use crate::base::fault::{Fault, Kind, Outcome};
use crate::base::ids::ContainerId;
use crate::model::exec::{ExecInput, ExecOutput, ExecSession, ExecWanted};
use crate::ports::runtime::{LogWanted, Peek, RawLine};

/// Messages that may wait in each direction of a session.
const QUEUE: usize = 64;
const PROMPT: &str = "/ # ";

impl Peek for SimHost {
    fn inspect<'a>(&'a self, id: &'a ContainerId) -> BoxFuture<'a, Outcome<String>> {
        let id = id.clone();
        Box::pin(self.call(CallKind::Inspect, CALL_DEADLINE_MS, move |state, now| {
            Ok(Done::now(inspect(state, state.unit(&id)?, now)))
        }))
    }

    fn logs<'a>(
        &'a self,
        id: &'a ContainerId,
        wanted: &'a LogWanted,
    ) -> BoxFuture<'a, Outcome<BoxStream<'static, Outcome<RawLine>>>> {
        Box::pin(async move {
            let there = id.clone();
            let find = move |state: &mut crate::adapters::sim::host::HostState,
                             _: crate::adapters::sim::Ms| {
                state.unit(&there).map(|_| Done::now(()))
            };
            self.call(CallKind::Logs, CALL_DEADLINE_MS, find).await?;
            self.open_log(id, wanted)
        })
    }

    fn exec<'a>(
        &'a self,
        id: &'a ContainerId,
        wanted: &'a ExecWanted,
    ) -> BoxFuture<'a, Outcome<ExecSession>> {
        Box::pin(async move {
            let there = id.clone();
            let find = move |state: &mut crate::adapters::sim::host::HostState,
                             now: crate::adapters::sim::Ms| {
                let unit = state.unit(&there)?;
                if !unit.is_running(now) {
                    let short = there.short();
                    return Err(Fault::new(Kind::Conflict, format!("container {short} is not running")));
                }
                let mut env: BTreeMap<String, String> =
                    unit.spec.as_ref().map(|s| s.environment.clone()).unwrap_or_default();
                env.insert("HOSTNAME".into(), there.short().into());
                env.insert("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into());
                let shell = Shell { hostname: there.short().into(), env, status: 0 };
                Ok(Done::now((shell, state.session)))
            };
            let (shell, session) = self.call(CallKind::Exec, CALL_DEADLINE_MS, find).await?;
            let (input, inward) = mpsc::channel(QUEUE);
            let (inward, unread) = if wanted.stdin { (Some(inward), None) } else { (None, Some(inward)) };
            let (outward, output) = mpsc::channel(QUEUE);
            let job = Job {
                shell,
                host: self.clone(),
                id: id.clone(),
                session,
                tty: wanted.tty.is_some(),
                size: wanted.tty.unwrap_or((80, 24)),
                inward,
                outward,
                typed: Vec::new(),
            };
            tokio::spawn(job.run(wanted.command.clone(), unread));
            Ok(ExecSession { input, output })
        })
    }
}

/// One running program.
struct Job {
    shell: Shell,
    host: SimHost,
    id: ContainerId,
    session: u64,
    tty: bool,
    /// Columns and rows of its terminal.
    size: (u16, u16),
    inward: Option<mpsc::Receiver<ExecInput>>,
    outward: mpsc::Sender<ExecOutput>,
    typed: Vec<u8>,
}

/// The reader of a session has gone, or the session was cut short: nothing more can be said.
struct Over;

impl Job {
    async fn run(mut self, command: Vec<String>, unread: Option<mpsc::Receiver<ExecInput>>) {
        let outward = self.outward.clone();
        let (host, id, session) = (self.host.clone(), self.id.clone(), self.session);
        let last = tokio::select! {
            status = self.work(&command) => status.ok().map(ExecOutput::Exit),
            cut = cut_short(&host, &id, session) => Some(cut),
            () = outward.closed() => None,
            never = ignore(unread) => match never {},
        };
        if let Some(last) = last {
            // A reader that has gone needs no status.
            let _ = outward.send(last).await;
        }
    }

    async fn work(&mut self, command: &[String]) -> Result<i64, Over> {
        let Some((program, rest)) = command.split_first() else { return Ok(126) };
        match (program.as_str(), rest) {
            (program, [] | [_]) if is_shell(program) => self.talk().await,
            (program, [flag, script, ..]) if is_shell(program) && flag == "-c" => self.script(script).await,
            _ => self.program(command).await,
        }
    }

    /// Runs a script, statement by statement.
    async fn script(&mut self, script: &str) -> Result<i64, Over> {
        for statement in statements(script) {
            let words: Vec<String> = statement.split_whitespace().map(str::to_string).collect();
            if waits(&words) {
                self.shell.status = self.program(&words).await?;
                continue;
            }
            let ran = self.shell.script(&statement);
            let leave = ran.leave;
            self.say(ran).await?;
            if leave {
                break;
            }
        }
        Ok(self.shell.status)
    }

    /// Runs one program.
    async fn program(&mut self, words: &[String]) -> Result<i64, Over> {
        let (program, rest) = words.split_first().map_or(("", words), |(p, rest)| (p.as_str(), rest));
        match (program, rest) {
            ("cat", []) => self.copy().await,
            ("stty", _) => {
                let (columns, rows) = self.size;
                let size = Ran { out: format!("{rows} {columns}\n"), ..Ran::default() };
                self.say(size).await.map(|()| 0)
            }
            ("sleep", [seconds]) => {
                sleep(Duration::from_secs(seconds.parse().unwrap_or(0))).await;
                Ok(0)
            }
            _ => {
                let ran = self.shell.program(words);
                let status = ran.status;
                self.say(ran).await?;
                Ok(status)
            }
        }
    }

    /// A shell that reads commands from its input.
    async fn talk(&mut self) -> Result<i64, Over> {
        if self.tty {
            self.put(PROMPT.as_bytes().to_vec()).await?;
        }
        while let Some(bytes) = self.read().await {
            for byte in bytes {
                if let Some(status) = self.key(byte).await? {
                    return Ok(status);
                }
            }
        }
        let rest = std::mem::take(&mut self.typed);
        let ran = self.shell.script(&String::from_utf8_lossy(&rest));
        self.say(ran).await?;
        Ok(self.shell.status)
    }

    /// Takes one byte of input; gives the exit status when the shell ends.
    async fn key(&mut self, byte: u8) -> Result<Option<i64>, Over> {
        match byte {
            b'\r' | b'\n' => {
                if self.tty {
                    self.put(b"\r\n".to_vec()).await?;
                }
                let line = std::mem::take(&mut self.typed);
                let ran = self.shell.script(&String::from_utf8_lossy(&line));
                let (status, leave) = (ran.status, ran.leave);
                self.say(ran).await?;
                if leave {
                    return Ok(Some(status));
                }
                if self.tty {
                    self.put(PROMPT.as_bytes().to_vec()).await?;
                }
            }
            3 if self.tty => {
                self.typed.clear();
                self.put(format!("^C\r\n{PROMPT}").into_bytes()).await?;
            }
            4 if self.tty && self.typed.is_empty() => return Ok(Some(self.shell.status)),
            8 | 127 if self.tty => {
                if self.typed.pop().is_some() {
                    self.put(b"\x08 \x08".to_vec()).await?;
                }
            }
            byte => {
                self.typed.push(byte);
                if self.tty {
                    self.put(vec![byte]).await?;
                }
            }
        }
        Ok(None)
    }

    /// Gives back what comes in.
    async fn copy(&mut self) -> Result<i64, Over> {
        while let Some(bytes) = self.read().await {
            if self.tty && bytes.contains(&4) {
                break;
            }
            self.put(bytes).await?;
        }
        Ok(0)
    }

    async fn read(&mut self) -> Option<Vec<u8>> {
        loop {
            match self.inward.as_mut()?.recv().await? {
                ExecInput::Bytes(bytes) => return Some(bytes),
                ExecInput::Resize(columns, rows) => self.size = (columns, rows),
            }
        }
    }

    async fn say(&self, ran: Ran) -> Result<(), Over> {
        if !ran.out.is_empty() {
            self.put(self.lines(&ran.out)).await?;
        }
        if ran.err.is_empty() {
            return Ok(());
        }
        let bytes = self.lines(&ran.err);
        let message = if self.tty { ExecOutput::Out(bytes) } else { ExecOutput::Err(bytes) };
        self.outward.send(message).await.map_err(|_| Over)
    }

    fn lines(&self, text: &str) -> Vec<u8> {
        if self.tty { text.replace('\n', "\r\n").into_bytes() } else { text.as_bytes().to_vec() }
    }

    async fn put(&self, bytes: Vec<u8>) -> Result<(), Over> {
        self.outward.send(ExecOutput::Out(bytes)).await.map_err(|_| Over)
    }
}

/// True for the programs that take time or input: the shell alone cannot run them.
fn waits(words: &[String]) -> bool {
    match words.split_first() {
        Some((program, rest)) => {
            matches!(program.as_str(), "sleep" | "stty") || (program == "cat" && rest.is_empty())
        }
        None => false,
    }
}

/// Takes what is sent to a program that reads nothing.
async fn ignore(unread: Option<mpsc::Receiver<ExecInput>>) -> std::convert::Infallible {
    if let Some(mut unread) = unread {
        while unread.recv().await.is_some() {}
    }
    std::future::pending().await
}

/// Waits until the container has ended or the connection is lost.
async fn cut_short(host: &SimHost, id: &ContainerId, session: u64) -> ExecOutput {
    loop {
        let mut changed = host.watch();
        let wake = {
            let (state, now) = host.state();
            if state.session != session {
                return ExecOutput::Lost(host.unreachable().to_string());
            }
            let unit = state.units.get(id);
            if state.condition.link == Link::Up && !unit.is_some_and(|u| u.is_running(now)) {
                return ExecOutput::Exit(137);
            }
            let end = unit.and_then(|u| u.run(now)?.end.as_ref().map(|end| end.at));
            let fault = state.next_turn();
            end.filter(|at| *at > now).into_iter().chain(fault).min()
        };
        host.rest(wake, &mut changed).await;
    }
}
