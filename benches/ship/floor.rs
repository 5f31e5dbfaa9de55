//! The floor: one straight loop that does to every line what any agent with this promise has to do, and nothing
//! else. No threads, no state on disk, no retries, no limits.
//!
//! It calls auditship's pure functions, so it sends the same bytes for a record; the name of the file is another, of
//! the same length. It sends as often as the agent did: whenever it is behind the agent's pace, the largest open
//! batch leaves.

use auditship::{
    model::{Chain, FileName, LabelSet, Marks, Nanos, Origin, Record, leaf},
    output::{
        FileHead,
        loki::{CONTENT_TYPE, PATH, encode},
    },
    parse::{Wanted, parse},
};
use std::{
    collections::HashMap,
    fs::File,
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::PathBuf,
};

/// What the floor has to do.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    /// The receiver: `127.0.0.1:PORT`.
    pub(crate) address: String,
    pub(crate) file: PathBuf,
    /// How many lines it has.
    pub(crate) lines: u64,
    /// How many requests to make of them.
    pub(crate) requests: u64,
    /// Whether every line is hashed and chained.
    pub(crate) hash: bool,
}

/// The name of the sent file.
const NAME: FileName = FileName(0x0123_4567_89ab_cdef);
/// Room before the entries for what is known only when the batch is complete.
const ROOM: usize = 512;
/// Bytes per read.
const READ: usize = 1 << 20;

/// An open batch.
struct Batch {
    labels: String,
    /// [`ROOM`] bytes, then entries.
    body: Vec<u8>,
}

struct Connection {
    stream: BufReader<TcpStream>,
    head: String,
    line: String,
    snappy: snap::raw::Encoder,
    compressed: Vec<u8>,
    requests: u64,
    sent_bytes: u64,
}

/// Ships the file. Prints the number of requests and the bytes of their bodies.
#[allow(clippy::print_stdout, reason = "the parent process reads it")]
pub(crate) fn run(job: &Job) -> io::Result<()> {
    let fields = [names(&["event_type", "action", "event"]), names(&["tenant", "org"])];
    let wanted = Wanted::new(&names(&["ts", "timestamp", "time", "@timestamp"]), &fields);
    let path = job.file.display().to_string();
    let first_seen = Nanos::default();
    let (host, path) = (crate::HOST.into(), path.into());
    let origin = Origin { name: NAME, host, path, source: "".into(), first_seen, container: None };
    let metadata = FileHead { name: NAME, first_seen, bytes: encode::file_metadata(&origin) };
    let mut connection = Connection::open(&job.address)?;
    let mut chain = Chain::start(NAME);
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut batches: Vec<Batch> = Vec::new();
    let (mut seq, mut offset, mut key) = (0, 0, String::new());
    // What is still open at the end leaves then: at most one batch of every stream.
    let early = job.requests.saturating_sub(crate::lines::STREAMS as u64);

    let mut file = File::open(&job.file)?;
    let (mut buffer, mut have) = (vec![0; READ], 0);
    loop {
        let n = file.read(&mut buffer[have..])?;
        if n == 0 {
            break;
        }
        have += n;
        let mut at = 0;
        while let Some(len) = memchr::memchr(b'\n', &buffer[at..have]) {
            let body = &buffer[at..at + len];
            let parsed = parse(&wanted, body);
            let stamp = parsed.time.ok_or_else(|| io::Error::other("a line without a time"))?;
            let digest = if job.hash { leaf(body) } else { [0; 32] };
            if job.hash {
                chain = chain.next(&digest);
            }
            key.clear();
            for field in &parsed.fields[..2] {
                key.push_str(field.as_deref().unwrap_or_default());
                key.push('\n');
            }
            let place = match places.get(&key) {
                Some(place) => *place,
                None => {
                    batches.push(Batch { labels: labels(&key), body: vec![0; ROOM] });
                    places.insert(key.clone(), batches.len() - 1);
                    batches.len() - 1
                }
            };
            seq += 1;
            let time = stamp.filled(NAME.0.wrapping_add(offset));
            let record = Record { body, offset, seq, leaf: digest, time, marks: Marks::NONE, part: None };
            encode::entry(&mut batches[place].body, &record, &metadata);
            offset += len as u64 + 1;
            at += len + 1;
            if connection.requests * job.lines < early * seq {
                connection.post_largest(&mut batches)?;
            }
        }
        buffer.copy_within(at..have, 0);
        have -= at;
    }
    while batches.iter().any(|batch| batch.body.len() > ROOM) {
        connection.post_largest(&mut batches)?;
    }
    // The end of the chain is printed so that no compiler can leave it out.
    println!("{} {} {:02x?}", connection.requests, connection.sent_bytes, &chain.0[..4]);
    Ok(())
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn labels(key: &str) -> String {
    let mut values = key.split('\n');
    let mut pair = |name: &str| (name.to_owned(), values.next().unwrap_or_default().to_owned());
    let found = [pair("event_type"), pair("tenant")];
    let constant = ("service_name".to_owned(), "auditship".to_owned());
    encode::labels(&LabelSet::new(found.into_iter().chain([constant])))
}

impl Connection {
    fn open(address: &str) -> io::Result<Connection> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Connection {
            stream: BufReader::new(stream),
            head: format!("POST {PATH} HTTP/1.1\r\nhost: {address}\r\ncontent-type: {CONTENT_TYPE}\r\n"),
            line: String::new(),
            snappy: snap::raw::Encoder::new(),
            compressed: Vec::new(),
            requests: 0,
            sent_bytes: 0,
        })
    }

    fn post_largest(&mut self, batches: &mut [Batch]) -> io::Result<()> {
        let Some(batch) = batches.iter_mut().max_by_key(|batch| batch.body.len()) else { return Ok(()) };
        // Written into the room, so that the entries need not be copied.
        let envelope = encode::envelope(batch.labels.as_bytes(), batch.body.len() - ROOM);
        let start = ROOM - envelope.len();
        batch.body[start..ROOM].copy_from_slice(&envelope);
        let message = &batch.body[start..];
        self.compressed.resize(snap::raw::max_compress_len(message.len()), 0);
        let len = self.snappy.compress(message, &mut self.compressed)?;
        batch.body.truncate(ROOM);
        self.post(len)
    }

    /// Sends the first `len` bytes of `compressed` and waits for the answer.
    fn post(&mut self, len: usize) -> io::Result<()> {
        let socket = self.stream.get_mut();
        socket.write_all(format!("{}content-length: {len}\r\n\r\n", self.head).as_bytes())?;
        socket.write_all(&self.compressed[..len])?;
        self.requests += 1;
        self.sent_bytes += len as u64;
        self.line.clear();
        self.stream.read_line(&mut self.line)?;
        if !self.line.starts_with("HTTP/1.1 204 ") {
            return Err(io::Error::other(format!("the receiver answers {:?}", self.line)));
        }
        // A 204 has no body: it ends with its head.
        while self.line != "\r\n" {
            self.line.clear();
            if self.stream.read_line(&mut self.line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(())
    }
}
