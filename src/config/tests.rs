//! The rules, through one door: `tests/config/cases.txt` holds what is written and exactly what is answered.
//! With `BLESS=1` the answers are written anew; read the difference before you keep it.

use super::*;
use crate::{
    pipeline::{LabelFrom, LogFormat, LokiTenant, OutputKind, StartAt},
    send::{Auth, Http},
};
use proptest::prelude::*;
use secrecy::ExposeSecret;
use std::time::Duration;

const CASES: &str = include_str!("../../tests/config/cases.txt");
const DOCUMENT: &str = include_str!("../../docs/configuration.md");

/// A secret. Where it appears in an answer, it has leaked.
const SECRET: &str = "hunter2";

const SOURCE: &str = "[sources.app]\ntype = \"file\"\ninclude = [\"/var/log/*.jsonl\"]\n";
const OUTPUT: &str = "[outputs.loki]\ntype = \"loki\"\nurl = \"http://loki:3100\"\n";

/// The other types of outputs.
const OTHERS: &str = "[outputs.e]\ntype = \"elasticsearch\"\nauth.api_key = {}\n[outputs.s]\ntype = \"splunk_hec\"\nauth.token = {}\n[outputs.d]\ntype = \"datadog\"\n";

fn vars(env: &[(&str, &str)]) -> Environment {
    Environment::new(env.iter().copied())
}

fn read_toml(toml: &str, env: &[(&str, &str)]) -> Result<Settings, ConfigErrors> {
    read(Some(Path::new("a.toml")), toml, &vars(env)).0
}

/// What is answered to a configuration, with nothing of it lost.
fn answer(toml: &str, env: &[(&str, &str)]) -> String {
    let answer = match read_toml(toml, env) {
        Ok(_) => "ok".to_string(),
        Err(errors) => {
            assert!(!format!("{errors:?}").contains(SECRET), "{errors:?}");
            errors.to_string()
        }
    };
    assert!(!answer.contains(SECRET), "{answer}");
    answer
}

/// A case is: `# title`, lines of TOML (`{source}` and `{output}` stand for a right one), lines `$ NAME=value`,
/// `----`, the answer; `====` ends it.
#[test]
fn cases() {
    let mut blessed = String::new();
    let mut wrong = Vec::new();
    for case in CASES.split("====\n").filter(|case| !case.trim().is_empty()) {
        let (input, expected) = case.split_once("----\n").expect(case);
        let toml: String = input
            .lines()
            .skip(1)
            .filter(|line| !line.starts_with("$ "))
            .map(|line| match line {
                "{source}" => SOURCE.to_string(),
                "{output}" => OUTPUT.to_string(),
                other => format!("{other}\n"),
            })
            .collect();
        let env: Vec<_> = input.lines().filter_map(|line| line.strip_prefix("$ ")?.split_once('=')).collect();
        let actual = answer(&toml, &env);
        if actual != expected.trim_end() {
            wrong.push(format!("{input}---- expected\n{expected}---- found\n{actual}\n"));
        }
        blessed += &format!("{input}----\n{actual}\n====\n");
    }
    if std::env::var_os("BLESS").is_some() {
        std::fs::write("tests/config/cases.txt", blessed).unwrap();
    } else {
        assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    }
}

