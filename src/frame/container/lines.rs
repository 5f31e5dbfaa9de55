//! What a line of each form does to the joins.

use super::{
    super::{Framed, MAX_STEP, Settings, Step, Stop, Verdict, stop},
    After, BEHIND, Container, Input, Open, Piece, cri,
    docker::{self, Text},
    join::{Source as _, State},
    time,
};

/// So much of a line is looked at in one step.
const WINDOW: usize = MAX_STEP - 2 * BEHIND as usize - cri::MAX_HEADER;

/// A line of which so much is there is taken in before its end is seen.
const LONG: usize = 64 * 1024;

impl Container {
    /// A line that begins as those of CRI do, or as nothing known.
    pub(super) fn cri<'b>(&mut self, settings: &Settings, input: Input<'b>) -> Step<'b> {
        let bytes = input.bytes;
        let Some(header) = cri::header(bytes) else {
            let near = &bytes[..bytes.len().min(cri::MAX_HEADER)];
            let is_there = near.len() == cri::MAX_HEADER || near.contains(&b'\n') || input.after != After::More;
            return if is_there { self.begin_malformed(settings, input) } else { Step::More };
        };
        let piece = Piece { stream: header.stream, is_final: header.is_final };
        let content = Input { bytes: &bytes[header.content..], pos: input.pos + header.content as u64, ..input };
        let Some((len, newline)) = content.extent() else { return Step::More };
        let time = || time::stamp(&bytes[..header.time]);
        let join = &mut self.joins[piece.stream as usize];
        if let (State::Closed, Some(newline)) = (join.state(), newline) {
            let text = &content.bytes[..len];
            match settings.verdict(text, piece.is_final) {
                Verdict::Foreign if piece.is_final => {
                    return self.passed(input, content.pos + (len + newline) as u64);
                }
                Verdict::Ours(skipped) if piece.is_final && !settings.is_too_long(&text[skipped..]) => {
                    let end = self.settle(input.at, content.pos + (len + newline) as u64, 1);
                    return Step::Record(Framed {
                        time: time(),
                        stream: Some(piece.stream),
                        ..Framed::whole(&text[skipped..], input.pos, end, newline == 0)
                    });
                }
                _ => {}
            }
        }
        join.begin(settings, input.pos, time);
        self.content(settings, piece, content)
    }

    /// The content of a CRI line, or the rest of it.
    pub(super) fn content<'b>(&mut self, settings: &Settings, piece: Piece, input: Input<'b>) -> Step<'b> {
        let Some((len, newline)) = input.extent() else { return Step::More };
        self.open = Open::Content(piece);
        let mut source = &input.bytes[..len];
        if self.joins[piece.stream as usize].feed(settings, &mut source) {
            let pos = input.pos + (len - source.len()) as u64;
            return self.part(settings, piece.stream, pos, input);
        }
        let pos = input.pos + len as u64;
        match newline {
            None => self.passed(input, pos),
            Some(newline) => self.end_of_line(settings, piece, pos + newline as u64, newline == 0, input),
        }
    }

    /// A line that begins as those of Docker do.
    pub(super) fn docker<'b>(&mut self, settings: &Settings, input: Input<'b>) -> Step<'b> {
        let is_last = input.after != After::More;
        let (line, newline) = match stop(input.bytes, is_last) {
            Stop::Newline(end) => (&input.bytes[..end], 1),
            Stop::Gap(end) => (&input.bytes[..end], 0),
            Stop::Open(_) if is_last => (input.bytes, 0),
            Stop::Open(clear) if clear <= docker::MAX_LINE => return Step::More,
            Stop::Open(_) => return self.begin_malformed(settings, input),
        };
        let entry = if line.len() > docker::MAX_LINE { None } else { docker::parse(line) };
        let Some(entry) = entry else { return self.begin_malformed(settings, input) };
        let piece = Piece { stream: entry.stream, is_final: entry.is_final };
        let end = input.pos + (line.len() + newline) as u64;
        let time = || docker::stamp(line, entry.time.clone());
        let text = &line[entry.text.clone()];
        let join = &mut self.joins[piece.stream as usize];
        if piece.is_final && !entry.is_escaped && join.state() == State::Closed {
            match settings.verdict(text, true) {
                Verdict::Ours(skipped) if !settings.is_too_long(&text[skipped..]) => {
                    let end = self.settle(input.at, end, 1);
                    return Step::Record(Framed {
                        time: time(),
                        stream: Some(piece.stream),
                        ..Framed::whole(&text[skipped..], input.pos, end, newline == 0)
                    });
                }
                Verdict::Ours(_) => {}
                Verdict::Foreign | Verdict::Open => return self.passed(input, end),
            }
        }
        join.begin(settings, input.pos, time);
        let text_at = entry.text.start;
        self.unescape(settings, piece, text, Input { pos: input.pos + text_at as u64, ..input }, end, newline == 0)
    }

    /// The rest of a Docker line of which a part has left: its end has been seen then.
    #[cold]
    pub(super) fn text<'b>(&mut self, settings: &Settings, piece: Piece, input: Input<'b>) -> Step<'b> {
        let is_last = input.after != After::More;
        let (line, newline) = match stop(input.bytes, is_last) {
            Stop::Newline(end) => (end, 1),
            Stop::Gap(end) => (end, 0),
            Stop::Open(_) if is_last => (input.bytes.len(), 0),
            Stop::Open(_) => return Step::More,
        };
        // That it is a string was seen with the line's first part.
        let text = docker::tail(&input.bytes[..line]).map_or(0, |tail| tail.text);
        let end = input.pos + (line + newline) as u64;
        self.unescape(settings, piece, &input.bytes[..text], input, end, newline == 0)
    }

    /// Takes in `text`, which is at the position of `input` in a line that ends at `end`.
    fn unescape<'b>(
        &mut self,
        settings: &Settings,
        piece: Piece,
        text: &[u8],
        input: Input<'b>,
        end: u64,
        is_cut: bool,
    ) -> Step<'b> {
        let mut source = Text::new(text);
        if self.joins[piece.stream as usize].feed(settings, &mut source) {
            self.open = Open::Text(piece);
            let pos = input.pos + (text.len() - source.left()) as u64;
            return self.part(settings, piece.stream, pos, input);
        }
        self.end_of_line(settings, piece, end, is_cut, input)
    }
}

impl Input<'_> {
    /// How much of the line's rest can be taken in, and how long the newline after it is when that is all; `None` when
    /// more has to be there.
    fn extent(&self) -> Option<(usize, Option<usize>)> {
        let window = &self.bytes[..self.bytes.len().min(WINDOW)];
        let is_last = self.after != After::More && window.len() == self.bytes.len();
        match stop(window, is_last) {
            Stop::Newline(end) => Some((end, Some(1))),
            Stop::Gap(end) => Some((end, Some(0))),
            Stop::Open(_) if is_last => Some((window.len(), Some(0))),
            Stop::Open(clear) if clear < LONG => None,
            Stop::Open(clear) => Some((clear, None)),
        }
    }
}
