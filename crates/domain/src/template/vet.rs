//! Looks a template over before the engine compiles it.
//!
//! The engine bounds the steps of a rendering, not its memory: thirty lines of `{% set x = x ~ x %}` make a gigabyte,
//! and `"x" * 1000000000` makes one while it is compiled. So what multiplies data is refused: `~`, `*`, `**`, blocks that
//! capture their output, macros, other templates, recursive loops. What remains can only multiply by naming several
//! variables in the value that `set` or `for` binds; the product of these counts is limited.
//!
//! The engine looks names of filters and tests up when it comes to them, which may be on live traffic: here they are looked
//! up at once.

use minijinja::machinery::{Span, Token, tokenize};

use super::{TemplateError, TemplateProblem, excerpt, explain, filters, syntax};

/// Tags that prompts may use.
const TAGS: [&str; 7] = ["if", "elif", "else", "endif", "for", "endfor", "set"];
/// Words that are no variables.
const KEYWORDS: [&str; 14] =
    ["and", "or", "not", "in", "is", "if", "else", "true", "True", "false", "False", "none", "None", "loop"];
/// Most times that `set` and `for` tags may multiply what the variables hold.
const MAX_GROWTH: usize = 64;
/// Most tokens in one tag, so that no expression nests deeper than the stack is.
const MAX_TAG_TOKENS: usize = 400;
/// Most `+` in one tag: each may copy the text before it.
const MAX_JOINS: usize = 16;
/// Most `{% … %}` tags, for the same reason: each `elif` nests in the one before.
const MAX_TAGS: usize = 500;

/// Refuses what prompts may not use. Answers the text that the template stands for where it has no tag to render.
pub(super) fn vet(text: &str) -> Result<Option<String>, TemplateError> {
    let mut literal = Some(String::new());
    let mut vetting = Vetting { text, tag: Vec::new(), tags: 0, growth: 1 };
    for token in tokenize(text, false, syntax()) {
        let (token, span) = token.map_err(|e| explain(&e, text))?;
        if let Token::TemplateData(data) = token {
            if let Some(literal) = &mut literal {
                literal.push_str(data);
            }
            continue;
        }
        literal = None;
        vetting.token(token, span)?;
    }
    Ok(literal)
}

struct Vetting<'a> {
    text: &'a str,
    /// Tokens of the tag at hand, its start among them.
    tag: Vec<Token<'a>>,
    tags: usize,
    growth: usize,
}

impl<'a> Vetting<'a> {
    fn token(&mut self, token: Token<'a>, span: Span) -> Result<(), TemplateError> {
        let refuse = |what: &str, instead: &'static str| {
            Err(error(self.text, span, TemplateProblem::Refused { what: what.to_owned(), instead }))
        };
        match &token {
            Token::Tilde => return refuse("`~`", "write the values next to each other, as in `{{ a }}{{ b }}`"),
            Token::Mul | Token::Pow => return refuse("multiplication", "compute the value before you pass it in"),
            Token::Ident(name) if matches!(self.tag.as_slice(), [Token::BlockStart]) && !TAGS.contains(name) => {
                return refuse(&format!("the tag `{name}`"), "only if, for, set, raw and comments are allowed");
            }
            Token::Ident("recursive") => return refuse("a recursive loop", "loop over a flat list"),
            Token::VariableStart | Token::BlockStart => self.tag.clear(),
            Token::BlockEnd => {
                self.tags += 1;
                self.growth = self.growth.saturating_mul(multiplication(&self.tag));
            }
            _ => {}
        }
        if let Some(unknown) = self.unknown_name(&token) {
            let near = self.text.get(span.start_offset as usize..span.end_offset as usize).unwrap_or_default();
            let at = error(self.text, span, TemplateProblem::Failed(unknown));
            return Err(TemplateError { near: excerpt(near), ..at });
        }
        self.tag.push(token);
        self.limits(span)
    }

    /// What is wrong with a token that names a filter or a test: `x | name`, `x is name`, `x is not name`, `x | map("name")`,
    /// `x | select("name")`.
    fn unknown_name(&self, token: &Token<'_>) -> Option<String> {
        match (token, self.tag.as_slice()) {
            (Token::Ident(name), [.., Token::Pipe])
            | (Token::Str(name), [.., Token::Pipe, Token::Ident("map"), Token::ParenOpen]) => {
                filters::unknown_filter(name)
            }
            (Token::Ident(name), [.., Token::Ident("is"), Token::Ident("not")])
            | (Token::Str(name), [.., Token::Pipe, Token::Ident("select" | "reject"), Token::ParenOpen]) => {
                filters::unknown_test(name)
            }
            (Token::Ident(name), [before @ .., Token::Ident("is")])
                if *name != "not" && !matches!(before, [.., Token::Dot]) =>
            {
                filters::unknown_test(name)
            }
            _ => None,
        }
    }

    fn limits(&self, span: Span) -> Result<(), TemplateError> {
        let too_much = |what: String| Err(error(self.text, span, TemplateProblem::TooMuch(what)));
        if self.tag.len() > MAX_TAG_TOKENS {
            return too_much(format!("this tag has more than {MAX_TAG_TOKENS} words and operators: split it"));
        }
        if self.tag.iter().filter(|t| matches!(t, Token::Plus)).count() > MAX_JOINS {
            return too_much(format!("this tag has more than {MAX_JOINS} `+`: write the values next to each other"));
        }
        if self.tags > MAX_TAGS {
            return too_much(format!("the template has more than {MAX_TAGS} `{{% … %}}` tags: split it"));
        }
        if self.growth > MAX_GROWTH {
            return too_much(
                "its `set` and `for` tags multiply the variables too often: pass lists as variables".into(),
            );
        }
        Ok(())
    }
}

fn error(text: &str, span: Span, problem: TemplateProblem) -> TemplateError {
    let start = span.start_offset as usize;
    let before = text.get(..start).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let line_start = before.rfind('\n').map_or(0, |i| i + 1);
    TemplateError { line, near: excerpt(text.get(line_start..).unwrap_or(text)), problem }
}

/// How often the value that a tag binds may hold the variables it names: the number of names where the tag joins values
/// (`+`, lists, maps), else 1.
fn multiplication(tag: &[Token<'_>]) -> usize {
    let value = match tag {
        [Token::BlockStart, Token::Ident("set"), rest @ ..] => after(rest, |t| matches!(t, Token::Assign)),
        [Token::BlockStart, Token::Ident("for"), rest @ ..] => after(rest, |t| matches!(t, Token::Ident("in"))),
        _ => &[],
    };
    let joins = value.iter().any(|t| matches!(t, Token::Plus | Token::BracketOpen | Token::BraceOpen | Token::Comma));
    if joins { names(value).max(1) } else { 1 }
}

fn after<'t, 'a>(tokens: &'t [Token<'a>], is_border: impl Fn(&Token<'a>) -> bool) -> &'t [Token<'a>] {
    tokens.iter().position(is_border).map_or(tokens, |i| &tokens[i + 1..])
}

/// Counts the variables named: words that are no keyword, attribute, filter or test.
fn names(tokens: &[Token<'_>]) -> usize {
    let is_name = |i: usize| {
        let before = i.checked_sub(1).map(|b| &tokens[b]);
        matches!(&tokens[i], Token::Ident(name) if !KEYWORDS.contains(name))
            && !matches!(before, Some(Token::Dot | Token::Pipe | Token::Ident("is")))
    };
    (0..tokens.len()).filter(|&i| is_name(i)).count()
}
