//! The HTTP client of one output.

use super::settings::{Auth, Http, Secret};
use crate::{
    model::Nanos,
    output::{self, Cause, Request, Scope, Stall, datadog},
};
use reqwest::{
    Certificate, Identity, Proxy,
    header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER},
    redirect::Policy,
};
use secrecy::ExposeSecret as _;
use std::{error::Error as _, fs, path::Path, time::Duration};

/// No more of an answer is read. Elasticsearch's has an item for each record of a batch.
const MAX_ANSWER: usize = 4 << 20;
/// A connection is set up within this, or not at all.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Idle connections are closed before proxies usually do.
const IDLE: Duration = Duration::from_secs(25);

/// A client with its secrets and certificates as they were when it was made. It is made anew from time to time and
/// after failures, so that all of them can be replaced, and names are resolved again.
#[derive(Clone, Debug)]
pub struct Client {
    inner: reqwest::Client,
    url: String,
    headers: HeaderMap,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The header of that name.
    pub retry_after: Option<String>,
    /// The first 4 MiB of the body.
    pub body: Vec<u8>,
}

impl Answer {
    /// As outputs look at it, at this wall clock.
    pub fn at(&self, now: Nanos) -> output::Answer<'_> {
        let Answer { status, body, retry_after } = self;
        output::Answer { status: *status, body, retry_after: retry_after.as_deref(), now }
    }
}

impl Client {
    /// Reads secrets and certificates and makes a client of them. A failure is a stall like any other: somebody may
    /// be replacing the file right now.
    pub fn new(http: &Http, connections: usize) -> Result<Client, Stall> {
        // Done once for the process; the second time it is there already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let is_tls = http.url.starts_with("https:");
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("auditship/", env!("CARGO_PKG_VERSION")))
            .redirect(Policy::none())
            .no_proxy()
            .http1_only()
            .timeout(http.timeout)
            .connect_timeout(CONNECT_TIMEOUT.min(http.timeout))
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(connections)
            .tcp_nodelay(true)
            .tcp_keepalive(Duration::from_secs(15));
        let authorities = match &http.ca_file {
            Some(path) => {
                let pem = read(path, Cause::Tls)?;
                Certificate::from_pem_bundle(&pem).map_err(|error| unusable(path, &error))?
            }
            None => Vec::new(),
        };
        builder = if is_tls { builder.tls_certs_merge(authorities) } else { builder.tls_certs_only(Vec::new()) };
        if let Some((cert_file, key_file)) = &http.client_cert {
            let mut pem = read(cert_file, Cause::Tls)?;
            pem.push(b'\n');
            pem.extend(read(key_file, Cause::Tls)?);
            builder = builder.identity(Identity::from_pem(&pem).map_err(|error| unusable(cert_file, &error))?);
        }
        if let Some(proxy) = &http.proxy {
            let proxy =
                Proxy::all(proxy).map_err(|error| stall(Cause::Setup, format!("proxy: {}", innermost(&error))))?;
            builder = builder.proxy(proxy);
        }
        let inner = builder.build().map_err(|error| stall(Cause::Tls, innermost(&error.without_url())))?;
        let mut headers = authorization(&http.auth)?;
        for (name, value) in &http.headers {
            let pair = HeaderName::try_from(name).ok().zip(HeaderValue::try_from(value).ok());
            let (name, mut value) =
                pair.ok_or_else(|| stall(Cause::Setup, format!("headers: {name} cannot be sent as a header")))?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        Ok(Client { inner, url: http.url.clone(), headers })
    }