#[test]
fn the_defaults_are_those_of_the_contract() {
    let settings = read_toml(&format!("{SOURCE}{OUTPUT}"), &[]).unwrap();
    let agent = &settings.agent;
    assert_eq!(agent.state_dir, Path::new("/var/lib/auditship"));
    assert_eq!(agent.host, rustix::system::uname().nodename().to_str().unwrap());
    let admin = agent.admin.as_ref().unwrap();
    assert_eq!((admin.address.to_string().as_str(), admin.token.is_none()), ("127.0.0.1:9617", true));
    assert_eq!((agent.memory_limit, agent.notify), (64 << 20, true));
    assert_eq!(agent.scan_interval, Duration::from_secs(1));
    assert_eq!(agent.shutdown_timeout, Duration::from_secs(10));
    assert_eq!((agent.log_level, agent.log_format), (tracing::Level::INFO, LogFormat::Text));
    assert_eq!(settings.timestamp, ["ts", "timestamp", "time", "@timestamp"]);

    let source = &settings.sources[0];
    assert_eq!((source.name.as_str(), source.max_line, source.start_at), ("app", 1 << 20, StartAt::Beginning));
    assert!(source.exclude.is_empty() && source.prefixes.is_empty());

    let labels: Vec<_> = settings.labels.iter().map(|l| (l.name.as_str(), &l.from, l.default.as_deref())).collect();
    assert!(matches!(&labels[..], [
        ("event_type", LabelFrom::Field(a), None),
        ("tenant", LabelFrom::Field(b), Some("unknown")),
    ] if a == &["event_type", "action", "event"] && b == &["tenant", "org"]));
    assert_eq!((settings.guard.max_label_values.get(), settings.guard.max_streams.get()), (100, 1000));

    let output = &settings.outputs[0];
    assert_eq!((output.sources.as_slice(), output.http.url.as_str()), (&["app".to_string()][..], "http://loki:3100"));
    assert_eq!((output.batch_max_bytes, output.batch_max_wait), (1 << 20, Duration::from_secs(1)));
    assert_eq!((output.window, output.concurrency), (24 << 20, 8));
    assert_eq!(output.http.timeout, Duration::from_secs(30));
    assert!(matches!(output.kind, OutputKind::Loki { tenant: LokiTenant::None }));
    assert!(matches!(output.http, Http { auth: Auth::None, ca_file: None, client_cert: None, proxy: None, .. }));
}

#[test]
fn the_environment_alone_suffices() {
    let env = [
        ("AUDITSHIP__SOURCES__APP__TYPE", "file"),
        ("AUDITSHIP__SOURCES__APP__INCLUDE", "/a/{b,c}/*.log, /d"),
        ("AUDITSHIP__SOURCES__APP__EXCLUDE", "[\"/a/x,y\"]"),
        ("AUDITSHIP__SOURCES__APP__MAX_LINE", "2048"),
        ("AUDITSHIP__SOURCES__APP__PREFIX", "[audit]"),
        ("AUDITSHIP__LABELS__TENANT", "{ field = [\"org.id\"], values = [\"A\"] }"),
        ("AUDITSHIP__LABELS__CLUSTER", "EU-1"),
        ("AUDITSHIP__AGENT__NOTIFY", "false"),
        ("AUDITSHIP__AGENT__LOG", "{ level = \"debug\", format = \"json\" }"),
        ("AUDITSHIP__GUARD__MAX_STREAMS", "7"),
        ("AUDITSHIP__OUTPUTS__LOKI__TYPE", "loki"),
        ("AUDITSHIP__OUTPUTS__LOKI__URL", "https://loki/base/"),
        ("AUDITSHIP__OUTPUTS__LOKI__TENANT_ID__LABEL", "tenant"),
        ("AUDITSHIP__OUTPUTS__LOKI__AUTH__BEARER__TOKEN_ENV", "Token_of_Loki"),
        ("AUDITSHIP__OUTPUTS__LOKI__BATCH__MAX_WAIT", "250ms"),
        ("Token_of_Loki", "hunter2\n"),
        ("AUDITSHIP_PORT", "tcp://10.0.0.1:80"),
    ];
    let settings = load(None, env.into_iter()).unwrap();
    assert!(!format!("{settings:?}").contains(SECRET));
    let source = &settings.sources[0];
    assert_eq!(source.include, ["/a/{b,c}/*.log", "/d"]);
    assert_eq!(source.exclude, ["/a/x,y"]);
    assert_eq!((source.max_line, &source.prefixes[..]), (2048, &[b"[audit]".to_vec()][..]));
    assert_eq!(settings.guard.max_streams.get(), 7);
    assert!(!settings.agent.notify);
    assert_eq!((settings.agent.log_level, settings.agent.log_format), (tracing::Level::DEBUG, LogFormat::Json));
    assert!(matches!(&settings.labels[0].from, LabelFrom::Constant(value) if value == "EU-1"));
    assert!(matches!(&settings.labels[1].from, LabelFrom::Field(names) if names == &["org.id"]));
    assert_eq!(settings.labels[1].values.as_deref(), Some(&["A".to_string()][..]));
    let output = &settings.outputs[0];
    assert_eq!((output.http.url.as_str(), output.batch_max_wait), ("https://loki/base", Duration::from_millis(250)));
    let OutputKind::Loki { tenant } = &output.kind else { panic!("{:?}", output.kind) };
    assert_eq!(tenant, &LokiTenant::Label("tenant".into()));
    let Auth::Bearer(token) = &output.http.auth else { panic!("{:?}", output.http.auth) };
    assert_eq!(token.read().unwrap().expose_secret(), SECRET);
}

