use super::*;
use std::os::unix::fs::symlink;

#[test]
fn a_pattern_knows_where_to_look() {
    fn check(pattern: &str, base: &str, depth: usize) {
        let pattern = Pattern::new(pattern).unwrap();
        assert_eq!((pattern.base().to_str(), pattern.depth()), (Some(base), depth));
        let folder = if depth == 0 { "/var/log" } else { base };
        assert_eq!(pattern.folder().to_str(), Some(folder));
    }
    check("/var/log/a.log", "/var/log/a.log", 0);
    check("/var/log/*.log", "/var/log", 1);
    check("/var/log/pods/*/*/*.log", "/var/log/pods", 3);
    check("/*.log", "/", 1);
    check("/srv/a{b,c}/x?.log", "/srv", 2);
    check("/srv/**/x.log", "/srv", 32);
}

#[test]
fn patterns_that_cannot_be_used_say_why() {
    fn check(pattern: &str, expect: &str) {
        let error = Pattern::new(pattern).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains(expect), "{pattern}: {error}");
    }
    check("logs/*.log", "absolute");
    check("/logs/[a", "unclosed");
    check("/logs/{a", "unclosed");
}

/// A tree with `files`, scanned for `include` without `exclude`: the paths found, by source.
fn check(files: &[&str], links: &[(&str, &str)], searches: &[(&[&str], &[&str])], expect: &[(usize, &str)]) {
    let folder = tempfile::tempdir().unwrap();
    let at = |path: &str| folder.path().join(path);
    for file in files {
        fs::create_dir_all(at(file).parent().unwrap()).unwrap();
        fs::write(at(file), file).unwrap();
    }
    for (link, target) in links {
        symlink(at(target), at(link)).unwrap();
    }
    let pattern = |text: &&str| Pattern::new(at(text).to_str().unwrap()).unwrap();
    let searches: Vec<Search> = searches
        .iter()
        .map(|(include, exclude)| Search {
            include: include.iter().map(pattern).collect(),
            exclude: exclude.iter().map(pattern).collect(),
            rotated_dir: None,
        })
        .collect();
    let mut found: Vec<(usize, String)> = scan(&searches)
        .files
        .into_iter()
        .map(|file| (file.source, file.path.strip_prefix(folder.path()).unwrap().to_str().unwrap().to_owned()))
        .collect();
    found.sort();
    let expect: Vec<(usize, String)> = expect.iter().map(|(source, path)| (*source, (*path).to_owned())).collect();
    assert_eq!(found, expect);
}

#[test]
fn a_scan_finds_every_file_once() {
    let tree = &["a/x.log", "a/y.log", "a/y.txt", "b/c/z.log", "x.log"];
    check(tree, &[], &[(&["a/*.log"], &[])], &[(0, "a/x.log"), (0, "a/y.log")]);
    check(tree, &[], &[(&["a/*.log"], &["a/y*"])], &[(0, "a/x.log")]);
    check(tree, &[], &[(&["*/*/*.log"], &[])], &[(0, "b/c/z.log")]);
    check(tree, &[], &[(&["**/*.log"], &[])], &[(0, "a/x.log"), (0, "a/y.log"), (0, "b/c/z.log"), (0, "x.log")]);
    check(tree, &[], &[(&["a/x.log"], &[])], &[(0, "a/x.log")]);
    check(tree, &[], &[(&["missing/*.log", "gone.log"], &[])], &[]);
    // The first source in configuration order owns it.
    check(tree, &[], &[(&["a/x.log"], &[]), (&["a/*.log"], &[])], &[(0, "a/x.log"), (1, "a/y.log")]);
    // Links: the file behind is one file; folders are followed except by `**`.
    check(tree, &[("a/l.log", "x.log")], &[(&["a/l.log", "x.log"], &[])], &[(0, "a/l.log")]);
    check(tree, &[("d", "a")], &[(&["d/*.log"], &[])], &[(0, "d/x.log"), (0, "d/y.log")]);
    check(tree, &[("b/loop", "b")], &[(&["b/**/*.log"], &[])], &[(0, "b/c/z.log")]);
}

#[test]
fn a_hint_comes_for_a_write_and_for_a_new_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.log");
    fs::write(&file, "one\n").unwrap();
    let (sender, hints) = std::sync::mpsc::channel();
    let mut watch = Hints::new(move |hint| drop(sender.send(hint))).unwrap();
    assert!(watch.watch(&BTreeSet::from([folder.path().to_owned()]), std::time::Instant::now()).is_empty());
    let wait_for = |expect: Hint| {
        while hints.recv_timeout(std::time::Duration::from_secs(10)).unwrap() != expect {}
    };
    use std::io::Write as _;
    fs::OpenOptions::new().append(true).open(&file).unwrap().write_all(b"two\n").unwrap();
    wait_for(Hint::Changed(file.clone()));
    fs::rename(&file, folder.path().join("a.log.1")).unwrap();
    wait_for(Hint::Scan);
    let missing = BTreeSet::from([folder.path().join("missing")]);
    assert_eq!(watch.watch(&missing, std::time::Instant::now()).len(), 1);
    assert!(watch.watch(&missing, std::time::Instant::now()).is_empty(), "said once");
    assert!(!watch.is_complete());

    // A folder that is made anew under its old name is watched anew.
    let sub = folder.path().join("sub");
    let folders = BTreeSet::from([sub.clone()]);
    fs::create_dir(&sub).unwrap();
    assert!(watch.watch(&folders, std::time::Instant::now()).is_empty());
    fs::rename(&sub, folder.path().join("old")).unwrap();
    fs::create_dir(&sub).unwrap();
    assert!(watch.watch(&folders, std::time::Instant::now()).is_empty() && watch.is_complete());
    let late = sub.join("late.log");
    fs::write(&late, "one\n").unwrap();
    wait_for(Hint::Changed(late));
}
