//! A longer way: connections through here take so much time in each direction, and carry as much as before.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

/// Pieces on the way in one direction: 64 KiB each, far more than these measurements send at once.
const ON_THE_WAY: usize = 4_096;

/// Listens and hands on to another address; gives where. It ends with the runtime.
pub async fn before(behind: String, each_way: Duration) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address");
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let behind = behind.clone();
            tokio::spawn(async move {
                let Ok(far) = TcpStream::connect(behind).await else { return };
                let _fast = (near.set_nodelay(true), far.set_nodelay(true));
                let (near_in, near_out) = near.into_split();
                let (far_in, far_out) = far.into_split();
                tokio::join!(carry(near_in, far_out, each_way), carry(far_in, near_out, each_way));
            });
        }
    });
    address
}

async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, delay: Duration) {
    let (give, mut take) = mpsc::channel::<(Instant, Vec<u8>)>(ON_THE_WAY);
    let reads = async move {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(n) = from.read(&mut buffer).await
            && n > 0
            && give.send((Instant::now() + delay, buffer[..n].to_vec())).await.is_ok()
        {}
    };
    let writes = async move {
        while let Some((at, bytes)) = take.recv().await {
            sleep_until(at).await;
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
        let _closed = to.shutdown().await;
    };
    tokio::join!(reads, writes);
}