#[test]
fn the_environment_goes_over_the_file_and_keeps_its_spelling() {
    let toml = format!(
        "[labels]\nTenantId = {{ field = [\"user.Tenant\"] }}\n[sources.\"App.v2\"]\ntype = \"file\"\n\
         include = [\"/a\"]\n{OUTPUT}tenant_id = \"one\"\n"
    );
    let env = [
        ("AUDITSHIP__LABELS__TENANTID__DEFAULT", "None"),
        ("AUDITSHIP__SOURCES__APP.V2__INCLUDE", "/b"),
        ("AUDITSHIP__OUTPUTS__LOKI__TENANT_ID__LABEL", "TenantId"),
    ];
    let settings = read_toml(&toml, &env).unwrap();
    let label = &settings.labels[0];
    assert_eq!((label.name.as_str(), label.default.as_deref()), ("TenantId", Some("None")));
    assert!(matches!(&label.from, LabelFrom::Field(names) if names == &["user.Tenant"]));
    assert_eq!(
        (settings.sources[0].name.as_str(), settings.sources[0].include.as_slice()),
        ("App.v2", &["/b".to_string()][..])
    );
    let OutputKind::Loki { tenant } = &settings.outputs[0].kind else { panic!("another type") };
    assert_eq!(tenant, &LokiTenant::Label("TenantId".into()));
}

#[test]
fn sources_and_outputs_keep_the_order_of_the_file() {
    let toml = "outputs.z = { type = \"loki\", url = \"http://z\", sources = [\"d\", \"m\"] }\n\
        outputs.b = { type = \"loki\", url = \"http://b\" }\n\
        [sources.m]\ntype = \"file\"\ninclude = [\"/m\"]\n[sources.a]\ntype = \"file\"\ninclude = [\"/a\"]\n";
    let env = [
        ("AUDITSHIP__SOURCES__D__TYPE", "file"),
        ("AUDITSHIP__SOURCES__D__INCLUDE", "/d"),
        ("AUDITSHIP__SOURCES__C__TYPE", "file"),
        ("AUDITSHIP__SOURCES__C__INCLUDE", "/c"),
        ("AUDITSHIP__SOURCES__A__START_AT", "end"),
    ];
    let settings = read_toml(toml, &env).unwrap();
    let names: Vec<_> = settings.sources.iter().map(|source| source.name.as_str()).collect();
    assert_eq!(names, ["m", "a", "c", "d"]);
    assert_eq!(settings.sources[1].start_at, StartAt::End);
    let outputs: Vec<_> = settings.outputs.iter().map(|o| (o.name.as_str(), o.sources.join(" "))).collect();
    assert_eq!(outputs, [("z", "m d".to_string()), ("b", "m a c d".to_string())]);
}

#[test]
fn files_that_cannot_be_used() {
    let none: [(String, String); 0] = [];
    let say = |path: &Path| load(Some(path), none.clone().into_iter()).unwrap_err().to_string();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.toml");
    let name = file.display();
    assert_eq!(say(&file), format!("{name}: cannot be read: No such file or directory (os error 2)"));
    std::fs::write(&file, b"[agent]\n# \xc3\xa9\xff").unwrap();
    assert_eq!(say(&file), format!("{name}:2:4: not UTF-8 text"));
    std::fs::write(&file, "#".repeat(1 << 20)).unwrap();
    assert!(say(&file).contains("sources: missing"));
    std::fs::write(&file, "#".repeat((1 << 20) + 1)).unwrap();
    assert_eq!(say(&file), format!("{name}: cannot be read: larger than 1 MiB"));
    assert_eq!(
        load(None, none.into_iter()).unwrap_err().to_string(),
        "sources: missing\n  allowed: at least one, such as `[sources.app]`\n\
         outputs: missing\n  allowed: at least one, such as `[outputs.loki]`"
    );
}

