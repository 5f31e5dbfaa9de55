//! The contents that are in no file as far as is known, by name and by the inode that they were in last.

use super::Remembered;
use crate::model::FileName;
use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

/// A content that is in no file as far as is known.
pub(super) struct Absent {
    pub remembered: Remembered,
    pub since: Duration,
    /// Its file holds another content now, or was deleted: an equal identity means nothing.
    pub is_displaced: bool,
    /// It was said that it is lost, or it is known to be delivered.
    pub is_said: bool,
}

impl Absent {
    pub(super) fn name(&self) -> FileName {
        self.remembered.known.origin.name
    }
}

/// All of them.
#[derive(Default)]
pub(super) struct Absents {
    by_name: HashMap<FileName, Box<Absent>>,
    /// May name contents that are not absent any more.
    by_inode: HashMap<u64, Vec<FileName>>,
}

impl Absents {
    pub(super) fn insert(&mut self, absent: Absent) {
        let name = absent.name();
        let names = self.by_inode.entry(absent.remembered.known.identity.inode).or_default();
        if !names.contains(&name) {
            names.push(name);
        }
        self.by_name.insert(name, Box::new(absent));
    }

    pub(super) fn get(&self, name: FileName) -> Option<&Absent> {
        self.by_name.get(&name).map(|absent| &**absent)
    }

    pub(super) fn take(&mut self, name: FileName) -> Option<Absent> {
        let absent = self.by_name.remove(&name)?;
        let inode = absent.remembered.known.identity.inode;
        if let Some(names) = self.by_inode.get_mut(&inode) {
            names.retain(|other| *other != name);
            if names.is_empty() {
                self.by_inode.remove(&inode);
            }
        }
        Some(*absent)
    }

    /// Another content is in its file now.
    pub(super) fn displace(&mut self, name: FileName, since: Duration) {
        if let Some(absent) = self.by_name.get_mut(&name) {
            (absent.is_displaced, absent.since) = (true, since);
        }
    }

    /// Those that were in the file with this inode, and may be there still.
    pub(super) fn in_inode(&self, inode: u64) -> impl Iterator<Item = &Absent> {
        let names = self.by_inode.get(&inode).into_iter().flatten();
        names.filter_map(|name| self.get(*name)).filter(|absent| !absent.is_displaced)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Absent> {
        self.by_name.values().map(|absent| &**absent)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Absent> {
        self.by_name.values_mut().map(|absent| &mut **absent)
    }

    /// Drops what is too much: those of which `is_old`, and all but `most`, the longest absent first. What was not
    /// said yet stays.
    pub(super) fn forget(&mut self, most: usize, is_old: impl Fn(&Absent) -> bool) -> Vec<Absent> {
        let said = self.by_name.values().filter(|absent| absent.is_said);
        let mut dropped: HashSet<FileName> =
            said.filter(|absent| is_old(absent)).map(|absent| absent.name()).collect();
        let left = self.by_name.len() - dropped.len();
        if left > most {
            let said = self.by_name.values().filter(|absent| absent.is_said && !dropped.contains(&absent.name()));
            let mut by_age: Vec<_> =
                said.map(|absent| (absent.remembered.known.last_seen, absent.since, absent.name())).collect();
            by_age.sort_unstable();
            dropped.extend(by_age.into_iter().take(left - most).map(|(_, _, name)| name));
        }
        dropped.into_iter().filter_map(|name| self.take(name)).collect()
    }
}
