//! The second half of checking: what the configuration needs from the machine. Nothing is written.

use super::{
    error::{At, ConfigErrors, Problem, Warning, chain},
    url::is_loopback,
};
use crate::{
    discover::Pattern,
    pipeline::{Admin, Label, LabelFrom, Meta, Output, Settings, Source},
    send::{Auth, Http},
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use std::{fs, io, os::unix::fs::MetadataExt, path::Path};

/// Looks at the files and folders that `settings` names: secrets, certificates, the folders of the sources.
///
/// The errors are what would keep an output or a source from working; the warnings are what works, but probably not
/// as meant.
pub fn check_surroundings(settings: &Settings) -> Result<Vec<Warning>, ConfigErrors> {
    let mut report = Report::default();
    for (index, source) in settings.sources.iter().enumerate() {
        folders(source, &mut report);
        let earlier = settings.sources.get(..index).unwrap_or_default();
        overlaps(source, earlier, &mut report);
        if let Some(http) = &source.pod_labels {
            pod_labels(&format!("sources.{}.pod_labels", source.name), http, settings, &mut report);
        }
        if !settings.outputs.iter().any(|output| output.sources.contains(&source.name)) {
            report.warn(format!("sources.{}", source.name), "no output takes this source");
        }
    }
    if let Some(admin) = &settings.agent.admin {
        token(admin, &mut report);
    }
    for output in &settings.outputs {
        credentials(output, &mut report);
        certificates(&output.name, &output.http, &mut report);
    }
    if report.problems.is_empty() { Ok(report.warnings) } else { Err(ConfigErrors(report.problems)) }
}

#[derive(Default)]
struct Report {
    problems: Vec<Problem>,
    warnings: Vec<Warning>,
}

impl Report {
    fn wrong(&mut self, key: &str, message: String) {
        self.problems.push(Problem::new(At::Nowhere, key, message));
    }

    fn warn(&mut self, key: String, message: impl Into<String>) {
        self.warnings.push(Warning { key, message: message.into() });
    }
}

fn folders(source: &Source, report: &mut Report) {
    let key = format!("sources.{}.include", source.name);
    for glob in &source.include {
        // It has been compiled before.
        let Ok(pattern) = Pattern::new(glob) else { continue };
        let folder = pattern.folder();
        match fs::read_dir(folder) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                report.warn(key.clone(), format!("no such folder yet: {}", folder.display()));
            }
            Err(error) => report.wrong(&key, format!("the folder {} cannot be read: {error}", folder.display())),
        }
    }
}

fn overlaps(source: &Source, earlier: &[Source], report: &mut Report) {
    for glob in &source.include {
        if let Some(owner) = earlier.iter().find(|other| other.include.contains(glob)) {
            let message = format!("{glob:?} is also in sources.{}, which comes first and owns its files", owner.name);
            report.warn(format!("sources.{}.include", source.name), message);
        }
    }
}

fn pod_labels(key: &str, http: &Http, settings: &Settings, report: &mut Report) {
    let is_of_pod = |label: &Label| matches!(label.from, LabelFrom::Meta(Meta::Label(_)));
    if !settings.labels.iter().any(is_of_pod) {
        report.warn(key.to_string(), "no label is a { meta = \"label.KEY\" }, so pods are not asked for");
    }
    if let Auth::Bearer(token) = &http.auth {
        // Kubernetes gives its own modes to the files that it mounts.
        if let Err(error) = token.read() {
            report.wrong(&format!("{key}.token_file"), chain(&error));
        }
        encrypted(&format!("{key}.url"), http, report);
    }
    if let Some(path) = &http.ca_file {
        certificate(&format!("{key}.ca_file"), path, report);
    }
}

fn encrypted(key: &str, http: &Http, report: &mut Report) {
    if http.url.starts_with("http://") && !is_loopback(&http.url) {
        let message = "the secret is sent unencrypted, because the URL begins with http://; use https://";
        report.warn(key.to_string(), message);
    }
}

fn credentials(output: &Output, report: &mut Report) {
    let (name, secret) = match &output.http.auth {
        Auth::None => return,
        Auth::Basic { password, .. } => ("basic.password_file", password),
        Auth::Bearer(token) => ("bearer.token_file", token),
        Auth::ApiKey(key) => ("api_key.file", key),
        Auth::Splunk(token) | Auth::Datadog(token) => ("token.file", token),
    };
    let key = format!("outputs.{}.auth.{name}", output.name);
    if let Err(error) = secret.read() {
        report.wrong(&key, chain(&error));
    } else if let Some(Ok(path)) = secret.file() {
        private(key, &path, report);
    }
    encrypted(&format!("outputs.{}.url", output.name), &output.http, report);
}

/// Whatever is wrong with it, shipping goes on: these are warnings.
fn token(admin: &Admin, report: &mut Report) {
    let key = "agent.admin_token_file".to_owned();
    match &admin.token {
        None if admin.is_loopback() => {}
        None => {
            let message =
                "is not set, and agent.admin is not a loopback address: only /livez and /readyz are answered";
            report.warn(key, message);
        }
        Some(token) => match (token.read(), token.file()) {
            (Err(error), _) => report.warn(key, format!("{}; nobody is let in without it", chain(&error))),
            (Ok(_), Some(Ok(path))) => private(key, &path, report),
            (Ok(_), _) => {}
        },
    }
}

fn certificates(name: &str, http: &Http, report: &mut Report) {
    let key = |key: &str| format!("outputs.{name}.tls.{key}");
    if let Some(path) = &http.ca_file {
        certificate(&key("ca_file"), path, report);
    }
    if let Some((cert, private_key)) = &http.client_cert {
        certificate(&key("cert_file"), cert, report);
        match read(private_key).map(|pem| PrivateKeyDer::from_pem_slice(&pem).map(drop)) {
            Ok(Ok(())) => private(key("key_file"), private_key, report),
            Ok(Err(_)) => {
                report.wrong(&key("key_file"), format!("{}: holds no PEM private key", private_key.display()))
            }
            Err(error) => report.wrong(&key("key_file"), format!("{}: {error}", private_key.display())),
        }
    }
}

fn certificate(key: &str, path: &Path, report: &mut Report) {
    let found = match read(path) {
        Ok(pem) => CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>(),
        Err(error) => return report.wrong(key, format!("{}: {error}", path.display())),
    };
    match found {
        Ok(found) if !found.is_empty() => {}
        Ok(_) => report.wrong(key, format!("{}: holds no PEM certificate", path.display())),
        // The error's own text could quote the file.
        Err(_) => report.wrong(key, format!("{}: is not valid PEM", path.display())),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let failed = |error: io::Error| format!("cannot be read: {error}");
    let metadata = path.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err("is not a regular file".to_string());
    }
    if metadata.len() > MAX_PEM {
        return Err("is larger than 4 MiB".to_string());
    }
    fs::read(path).map_err(failed)
}

fn private(key: String, path: &Path, report: &mut Report) {
    let Ok(metadata) = path.metadata() else { return };
    let mode = metadata.mode() & 0o777;
    if mode & 0o077 != 0 {
        let message = format!("{} can be used by others (mode {mode:04o}); chmod 0600", path.display());
        report.warn(key, message);
    }
}

/// A system's whole list of authorities has a quarter of a megabyte.
const MAX_PEM: u64 = 4 << 20;

#[cfg(test)]
mod tests;
