//! What the path of a log says of the container that wrote it. Pure: nothing is looked at but the text.
//!
//! Known are the paths of the kubelet (`…/<namespace>_<pod>_<uid>/<container>/<restarts>.log`, and its links
//! `…/<pod>_<namespace>_<container>-<id>.log`), of Docker (`…/<id>/<id>-json.log`) and of conmon
//! (`…/<id>/userdata/ctr.log`). What comes before that may be anything, because a folder of the host is mounted
//! anywhere; what comes after the name is what a rotation appends. Any other path says nothing.

use crate::model::Container;
use std::path::Path;

/// What `path` says.
pub fn of_path(path: &Path) -> Container {
    let [file, folder, outer] = last_names(path);
    of_pod(outer, folder, file)
        .or_else(|| of_docker(folder, file))
        .or_else(|| of_conmon(outer, folder, file))
        .or_else(|| of_link(file))
        .unwrap_or_default()
}

/// Whether it is the path of a log that Docker writes: its configuration is beside it.
pub fn is_docker(path: &Path) -> bool {
    let [file, folder, _] = last_names(path);
    of_docker(folder, file).is_some()
}

/// The name of the file, of its folder, and of the folder around that; empty where there is none or it is not UTF-8.
fn last_names(path: &Path) -> [&str; 3] {
    let mut names = path.iter().rev().map(|name| name.to_str().unwrap_or_default());
    [(); 3].map(|()| names.next().unwrap_or_default())
}

/// The uid in the name of a pod's folder.
pub fn uid_of_folder(name: &str) -> Option<&str> {
    pod_of(name).map(|[_, _, uid]| uid)
}

fn of_pod(pod: &str, container: &str, file: &str) -> Option<Container> {
    let [namespace, pod, uid] = pod_of(pod)?;
    let digits = file.bytes().take_while(u8::is_ascii_digit).count();
    let restart_count = file[..digits].parse().ok()?;
    let is_log = is_rotation(file[digits..].strip_prefix(".log")?) && is_name(container, MAX_LABEL);
    is_log.then(|| Container {
        namespace: Some(namespace.into()),
        pod: Some(pod.into()),
        pod_uid: Some(uid.into()),
        name: Some(container.into()),
        restart_count: Some(restart_count),
        ..Container::default()
    })
}

/// Namespace, name and uid.
fn pod_of(folder: &str) -> Option<[&str; 3]> {
    let mut parts = folder.split('_');
    let (namespace, pod, uid) = (parts.next()?, parts.next()?, parts.next()?);
    let is_pod =
        parts.next().is_none() && is_name(namespace, MAX_LABEL) && is_name(pod, MAX_NAME) && is_name(uid, MAX_LABEL);
    is_pod.then_some([namespace, pod, uid])
}

fn of_docker(folder: &str, file: &str) -> Option<Container> {
    let rest = file.strip_prefix(folder)?.strip_prefix("-json.log")?;
    (is_id(folder) && is_rotation(rest)).then(|| of_id(folder))
}

fn of_conmon(id: &str, folder: &str, file: &str) -> Option<Container> {
    let rest = file.strip_prefix("ctr.log")?;
    (is_id(id) && folder == "userdata" && is_rotation(rest)).then(|| of_id(id))
}

fn of_id(id: &str) -> Container {
    Container { id: Some(id.into()), ..Container::default() }
}

/// The kubelet cuts the name of a link at 255 bytes, wherever that is: of a name that was cut only what is certainly
/// whole is taken.
fn of_link(file: &str) -> Option<Container> {
    let stem = file.strip_suffix(".log")?;
    let is_cut = stem.len() == MAX_LINK;
    let mut parts = stem.splitn(3, '_');
    let (pod, namespace, rest) = (parts.next()?, parts.next()?, parts.next()?);
    let (name, id) = rest.rsplit_once('-').unwrap_or((rest, ""));
    if !is_name(pod, MAX_NAME) || !is_name(namespace, MAX_LABEL) {
        return None;
    }
    let of_pod = Container { namespace: Some(namespace.into()), pod: Some(pod.into()), ..Container::default() };
    if is_id(id) && is_name(name, MAX_LABEL) {
        Some(Container { name: Some(name.into()), id: Some(id.into()), ..of_pod })
    } else {
        (is_cut && (rest.is_empty() || is_name(rest, MAX_LINK))).then_some(of_pod)
    }
}

