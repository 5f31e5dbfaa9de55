//! A destination that misbehaves on command: the strict receiver, and in front of it a door that keeps a record of
//! every push and does with it what the test's script says.

use super::{
    http::{self, Message},
    wire::{self, Seen},
};
use auditship::receiver::{AuthMode, Counts, Options, Receiver, serve};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::{
    collections::HashMap,
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, MutexGuard},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// What is done with a push.
#[derive(Clone, Debug)]
pub(crate) struct Action {
    /// Waits before it is done …
    pub(crate) before: Duration,
    /// … and between that and the answer.
    pub(crate) after: Duration,
    pub(crate) meeting: Meeting,
}

/// How a push ends.
#[derive(Clone, Debug)]
pub(crate) enum Meeting {
    /// The receiver decides.
    Pass,
    /// The receiver stores it, and the answer is lost with the connection.
    LoseAnswer,
    /// Answered with this status, these headers (each with its line end) and this text; nothing is stored.
    Answer(u16, &'static str, &'static str),
    /// Nothing is stored and nothing is answered, for as long as the other side waits.
    Swallow,
}

impl From<Meeting> for Action {
    fn from(meeting: Meeting) -> Action {
        Action { before: Duration::ZERO, after: Duration::ZERO, meeting }
    }
}

/// A push, whatever became of it.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    pub(crate) at: Instant,
    /// The number in the URL's path: which life of the agent sent it. Not guessed from the time of arrival, because
    /// what a killed agent sent can be read after its successor has started.
    pub(crate) life: u32,
    pub(crate) tenant: Option<String>,
    pub(crate) authorization: Option<String>,
    pub(crate) labels: String,
    pub(crate) entries: Vec<Seen>,
    /// Whether the receiver has it.
    pub(crate) is_stored: bool,
    /// Since when.
    pub(crate) stored_at: Option<Instant>,
    /// What the agent was told.
    pub(crate) status: Option<u16>,
}

type Script = Box<dyn FnMut(&Attempt) -> Action + Send>;

pub(crate) struct Destination {
    shared: Arc<Shared>,
    address: SocketAddr,
    door: Option<JoinHandle<()>>,
    receiver: Receiver,
    runtime: Option<tokio::runtime::Runtime>,
}

struct Shared {
    /// Where the receiver listens.
    inside: SocketAddr,
    script: Mutex<Script>,
    attempts: Mutex<Vec<Attempt>>,
    open: Mutex<Open>,
    tls: Mutex<Option<Arc<ServerConfig>>>,
}

#[derive(Default)]
struct Open {
    is_closing: bool,
    next: u64,
    connections: HashMap<u64, TcpStream>,
}

impl Destination {
    pub(crate) fn new() -> Destination {
        Destination::with(Options { keep_lines: false, ..Options::default() }, None)
    }

    pub(crate) fn multi_tenant() -> Destination {
        let auth = AuthMode::MultiTenant;
        Destination::with(Options { keep_lines: false, auth, ..Options::default() }, None)
    }

    pub(crate) fn tls(config: ServerConfig) -> Destination {
        Destination::with(Options { keep_lines: false, ..Options::default() }, Some(Arc::new(config)))
    }

    fn with(options: Options, tls: Option<Arc<ServerConfig>>) -> Destination {
        let receiver = Receiver::new(options).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let inside = listener.local_addr().unwrap();
        let router = receiver.router();
        runtime.spawn(async move { serve(listener, router, std::future::pending()).await });
        let shared = Arc::new(Shared {
            inside,
            script: Mutex::new(Box::new(|_| Meeting::Pass.into())),
            attempts: Mutex::default(),
            open: Mutex::default(),
            tls: Mutex::new(tls),
        });
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let door = Some(door(listener, Arc::clone(&shared)));
        Destination { shared, address, door, receiver, runtime: Some(runtime) }
    }

    /// Its URL for the agent's life number `life`.
    pub(crate) fn url(&self, life: u32) -> String {
        let is_tls = self.shared.tls.lock().unwrap().is_some();
        let scheme = if is_tls { "https" } else { "http" };
        format!("{scheme}://localhost:{}/{life}", self.address.port())
    }

    /// From now on, this is done with each push.
    pub(crate) fn script<A: Into<Action>>(&self, mut script: impl FnMut(&Attempt) -> A + Send + 'static) {
        *self.shared.script.lock().unwrap() = Box::new(move |attempt| script(attempt).into());
    }

    /// Nothing listens any more, and every connection is cut.
    pub(crate) fn close(&mut self) {
        let Some(door) = self.door.take() else { return };
        let connections = {
            let mut open = self.shared.open.lock().unwrap();
            open.is_closing = true;
            std::mem::take(&mut open.connections)
        };
        // The door sees the flag when somebody knocks.
        let _ = TcpStream::connect(self.address);
        door.join().unwrap();
        connections.into_values().for_each(|connection| _ = connection.shutdown(Shutdown::Both));
    }

