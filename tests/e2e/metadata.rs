//! What is known of a container arrives with its records, is the same however often they are sent, and is waited for
//! by nobody.

use crate::rig::{
    Agent, Attempt, Destination, Finished, Meeting, Site, append, command, eventually, finish, millis, seconds,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

const ID: &str = "4f1c0a9d5e7b3f2a4f1c0a9d5e7b3f2a4f1c0a9d5e7b3f2a4f1c0a9d5e7b3f2a";
const KNOWN: [&str; 6] = ["namespace", "pod", "pod_uid", "container", "restart_count", "container_id"];

fn site(glob: &str, labels: &str) -> Site {
    let mut site = Site::new();
    (site.glob, site.labels) = (glob.into(), labels.into());
    site
}

/// The configuration of the next life, of a source of containers.
fn prepare(site: &Site, destination: &Destination) -> PathBuf {
    let path = site.prepare(destination);
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("type = \"file\"", "type = \"container\"")).unwrap();
    path
}

fn once(site: &Site, destination: &Destination) -> Finished {
    finish(command().args(["run", "--once", "-c"]).arg(prepare(site, destination)))
}

fn start(site: &Site, destination: &Destination) -> Agent {
    Agent::spawn(command().args(["run", "-c"]).arg(prepare(site, destination)))
}

/// Lines as a CRI runtime writes them.
fn write(site: &Site, path: &str, names: &[&str]) {
    // Of now: Loki takes nothing that is a week old.
    let now = jiff::Timestamp::now();
    let line = |name: &&str| format!("{now:.9} stdout F {{\"event_type\":\"x\",\"id\":\"{name}\"}}").into_bytes();
    fs::create_dir_all(site.log(path).parent().unwrap()).unwrap();
    append(&site.log(path), &names.iter().map(line).collect::<Vec<_>>());
}

/// By the id in the line: labels, and what is known of the container, of every time that it was sent.
fn sent(destination: &Destination) -> BTreeMap<String, BTreeSet<String>> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for Attempt { labels, entries, .. } in destination.attempts().iter() {
        for seen in entries {
            let line = String::from_utf8(seen.body().to_vec()).unwrap();
            let id = line.split("\"id\":\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap().to_owned();
            let known = |name: &&str| Some(format!("{name}={}", seen.meta(&format!("auditship_{name}"))?));
            let known: Vec<String> = KNOWN.iter().filter_map(known).collect();
            found.entry(id).or_default().insert(format!("{labels} {}", known.join(" ")));
        }
    }
    found
}

#[track_caller]
fn check(destination: &Destination, expect: &[(&str, &str)]) {
    let expect: BTreeMap<String, BTreeSet<String>> =
        expect.iter().map(|(id, text)| ((*id).to_owned(), BTreeSet::from([(*text).to_owned()]))).collect();
    assert_eq!(sent(destination), expect);
}

#[test]
fn a_log_of_a_pod_says_whose_it_is() {
    let destination = Destination::new();
    let labels = "ns = { meta = \"namespace\" }\npod = { meta = \"pod\" }\nuid = { meta = \"pod_uid\" }\n\
                  c = { meta = \"container\" }\nn = { meta = \"restart_count\" }\ni = { meta = \"container_id\" }";
    let site = site("pods/*/*/*.log containers/*.log", labels);
    write(&site, "pods/shop_api-1_u-1/app/0.log", &["a"]);
    write(&site, "pods/shop_api-1_u-1/app/0.log.20240102-150405", &["b"]);
    write(&site, "pods/other/app/0.log", &["c"]);
    write(&site, "elsewhere.log", &["d"]);
    fs::create_dir(site.log("containers")).unwrap();
    let link = site.log(&format!("containers/web_shop_app-{ID}.log"));
    std::os::unix::fs::symlink("../elsewhere.log", link).unwrap();
    let done = once(&site, &destination);
    assert_eq!(done.code, Some(0), "{done:?}");
    let of_pod = "{c=\"app\", n=\"0\", ns=\"shop\", pod=\"api-1\", service_name=\"auditship\", uid=\"u-1\"} \
                  namespace=shop pod=api-1 pod_uid=u-1 container=app restart_count=0";
    let of_link = format!(
        "{{c=\"app\", i=\"{ID}\", ns=\"shop\", pod=\"web\", service_name=\"auditship\"}} \
         namespace=shop pod=web container=app container_id={ID}"
    );
    let expect = [("a", of_pod), ("b", of_pod), ("c", "{service_name=\"auditship\"} "), ("d", &of_link)];
    check(&destination, &expect);
}