    /// Sends a request and reads its answer. Whatever is not a complete answer is a stall.
    pub async fn post(&self, request: Request) -> Result<Answer, Stall> {
        let mut headers = self.headers.clone();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(request.content_type));
        if let Some(encoding) = request.encoding {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static(encoding));
        }
        for (name, value) in request.headers {
            let value = HeaderValue::from_str(&value).map_err(|_| {
                stall(Cause::Setup, format!("{name}: this value cannot be sent in a header: {value:?}"))
            })?;
            headers.insert(HeaderName::from_static(name), value);
        }
        let url = format!("{}{}", self.url, request.path);
        let result = self.inner.post(url).headers(headers).body(request.body).send().await;
        let mut response = result.map_err(|error| self.failed(error))?;
        let retry_after =
            response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let status = response.status().as_u16();
        let mut body = Vec::new();
        while body.len() < MAX_ANSWER {
            match response.chunk().await {
                Ok(Some(chunk)) => body.extend_from_slice(&chunk[..chunk.len().min(MAX_ANSWER - body.len())]),
                Ok(None) => break,
                Err(error) => return Err(self.failed(error)),
            }
        }
        Ok(Answer { status, retry_after, body })
    }

    /// Asks for what is at the output's URL itself. Any answer but 200 is a stall.
    pub(super) async fn get(&self) -> Result<reqwest::Response, Stall> {
        let result = self.inner.get(&self.url).headers(self.headers.clone()).send().await;
        let response = result.map_err(|error| self.failed(error))?;
        match response.status().as_u16() {
            200 => Ok(response),
            401 | 403 => Err(stall(Cause::Credentials, format!("{}: answered {}", self.url, response.status()))),
            _ => Err(stall(Cause::Unexpected, format!("{}: answered {}", self.url, response.status()))),
        }
    }

    /// The class of a failure below HTTP. The order matters: a handshake that times out is a time-out.
    fn failed(&self, error: reqwest::Error) -> Stall {
        let error = error.without_url();
        let (cause, what) = if error.is_timeout() {
            (Cause::TimedOut, "no answer in time")
        } else if is_tls(&error) {
            (Cause::Tls, "no TLS connection")
        } else if error.is_connect() {
            (Cause::Unreachable, "no connection")
        } else {
            (Cause::Broken, "the connection broke before a complete answer")
        };
        stall(cause, format!("{what} ({}): {}", self.url, innermost(&error)))
    }
}

fn authorization(auth: &Auth) -> Result<HeaderMap, Stall> {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let unreadable = |error: super::SecretError| stall(Cause::Credentials, error.to_string());
    let secret = |secret: &Secret| secret.read().map_err(unreadable);
    let (name, text) = match auth {
        Auth::None => return Ok(HeaderMap::new()),
        Auth::Basic { user, password } => {
            let password = secret(password)?;
            let pair = STANDARD.encode(format!("{user}:{}", password.expose_secret()));
            (AUTHORIZATION, format!("Basic {pair}"))
        }
        Auth::Bearer(token) => (AUTHORIZATION, format!("Bearer {}", secret(token)?.expose_secret())),
        Auth::ApiKey(key) => (AUTHORIZATION, format!("ApiKey {}", secret(key)?.expose_secret())),
        Auth::Splunk(token) => (AUTHORIZATION, format!("Splunk {}", secret(token)?.expose_secret())),
        Auth::Datadog(key) => (HeaderName::from_static(datadog::KEY_HEADER), secret(key)?.expose_secret().to_owned()),
    };
    let mut value = HeaderValue::from_str(&text)
        .map_err(|_| stall(Cause::Credentials, "the secret has characters that cannot be sent in a header".into()))?;
    // Keeps it out of every debug output below us.
    value.set_sensitive(true);
    Ok(HeaderMap::from_iter([(name, value)]))
}

fn read(path: &Path, cause: Cause) -> Result<Vec<u8>, Stall> {
    fs::read(path).map_err(|error| stall(cause, format!("{}: {error}", path.display())))
}

fn unusable(path: &Path, error: &reqwest::Error) -> Stall {
    stall(Cause::Tls, format!("{}: not a usable PEM file: {}", path.display(), innermost(error)))
}

fn stall(cause: Cause, text: String) -> Stall {
    Stall { cause, scope: Scope::Output, retry_after: None, text }
}

fn is_tls(error: &reqwest::Error) -> bool {
    let mut source = error.source();
    while let Some(inner) = source {
        // An io::Error hides what it was made of from `source`, and the layers below make one of another.
        let mut inmost = inner;
        while let Some(wrapped) = inmost.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
            inmost = wrapped;
        }
        if inmost.is::<rustls::Error>() {
            return true;
        }
        source = inner.source();
    }
    false
}

/// What lies behind a failed request. The outer layers only say that a request failed.
fn innermost(error: &reqwest::Error) -> String {
    let mut inner: &dyn std::error::Error = error;
    let mut layers = vec![inner.to_string()];
    while let Some(source) = inner.source() {
        layers.push(source.to_string());
        inner = source;
    }
    let mut said: Vec<String> = Vec::new();
    for layer in layers.split_off(layers.len().saturating_sub(2)) {
        if !said.iter().any(|other| other.ends_with(&layer)) {
            said.push(layer);
        }
    }
    said.join(": ")
}
