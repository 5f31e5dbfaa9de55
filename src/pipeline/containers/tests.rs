use super::*;
use crate::pipeline::StartAt;
use std::{fs, os::unix::fs::symlink};

const ID: &str = "4f1c0a9d5e7b3f2a4f1c0a9d5e7b3f2a4f1c0a9d5e7b3f2a4f1c0a9d5e7b3f2a";

fn containers(kinds: &[SourceKind]) -> Containers {
    let source = |kind: &SourceKind| Source {
        name: "s".into(),
        kind: *kind,
        include: vec![],
        rotated_dir: None,
        exclude: vec![],
        start_at: StartAt::Beginning,
        max_line: 1 << 20,
        prefixes: vec![],
        pod_labels: None,
    };
    let from = LabelFrom::Meta(Meta::Label("team".into()));
    let label = Label { name: "team".into(), from, default: None, values: None };
    Containers::start(&mut kinds.iter().map(source).collect::<Vec<_>>(), &[label]).unwrap()
}

fn make(path: &Path) -> PathBuf {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, "x\n").unwrap();
    path.to_owned()
}

#[test]
fn only_sources_of_containers_are_described() {
    let containers = containers(&[SourceKind::File, SourceKind::Container]);
    let path = Path::new("/var/log/pods/shop_api_u-1/app/0.log");
    assert_eq!(containers.describe(0, path), None);
    assert_eq!(containers.describe(1, path).unwrap().pod_uid.as_deref(), Some("u-1"));
    assert_eq!(containers.describe(1, Path::new("/var/log/app.log")), None);
    assert_eq!(containers.describe(2, path), None);
}

#[test]
fn links_are_followed_to_all_that_they_say() {
    let root = tempfile::tempdir().unwrap();
    let docker = make(&root.path().join(format!("docker/{ID}/{ID}-json.log")));
    fs::write(
        docker.with_file_name("config.v2.json"),
        format!(r#"{{"ID":"{ID}","Name":"/k8s_app","Config":{{"Labels":{{"team":"pay","io.kubernetes.pod.uid":"u-1"}}}}}}"#),
    )
    .unwrap();
    let in_pod = root.path().join("pods/shop_api_u-1/app/2.log");
    fs::create_dir_all(in_pod.parent().unwrap()).unwrap();
    symlink(&docker, &in_pod).unwrap();
    let link = root.path().join(format!("containers/api_shop_app-{ID}.log"));
    fs::create_dir_all(link.parent().unwrap()).unwrap();
    symlink("../pods/shop_api_u-1/app/2.log", &link).unwrap();
    let expect = Container {
        namespace: Some("shop".into()),
        pod: Some("api".into()),
        pod_uid: Some("u-1".into()),
        name: Some("app".into()),
        restart_count: Some(2),
        id: Some(ID.into()),
        labels: [("team".into(), "pay".into())].into(),
    };
    assert_eq!(containers(&[SourceKind::Container]).describe(0, &link).as_deref(), Some(&expect));
    // The log of Docker itself does not know how often it was started.
    let of_docker =
        Container { namespace: None, pod: None, name: Some("k8s_app".into()), restart_count: None, ..expect };
    assert_eq!(containers(&[SourceKind::Container]).describe(0, &docker).as_deref(), Some(&of_docker));
}

#[test]
fn without_dockers_file_the_path_is_what_there_is() {
    let root = tempfile::tempdir().unwrap();
    let log = make(&root.path().join(format!("{ID}/{ID}-json.log.1")));
    let containers = containers(&[SourceKind::Container]);
    for content in [None, Some("garbage"), Some("{}")] {
        if let Some(content) = content {
            fs::write(log.with_file_name("config.v2.json"), content).unwrap();
        }
        let expect = Container { id: Some(ID.into()), ..Container::default() };
        assert_eq!(containers.describe(0, &log).as_deref(), Some(&expect), "{content:?}");
    }
}

#[test]
fn links_in_a_circle_end() {
    let root = tempfile::tempdir().unwrap();
    let (a, b) = (root.path().join("a"), root.path().join("b"));
    symlink(&a, &b).unwrap();
    symlink(&b, &a).unwrap();
    assert_eq!(links(&a).len(), MAX_LINKS);
    assert_eq!(links(Path::new("/")), [PathBuf::from("/")]);
}
