//! What the HTML files have in common: no script, no request, and foreign text that cannot become markup.

use crate::scorecard::format::short_line;

/// Longest name or message shown.
const MAX_FIELD: usize = 400;
/// Nothing is loaded, framed, sent or run; styles stand in the page itself.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'";

/// Everything before the content of a page. `title` is markup already.
pub(crate) fn head(title: &str, styles: &[&str]) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"referrer\" content=\"no-referrer\">\n<link rel=\"icon\" href=\"data:,\">\n\
         <title>{title} · llmops</title>\n<style>\n{}</style>\n</head>\n<body>\n<div class=\"page\">\n",
        styles.concat()
    )
}

/// Foreign text on one line.
pub(crate) fn field(text: &str) -> String {
    escape(&short_line(text, MAX_FIELD))
}

/// Escapes text for element content and for attributes in either kind of quotes.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(c),
        }
    }
    out
}
