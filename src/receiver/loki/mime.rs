//! The `Content-Type` header, read as strictly as Go's `mime.ParseMediaType` does for Loki.

/// How a body is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `application/json`, with any parameters.
    Json,
    /// Anything else that parses: protobuf.
    Other,
}

/// Parses the header. Absent is the same as empty: an error.
pub(super) fn parse(header: &str) -> Result<Kind, &'static str> {
    let (media, mut rest) = header.split_at(header.find(';').unwrap_or(header.len()));
    let media = media.trim().to_ascii_lowercase();
    let (main, sub) = media.split_at(token_len(&media));
    if main.is_empty() {
        return Err("mime: no media type");
    }
    if !sub.is_empty() {
        let sub = sub.strip_prefix('/').ok_or("mime: expected slash after first token")?;
        match token_len(sub) {
            0 => return Err("mime: expected token after slash"),
            len if len < sub.len() => return Err("mime: unexpected content after media subtype"),
            _ => {}
        }
    }
    let mut names: Vec<String> = Vec::new();
    while !rest.trim_start().is_empty() {
        // A semicolon at the end is forgiven.
        if rest.trim() == ";" {
            break;
        }
        let (name, after) = parameter(rest).ok_or("mime: invalid media parameter")?;
        if names.contains(&name) {
            return Err("mime: duplicate parameter name");
        }
        names.push(name);
        rest = after;
    }
    Ok(if media == "application/json" { Kind::Json } else { Kind::Other })
}

/// `;name=value` at the start of `text`: the name, and what follows.
fn parameter(text: &str) -> Option<(String, &str)> {
    let text = text.trim_start().strip_prefix(';')?.trim_start();
    let (name, text) = text.split_at(token_len(text));
    let text = text.trim_start().strip_prefix('=')?.trim_start();
    if name.is_empty() {
        return None;
    }
    let value = match text.strip_prefix('"') {
        Some(quoted) => 1 + quoted_len(quoted)?,
        None => token_len(text),
    };
    (value > 0).then(|| (name.to_ascii_lowercase(), &text[value..]))
}

/// The length of a quoted value, its closing quote included.
fn quoted_len(text: &str) -> Option<usize> {
    let mut bytes = text.bytes().enumerate();
    while let Some((i, byte)) = bytes.next() {
        match byte {
            b'"' => return Some(i + 1),
            // The next byte is meant literally.
            b'\\' => _ = bytes.next(),
            b'\r' | b'\n' => return None,
            _ => {}
        }
    }
    None
}

/// The length of the token (RFC 2045) at the start of `text`.
fn token_len(text: &str) -> usize {
    text.bytes().take_while(|b| b.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?=".contains(b)).count()
}
