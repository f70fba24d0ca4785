//! `llmops dataset pull`: what people decided in the review queue, brought into the project's file.

use llmops_api::Client;
use llmops_api::page::MAX_PAGE;
use llmops_domain::dataset::Sample;
use llmops_domain::review::{ReviewFilter, ReviewStatus};
use llmops_domain::scorecard::format::count;

use super::{Context, missing_of, source_of};
use crate::commands::review::put_line;
use crate::failure::{Failure, Outcome};
use crate::project::Project;

/// Runs the command.
pub(super) async fn run(client: &Client, context: &Context, project: &Project, name: &str) -> Outcome {
    let path = source_of(project, name)?.path;
    if !matches!(path.extension().and_then(|end| end.to_str()), Some("jsonl" | "ndjson")) {
        return Err(Failure::usage(format!("{} is not JSON Lines, which is what llmops writes", path.display()))
            .hint(format!("llmops dataset export {name} shows the samples: add them by hand")));
    }
    let missing = unpulled(client, project, name).await?;
    for sample in &missing {
        put_line(&path, sample)?;
    }
    let ids: Vec<&str> = missing.iter().map(|sample| sample.id.as_str()).collect();
    context.show(&serde_json::json!({"file": path, "samples": ids}), || match missing.len() as u64 {
        0 => format!("{} has everything that was accepted or corrected", path.display()),
        new => format!("{} into {}: look through it and commit it", count(new, "sample"), path.display()),
    })
}

/// Samples that people made in the review queue for a dataset of the configuration and that its file does not have. What `llmops eval`
/// asks is the file, and only the command line writes it: the dashboard and other programs cannot.
pub(crate) async fn unpulled(client: &Client, project: &Project, name: &str) -> Outcome<Vec<Sample>> {
    let mut made = Vec::new();
    for status in [ReviewStatus::Accepted, ReviewStatus::Corrected] {
        let mut filter = ReviewFilter { status: Some(status), limit: Some(MAX_PAGE), ..ReviewFilter::default() };
        loop {
            let page = client.list_reviews(&filter).await?;
            let decided = page.items.into_iter().filter_map(|item| item.decision);
            let of_it = decided.filter(|decision| decision.dataset.as_deref() == Some(name));
            made.extend(of_it.filter_map(|decision| decision.sample));
            if page.next_cursor.is_none() {
                break;
            }
            filter.cursor = page.next_cursor;
        }
    }
    if made.is_empty() { Ok(made) } else { missing_of(project, name, made).await }
}

/// What is to be known of them, where there are any.
pub(crate) fn note(missing: &[Sample], name: &str) -> Option<String> {
    let n = missing.len() as u64;
    (n > 0).then(|| {
        let (what, is) = (count(n, "sample"), if n == 1 { "is" } else { "are" });
        format!(
            "{what} of the review queue {is} not in the file of {name}, and {is} not asked: llmops dataset pull {name}"
        )
    })
}