#[cfg(unix)]
#[test]
fn variables_that_are_not_text() {
    use std::os::unix::ffi::OsStrExt;
    let bad = std::ffi::OsStr::from_bytes(b"\xff").to_owned();
    let name = std::ffi::OsStr::from_bytes(b"AUDITSHIP__\xff").to_owned();
    let env = [("AUDITSHIP__AGENT__HOST".into(), bad.clone()), (name, "x".into()), ("OTHER".into(), bad)];
    let text = load(None, env.into_iter().map(|(a, b): (OsString, OsString)| (a, b))).unwrap_err().to_string();
    assert!(text.contains("environment variable AUDITSHIP__AGENT__HOST: the value is not UTF-8 text\n"), "{text}");
    assert!(text.contains("environment variable AUDITSHIP__\u{fffd}: the name is not UTF-8 text"), "{text}");
    assert!(!text.contains("OTHER"), "{text}");
}

/// The blocks of the document: the first is whole, the others are parts of one.
fn blocks() -> Vec<&'static str> {
    DOCUMENT.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

#[test]
fn the_examples_of_the_document_load() {
    let env = [("LOKI_TOKEN", SECRET)];
    for (index, block) in blocks().into_iter().enumerate() {
        let toml = if index == 0 { block.to_string() } else { format!("{block}\n{SOURCE}{OUTPUT}") };
        assert_eq!(answer(&toml, &env), "ok", "{block}");
    }
}

#[test]
fn the_document_names_every_key_and_no_other() {
    let toml = format!(
        "{SOURCE}[sources.pods]\ntype = \"container\"\npod_labels = {{}}\n{OUTPUT}auth.basic = {{}}\nauth.bearer = {{}}\ntls = {{}}\ntenant_id = {{}}\n{OTHERS}[labels]\na = {{}}\n"
    );
    let known = read(None, &toml, &vars(&[])).1;
    let prefix = |key: &String| known.iter().any(|other| other.starts_with(&format!("{key}.")));
    let mut keys: Vec<_> = known
        .iter()
        .filter(|key| !prefix(key) || key.ends_with("tenant_id"))
        .map(|key| key.replace('*', "NAME"))
        .collect();
    keys.push("labels.NAME".to_string());
    let row = |line: &'static str| Some(line.strip_prefix("| `")?.split_once('`')?.0.to_string());
    let mut documented: Vec<_> = DOCUMENT.lines().filter_map(row).collect();
    keys.sort();
    documented.sort();
    assert_eq!(documented, keys);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_panics(toml in ".{0,200}", name in "[A-Za-z_.]{0,40}", value in ".{0,40}") {
        answer(&toml, &[(&format!("AUDITSHIP__{name}"), &value)]);
    }

    /// Right configurations with one line replaced come further than random text.
    #[test]
    fn no_mutation_panics(
        line in 0_usize..60,
        key in "(agent|outputs|labels|sources|loki|app|auth|tls|type|url|include|tenant_id)(\\.(basic|x|loki|app))?",
        value in "([0-9]{1,40}|0x[0-9a-f]{1,40}|-1|true|1e9|inf|1979-05-27|\"[a-z/*{\\[(,]{0,9}\"|\\[\\]|\\[\"/\", 1\\]|\\{\\}|\\{ a = 1 \\})",
    ) {
        let mut lines: Vec<_> = blocks()[0].lines().map(str::to_string).collect();
        let index = line % lines.len();
        lines[index] = format!("{key} = {value}");
        answer(&lines.join("\n"), &[]);
        let name = format!("AUDITSHIP__{}", key.replace('.', "__").to_uppercase());
        answer(blocks()[0], &[(&name, &value), ("LOKI_TOKEN", SECRET)]);
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        let none: [(String, String); 0] = [];
        prop_assert!(load(Some(file.path()), none.into_iter()).is_err());
    }
}
