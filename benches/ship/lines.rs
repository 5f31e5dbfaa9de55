//! The input: audit lines as an application writes them. The same seed gives the same lines; only their times move
//! with the clock, because Loki refuses entries that are too old.

use std::{
    fs::File,
    io::{self, BufWriter, Write as _},
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

const TENANTS: [&str; 10] =
    ["acme", "globex", "initech", "umbrella", "hooli", "stark", "wayne", "tyrell", "cyberdyne", "wonka"];

const EVENTS: [&str; 20] = [
    "login.success",
    "login.failure",
    "logout",
    "token.issued",
    "token.revoked",
    "user.created",
    "user.deleted",
    "user.updated",
    "role.granted",
    "role.revoked",
    "document.read",
    "document.created",
    "document.updated",
    "document.deleted",
    "export.started",
    "export.finished",
    "policy.changed",
    "key.rotated",
    "backup.finished",
    "api.call",
];

/// Every tenant with every type.
pub(crate) const STREAMS: usize = TENANTS.len() * EVENTS.len();

const AGENTS: [&str; 4] = [
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)",
    "curl/8.14.1",
    "okhttp/4.12.0",
];

/// How far back the lines begin.
const SPREAD_MS: u64 = 600_000;

/// A file of lines.
#[derive(Debug)]
pub(crate) struct Lines {
    /// Where each line begins; at the end, the length of the file.
    pub(crate) starts: Vec<u64>,
    /// How many pairs of tenant and event type there are in it.
    pub(crate) streams: usize,
}

impl Lines {
    /// Writes `count` lines to `path`, the last of them of about now.
    pub(crate) fn write(path: &Path, count: usize) -> io::Result<Lines> {
        let mut random = fastrand::Rng::with_seed(351);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
        let mut file = BufWriter::with_capacity(1 << 20, File::create(path)?);
        let mut starts = Vec::with_capacity(count + 1);
        let mut seen = [false; STREAMS];
        let (mut at, mut line) = (0, Vec::new());
        for nth in 0..count {
            let time = now - SPREAD_MS + nth as u64 * SPREAD_MS / count as u64;
            line.clear();
            let stream = random.usize(..STREAMS);
            seen[stream] = true;
            one(&mut line, nth, time, stream, &mut random)?;
            starts.push(at);
            at += line.len() as u64;
            file.write_all(&line)?;
        }
        starts.push(at);
        file.flush()?;
        Ok(Lines { starts, streams: seen.into_iter().filter(|seen| *seen).count() })
    }

    pub(crate) fn count(&self) -> usize {
        self.starts.len() - 1
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.starts.last().copied().unwrap_or(0)
    }
}

fn one(line: &mut Vec<u8>, nth: usize, time: u64, stream: usize, random: &mut fastrand::Rng) -> io::Result<()> {
    let time = jiff::Timestamp::from_millisecond(time as i64).map_err(io::Error::other)?;
    let (tenant, event) = (TENANTS[stream % TENANTS.len()], EVENTS[stream / TENANTS.len()]);
    let user = random.u32(..5000);
    write!(
        line,
        r#"{{"ts":"{}","id":"{:08x}-{:016x}","event_type":"{event}","tenant":"{tenant}","#,
        time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ"),
        nth,
        random.u64(..),
    )?;
    write!(
        line,
        r#""actor":{{"id":"u{user}","email":"user{user}@{tenant}.example","ip":"10.{}.{}.{}"}},"#,
        random.u8(..),
        random.u8(..),
        random.u8(..),
    )?;
    write!(
        line,
        r#""resource":{{"type":"{}","id":"r-{:010}"}},"outcome":"{}","took_ms":{},"#,
        event.split('.').next().unwrap_or(event),
        random.u32(..),
        if random.u8(..10) == 0 { "denied" } else { "success" },
        random.u16(..2000),
    )?;
    writeln!(line, r#""trace":"{:024x}","agent":"{}"}}"#, random.u128(..) >> 32, AGENTS[random.usize(..AGENTS.len())],)
}
