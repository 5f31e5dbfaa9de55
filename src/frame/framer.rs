//! The place in a file, whichever way its lines are framed.

use super::{
    Lines, Settings, Step,
    container::{Carry, Container},
};

/// One per file and reader; begins at the start of a line. See [`Lines`] and [`Container`].
#[derive(Clone, Debug)]
pub enum Framer {
    /// A line of the file is a line.
    Lines(Lines),
    /// A line of the file is a piece of a container's line.
    Container(Box<Container>),
}

impl Default for Framer {
    fn default() -> Framer {
        Framer::Lines(Lines::default())
    }
}

impl Framer {
    /// At the start of a line.
    pub fn new(settings: &Settings) -> Framer {
        if settings.is_container { Framer::Container(Box::default()) } else { Framer::default() }
    }

    /// At the start of a line; `within`: by stream, whether a line goes on that is not ours.
    pub fn within(settings: &Settings, within: [bool; 2]) -> Framer {
        if within == [false; 2] { Framer::new(settings) } else { Framer::begin_with(Carry::default().within(within)) }
    }

    /// At the start of the file that follows the one in which `carry` was left open.
    pub fn begin_with(carry: Carry) -> Framer {
        Framer::Container(Box::new(Container::begin_with(carry)))
    }

    /// What is open at the end of the file, for the one that follows.
    pub fn carry(&self) -> Carry {
        match self {
            Framer::Lines(_) => Carry::default(),
            Framer::Container(container) => container.carry(),
        }
    }

    /// Whether something is open that began in the file before: to resume here, its carry is needed.
    pub fn needs_carry(&self) -> bool {
        matches!(self, Framer::Container(container) if container.needs_carry())
    }

    /// The lowest offset that is needed to frame what comes at `at` again.
    pub fn rewind(&self, at: u64) -> u64 {
        match self {
            Framer::Lines(lines) => lines.rewind(at),
            Framer::Container(container) => container.rewind(at),
        }
    }

    /// How many bytes after the current offset have been taken in.
    pub fn held(&self) -> u64 {
        match self {
            Framer::Lines(_) => 0,
            Framer::Container(container) => container.held(),
        }
    }

    /// Whether a run of NUL bytes goes on at the current offset.
    pub fn is_in_gap(&self) -> bool {
        match self {
            Framer::Lines(lines) => lines.is_in_gap(),
            Framer::Container(container) => container.is_in_gap(),
        }
    }

    /// Gives back memory that is not in use; for when there is nothing to read.
    pub fn shrink(&mut self) {
        if let Framer::Container(container) = self {
            container.shrink();
        }
    }

    /// Looks at `bytes`, which begin at offset `at`: the end of the last step.
    pub fn next<'b>(&'b mut self, settings: &Settings, bytes: &'b [u8], at: u64) -> Step<'b> {
        match self {
            Framer::Lines(lines) => lines.next(settings, bytes, at),
            Framer::Container(container) => container.next(settings, bytes, at),
        }
    }

    /// What is left at the end of a file that will not grow any more and that no other follows.
    pub fn last<'b>(&'b mut self, settings: &Settings, bytes: &'b [u8], at: u64) -> Step<'b> {
        match self {
            Framer::Lines(lines) => lines.last(settings, bytes, at),
            Framer::Container(container) => container.last(settings, bytes, at),
        }
    }

    /// What is left at the end of a file that will not grow any more, when its lines go on in the one that follows.
    pub fn last_line<'b>(&'b mut self, settings: &Settings, bytes: &'b [u8], at: u64) -> Step<'b> {
        match self {
            Framer::Lines(lines) => lines.last(settings, bytes, at),
            Framer::Container(container) => container.last_line(settings, bytes, at),
        }
    }
}
