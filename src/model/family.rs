//! Which file a rotated file was rotated from, by its name.

use super::Packing;

/// What a file's name says of it. Names prove nothing: they say where to look, content decides.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Family {
    /// The name of the file that was rotated; of a file that was not rotated, its own.
    pub base: String,
    /// Whether the name is one that a rotation gives.
    pub is_rotated: bool,
}

impl Family {
    /// Of a file that has the name `name` and was not rotated.
    pub fn itself(name: &str) -> Family {
        Family { base: name.to_owned(), is_rotated: false }
    }

    /// Of `name`, when one of the names that it can be rotated from satisfies `is_base`.
    pub fn rotated(name: &str, mut is_base: impl FnMut(&str) -> bool) -> Option<Family> {
        let base = bases(name).into_iter().find(|base| is_base(base))?;
        Some(Family { base, is_rotated: true })
    }
}

/// What the extension of a name says.
pub fn packing_of(name: &str) -> Packing {
    unpacked(name).1
}

/// The names that a file with this name can have been rotated from, the shortest first. Known are the shapes of
/// logrotate (`a.log.1`, `a.log-20240102`, `a.1.log`), lumberjack (`a-2024-01-02T03-04-05.678.log`), the kubelet and
/// Docker (`0.log.20240102-150405`, `x-json.log.1`) and `.old` or `.bak`, each also with `.gz`, `.zst` or `.zstd`.
pub fn bases(name: &str) -> Vec<String> {
    let (plain, packing) = unpacked(name);
    let mut found = Vec::new();
    let is_marked = |name: &str| name.bytes().any(|byte| byte.is_ascii_digit()) || name.len() != plain.len();
    if !is_marked(name) && !WORDS.iter().any(|word| name.ends_with(word)) {
        return found;
    }
    for word in WORDS {
        found.extend(plain.strip_suffix(word).map(str::to_owned));
    }
    found.extend(stamps(plain).map(|at| plain[..at].to_owned()));
    if let Some(dot) = plain.rfind('.') {
        let (stem, extension) = plain.split_at(dot);
        found.extend(stamps(stem).map(|at| format!("{}{extension}", &stem[..at])));
    }
    if packing != Packing::Plain {
        // Compressed without another name: after all that say more.
        found.push(plain.to_owned());
    }
    found.retain(|base| !base.is_empty() && !base.starts_with('.'));
    // Stable: of two with one length the shape that was looked for first stays first.
    found.sort_by_key(String::len);
    found
}

const WORDS: [&str; 3] = [".old", ".bak", ".prev"];

fn unpacked(name: &str) -> (&str, Packing) {
    let extensions = [(".gz", Packing::Gzip), (".zst", Packing::Zstd), (".zstd", Packing::Zstd)];
    let known = extensions.iter().find_map(|(extension, packing)| Some((name.strip_suffix(extension)?, *packing)));
    known.filter(|(rest, _)| !rest.is_empty()).unwrap_or((name, Packing::Plain))
}

/// Where a number or a time at the end of `text` may begin, with the separator before it.
fn stamps(text: &str) -> impl Iterator<Item = usize> {
    let bytes = text.as_bytes();
    let is_stamp = |byte: &u8| byte.is_ascii_digit() || b".-_:+TZ".contains(byte);
    let from = bytes.iter().rposition(|byte| !is_stamp(byte)).map_or(0, |last| last + 1);
    let starts = (from..bytes.len()).filter(move |at| {
        let is_separator = b".-_".contains(&bytes[*at]);
        is_separator && bytes.get(at + 1).is_some_and(u8::is_ascii_digit)
    });
    starts.filter(|at| *at > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape_of_rotation_leads_to_its_base() {
        fn check(name: &str, expect: &str) {
            let family = Family::rotated(name, |base| base == expect);
            assert!(family.is_some_and(|family| family.is_rotated), "{name}: {:?}", bases(name));
        }
        check("a.log.1", "a.log");
        check("a.log.12.gz", "a.log");
        check("a.log-20240102", "a.log");
        check("a.log-2024010203.zst", "a.log");
        check("a.log-20240102-1704153600.gz", "a.log");
        check("a.log.2024-01-02", "a.log");
        check("a.1.log", "a.log");
        check("a-20240102.log.gz", "a.log");
        check("a-2024-01-02T03-04-05.678.log", "a.log");
        check("a-2024-01-02T03-04-05.678.log.gz", "a.log");
        check("0.log.20240102-150405.gz", "0.log");
        check("4f1c-json.log.1", "4f1c-json.log");
        check("a.log.old", "a.log");
        check("a.log.bak.gz", "a.log");
        check("a.log.gz", "a.log");
        check("audit-1", "audit");
    }

    #[test]
    fn the_shortest_name_comes_first_and_what_is_no_rotation_has_none() {
        fn check(name: &str, expect: &[&str]) {
            assert_eq!(bases(name), expect);
        }
        check("a.log", &[]);
        check("0.log", &[]);
        check("app2.log", &[]);
        check(".1", &[]);
        check("a.log.tmp", &[]);
        // A name that no pattern will have.
        check("a.log.1.tmp", &["a.log.tmp"]);
        check("node-7.log", &["node.log"]);
        check("a.log.2024-01-02", &["a.log", "a.log.2024", "a.log.2024-01"]);
        check("a.log.1.gz", &["a.log", "a.log.1"]);
    }

    #[test]
    fn packing_is_what_the_extension_says() {
        fn check(name: &str, expect: Packing) {
            assert_eq!(packing_of(name), expect);
        }
        check("a.log.1", Packing::Plain);
        check("a.log.1.gz", Packing::Gzip);
        check("a.log.zstd", Packing::Zstd);
        check(".gz", Packing::Plain);
    }
}
