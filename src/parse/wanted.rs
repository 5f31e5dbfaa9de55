//! The wanted names, compiled to a tree of keys.

use super::MAX_FIELDS;

/// The slot of the timestamp; the fields have the slots before it.
pub(super) const TIME: usize = MAX_FIELDS;

/// The names to look for in a line, compiled once.
#[derive(Debug)]
pub struct Wanted {
    nodes: Vec<Node>,
}

/// The wanted keys of one object.
#[derive(Debug, Default)]
struct Node {
    /// One bit per wanted key, so that most other keys are passed over without comparing them.
    bits: u64,
    keys: Vec<Key>,
}

/// A wanted key.
#[derive(Debug)]
pub(super) struct Key {
    name: Box<[u8]>,
    /// Who wants its value.
    pub(super) takers: Vec<Taker>,
    /// The node of its object, when a name reaches into it.
    pub(super) inner: Option<usize>,
}

/// A slot that a value fits, and how much it is preferred there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taker {
    pub(super) slot: usize,
    /// Lower is better.
    pub(super) rank: usize,
}

impl Wanted {
    /// The node of the line itself.
    pub(super) const ROOT: usize = 0;

    /// `timestamp`: the names of the time in order of preference. `labels`: per field label its names in order of
    /// preference, in the order of [`Parsed::fields`](super::Parsed::fields); lists after the first
    /// [`MAX_FIELDS`] are ignored.
    ///
    /// A name is a top-level key as it stands, dots included. A name with dots also reaches into objects:
    /// `user.tenant` is the key `tenant` of the object `user`. When a line has both, the top-level key wins.
    pub fn new(timestamp: &[String], labels: &[Vec<String>]) -> Wanted {
        let mut wanted = Wanted { nodes: vec![Node::default()] };
        for (slot, names) in labels.iter().take(MAX_FIELDS).enumerate() {
            wanted.add_list(slot, names);
        }
        wanted.add_list(TIME, timestamp);
        wanted
    }

    /// The key `name` of `node`, when it is wanted.
    pub(super) fn key(&self, node: usize, name: &[u8]) -> Option<&Key> {
        let node = self.nodes.get(node)?;
        if node.bits & bit(name) == 0 {
            return None;
        }
        node.keys.iter().find(|key| *key.name == *name)
    }

    fn add_list(&mut self, slot: usize, names: &[String]) {
        for (i, name) in names.iter().enumerate() {
            self.key_mut(Self::ROOT, name).takers.push(Taker { slot, rank: 2 * i });
            if let Some((path, last)) = name.rsplit_once('.') {
                let node = path.split('.').fold(Self::ROOT, |node, part| self.inner(node, part));
                self.key_mut(node, last).takers.push(Taker { slot, rank: 2 * i + 1 });
            }
        }
    }

    /// The node of the object under `name`, made when it is new.
    fn inner(&mut self, node: usize, name: &str) -> usize {
        let next = self.nodes.len();
        let inner = *self.key_mut(node, name).inner.get_or_insert(next);
        if inner == next {
            self.nodes.push(Node::default());
        }
        inner
    }

    fn key_mut(&mut self, node: usize, name: &str) -> &mut Key {
        let Node { bits, keys } = &mut self.nodes[node];
        *bits |= bit(name.as_bytes());
        let at = keys.iter().position(|key| *key.name == *name.as_bytes()).unwrap_or(keys.len());
        if at == keys.len() {
            keys.push(Key { name: name.as_bytes().into(), takers: Vec::new(), inner: None });
        }
        &mut keys[at]
    }
}

fn bit(name: &[u8]) -> u64 {
    let first = name.first().copied().unwrap_or(0);
    1 << ((usize::from(first) + 5 * name.len()) & 63)
}
