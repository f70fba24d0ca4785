//! What the user said in parts, in the place where a prompt has its `{{input}}`.

use serde_json::{Value, json};

/// A part of the content that a prompt's message becomes.
#[derive(Debug, Clone, PartialEq)]
pub enum Placed {
    /// The prompt's own.
    Ours(Value),
    /// The user's at this position, as it is.
    Theirs(usize),
    /// The user's at this position with another text.
    With(usize, String),
}

/// The text of what is said in parts: what `{{input}}` stands for.
pub fn joined<'a>(texts: impl Iterator<Item = &'a str>) -> String {
    texts.collect::<Vec<_>>().join("\n")
}

/// Puts the user's parts where their text stands in a content of the prompt that was rendered with it: each in its place, the
/// prompt's words before the first text and behind the last. Where the texts do not stand in it as they are, what became of them
/// takes the place of the last one. `texts`: of the user's parts, nothing where a part is no text.
pub fn place(ours: &Value, texts: &[Option<&str>]) -> Vec<Placed> {
    let said = joined(texts.iter().flatten().copied());
    let Value::Array(parts) = ours else { return around(ours.as_str().unwrap_or_default(), &said, texts) };
    let at = parts.iter().rposition(|part| part["text"].as_str().is_some_and(|text| text.contains(&said)));
    let mut placed = Vec::with_capacity(parts.len() + texts.len());
    for (i, part) in parts.iter().enumerate() {
        match part["text"].as_str() {
            Some(rendered) if Some(i) == at => placed.extend(around(rendered, &said, texts)),
            _ => placed.push(Placed::Ours(part.clone())),
        }
    }
    if at.is_none() {
        placed.extend(others(texts).map(Placed::Theirs));
    }
    placed
}

/// The positions of the parts that are no text.
pub(super) fn others(texts: &[Option<&str>]) -> impl Iterator<Item = usize> {
    texts.iter().enumerate().filter(|(_, text)| text.is_none()).map(|(at, _)| at)
}

fn around(rendered: &str, said: &str, texts: &[Option<&str>]) -> Vec<Placed> {
    let (first, last) = (texts.iter().position(Option::is_some), texts.iter().rposition(Option::is_some));
    let found = rendered.rfind(said).filter(|_| !said.is_empty());
    let around = found.map(|at| (&rendered[..at], &rendered[at + said.len()..]));
    let mut placed = Vec::with_capacity(texts.len() + 1);
    // Some providers refuse texts without a letter.
    if first.is_none() && !rendered.is_empty() {
        placed.push(Placed::Ours(json!({"type": "text", "text": rendered})));
    }
    for (at, text) in texts.iter().enumerate() {
        match (text, around) {
            (Some(text), Some((before, after))) => {
                let before = if first == Some(at) { before } else { "" };
                let after = if last == Some(at) { after } else { "" };
                let is_same = before.is_empty() && after.is_empty();
                placed.push(if is_same {
                    Placed::Theirs(at)
                } else {
                    Placed::With(at, format!("{before}{text}{after}"))
                });
            }
            (Some(_), None) if last == Some(at) && !rendered.is_empty() => {
                placed.push(Placed::With(at, rendered.to_owned()));
            }
            (Some(_), None) => {}
            (None, _) => placed.push(Placed::Theirs(at)),
        }
    }
    placed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_stand_where_their_text_stands() {
        let check = |ours: Value, texts: &[Option<&str>], expected: &str| {
            let placed = place(&ours, texts).into_iter().map(|placed| match placed {
                Placed::Ours(part) => part["text"].as_str().unwrap_or("?").to_owned(),
                Placed::Theirs(at) => format!("#{at}"),
                Placed::With(at, text) => format!("#{at}={text}"),
            });
            assert_eq!(placed.collect::<Vec<_>>().join(" "), expected, "{ours} {texts:?}");
        };
        let album = [Some("a"), None, Some("b"), None];
        check(json!("a\nb"), &album, "#0 #1 #2 #3");
        check(json!("<a\nb>"), &album, "#0=<a #1 #2=b> #3");
        check(json!("b"), &[Some("b")], "#0");
        check(json!("About b: b."), &[None, Some("b")], "#0 #1=About b: b.");
        check(json!("A B"), &album, "#1 #2=A B #3");
        check(json!(""), &album, "#1 #3");
        check(json!("Q: "), &[None, None], "Q:  #0 #1");
        check(json!(""), &[None], "#0");
        check(json!("x"), &[Some("")], "#0=x");
        let own = |texts: &[&str]| texts.iter().map(|text| json!({"type": "text", "text": text})).collect::<Value>();
        check(own(&["x", "<a\nb>", "y"]), &album, "x #0=<a #1 #2=b> #3 y");
        check(own(&["x", "y"]), &album, "x y #1 #3");
        check(Value::Null, &[Some("a"), None], "#1");
    }
}