    /// It listens again, where it did.
    pub(crate) fn open(&mut self) {
        let mut listener = None;
        super::eventually(super::seconds(30), "the port is free again", || {
            listener = TcpListener::bind(self.address).ok();
            listener.is_some()
        });
        self.shared.open.lock().unwrap().is_closing = false;
        self.door = listener.map(|listener| door(listener, Arc::clone(&self.shared)));
    }

    pub(crate) fn attempts(&self) -> MutexGuard<'_, Vec<Attempt>> {
        self.shared.attempts.lock().unwrap()
    }

    /// What the receiver has counted.
    pub(crate) fn counts(&self) -> Counts {
        self.receiver.counts()
    }

    /// How many different lines the receiver has.
    pub(crate) fn stored(&self) -> usize {
        self.receiver.counts().accepted as usize
    }
}

impl Drop for Destination {
    fn drop(&mut self) {
        self.close();
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn door(listener: TcpListener, shared: Arc<Shared>) -> JoinHandle<()> {
    thread::spawn(move || {
        for connection in listener.incoming() {
            let Ok(connection) = connection else { continue };
            let number = {
                let mut open = shared.open.lock().unwrap();
                if open.is_closing {
                    return;
                }
                open.next += 1;
                let number = open.next;
                open.connections.insert(number, connection.try_clone().unwrap());
                number
            };
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                // A broken connection is the other side's, or the script's, doing.
                let _ = shared.attend(&connection);
                shared.open.lock().unwrap().connections.remove(&number);
                let _ = connection.shutdown(Shutdown::Both);
            });
        }
    })
}

trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

impl Shared {
    /// One connection, to its end.
    fn attend(&self, connection: &TcpStream) -> io::Result<()> {
        let config = self.tls.lock().unwrap().clone();
        let plain = connection.try_clone()?;
        let mut stream: Box<dyn Stream> = match config {
            None => Box::new(plain),
            Some(config) => {
                Box::new(StreamOwned::new(ServerConnection::new(config).map_err(io::Error::other)?, plain))
            }
        };
        let mut inside = None;
        while let Some(request) = http::read(&mut *stream)? {
            let (index, action) = self.note(&request);
            thread::sleep(action.before);
            let (status, bytes) = match action.meeting {
                Meeting::Swallow => {
                    http::read(&mut *stream)?;
                    return Ok(());
                }
                Meeting::Answer(status, headers, text) => (
                    status,
                    format!("HTTP/1.1 {status} Said\r\n{headers}content-length: {}\r\n\r\n{text}", text.len()),
                ),
                Meeting::Pass | Meeting::LoseAnswer => {
                    let answer = self.forward(&mut inside, &request)?;
                    let status = answer.second_word().parse().unwrap();
                    let attempt = &mut self.attempts.lock().unwrap()[index];
                    attempt.is_stored = status == 204;
                    attempt.stored_at = attempt.is_stored.then(Instant::now);
                    (status, answer.head + &String::from_utf8_lossy(&answer.body))
                }
            };
            thread::sleep(action.after);
            if matches!(action.meeting, Meeting::LoseAnswer) {
                return Ok(());
            }
            self.attempts.lock().unwrap()[index].status = Some(status);
            stream.write_all(bytes.as_bytes())?;
            stream.flush()?;
        }
        Ok(())
    }

    /// Keeps a record of the push. Returns its number, and what to do with it.
    fn note(&self, request: &Message) -> (usize, Action) {
        let (labels, entries) = wire::decode(&request.body);
        let life = request.second_word().trim_start_matches('/').split('/').next().and_then(|life| life.parse().ok());
        let attempt = Attempt {
            at: Instant::now(),
            life: life.expect("a number at the start of the path"),
            tenant: request.header("x-scope-orgid").map(str::to_owned),
            authorization: request.header("authorization").map(str::to_owned),
            labels,
            entries,
            is_stored: false,
            stored_at: None,
            status: None,
        };
        let action = (self.script.lock().unwrap())(&attempt);
        let mut attempts = self.attempts.lock().unwrap();
        attempts.push(attempt);
        (attempts.len() - 1, action)
    }

    fn forward(&self, inside: &mut Option<TcpStream>, request: &Message) -> io::Result<Message> {
        let stream = match inside {
            Some(stream) => stream,
            None => {
                let stream = TcpStream::connect(self.inside)?;
                stream.set_nodelay(true)?;
                inside.insert(stream)
            }
        };
        let head = request.head.replacen(request.second_word(), "/loki/api/v1/push", 1);
        stream.write_all(head.as_bytes())?;
        stream.write_all(&request.body)?;
        http::read(stream)?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}