#[test]
fn what_docker_said_at_first_sight_stays() {
    let destination = Destination::new();
    let site =
        site("docker/*/*-json.log", "team = { meta = \"label.com.example.team\" }\nc = { meta = \"container\" }");
    let log = format!("docker/{ID}/{ID}-json.log");
    let config = site.log(&format!("docker/{ID}/config.v2.json"));
    let other = ID.replace('4', "5");
    let docker = |name: &str, team: &str| {
        let labels = format!("{{\"com.example.team\":\"{team}\",\"other\":\"x\"}}");
        fs::write(&config, format!("{{\"ID\":\"{ID}\",\"Name\":\"/{name}\",\"Config\":{{\"Labels\":{labels}}}}}"))
            .unwrap();
    };
    write(&site, &log, &["a", "b"]);
    // Of another one Docker says nothing.
    write(&site, &format!("docker/{other}/{other}-json.log"), &["x"]);
    docker("web", "pay");
    // It has what it was sent of the first, and does not say so. The other waits behind that, or does not.
    destination.script(|attempt| if attempt.labels.contains("web") { Meeting::LoseAnswer } else { Meeting::Pass });
    let mut agent = start(&site, &destination);
    eventually(seconds(20), "it was sent", || sent(&destination).contains_key("b"));
    agent.kill_9();
    docker("db", "core");
    write(&site, &log, &["c"]);
    destination.script(|_| Meeting::Pass);
    let done = once(&site, &destination);
    assert_eq!(done.code, Some(0), "{done:?}");
    let first = format!("{{c=\"web\", service_name=\"auditship\", team=\"pay\"}} container=web container_id={ID}");
    let unknown = format!("{{service_name=\"auditship\"}} container_id={other}");
    check(&destination, &[("a", &first), ("b", &first), ("c", &first), ("x", &unknown)]);
    let again =
        destination.attempts().iter().filter(|attempt| attempt.life == 1).map(|a| a.entries.len()).sum::<usize>();
    assert!(again >= 3, "{again} records were sent by the second life");
}

