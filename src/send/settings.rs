//! How an output connects.

use secrecy::SecretString;
use std::{path::PathBuf, time::Duration};

/// How an output connects.
#[derive(Debug)]
pub struct Http {
    /// Scheme `http` or `https`, with host, without query, fragment and credentials; no `/` at the end.
    pub url: String,
    /// `auth`
    pub auth: Auth,
    /// `headers`: what else every request carries. Names and values that can be sent; none of the names that the client or
    /// an output sets by itself.
    pub headers: Vec<(String, String)>,
    /// `tls.ca_file`: trusted beside the system's authorities, PEM.
    pub ca_file: Option<PathBuf>,
    /// `tls.cert_file` and `tls.key_file`: the client's certificate, PEM.
    pub client_cert: Option<(PathBuf, PathBuf)>,
    /// `proxy`: an `http://` URL.
    pub proxy: Option<String>,
    /// From connecting to the whole answer; 100 ms to 10 min.
    pub timeout: Duration,
}

/// `auth`: at most one.
#[derive(Clone, Debug)]
pub enum Auth {
    /// None.
    None,
    /// `auth.basic`
    Basic {
        /// The user.
        user: String,
        /// The password.
        password: Secret,
    },
    /// `auth.bearer`
    Bearer(Secret),
    /// `auth.api_key`, Elasticsearch's: the key as its API gives it, `encoded`.
    ApiKey(Secret),
    /// `auth.token`, Splunk's.
    Splunk(Secret),
    /// `auth.token`, Datadog's.
    Datadog(Secret),
}

/// Where a secret is. It is read when it is needed, and again after a refusal, so that it can be replaced.
#[derive(Clone, Debug)]
pub enum Secret {
    /// `*_file`: the file's text without white space at its end. `$CREDENTIALS_DIRECTORY/` at the start stands for
    /// systemd's folder of that name.
    File(PathBuf),
    /// `*_env`: the value of the variable at start.
    Env {
        /// The variable's name, for messages.
        name: String,
        /// Its value.
        value: SecretString,
    },
}
