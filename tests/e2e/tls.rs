//! Connections that prove who is at both ends, and credentials.

use crate::rig::{Destination, Site, append, check, eventually, lines, seconds};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    server::WebPkiClientVerifier,
};
use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, sync::Arc};

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority(name: &str) -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    // Two of one name would be told apart by their signatures only.
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A certificate for `name`, and its key.
fn leaf(name: &str, authority: &Authority) -> (rcgen::Certificate, KeyPair) {
    let key = KeyPair::generate().unwrap();
    (CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, authority).unwrap(), key)
}

/// A server that `authority` vouches for; with `clients`, it wants a certificate from that authority.
fn server(authority: &Authority, clients: Option<&Authority>) -> ServerConfig {
    let (certificate, key) = leaf("localhost", authority);
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions().unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(clients) => {
            let mut roots = RootCertStore::empty();
            roots.add(clients.der().clone()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
            builder.with_client_cert_verifier(verifier)
        }
    };
    builder.with_single_cert(vec![certificate.der().clone()], key).unwrap()
}

fn private(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn an_unknown_authority_stalls_until_its_certificate_is_there() {
    let ours = authority("ours");
    let destination = Destination::tls(server(&ours, None));
    let mut site = Site::new();
    let ca_file = site.path("ca.pem");
    fs::write(&ca_file, authority("theirs").pem()).unwrap();
    site.output.push_str(&format!("\ntls.ca_file = {ca_file:?}"));
    let truth = lines("a", 200);
    append(&site.log("app.jsonl"), &truth);
    let mut agent = site.start(&destination);
    eventually(seconds(20), "the stall is said", || !agent.alarms().is_empty());
    let alarm = &agent.alarms()[0];
    assert_eq!(alarm["cause"], "Tls");
    assert!(alarm["message"].as_str().unwrap().contains("certificate"), "{alarm}");
    assert_eq!(destination.attempts().len(), 0);

    fs::write(&ca_file, ours.pem()).unwrap();
    eventually(seconds(15), "it flows", || destination.stored() == truth.len());
    assert!(agent.stop(seconds(15)).0.success());
    assert_eq!(agent.alarms().len(), 1, "one line for the stall: {:#?}", agent.alarms());
    check(&destination, &truth);
}

#[test]
fn a_client_certificate_is_shown_and_can_be_replaced() {
    let (ours, theirs) = (authority("ours"), authority("theirs"));
    let destination = Destination::tls(server(&ours, Some(&theirs)));
    let mut site = Site::new();
    let (ca_file, cert_file, key_file) = (site.path("ca.pem"), site.path("cert.pem"), site.path("key.pem"));
    fs::write(&ca_file, ours.pem()).unwrap();
    let put = |authority: &Authority| {
        let (certificate, key) = leaf("agent", authority);
        fs::write(&cert_file, certificate.pem()).unwrap();
        private(&key_file, &key.serialize_pem());
    };
    // From an authority that the server does not know.
    put(&ours);
    site.output.push_str(&format!(
        "\ntls = {{ ca_file = {ca_file:?}, cert_file = {cert_file:?}, key_file = {key_file:?} }}"
    ));
    let truth = lines("a", 200);
    append(&site.log("app.jsonl"), &truth);
    let mut agent = site.start(&destination);
    eventually(seconds(20), "the stall is said", || !agent.alarms().is_empty());
    assert_eq!(agent.alarms()[0]["cause"], "Tls", "{:#?}", agent.alarms());
    put(&theirs);
    eventually(seconds(15), "it flows", || destination.stored() == truth.len());
    assert!(agent.stop(seconds(15)).0.success());
    check(&destination, &truth);
}

#[test]
fn credentials_arrive_and_are_not_in_the_log() {
    let basic = "auth.basic = { user = \"shipper\", password_file = \"SECRET\" }";
    let bearer = "auth.bearer = { token_file = \"SECRET\" }";
    let cases = [(basic, "Basic c2hpcHBlcjpzM2NyZXQtd29yZA=="), (bearer, "Bearer s3cret-word")];
    for (auth, expect) in cases {
        let destination = Destination::new();
        let mut site = Site::new();
        let path = site.path("secret");
        private(&path, "s3cret-word\n");
        site.log_level = "trace";
        site.output.push_str(&format!("\n{}", auth.replace("SECRET", path.to_str().unwrap())));
        let truth = lines("a", 20);
        append(&site.log("app.jsonl"), &truth);
        let done = site.once(&destination, &[]);
        assert_eq!(done.code, Some(0), "{done:?}");
        assert!(destination.attempts().iter().all(|attempt| attempt.authorization.as_deref() == Some(expect)));
        let printed = done.stdout + &done.stderr;
        assert!(!printed.contains("s3cret-word") && !printed.contains("c2hpcHBlcjp"), "{printed}");
        check(&destination, &truth);
    }
}
