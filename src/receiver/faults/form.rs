//! A fault, and how it is written in JSON.

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, num::NonZeroU64, time::Duration};

/// What happens to some of the requests.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// It is for requests whose path begins with this.
    pub path: String,
    /// The share of these that it is for, 0 to 1.
    pub share: f64,
    /// Which of them these are: the same seed chooses the same ones, by their order.
    pub seed: u64,
    /// The pause before anything else happens, once the request is read.
    pub delay: Duration,
    /// What happens.
    pub mode: FaultMode,
    /// It ends after this time. `None`: it does not.
    pub duration: Option<Duration>,
    /// It ends after so many requests. `None`: it does not.
    pub count: Option<u64>,
}

/// What happens to a request.
#[derive(Clone, Debug, PartialEq)]
pub enum FaultMode {
    /// The receiver does not see it; this is the answer.
    Answer {
        /// Its status, not below 200.
        status: StatusCode,
        /// Its headers.
        headers: HeaderMap,
        /// Its body.
        body: String,
    },
    /// Nothing but the pause: then the receiver answers.
    Delay,
    /// The receiver gets it, and the connection is cut before a byte of the answer.
    StoreThenDrop,
    /// The receiver does not see it, and there is no answer. The connection is cut when the faults are set anew.
    Swallow,
    /// The receiver gets it, but it is read no faster than this.
    Slow {
        /// The bytes of its body that are read in a second.
        bytes_per_second: NonZeroU64,
    },
}

impl Fault {
    /// A fault for all requests whose path begins with `path`.
    pub fn new(path: &str, mode: FaultMode) -> Fault {
        let (share, seed, delay) = (1.0, 0, Duration::ZERO);
        Fault { path: path.to_owned(), share, seed, delay, mode, duration: None, count: None }
    }

    /// The same answer to all requests whose path begins with `path`.
    pub fn answer(path: &str, status: StatusCode, body: &str) -> Fault {
        Fault::new(path, FaultMode::Answer { status, headers: HeaderMap::new(), body: body.to_owned() })
    }

    /// Reads a JSON array of faults. The error says which key of which fault is wrong.
    pub fn parse(json: &[u8]) -> Result<Vec<Fault>, String> {
        let written: Vec<Written> = serde_json::from_slice(json).map_err(|e| e.to_string())?;
        let read = |(nth, written): (usize, Written)| written.read().map_err(|e| format!("fault {nth}: {e}"));
        written.into_iter().enumerate().map(read).collect()
    }
}

/// Faults as [`Fault::parse`] reads them.
pub(super) fn write(faults: &[Fault]) -> String {
    let write = |fault: &Fault| {
        // Text, numbers and maps of text can always be written.
        let mut written = serde_json::to_value(Written::of(fault)).unwrap_or_default();
        if let Some(keys) = written.as_object_mut() {
            keys.retain(|_, value| !value.is_null());
        }
        written
    };
    faults.iter().map(write).collect::<serde_json::Value>().to_string()
}

/// A fault in JSON.
#[derive(Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
struct Written {
    path: Option<String>,
    mode: Option<Mode>,
    status: Option<u16>,
    headers: Option<BTreeMap<String, String>>,
    body: Option<String>,
    bytes_per_second: Option<u64>,
    delay_ms: Option<u64>,
    share: Option<f64>,
    seed: Option<u64>,
    for_ms: Option<u64>,
    count: Option<u64>,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Mode {
    Answer,
    Delay,
    StoreThenDrop,
    Swallow,
    Slow,
}

impl Written {
    fn read(self) -> Result<Fault, String> {
        let mode = self.mode.unwrap_or(Mode::Answer);
        let of_mode = [
            ("status", self.status.is_some(), Mode::Answer, "answer"),
            ("headers", self.headers.is_some(), Mode::Answer, "answer"),
            ("body", self.body.is_some(), Mode::Answer, "answer"),
            ("bytes_per_second", self.bytes_per_second.is_some(), Mode::Slow, "slow"),
        ];
        if let Some((key, _, _, name)) = of_mode.iter().find(|(_, is_there, of, _)| *is_there && *of != mode) {
            return Err(format!("`{key}` belongs to the mode \"{name}\""));
        }
        let share = self.share.unwrap_or(1.0);
        if !(0.0..=1.0).contains(&share) {
            return Err(format!("`share`: {share} is not between 0 and 1"));
        }
        let path = self.path.ok_or("`path` is missing: what the paths begin with, such as \"/\"")?;
        if !path.starts_with('/') {
            return Err(format!("`path`: {path:?} does not begin with /"));
        }
        let delay = Duration::from_millis(self.delay_ms.unwrap_or(0));
        let mode = match mode {
            Mode::Answer => FaultMode::Answer {
                status: status(self.status.ok_or("`status` is missing: an answer has one")?)?,
                headers: headers(self.headers.unwrap_or_default())?,
                body: self.body.unwrap_or_default(),
            },
            Mode::Delay if delay.is_zero() => return Err("`delay_ms` is missing: how long the delay is".into()),
            Mode::Delay => FaultMode::Delay,
            Mode::StoreThenDrop => FaultMode::StoreThenDrop,
            Mode::Swallow => FaultMode::Swallow,
            Mode::Slow => FaultMode::Slow {
                bytes_per_second: self
                    .bytes_per_second
                    .and_then(NonZeroU64::new)
                    .ok_or("`bytes_per_second` is missing or 0: how fast the request is read")?,
            },
        };
        let duration = self.for_ms.map(Duration::from_millis);
        Ok(Fault { path, share, seed: self.seed.unwrap_or(0), delay, mode, duration, count: self.count })
    }

    fn of(fault: &Fault) -> Written {
        // A duration that is a number of milliseconds fits one.
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let mut written = Written {
            path: Some(fault.path.clone()),
            delay_ms: (!fault.delay.is_zero()).then(|| millis(fault.delay)),
            share: Some(fault.share),
            seed: Some(fault.seed),
            for_ms: fault.duration.map(millis),
            count: fault.count,
            ..Written::default()
        };
        written.mode = Some(match &fault.mode {
            FaultMode::Answer { status, headers, body } => {
                let pair = |(name, value): (&HeaderName, &HeaderValue)| {
                    (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
                };
                written.status = Some(status.as_u16());
                written.headers = (!headers.is_empty()).then(|| headers.iter().map(pair).collect());
                written.body = Some(body.clone());
                Mode::Answer
            }
            FaultMode::Delay => Mode::Delay,
            FaultMode::StoreThenDrop => Mode::StoreThenDrop,
            FaultMode::Swallow => Mode::Swallow,
            FaultMode::Slow { bytes_per_second } => {
                written.bytes_per_second = Some(bytes_per_second.get());
                Mode::Slow
            }
        });
        written
    }
}

fn status(number: u16) -> Result<StatusCode, String> {
    // Those below 200 are no answers.
    let status = StatusCode::from_u16(number).ok().filter(|status| !status.is_informational());
    status.ok_or_else(|| format!("`status`: {number} is not between 200 and 999"))
}

fn headers(pairs: BTreeMap<String, String>) -> Result<HeaderMap, String> {
    let pair = |(name, value): (String, String)| {
        let wrong = || format!("`headers`: {name:?}: {value:?} is no header");
        let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?;
        if [header::CONTENT_LENGTH, header::TRANSFER_ENCODING].contains(&parsed) {
            return Err(format!("`headers`: {name:?} is the server's own"));
        }
        Ok((parsed, HeaderValue::from_str(&value).map_err(|_| wrong())?))
    };
    pairs.into_iter().map(pair).collect()
}
