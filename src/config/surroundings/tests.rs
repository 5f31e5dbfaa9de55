use super::*;
use crate::config::load;
use secrecy::ExposeSecret;
use std::{os::unix::fs::PermissionsExt, path::PathBuf};
use tempfile::TempDir;

const SECRET: &str = "hunter2";

/// A folder with files in it; `{}` stands for it in what is configured and in what is answered.
struct Machine(TempDir);

impl Machine {
    fn new() -> Self {
        Machine(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>, mode: u32) -> &Self {
        fs::write(self.path(name), content).unwrap();
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(mode)).unwrap();
        self
    }

    /// Checks the surroundings of a right source and output, changed by `env`.
    fn check(&self, env: &[(&str, &str)], expected: &str) {
        let folder = self.0.path().to_str().unwrap();
        let base = [
            ("AUDITSHIP__SOURCES__A__TYPE", "file"),
            ("AUDITSHIP__SOURCES__A__INCLUDE", "{}/*.log"),
            ("AUDITSHIP__OUTPUTS__O__TYPE", "loki"),
            ("AUDITSHIP__OUTPUTS__O__URL", "https://loki"),
        ];
        let env = base.iter().chain(env).map(|(name, value)| (*name, value.replace("{}", folder)));
        let settings = load(None, env).unwrap();
        let answer = match check_surroundings(&settings) {
            Ok(warnings) => warnings.iter().map(|warning| format!("warning: {warning}\n")).collect(),
            Err(errors) => format!("{errors}\n"),
        };
        assert!(!answer.contains(SECRET), "{answer}");
        assert_eq!(answer.trim_end().replace(folder, "{}"), expected);
    }
}

const TOKEN_FILE: &str = "AUDITSHIP__OUTPUTS__O__AUTH__BEARER__TOKEN_FILE";
const INCLUDE: &str = "AUDITSHIP__SOURCES__A__INCLUDE";

#[test]
fn nothing_to_say() {
    let machine = Machine::new();
    machine.file("token", "hunter2\n", 0o600).check(&[(TOKEN_FILE, "{}/token")], "");
}

#[test]
fn folders_of_sources() {
    let machine = Machine::new();
    machine.file("file", "", 0o600);
    machine.check(&[(INCLUDE, "{}/no/*/x")], "warning: sources.a.include: no such folder yet: {}/no");
    machine.check(
        &[(INCLUDE, "{}/file/*")],
        "sources.a.include: the folder {}/file cannot be read: Not a directory (os error 20)",
    );
    let second = [
        ("AUDITSHIP__SOURCES__B__TYPE", "file"),
        ("AUDITSHIP__SOURCES__B__INCLUDE", "{}/*.log"),
        ("AUDITSHIP__OUTPUTS__O__SOURCES", "a"),
    ];
    machine.check(
        &second,
        "warning: sources.b.include: \"{}/*.log\" is also in sources.a, which comes first and owns its files\n\
         warning: sources.b: no output takes this source",
    );
}

#[test]
fn secret_files() {
    let machine = Machine::new();
    machine.file("empty", " \n", 0o600).file("open", "hunter2", 0o640).file("lines", "hunter2\nx", 0o600);
    machine.file("bytes", b"hunter2\xff", 0o600).file("large", [b'x'; (64 << 10) + 1], 0o600);
    for (file, expected) in [
        ("no", "{}/no: cannot be read: No such file or directory (os error 2)"),
        ("", "{}/: is not a regular file"),
        ("empty", "{}/empty: is empty"),
        ("lines", "{}/lines: contains control characters, such as a line break inside"),
        ("bytes", "{}/bytes: is not UTF-8 text"),
        ("large", "{}/large: is larger than 64 KiB"),
    ] {
        let expected = format!("outputs.o.auth.bearer.token_file: {expected}");
        machine.check(&[(TOKEN_FILE, &format!("{{}}/{file}"))], &expected);
    }
    machine.check(
        &[(TOKEN_FILE, "{}/open")],
        "warning: outputs.o.auth.bearer.token_file: {}/open can be used by others (mode 0640); chmod 0600",
    );
    machine.check(
        &[(TOKEN_FILE, "$CREDENTIALS_DIRECTORY/x")],
        "outputs.o.auth.bearer.token_file: $CREDENTIALS_DIRECTORY/x: the variable CREDENTIALS_DIRECTORY is not set; \
         is LoadCredential= in the unit?",
    );
}