/// A kubelet: what it says, and how often it was asked.
struct Kubelet {
    address: SocketAddr,
    says: Arc<Mutex<Option<String>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Kubelet {
    /// `None`: it takes the request and says nothing.
    fn new(says: Option<&str>) -> Kubelet {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let says = Arc::new(Mutex::new(says.map(str::to_owned)));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (text, requests) = (Arc::clone(&says), Arc::clone(&asked));
        thread::spawn(move || {
            let mut silent = Vec::new();
            for connection in listener.incoming() {
                let mut connection = connection.unwrap();
                let mut request = [0; 4096];
                let len = connection.read(&mut request).unwrap_or(0);
                requests.lock().unwrap().push(String::from_utf8_lossy(&request[..len]).into_owned());
                let text = text.lock().unwrap().clone();
                match text {
                    Some(text) => {
                        let len = text.len();
                        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {len}\r\nconnection: close\r\n\r\n");
                        let _ = connection.write_all((head + &text).as_bytes());
                    }
                    None => silent.push(connection),
                }
            }
        });
        Kubelet { address, says, asked }
    }

    fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

const PODS: &str = "{\"items\":[{\"metadata\":{\"uid\":\"u-1\",\"labels\":{\"app\":\"shop\",\"x\":\"y\"}}},\
                    {\"metadata\":{\"uid\":\"u-2\",\"labels\":{\"app\":\"bank\"}}}]}";

/// A site whose list of pods is there; and one line of a pod that is older than the agent.
fn site_of_pods(address: SocketAddr) -> Site {
    let mut site = site("pods/*/*/*.log", "app = { meta = \"label.app\" }");
    fs::write(site.path("token"), "sesame\n").unwrap();
    site.source =
        format!("pod_labels = {{ url = \"http://{address}/pods\", token_file = {:?} }}", site.path("token"));
    fs::create_dir(site.log("pods")).unwrap();
    site
}

#[test]
fn labels_of_pods_are_taken_when_they_are_there() {
    let destination = Destination::new();
    let kubelet = Kubelet::new(Some(PODS));
    let site = site_of_pods(kubelet.address);
    let mut agent = start(&site, &destination);
    eventually(seconds(20), "the list was asked for", || kubelet.asked() == 1);
    // It has come when the pod's folder, which is there before its log, was seen.
    fs::create_dir_all(site.log("pods/n_a_u-1")).unwrap();
    thread::sleep(Duration::from_millis(500));
    write(&site, "pods/n_a_u-1/c/0.log", &["a"]);
    write(&site, "pods/n_b_u-3/c/0.log", &["b"]);
    eventually(seconds(20), "all was sent", || sent(&destination).len() == 2);
    // What comes later is for files that come later.
    *kubelet.says.lock().unwrap() = Some(PODS.replace("u-1", "u-3"));
    eventually(seconds(20), "the pod that is not on the list was asked for", || kubelet.asked() == 2);
    thread::sleep(Duration::from_millis(500));
    write(&site, "pods/n_a_u-1/c/0.log", &["c"]);
    write(&site, "pods/n_b_u-3/c/0.log", &["d"]);
    write(&site, "pods/n_b_u-3/c/1.log", &["e"]);
    eventually(seconds(20), "all was sent", || sent(&destination).len() == 5);
    agent.end();
    assert!(agent.alarms().is_empty(), "{:#?}", agent.alarms());
    let of = |app: &str, pod: &str, restarts: u32| {
        let app = if app.is_empty() { String::new() } else { format!("app=\"{app}\", ") };
        let uid = if pod == "a" { "u-1" } else { "u-3" };
        format!(
            "{{{app}service_name=\"auditship\"}} namespace=n pod={pod} pod_uid={uid} container=c restart_count={restarts}"
        )
    };
    let (shop, none, late) = (of("shop", "a", 0), of("", "b", 0), of("shop", "b", 1));
    check(&destination, &[("a", &shop), ("b", &none), ("c", &shop), ("d", &none), ("e", &late)]);
    let first = kubelet.asked.lock().unwrap()[0].to_lowercase();
    assert!(
        first.starts_with("get /pods http/1.1\r\n") && first.contains("authorization: bearer sesame\r\n"),
        "{first}"
    );
}

#[test]
fn a_kubelet_that_fails_delays_nothing_and_is_named_once() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for kubelet in [None, Some(Kubelet::new(None)), Some(Kubelet::new(Some("garbage")))] {
        let destination = Destination::new();
        let site = site_of_pods(kubelet.as_ref().map_or(nobody, |kubelet| kubelet.address));
        let mut agent = start(&site, &destination);
        // Started, and in the middle of asking.
        write(&site, "pods/n_old_u-0/c/0.log", &["old"]);
        eventually(seconds(20), "it ships", || sent(&destination).len() == 1);
        let start = Instant::now();
        write(&site, "pods/n_a_u-1/c/0.log", &["a"]);
        eventually(seconds(20), "it ships", || sent(&destination).len() == 2);
        // The request alone would take five seconds.
        assert!(start.elapsed() < millis(4500), "{:?}", start.elapsed());
        let said = |text: &str| agent.lines().iter().filter(|line| line.contains(text)).count();
        eventually(seconds(20), "it is said", || said("the labels of pods cannot be had") == 1);
        // Asked again for the pod that was met, and failed again.
        thread::sleep(seconds(6));
        assert_eq!(said("the labels of pods cannot be had"), 1);
        if let Some(kubelet) = &kubelet {
            *kubelet.says.lock().unwrap() = Some(PODS.into());
            fs::create_dir_all(site.log("pods/n_c_u-9")).unwrap();
            eventually(seconds(20), "it is said", || said("the labels of pods are known again") == 1);
            write(&site, "pods/n_b_u-2/c/0.log", &["b"]);
            eventually(seconds(20), "it ships", || sent(&destination).len() == 3);
            let with = "{app=\"bank\", service_name=\"auditship\"} namespace=n pod=b pod_uid=u-2 container=c restart_count=0";
            assert_eq!(sent(&destination)["b"], BTreeSet::from([with.to_owned()]));
        }
        agent.end();
        let without = "{service_name=\"auditship\"} namespace=n pod=a pod_uid=u-1 container=c restart_count=0";
        assert_eq!(sent(&destination)["a"], BTreeSet::from([without.to_owned()]));
    }
}
