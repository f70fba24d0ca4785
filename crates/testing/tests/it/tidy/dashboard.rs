//! The dashboard that is committed was built from the sources that are committed. Whether building them anew gives the same
//! files is checked where Node is: `scripts/web.sh check`.

use super::{project_files, report, root};
use llmops_domain::hash::ContentHash;

const LIST: &str = "crates/server/assets/dashboard/sources.sha256";

#[test]
fn the_dashboard_was_built_from_its_sources() {
    let list = std::fs::read_to_string(root().join(LIST)).unwrap_or_default();
    let mut listed: Vec<(&str, &str)> = list.lines().filter_map(|line| line.split_once("  ")).collect();
    let mut problems = Vec::new();
    for path in project_files() {
        let Some(name) = path.strip_prefix("web/").filter(|name| is_source(name)) else { continue };
        let bytes = std::fs::read(root().join(&path)).unwrap_or_default();
        let position = listed.iter().position(|(_, other)| *other == name);
        let known = position.map(|position| listed.remove(position).0);
        if known != Some(ContentHash::of_bytes(&bytes).as_str()) {
            problems.push(format!(
                "{path}: changed since the dashboard was built: run `make web` and commit what it makes"
            ));
        }
    }
    problems.extend(listed.iter().map(|(_, name)| format!("{LIST}: web/{name} is gone: run `make web`")));
    report(&problems);
}

/// Whether the build depends on a file of `web/`.
fn is_source(name: &str) -> bool {
    let bundled = name.starts_with("src/") && !name.ends_with(".test.ts") || name.starts_with("public/");
    bundled || ["index.html", "package-lock.json", "vite.config.ts"].contains(&name)
}
