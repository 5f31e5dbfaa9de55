use super::*;
use crate::send::Auth;
use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener},
    sync::atomic::{AtomicUsize, Ordering},
};

/// What a list's server does.
#[derive(Clone)]
enum Say {
    Answer(u16, String),
    Silence,
    Close,
}

/// A kubelet, as far as it is asked.
struct Kubelet {
    address: SocketAddr,
    say: Arc<Mutex<Say>>,
    asked: Arc<AtomicUsize>,
}

impl Kubelet {
    fn new(say: Say) -> Kubelet {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (say, asked) = (Arc::new(Mutex::new(say)), Arc::new(AtomicUsize::new(0)));
        let (says, counts) = (Arc::clone(&say), Arc::clone(&asked));
        thread::spawn(move || {
            let mut silent = Vec::new();
            for connection in listener.incoming() {
                let mut connection = connection.unwrap();
                let mut request = [0; 4096];
                let len = connection.read(&mut request).unwrap_or(0);
                assert!(request[..len].starts_with(b"GET /pods?x=y HTTP/1.1\r\n"));
                counts.fetch_add(1, Ordering::SeqCst);
                let say = lock(&says).clone();
                match say {
                    Say::Answer(status, text) => {
                        let len = text.len();
                        let head =
                            format!("HTTP/1.1 {status} X\r\ncontent-length: {len}\r\nconnection: close\r\n\r\n");
                        // It may have heard enough.
                        let _ = connection.write_all((head + &text).as_bytes());
                    }
                    Say::Silence => silent.push(connection),
                    Say::Close => {}
                }
            }
        });
        Kubelet { address, say, asked }
    }

