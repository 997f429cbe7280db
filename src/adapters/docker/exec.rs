//! Runs a program in a container over a connection that the engine hands over (HTTP upgrade).

use std::time::Duration;

use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::json;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::mpsc;

use crate::adapters::docker::client::{Client, to_json};
use crate::adapters::docker::frames::Demux;
use crate::adapters::docker::limits::EXEC;
use crate::base::fault::{Fault, Kind, Outcome};
use crate::base::ids::ContainerId;
use crate::model::exec::{ExecInput, ExecOutput, ExecSession, ExecWanted};

/// Pieces that wait for the other side; each has at most [`PIECE`] bytes. A full queue makes the program wait.
const QUEUE: usize = 64;
const PIECE: usize = 16 * 1024;
/// The engine may close the connection a moment before it knows the exit status.
const STATUS_TRIES: u32 = 20;
const STATUS_WAIT: Duration = Duration::from_millis(50);

type Upgraded = TokioIo<hyper::upgrade::Upgraded>;

#[derive(Deserialize)]
struct Made {
    #[serde(rename = "Id")]
    id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Status {
    #[serde(default)]
    running: bool,
    exit_code: Option<i64>,
}

/// Starts the program; its output and input are carried by two tasks that end with it or with the session.
pub(super) async fn exec(
    client: &Arc<Client>,
    id: &ContainerId,
    wanted: &ExecWanted,
) -> Outcome<ExecSession> {
    if wanted.command.is_empty() {
        return Err(Fault::new(Kind::Invalid, "no program was given"));
    }
    let tty = wanted.tty.is_some();
    let request = json!({
        "AttachStdin": wanted.stdin,
        "AttachStdout": true,
        "AttachStderr": true,
        "Tty": tty,
        "Cmd": wanted.command,
    });
    let made: Made = client.post(EXEC, &format!("/containers/{id}/exec"), &request).await?.json(EXEC)?;
    // Cleaned like any id of the engine's, since it stands in a path.
    let exec_id = ContainerId::new(&made.id);
    let body = to_json(&json!({ "Detach": false, "Tty": tty }))?;
    let upgrade = [("Connection", "Upgrade"), ("Upgrade", "tcp")];
    let path = format!("/exec/{exec_id}/start");
    let response = client.post_stream(EXEC, &path, body, &upgrade).await?;
    let stream = hyper::upgrade::on(response).await.map_err(|why| {
        Fault::new(Kind::Bug, why.to_string()).because("the engine did not hand over the connection")
    })?;
    let (from_program, to_program) = tokio::io::split(TokioIo::new(stream));
    let (input, wants_in) = mpsc::channel(QUEUE);
    let (has_out, output) = mpsc::channel(QUEUE);
    if let Some((columns, rows)) = wanted.tty {
        resize(client, &exec_id, columns, rows).await;
    }
    let feeding = tokio::spawn(feed(client.clone(), exec_id.clone(), to_program, wants_in));
    tokio::spawn(carry(client.clone(), exec_id, from_program, tty, has_out, feeding));
    Ok(ExecSession { input, output })
}

/// A size that could not be set is no reason to end the session: the next resize sets it.
async fn resize(client: &Client, exec: &ContainerId, columns: u16, rows: u16) {
    let path = format!("/exec/{exec}/resize?h={rows}&w={columns}");
    drop(client.post_empty(EXEC, &path).await);
}

async fn feed(
    client: Arc<Client>,
    exec: ContainerId,
    mut program: WriteHalf<Upgraded>,
    mut input: mpsc::Receiver<ExecInput>,
) {
    while let Some(item) = input.recv().await {
        match item {
            ExecInput::Bytes(bytes) => {
                if program.write_all(&bytes).await.is_err() || program.flush().await.is_err() {
                    // It has ended; the other task tells how.
                    return;
                }
            }
            ExecInput::Resize(columns, rows) => resize(&client, &exec, columns, rows).await,
        }
    }
    // Fails when the program has ended already, which the other task tells.
    drop(program.shutdown().await);
}

async fn carry(
    client: Arc<Client>,
    exec: ContainerId,
    mut program: ReadHalf<Upgraded>,
    tty: bool,
    output: mpsc::Sender<ExecOutput>,
    feeding: tokio::task::JoinHandle<()>,
) {
    let mut demux = (!tty).then(Demux::default);
    let mut buffer = vec![0; PIECE];
    let last = loop {
        let read = tokio::select! {
            read = program.read(&mut buffer) => read,
            () = output.closed() => break None,
        };
        let bytes = match read {
            Ok(0) => break Some(status(&client, &exec).await),
            Ok(n) => buffer.get(..n).unwrap_or_default(),
            Err(why) => break Some(ExecOutput::Lost(why.to_string())),
        };
        let mut pieces = Vec::new();
        match demux.as_mut() {
            None => pieces.push(ExecOutput::Out(bytes.to_vec())),
            Some(demux) => {
                let fed = demux.feed(bytes, |piece| {
                    let bytes = piece.bytes.to_vec();
                    pieces.push(if piece.stderr { ExecOutput::Err(bytes) } else { ExecOutput::Out(bytes) });
                });
                if let Err(fault) = fed {
                    break Some(ExecOutput::Lost(fault.to_string()));
                }
            }
        }
        for piece in pieces {
            if output.send(piece).await.is_err() {
                break;
            }
        }
    };
    feeding.abort();
    if let Some(last) = last {
        // Nobody listens any more: then nobody misses it.
        drop(output.send(last).await);
    }
}

async fn status(client: &Client, exec: &ContainerId) -> ExecOutput {
    for _ in 0..STATUS_TRIES {
        let answer = client.get(EXEC, &format!("/exec/{exec}/json")).await;
        match answer.and_then(|a| a.json::<Status>(EXEC)) {
            Ok(Status { running: false, exit_code: Some(code) }) => return ExecOutput::Exit(code),
            Ok(_) => tokio::time::sleep(STATUS_WAIT).await,
            Err(fault) => return ExecOutput::Lost(fault.to_string()),
        }
    }
    ExecOutput::Lost("the engine closed the connection while the program still runs".to_owned())
}
