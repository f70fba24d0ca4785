//! Short, printable beginnings and ends of what somebody else sent.

/// Longest excerpt in an error message, in characters.
pub(crate) const MAX_CHARS: usize = 300;

/// The beginning of `bytes` in one printable line of at most [`MAX_CHARS`] characters.
pub(crate) fn beginning(bytes: &[u8]) -> String {
    // Four bytes a character at most: no need to look at the rest of a huge body.
    let head = &bytes[..bytes.len().min(MAX_CHARS * 4)];
    let text = one_line(&String::from_utf8_lossy(head));
    if text.is_empty() {
        return "(nothing)".to_owned();
    }
    let mut cut: String = text.chars().take(MAX_CHARS).collect();
    if cut.len() < text.len() || head.len() < bytes.len() {
        cut.push('…');
    }
    cut
}

/// The end of `bytes` in one printable line of at most [`MAX_CHARS`] characters; empty where there is none.
pub(crate) fn end(bytes: &[u8]) -> String {
    let tail = &bytes[bytes.len().saturating_sub(MAX_CHARS * 4)..];
    let text = one_line(&String::from_utf8_lossy(tail));
    let count = text.chars().count();
    if count <= MAX_CHARS {
        return text;
    }
    std::iter::once('…').chain(text.chars().skip(count - MAX_CHARS)).collect()
}

/// White space of any kind becomes one space; other control characters, which could steer a terminal, vanish.
fn one_line(text: &str) -> String {
    let clean: String = text.chars().filter(|c| c.is_whitespace() || !c.is_control()).collect();
    clean.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn excerpts_are_short_and_printable() {
        assert_eq!(beginning(b" a\n\tb\x1b[31m "), "a b[31m");
        assert_eq!(beginning(b""), "(nothing)");
        assert_eq!(end(b""), "");
        let long = "é".repeat(5000);
        assert_eq!(beginning(long.as_bytes()).chars().count(), MAX_CHARS + 1);
        assert_eq!(end(long.as_bytes()).chars().count(), MAX_CHARS + 1);
        assert!(beginning(&[0xff; 10]).contains('\u{fffd}'));
    }
}
