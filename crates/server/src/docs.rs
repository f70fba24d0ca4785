//! `/docs`: the OpenAPI document as a page for people. It is rendered here, so that it needs neither scripts nor a network.

mod schema;

use std::fmt::Write as _;
use std::sync::LazyLock;

use axum::Router;
use axum::http::header;
use axum::routing::get;
use bytes::Bytes;
use serde_json::Value;

use crate::headers::PAGE_POLICY;

const STYLE: &str = include_str!("docs/docs.css");

/// The document as it is served, made when it is asked for the first time: most processes never are.
static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| serde_json::to_vec(&crate::openapi()).unwrap_or_default().into());
static PAGE: LazyLock<Bytes> = LazyLock::new(|| {
    let document: Value = serde_json::from_slice(&DOCUMENT).unwrap_or_default();
    page(&document).into()
});

/// The document, the page and its style sheet.
pub(crate) fn router() -> Router {
    let document = || std::future::ready(([(header::CONTENT_TYPE, "application/json")], DOCUMENT.clone()));
    let html = || {
        let headers =
            [(header::CONTENT_TYPE, "text/html; charset=utf-8"), (header::CONTENT_SECURITY_POLICY, PAGE_POLICY)];
        std::future::ready((headers, PAGE.clone()))
    };
    let css = || std::future::ready(([(header::CONTENT_TYPE, "text/css; charset=utf-8")], STYLE));
    Router::new().route("/openapi.json", get(document)).route("/docs", get(html)).route("/docs/docs.css", get(css))
}

/// An operation with its place.
struct Operation<'a> {
    path: &'a str,
    method: &'a str,
    value: &'a Value,
}

impl Operation<'_> {
    fn id(&self) -> &str {
        self.value["operationId"].as_str().unwrap_or_default()
    }

    fn tag(&self) -> &str {
        self.value["tags"][0].as_str().unwrap_or("other")
    }
}

fn page(document: &Value) -> String {
    let operations = operations(document);
    let tags: Vec<&Value> = document["tags"].as_array().into_iter().flatten().collect();
    let mut out = String::from("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">");
    out += "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>llmops API</title>";
    out += "<link rel=\"stylesheet\" href=\"/docs/docs.css\"></head><body>";
    navigation(&mut out, &tags, &operations);
    out += "<main>";
    introduction(&mut out, document);
    for tag in &tags {
        let name = tag["name"].as_str().unwrap_or_default();
        let _ = write!(out, "<section><h2 id=\"tag-{0}\">{0}</h2>", escape(name));
        let _ = write!(out, "<p>{}</p>", prose(&tag["description"]));
        for operation in operations.iter().filter(|operation| operation.tag() == name) {
            show(&mut out, operation);
        }
        out += "</section>";
    }
    out += "<section><h2 id=\"schemas\">Schemas</h2>";
    for (name, schema) in document["components"]["schemas"].as_object().into_iter().flatten() {
        schema::show(&mut out, name, schema);
    }
    out += "</section></main></body></html>\n";
    out
}

fn operations(document: &Value) -> Vec<Operation<'_>> {
    const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().into_iter().flatten() {
        for method in METHODS {
            if let Some(value) = item.get(method) {
                all.push(Operation { path, method, value });
            }
        }
    }
    all
}

