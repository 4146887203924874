//! Connections: accepting them, their limits, and the end of the server.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{Sleep, sleep, timeout};

use crate::app::App;

/// Time between two looks at whether the server shall end.
const LOOK: Duration = Duration::from_millis(50);
/// Time that requests have for their errors once the grace is over.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// Bytes of the head of a request.
const HEAD_BYTES: usize = 64 << 10;

/// Serves connections until `shall_end` is true, and then those requests that run, for the grace time.
pub async fn serve(
    listener: TcpListener,
    app: Arc<App>,
    routes: Router,
    stop: &AtomicBool,
    shall_end: impl Fn() -> bool,
) {
    let limits = app.config.limits;
    let room = Arc::new(Semaphore::new(limits.connections));
    let graceful = GracefulShutdown::new();
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(limits.head).max_buf_size(HEAD_BYTES);
    while !shall_end() {
        // Connections that find no room wait to be accepted.
        let Ok(Ok(permit)) = timeout(LOOK, room.clone().acquire_owned()).await else { continue };
        let stream = match timeout(LOOK, listener.accept()).await {
            Err(_) => continue,
            Ok(Ok((stream, _))) => stream,
            Ok(Err(_)) => {
                // No file descriptor is left: one of the connections may end soon.
                sleep(LOOK).await;
                continue;
            }
        };
        // Events of streams are small, and wait for nothing.
        let _ = stream.set_nodelay(true);
        let io = TokioIo::new(Watched::new(stream, limits.write));
        let connection = http.serve_connection(io, TowerToHyperService::new(routes.clone()));
        let connection = graceful.watch(connection);
        let app = app.clone();
        app.metrics.connections.add(1);
        tokio::spawn(async move {
            // An error of a connection is its client's.
            let _ = connection.await;
            app.metrics.connections.subtract(1);
            drop(permit);
        });
    }
    drop(listener);
    app.is_stopping.store(true, Ordering::Relaxed);
    app.models.iter().for_each(|model| model.close());
    let ended = graceful.shutdown();
    let mut ended = Box::pin(ended);
    if timeout(limits.grace, &mut ended).await.is_err() {
        stop.store(true, Ordering::Relaxed);
        let _ = timeout(LAST_WORDS, ended).await;
    }
}

/// Stream that breaks off when the other side takes nothing for some time.
struct Watched {
    stream: TcpStream,
    time: Duration,
    /// End of the time, while a write waits.
    late: Option<Pin<Box<Sleep>>>,
}

impl Watched {
    fn new(stream: TcpStream, time: Duration) -> Self {
        Self { stream, time, late: None }
    }

    /// Result of a write; an error if it has waited too long.
    fn watch<T>(&mut self, context: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.late = None;
            return written;
        }
        let time = self.time;
        let late = self.late.get_or_insert_with(|| Box::pin(sleep(time)));
        if late.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Poll::Pending
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watch(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, pieces);
        self.watch(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.watch(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(context);
        self.watch(context, shut)
    }
}
