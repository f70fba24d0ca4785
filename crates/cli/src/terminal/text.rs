//! Foreign text in terminal columns.

use llmops_domain::scorecard::format::one_line;
use unicode_width::UnicodeWidthStr as _;

/// What names, paths and JSON are made of, and may be broken after.
const BREAKS: [char; 9] = ['/', '@', '-', '_', '.', ':', ',', ';', '='];

/// Columns a text takes.
pub(super) fn columns(text: &str) -> usize {
    text.width()
}

/// Foreign text on one line of at most `max` columns, ending in `…` where it is cut.
pub(super) fn fit(text: &str, max: usize) -> String {
    let line = one_line(text);
    if columns(&line) <= max {
        return line;
    }
    let mut end = 0;
    // Widths of prefixes never shrink at a boundary of grapheme clusters, so that the last prefix that fits is the longest.
    for (at, cluster) in unicode_segmentation::UnicodeSegmentation::grapheme_indices(line.as_str(), true) {
        let next = at + cluster.len();
        if columns(&line[..next]) >= max {
            break;
        }
        end = next;
    }
    if max == 0 { String::new() } else { format!("{}…", &line[..end]) }
}

/// Foreign text broken into lines of at most `width` columns between words; a word that is longer is broken too. The
/// first line begins with `first`, the others with as many spaces.
pub(crate) fn wrap(text: &str, width: usize, first: &str) -> String {
    let indent = columns(first);
    let room = width.saturating_sub(indent).max(8);
    let rest = " ".repeat(indent);
    let mut out = String::new();
    for (i, line) in lines(&one_line(text), room).iter().enumerate() {
        out.push_str(if i == 0 { first } else { &rest });
        out.push_str(line);
        out.push('\n');
    }
    out
}

/// Clean text broken into lines of at most `room` columns: between words, within a longer word after what separates its
/// parts, and else where the line ends.
pub(super) fn lines(text: &str, room: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut line = String::new();
    for word in text.split(' ') {
        if !line.is_empty() && columns(&line) + 1 + columns(word) > room {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        if columns(&line) + columns(word) <= room {
            line.push_str(word);
            continue;
        }
        for part in word.split_inclusive(BREAKS) {
            if !line.is_empty() && columns(&line) + columns(part) > room {
                lines.push(std::mem::take(&mut line));
            }
            for cluster in unicode_segmentation::UnicodeSegmentation::graphemes(part, true) {
                if !line.is_empty() && columns(&line) + columns(cluster) > room {
                    lines.push(std::mem::take(&mut line));
                }
                line.push_str(cluster);
            }
        }
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_fits_by_columns_not_characters() {
        let check = |text: &str, max, expected: &str| assert_eq!(fit(text, max), expected, "{text:?} in {max}");
        check("", 5, "");
        check("plain", 5, "plain");
        check("plainly", 5, "plai…");
        check("日本語の返品", 7, "日本語…");
        check("日本語", 6, "日本語");
        check("👩‍👩‍👧 family", 4, "👩‍👩‍👧 …");
        check("\u{1b}[2Jcleared\r\nline", 30, "␛[2Jcleared line");
        check("x", 0, "");
    }

    #[test]
    fn prose_is_broken_between_words() {
        insta::assert_snapshot!(wrap("The quick brown fox jumps over the incomprehensibilities of dogs", 20, "- "), @"
        - The quick brown
          fox jumps over the
          incomprehensibilit
          ies of dogs
        ");
    }

    #[test]
    fn long_words_are_broken_after_their_parts() {
        let check = |text: &str, room, expected: &[&str]| assert_eq!(lines(text, room), expected, "{text:?} in {room}");
        check("openai/gpt-4o-mini-2024-07-18", 12, &["openai/gpt-", "4o-mini-", "2024-07-18"]);
        check("on openai/gpt-4o-mini", 12, &["on", "openai/gpt-", "4o-mini"]);
        check("3f1c9a77d2e04b5f", 6, &["3f1c9a", "77d2e0", "4b5f"]);
        check("日本語", 1, &["日", "本", "語"]);
        check("", 0, &[""]);
    }

    proptest! {
        #[test]
        fn nothing_is_wider_than_its_place(text in any::<String>(), max in 0_usize..60) {
            prop_assert!(columns(&fit(&text, max)) <= max);
            for line in wrap(&text, max, "  ").lines() {
                prop_assert!(columns(line) <= max.max(11), "{line:?}");
            }
        }
    }
}