fn navigation(out: &mut String, tags: &[&Value], operations: &[Operation<'_>]) {
    *out += "<nav><a class=\"home\" href=\"#top\">llmops API</a>";
    for tag in tags {
        let name = tag["name"].as_str().unwrap_or_default();
        let _ = write!(out, "<details open><summary>{}</summary><ul>", escape(name));
        for operation in operations.iter().filter(|operation| operation.tag() == name) {
            let (id, method) = (escape(operation.id()), operation.method);
            let path = escape(operation.path.strip_prefix("/api/v1").unwrap_or(operation.path));
            let _ = write!(out, "<li><a href=\"#{id}\"><b class=\"{method}\">{method}</b> {path}</a></li>");
        }
        *out += "</ul></details>";
    }
    *out += "<a href=\"#schemas\">Schemas</a><a href=\"/openapi.json\">openapi.json</a></nav>";
}

fn introduction(out: &mut String, document: &Value) {
    let info = &document["info"];
    let version = escape(info["version"].as_str().unwrap_or_default());
    let _ =
        write!(out, "<h1 id=\"top\">llmops API <small>{version}</small></h1><p>{}</p>", prose(&info["description"]));
    *out += "<p>Requests carry a key: <code>Authorization: Bearer KEY</code>. Each operation names the weakest role that \
             may use it: caller, viewer, editor, operator, admin. Lists come in pages: give <code>next_cursor</code> back as \
             <code>cursor</code>. A <code>POST</code> with an <code>Idempotency-Key</code> can be repeated safely.</p>";
    *out += "<pre>curl -H \"Authorization: Bearer $LLMOPS_API_KEY\" http://127.0.0.1:8080/api/v1/prompts</pre>";
}

fn show(out: &mut String, operation: &Operation<'_>) {
    let (id, method, path, value) = (escape(operation.id()), operation.method, escape(operation.path), operation.value);
    let _ = write!(out, "<article id=\"{id}\"><h3><b class=\"{method}\">{method}</b> <code>{path}</code>");
    match value["security"][0]["key"][0].as_str() {
        Some(role) => {
            let _ = write!(out, " <span class=\"role\">{}</span>", escape(role));
        }
        None => *out += " <span class=\"role\">no key</span>",
    }
    let _ = write!(out, "</h3><p>{}</p>", prose(&value["summary"]));
    if value["description"].is_string() {
        let _ = write!(out, "<p>{}</p>", prose(&value["description"]));
    }
    parameters(out, &value["parameters"]);
    for (kind, content) in value["requestBody"]["content"].as_object().into_iter().flatten() {
        let _ =
            write!(out, "<h4>Body</h4><p><code>{}</code>: {}</p>", escape(kind), schema::name_of(&content["schema"]));
    }
    *out += "<h4>Answers</h4><table>";
    for (status, response) in value["responses"].as_object().into_iter().flatten() {
        let contents = response["content"].as_object().into_iter().flatten();
        let types: Vec<String> = contents.map(|(_, content)| schema::name_of(&content["schema"])).collect();
        let (status, text) = (escape(status), prose(&response["description"]));
        let _ = write!(out, "<tr><td><code>{status}</code></td><td>{}</td><td>{text}</td></tr>", types.join(" or "));
    }
    *out += "</table></article>";
}

fn parameters(out: &mut String, parameters: &Value) {
    let Some(parameters) = parameters.as_array().filter(|parameters| !parameters.is_empty()) else { return };
    *out += "<h4>Parameters</h4><table>";
    for parameter in parameters {
        let (name, place) = (parameter["name"].as_str(), parameter["in"].as_str());
        let _ = write!(
            out,
            "<tr><td><code>{}</code></td><td>{}{}</td><td>{}</td><td>{}</td></tr>",
            escape(name.unwrap_or_default()),
            escape(place.unwrap_or_default()),
            if parameter["required"] == true { ", required" } else { "" },
            schema::name_of(&parameter["schema"]),
            prose(&parameter["description"])
        );
    }
    *out += "</table>";
}

/// Text in HTML.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            '\'' => out += "&#39;",
            other => out.push(other),
        }
    }
    out
}

/// A description: what stands in backticks is code, an empty line begins a paragraph.
fn prose(value: &Value) -> String {
    let text = escape(value.as_str().unwrap_or_default());
    let mut out = String::with_capacity(text.len());
    for (i, part) in text.split('`').enumerate() {
        match i % 2 {
            0 => out += &part.replace("\n\n", "</p><p>"),
            _ => {
                let _ = write!(out, "<code>{part}</code>");
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_page_names_every_operation_and_schema_and_loads_nothing_from_elsewhere() {
        let document = serde_json::to_value(crate::openapi()).unwrap();
        let page = page(&document);
        let ids = |before: &str| -> HashSet<&str> {
            page.split(before).skip(1).filter_map(|rest| rest.split('"').next()).collect()
        };
        let (all, articles) = (ids(" id=\""), ids("<article id=\""));
        for operation in operations(&document) {
            let tagged = document["tags"].as_array().unwrap().iter().any(|tag| tag["name"] == operation.tag());
            assert!(tagged, "the tag `{}` of {} has no description", operation.tag(), operation.path);
            assert!(articles.contains(operation.id()), "{}", operation.path);
        }
        for name in document["components"]["schemas"].as_object().unwrap().keys() {
            assert!(all.contains(&*format!("schema-{name}")), "{name}");
        }
        for link in page.split("href=\"#").skip(1) {
            let target = link.split('"').next().unwrap();
            assert!(all.contains(target), "nothing has the id {target}");
        }
        assert!(!page.contains("<script") && !page.contains("src=") && !page.contains("style=\""));
    }

    #[test]
    fn descriptions_are_escaped() {
        let said = prose(&Value::from("a `<b>` & \"c\"\n\nd"));
        assert_eq!(said, "a <code>&lt;b&gt;</code> &amp; &quot;c&quot;</p><p>d");
    }
}