/// What a rotation appends, or nothing.
fn is_rotation(rest: &str) -> bool {
    rest.is_empty() || rest.starts_with(['.', '-'])
}

/// The names of Kubernetes.
fn is_name(text: &str, longest: usize) -> bool {
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
    (1..=longest).contains(&text.len()) && text.bytes().all(is_legal)
}

/// All runtimes give ids of 32 bytes.
pub(super) fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// The longest name of a namespace or a container.
const MAX_LABEL: usize = 63;
/// The longest name of a pod.
const MAX_NAME: usize = 253;
/// The longest name of a link, without `.log`.
const MAX_LINK: usize = 251;

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "4f1c0a9d5e7b3f2a4f1c0a9d5e7b3f2a4f1c0a9d5e7b3f2a4f1c0a9d5e7b3f2a";
    const UID: &str = "8e2f1d3c-0b6a-4c55-9d0e-7a1b2c3d4e5f";

    /// Namespace, pod, uid, container, restarts and id, with `-` for what is not known.
    #[track_caller]
    fn check(path: &str, expect: &str) {
        let path = path.replace("{ID}", ID).replace("{UID}", UID);
        let Container { namespace, pod, pod_uid, name, restart_count, id, labels } = of_path(Path::new(&path));
        let count = restart_count.map(|count| count.to_string());
        let texts = [namespace, pod, pod_uid, name, count.map(Into::into), id];
        let found = texts.map(|text| text.unwrap_or_else(|| "-".into())).join(" ");
        assert_eq!(found, expect.replace("{ID}", ID).replace("{UID}", UID), "{path}");
        assert!(labels.is_empty());
    }

    #[test]
    fn logs_of_pods() {
        let whole = "shop api-7d4b9 {UID} app 0 -";
        check("/var/log/pods/shop_api-7d4b9_{UID}/app/0.log", whole);
        check("/host/var/log/pods/shop_api-7d4b9_{UID}/app/0.log", whole);
        check("pods/shop_api-7d4b9_{UID}/app/0.log", whole);
        check("/var/log/pods/shop_api-7d4b9_{UID}/app/0.log.20240102-150405", whole);
        check("/var/log/pods/shop_api-7d4b9_{UID}/app/0.log.20240102-150405.gz", whole);
        check("/var/log/pods/shop_api.v2_{UID}/a-b/12.log", "shop api.v2 {UID} a-b 12 -");
        check("/var/log/pods/a_b_c/d/4294967295.log", "a b c d 4294967295 -");
        // A static pod: a hash for a uid.
        check(
            "/var/log/pods/kube-system_etcd-n1_9f5b2c8d7e6a4b3c2d1e0f9a8b7c6d5e/etcd/3.log",
            "kube-system etcd-n1 9f5b2c8d7e6a4b3c2d1e0f9a8b7c6d5e etcd 3 -",
        );
    }

    #[test]
    fn links_to_logs_of_pods() {
        check("/var/log/containers/api-7d4b9_shop_app-{ID}.log", "shop api-7d4b9 - app - {ID}");
        check("/x/api_shop_side-car-2-{ID}.log", "shop api - side-car-2 - {ID}");
        check("api_shop_app-{ID}.log", "shop api - app - {ID}");
        // Cut at 255 bytes: within the id, within the container's name, behind the namespace, within it.
        let cut = |name: String| format!("/var/log/containers/{}.log", &name[..MAX_LINK]);
        let pod = |len: usize| "p".repeat(len);
        let known = |len: usize| format!("shop {} - - - -", pod(len));
        check(&cut(format!("{}_shop_app-{ID}", pod(200))), &known(200));
        check(&cut(format!("{}_shop_container-{ID}", pod(240))), &known(240));
        check(&cut(format!("{}_shop_container-{ID}", pod(245))), &known(245));
        check(&cut(format!("{}_shop_container-{ID}", pod(248))), "- - - - - -");
        // Exactly as long, and whole.
        let len = MAX_LINK - "_shop_app-".len() - ID.len();
        check(&cut(format!("{}_shop_app-{ID}", pod(len))), &format!("shop {} - app - {ID}", pod(len)));
    }

    #[test]
    fn logs_of_docker_and_conmon() {
        for rotated in ["", ".1", ".12.gz"] {
            check(&format!("/var/lib/docker/containers/{{ID}}/{{ID}}-json.log{rotated}"), "- - - - - {ID}");
        }
        check("/data/{ID}/{ID}-json.log", "- - - - - {ID}");
        check("{ID}/{ID}-json.log", "- - - - - {ID}");
        check("/{ID}/{ID}-json.log", "- - - - - {ID}");
        let conmon = "/home/u/.local/share/containers/storage/overlay-containers/{ID}/userdata/ctr.log";
        check(conmon, "- - - - - {ID}");
        check(&format!("{conmon}.1"), "- - - - - {ID}");
        assert!(is_docker(Path::new(&format!("/d/{ID}/{ID}-json.log.1"))));
        assert!(!is_docker(Path::new(&format!("/d/{ID}/userdata/ctr.log"))) && !is_docker(Path::new("/")));
    }

    #[test]
    fn other_paths_say_nothing() {
        let (long, id) = ("n".repeat(64), &ID[1..]);
        for path in [
            "",
            "/",
            "/var/log/app.log",
            "/var/log/pods/shop_api/app/0.log",
            "/var/log/pods/shop_api_u_v/app/0.log",
            "/var/log/pods/_api_u/app/0.log",
            "/var/log/pods/shop__u/app/0.log",
            "/var/log/pods/shop_api_/app/0.log",
            "/var/log/pods/shop_a pi_u/app/0.log",
            "/var/log/pods/shop_äpi_u/app/0.log",
            "/var/log/pods/shop_api_u/0.log",
            "/var/log/pods/shop_api_u/app/.log",
            "/var/log/pods/shop_api_u/app/x.log",
            "/var/log/pods/shop_api_u/app/-1.log",
            "/var/log/pods/shop_api_u/app/4294967296.log",
            "/var/log/pods/shop_api_u/app/0.logs",
            "/var/log/pods/shop_api_u/app/0",
            "/var/log/pods/shop_api_u/app/é.log",
            &format!("/var/log/pods/{long}_api_u/app/0.log"),
            &format!("/var/log/pods/shop_api_u/{long}/0.log"),
            "/var/log/containers/api_shop_app.log",
            "/var/log/containers/api_shop_app-0123.log",
            &format!("/var/log/containers/api_shop_app-{ID}.log.1"),
            &format!("/var/log/containers/api_shop_-{ID}.log"),
            &format!("/var/log/containers/api_shop-{ID}.log"),
            &format!("/var/log/containers/api_shop_app-{}.log", ID.to_uppercase()),
            &format!("/var/lib/docker/containers/{ID}/0{id}-json.log"),
            &format!("/var/lib/docker/containers/{id}/{id}-json.log"),
            &format!("/var/lib/docker/containers/{ID}/{ID}-json.logs"),
            &format!("/x/{ID}/data/ctr.log"),
            &format!("/x/{id}/userdata/ctr.log"),
        ] {
            check(path, "- - - - - -");
        }
        use std::os::unix::ffi::OsStrExt as _;
        let bytes = std::ffi::OsStr::from_bytes(b"/var/log/pods/shop_\xff_u/app/0.log");
        assert!(of_path(Path::new(bytes)).is_unknown());
    }

    #[test]
    fn a_folder_of_a_pod_has_its_uid() {
        assert_eq!(uid_of_folder("shop_api_u-1"), Some("u-1"));
        assert_eq!(uid_of_folder("shop_api"), None);
        assert_eq!(uid_of_folder("app"), None);
    }

    proptest::proptest! {
        #[test]
        fn no_path_panics(path in "(/|_|-|\\.log|\\.|0|a|é|[0-9a-f]{64}|-json|userdata|ctr){0,20}") {
            of_path(Path::new(&path));
            is_docker(Path::new(&path));
        }
    }
}