    fn list(uids: &[&str]) -> Say {
        let pod = |uid: &&str| format!(r#"{{"metadata":{{"uid":"{uid}","labels":{{"app":"of-{uid}"}}}}}}"#);
        let items: Vec<String> = uids.iter().map(pod).collect();
        Say::Answer(200, format!(r#"{{"items":[{}]}}"#, items.join(",")))
    }

    fn says(&self, say: Say) {
        *lock(&self.say) = say;
    }

    fn pods(&self, every: u64, pause: u64) -> Pods {
        pods(self.address, every, pause, 20_000)
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// It has been asked so often, and is not asked again though there was time for it.
    #[track_caller]
    fn was_asked(&self, times: usize) {
        eventually(|| self.asked() >= times);
        thread::sleep(Duration::from_millis(150));
        assert_eq!(self.asked(), times);
    }
}

fn pods(address: SocketAddr, every: u64, pause: u64, timeout: u64) -> Pods {
    let http = Http {
        url: format!("http://{address}/pods?x=y"),
        auth: Auth::None,
        ca_file: None,
        client_cert: None,
        proxy: None,
        headers: Vec::new(),
        timeout: Duration::from_millis(timeout),
    };
    let wanted = Arc::new(["app".to_owned()].into());
    Pods::start_at_pace("s", http, wanted, Duration::from_millis(every), Duration::from_millis(pause)).unwrap()
}

#[track_caller]
fn eventually(mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(20), "not in time");
        thread::sleep(Duration::from_millis(5));
    }
}

fn app(pods: &Pods, uid: &str) -> Option<String> {
    let start = Instant::now();
    let labels = pods.labels(uid);
    // Whatever the other side does.
    assert!(start.elapsed() < Duration::from_millis(400), "it was waited for");
    labels?.get("app").map(ToString::to_string)
}

const NEVER: u64 = 3_600_000;

#[test]
fn labels_are_there_after_the_first_list() {
    let kubelet = Kubelet::new(Kubelet::list(&["u1", "u2"]));
    let pods = kubelet.pods(NEVER, 10);
    eventually(|| app(&pods, "u1").is_some());
    assert_eq!((app(&pods, "u1"), app(&pods, "u2")), (Some("of-u1".into()), Some("of-u2".into())));
}

#[test]
fn a_pod_that_is_not_on_the_list_is_asked_for_once() {
    let kubelet = Kubelet::new(Kubelet::list(&["u1"]));
    let pods = kubelet.pods(NEVER, 10);
    eventually(|| lock(&pods.known).contains_key("u1"));
    kubelet.was_asked(1);
    kubelet.says(Kubelet::list(&["u1", "u2"]));
    assert_eq!(app(&pods, "u2"), None);
    eventually(|| app(&pods, "u2").is_some());
    assert_eq!((app(&pods, "ghost"), app(&pods, "ghost")), (None, None));
    kubelet.was_asked(3);
    // Folders: a new one, and those that are known by now, or known to be unknown.
    kubelet.says(Kubelet::list(&["u3"]));
    pods.note(["u1", "ghost", "u3"].into_iter());
    eventually(|| lock(&pods.known).contains_key("u3"));
    kubelet.was_asked(4);
    pods.note(["u3", "ghost"].into_iter());
    kubelet.was_asked(4);
    assert!(lock(&pods.asked).len() == 2, "what is gone is forgotten");
}

#[test]
fn it_is_not_asked_more_often_than_the_pause_allows() {
    let kubelet = Kubelet::new(Kubelet::list(&[]));
    let pods = kubelet.pods(NEVER, 400);
    let start = Instant::now();
    for nth in 0..100 {
        app(&pods, &format!("u{nth}"));
        thread::sleep(Duration::from_millis(10));
    }
    let most = 2 + start.elapsed().as_millis() as usize / 400;
    assert!((2..=most).contains(&kubelet.asked()), "{} of {most}", kubelet.asked());
}

#[test]
fn nothing_waits_for_a_kubelet_that_fails_and_what_was_known_stays() {
    let Say::Answer(_, other_list) = Kubelet::list(&["u2"]) else { unreachable!() };
    for failure in [
        Say::Close,
        Say::Silence,
        Say::Answer(401, "Unauthorized".into()),
        Say::Answer(302, String::new()),
        Say::Answer(500, other_list),
        Say::Answer(200, "garbage".into()),
        Say::Answer(200, r#"{"items":[{"metadata":{"uid":"u1""#.into()),
    ] {
        let kubelet = Kubelet::new(Kubelet::list(&["u1"]));
        let pods = pods(kubelet.address, 20, 10, 500);
        eventually(|| app(&pods, "u1").is_some());
        kubelet.says(failure);
        let before = kubelet.asked();
        eventually(|| kubelet.asked() > before + 2);
        assert_eq!((app(&pods, "u1"), app(&pods, "u2")), (Some("of-u1".into()), None));
        kubelet.says(Kubelet::list(&["u2"]));
        eventually(|| app(&pods, "u2").is_some());
        assert_eq!(app(&pods, "u1"), None, "it is on the list no more");
    }
}

#[test]
fn a_list_as_long_as_allowed_is_one_and_a_longer_one_is_none() {
    let Say::Answer(_, list) = Kubelet::list(&["u1"]) else { unreachable!() };
    let padded = |len: u64| Say::Answer(200, format!("{list}{}", " ".repeat(len as usize - list.len())));
    let kubelet = Kubelet::new(padded(MAX_LIST + 1));
    let pods = pods(kubelet.address, 20, 10, 20_000);
    eventually(|| kubelet.asked() > 1);
    assert_eq!(app(&pods, "u1"), None);
    kubelet.says(padded(MAX_LIST));
    eventually(|| app(&pods, "u1").is_some());
}

#[test]
fn nobody_there() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let pods = pods(address, 20, 10, 500);
    for _ in 0..20 {
        assert_eq!(app(&pods, "u1"), None);
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn the_thread_ends_with_its_pods() {
    let kubelet = Kubelet::new(Kubelet::list(&["u1"]));
    let pods = kubelet.pods(NEVER, 10);
    eventually(|| app(&pods, "u1").is_some());
    let known = Arc::downgrade(&pods.known);
    drop(pods);
    eventually(|| known.strong_count() == 0);
}
