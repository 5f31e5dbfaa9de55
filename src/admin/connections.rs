//! Connections, bounded: how many there are, how long each lasts and how much is read from it. One request each.

use axum::serve::Listener;
use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, Sleep, sleep},
};

/// Connections at the same time; further ones wait until the system accepts no more.
const PLACES: usize = 32;
/// The most bytes of a request.
const MAX_REQUEST: usize = 16 << 10;
/// From connecting to the end of the request's head.
const HEAD_WITHIN: Duration = Duration::from_secs(5);
/// From there to the end of the answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// Lets in as many as there are places.
pub(super) struct Door {
    listener: TcpListener,
    places: Arc<Semaphore>,
}

impl Door {
    pub(super) fn new(listener: TcpListener) -> Door {
        Door { listener, places: Arc::new(Semaphore::new(PLACES)) }
    }
}

impl Listener for Door {
    type Io = Visit;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Visit, SocketAddr) {
        // An error would mean that it is closed, which nobody does.
        let place = Arc::clone(&self.places).acquire_owned().await.ok();
        let (stream, address) = Listener::accept(&mut self.listener).await;
        let visit = Visit {
            stream,
            deadline: Box::pin(sleep(HEAD_WITHIN)),
            left: MAX_REQUEST,
            ends: 0,
            is_asked: false,
            _place: place,
        };
        (visit, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// One connection.
pub(super) struct Visit {
    stream: TcpStream,
    deadline: Pin<Box<Sleep>>,
    /// So many bytes may still be read.
    left: usize,
    /// Line ends that follow one another, as of the last byte.
    ends: u8,
    /// The request's head has been read.
    is_asked: bool,
    /// Given back when the connection ends.
    _place: Option<OwnedSemaphorePermit>,
}

impl Visit {
    fn check(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        match self.deadline.as_mut().poll(cx) {
            Poll::Ready(()) => Err(io::ErrorKind::TimedOut.into()),
            Poll::Pending => Ok(()),
        }
    }

    fn note(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.left = self.left.checked_sub(bytes.len()).ok_or(io::ErrorKind::FileTooLarge)?;
        for byte in bytes {
            match byte {
                b'\n' => self.ends += 1,
                b'\r' => {}
                _ => self.ends = 0,
            }
            if self.ends == 2 && !std::mem::replace(&mut self.is_asked, true) {
                self.deadline.as_mut().reset(Instant::now() + ANSWER_WITHIN);
            }
            self.ends = self.ends.min(2);
        }
        Ok(())
    }
}

impl AsyncRead for Visit {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.check(cx)?;
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        self.note(buf.filled().get(before..).unwrap_or_default())?;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Visit {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.check(cx)?;
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
