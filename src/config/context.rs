//! What the sections of one configuration share: the problems so far, and the text they are places in.

use super::{
    env::Environment,
    error::{At, Problem},
    tree::Place,
};
use std::{cell::RefCell, collections::BTreeSet, path::Path};

/// What the sections of one configuration share.
pub(super) struct Context<'c> {
    pub(super) file: Option<&'c Path>,
    pub(super) text: &'c str,
    pub(super) env: &'c Environment,
    pub(super) problems: RefCell<Vec<Problem>>,
    /// Every key that was asked for, with `*` for names; the documentation is held against it.
    pub(super) known: RefCell<BTreeSet<String>>,
}

impl<'c> Context<'c> {
    pub(super) fn new(file: Option<&'c Path>, text: &'c str, env: &'c Environment) -> Self {
        Context { file, text, env, problems: RefCell::default(), known: RefCell::default() }
    }

    pub(super) fn report(
        &self,
        at: &Place,
        key: &str,
        message: String,
        allowed: Option<String>,
        hint: Option<String>,
    ) {
        let problem = Problem { at: self.at(at), key: key.to_string(), message, allowed, hint };
        self.problems.borrow_mut().push(problem);
    }

    pub(super) fn at(&self, place: &Place) -> At {
        match (place, self.file) {
            (Place::Variable(name), _) => At::Variable(name.to_string()),
            (_, None) => At::Nowhere,
            (Place::Whole, Some(file)) => At::File(file.to_path_buf()),
            (Place::Byte(byte), Some(file)) => {
                let before = self.text.get(..*byte).unwrap_or(self.text);
                let line = before.matches('\n').count() + 1;
                let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
                At::Line { file: file.to_path_buf(), line, column }
            }
        }
    }
}

/// A checked value and its place, for checks that follow.
#[derive(Clone, Debug)]
pub(super) struct Item<T> {
    pub(super) value: T,
    pub(super) at: Place,
}
