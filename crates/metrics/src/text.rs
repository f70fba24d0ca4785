//! Small text helpers that several metrics share.

use std::borrow::Cow;

/// Whitespace as Python's `str.split` sees it, so that token counts agree with metrics defined by Python programs:
/// Unicode White_Space plus the four ASCII information separators.
pub(crate) fn is_space(character: char) -> bool {
    character.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&character)
}

/// The words between runs of [`is_space`] characters.
pub(crate) fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(is_space).filter(|word| !word.is_empty())
}

/// Words joined by one space, without leading or trailing whitespace.
pub(crate) fn collapse_whitespace(text: &str) -> String {
    let mut collapsed = String::with_capacity(text.len());
    for word in words(text) {
        if !collapsed.is_empty() {
            collapsed.push(' ');
        }
        collapsed.push_str(word);
    }
    collapsed
}

/// Lower case where asked for, without a copy otherwise.
pub(crate) fn lower_if(text: &str, ignore_case: bool) -> Cow<'_, str> {
    if ignore_case { Cow::Owned(text.to_lowercase()) } else { Cow::Borrowed(text) }
}