#[test]
fn a_pipe_is_not_waited_for() {
    let machine = Machine::new();
    let path = machine.path("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0).unwrap();
    machine.check(&[(TOKEN_FILE, "{}/pipe")], "outputs.o.auth.bearer.token_file: {}/pipe: is not a regular file");
}

#[test]
fn a_secret_file_is_read_anew_each_time() {
    let machine = Machine::new();
    let secret = crate::send::Secret::File(machine.path("s"));
    machine.file("s", "one \r\n\n", 0o600);
    assert_eq!(secret.read().unwrap().expose_secret(), "one");
    machine.file("s", "x".repeat(64 << 10), 0o600);
    assert_eq!(secret.read().unwrap().expose_secret().len(), 64 << 10);
}

#[test]
fn secrets_over_plain_http() {
    let machine = Machine::new();
    machine.file("token", SECRET, 0o600);
    let warning =
        "warning: outputs.o.url: the secret is sent unencrypted, because the URL begins with http://; use https://";
    for (url, expected) in [
        ("http://loki:3100", warning),
        ("http://10.0.0.1", warning),
        ("http://localhost.example.net", warning),
        ("http://localhost:3100", ""),
        ("http://127.0.0.9", ""),
        ("http://[::1]:3100", ""),
        ("https://loki", ""),
    ] {
        machine.check(&[("AUDITSHIP__OUTPUTS__O__URL", url), (TOKEN_FILE, "{}/token")], expected);
    }
    machine.check(&[("AUDITSHIP__OUTPUTS__O__URL", "http://loki")], "");
}

#[test]
fn certificates_and_keys() {
    let machine = Machine::new();
    let made = rcgen::generate_simple_self_signed(["loki".to_string()]).unwrap();
    machine.file("cert", made.cert.pem(), 0o644).file("key", made.signing_key.serialize_pem(), 0o600);
    machine.file("text", "hunter2", 0o600);
    machine.file("broken", "-----BEGIN CERTIFICATE-----\nhunter2!!\n-----END CERTIFICATE-----\n", 0o600);
    let tls = |ca: &str, cert: &str, key: &str, expected: &str| {
        let value = format!("{{ ca_file = \"{{}}/{ca}\", cert_file = \"{{}}/{cert}\", key_file = \"{{}}/{key}\" }}");
        machine.check(&[("AUDITSHIP__OUTPUTS__O__TLS", &value)], expected);
    };
    tls("cert", "cert", "key", "");
    tls(
        "text",
        "no",
        "cert",
        "outputs.o.tls.ca_file: {}/text: holds no PEM certificate\n\
         outputs.o.tls.cert_file: {}/no: cannot be read: No such file or directory (os error 2)\n\
         outputs.o.tls.key_file: {}/cert: holds no PEM private key",
    );
    tls("broken", "cert", "key", "outputs.o.tls.ca_file: {}/broken: is not valid PEM");
    machine.file("key", made.signing_key.serialize_pem(), 0o604);
    tls(
        "cert",
        "cert",
        "key",
        "warning: outputs.o.tls.key_file: {}/key can be used by others (mode 0604); chmod 0600",
    );
}

#[test]
fn the_token_of_the_admin_server_never_stops_shipping() {
    let machine = Machine::new();
    let check = |address: &str, file: Option<&str>, expected: &str| {
        let file = file.map(|file| ("AUDITSHIP__AGENT__ADMIN_TOKEN_FILE", file));
        let env: Vec<_> = [("AUDITSHIP__AGENT__ADMIN", address)].into_iter().chain(file).collect();
        machine.check(&env, expected);
    };
    let open = "warning: agent.admin_token_file: is not set, and agent.admin is not a loopback address: only /livez and \
                /readyz are answered";
    for (address, expected) in
        [("127.0.0.2:1", ""), ("[::1]:1", ""), ("off", ""), ("10.0.0.1:1", open), ("[::]:1", open)]
    {
        check(address, None, expected);
    }
    machine.file("token", "hunter2", 0o600).file("open", "hunter2", 0o644);
    check("0.0.0.0:1", Some("{}/token"), "");
    let loose = "warning: agent.admin_token_file: {}/open can be used by others (mode 0644); chmod 0600";
    check("0.0.0.0:1", Some("{}/open"), loose);
    let missing = "warning: agent.admin_token_file: {}/no: cannot be read: No such file or directory (os error 2); nobody \
                   is let in without it";
    check("127.0.0.1:1", Some("{}/no"), missing);
}

#[test]
fn where_pods_are_listed() {
    let machine = Machine::new();
    machine.file("token", "hunter2\n", 0o644).file("text", "hunter2", 0o600);
    let pods = |url: &str, token: &str, ca: &str, label: &str, expected: &str| {
        let ca = if ca.is_empty() { String::new() } else { format!(", ca_file = \"{{}}/{ca}\"") };
        let value = format!("{{ url = \"{url}\", token_file = \"{{}}/{token}\"{ca} }}");
        let env = [
            ("AUDITSHIP__SOURCES__A__TYPE", "container"),
            ("AUDITSHIP__SOURCES__A__POD_LABELS", &value),
            ("AUDITSHIP__LABELS__APP", label),
        ];
        machine.check(&env, expected);
    };
    let wanted = "{ meta = \"label.app\" }";
    // Kubernetes mounts it readable for all.
    pods("https://node:10250/pods", "token", "", wanted, "");
    pods("http://127.0.0.1:10255/pods", "token", "", wanted, "");
    pods(
        "http://node:10255/pods",
        "token",
        "",
        wanted,
        "warning: sources.a.pod_labels.url: the secret is sent unencrypted, because the URL begins with http://; use \
         https://",
    );
    pods(
        "https://node:10250/pods",
        "token",
        "",
        "{ meta = \"pod\" }",
        "warning: sources.a.pod_labels: no label is a { meta = \"label.KEY\" }, so pods are not asked for",
    );
    pods(
        "https://node:10250/pods",
        "no",
        "text",
        wanted,
        "sources.a.pod_labels.token_file: {}/no: cannot be read: No such file or directory (os error 2)\n\
         sources.a.pod_labels.ca_file: {}/text: holds no PEM certificate",
    );
}
