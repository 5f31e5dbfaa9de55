//! A destination that takes its time: every one of its first answers is late. What the agent has read by then fills
//! its memory up to its limit.

use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

/// So many answers are late: eight at a time, this is two seconds in which next to nothing leaves.
const LATE: u64 = 64;
/// By this much.
const DELAY: Duration = Duration::from_millis(250);

/// Starts it. It ends with the process. Returns its URL and the count of its answers.
pub(crate) fn start() -> io::Result<(String, Arc<AtomicU64>)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}", listener.local_addr()?);
    let answered = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&answered);
    thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            let count = Arc::clone(&count);
            // Ends when the agent closes the connection.
            thread::spawn(move || serve(connection, &count));
        }
    });
    Ok((url, answered))
}

fn serve(connection: TcpStream, count: &AtomicU64) -> io::Result<()> {
    let mut stream = BufReader::new(connection);
    let mut line = String::new();
    loop {
        let mut length = 0;
        loop {
            line.clear();
            if stream.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if line == "\r\n" {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().map_err(io::Error::other)?;
            }
        }
        io::copy(&mut stream.by_ref().take(length), &mut io::sink())?;
        if count.fetch_add(1, Ordering::Relaxed) < LATE {
            thread::sleep(DELAY);
        }
        stream.get_mut().write_all(b"HTTP/1.1 204 No Content\r\n\r\n")?;
    }
}
