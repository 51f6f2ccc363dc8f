//! What passes between a node and a peer's store, counted on the way.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// A door before another one, which counts what passes in both directions.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wire(Arc<AtomicU64>);

impl Wire {
    /// Opens the door. Its address.
    pub(crate) async fn before(&self, behind: String) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let wire = self.clone();
        tokio::spawn(async move {
            while let Ok((outside, _)) = listener.accept().await {
                let inside = TcpStream::connect(&behind).await.unwrap();
                for end in [&outside, &inside] {
                    end.set_nodelay(true).unwrap();
                }
                let (from_outside, to_outside) = outside.into_split();
                let (from_inside, to_inside) = inside.into_split();
                tokio::spawn(wire.clone().carry(from_outside, to_inside));
                tokio::spawn(wire.clone().carry(from_inside, to_outside));
            }
        });
        address
    }

    /// Bytes so far, with HTTP/2, headers and pings.
    pub(crate) fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    async fn carry(self, mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(read @ 1..) = from.read(&mut buffer).await {
            self.0.fetch_add(read as u64, Ordering::Relaxed);
            if to.write_all(&buffer[..read]).await.is_err() {
                return;
            }
        }
    }
}
