//! One comment on a pull request that every run updates, and the job's summary.
//!
//! The comment is found again by the hidden marker that is the scorecard's first line. Everything comes from the
//! variables that GitHub Actions sets; outside of it nothing is sent and the caller prints the scorecard.

use std::fmt;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use llmops_domain::net::shown_address;
use llmops_domain::scorecard::format::short_line;
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue, LINK, RETRY_AFTER};
use reqwest::{Method, Response, StatusCode};
use serde::Deserialize;

const DEFAULT_API: &str = "https://api.github.com";
/// Comments on a page; the most GitHub gives.
const PAGE: usize = 100;
/// Pages looked through for the comment: ten thousand comments.
const MAX_PAGES: usize = 100;
/// Comments that are tried for one that may be changed: anybody may write ones that look like ours.
const MAX_LIKE: usize = 20;
/// How often the whole exchange is tried.
const ATTEMPTS: u32 = 4;
/// First pause between attempts where GitHub names none; it doubles.
const BACKOFF: Duration = Duration::from_secs(1);
/// Longest pause, whatever GitHub asks for: a job should not hang for an hour.
const MAX_PAUSE: Duration = Duration::from_mins(1);
/// Longest wait for one answer.
const TIMEOUT: Duration = Duration::from_secs(30);

/// What GitHub Actions says about the job.
#[derive(Debug)]
pub(crate) struct GithubEnv {
    token: Option<Token>,
    repository: Option<String>,
    pull_request: Option<u64>,
    api_url: String,
    summary: Option<PathBuf>,
    backoff: Duration,
}

/// A token that no message shows.
struct Token(String);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// What became of the scorecard.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// A new comment, at this address.
    Created(String),
    /// The comment that was there already.
    Updated(String),
    /// No comment was possible, for this reason; the caller prints the scorecard.
    Printed(String),
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Created(url) => write!(f, "commented: {url}"),
            Self::Updated(url) => write!(f, "updated the comment: {url}"),
            Self::Printed(reason) => write!(f, "no comment was written: {reason}"),
        }
    }
}

/// Why the scorecard could not be posted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GithubError {
    /// GitHub said no.
    #[error("GitHub answered {status} when asked to {action}: {message}{hint}")]
    Refused { status: u16, action: &'static str, message: String, hint: &'static str },
    /// GitHub did not answer, or not in its format.
    #[error("cannot {action} at {url}")]
    Unreachable {
        action: &'static str,
        url: String,
        #[source]
        source: reqwest::Error,
    },
    /// The summary could not be written.
    #[error("cannot append the summary to {path} (GITHUB_STEP_SUMMARY)")]
    Summary {
        path: String,
        #[source]
        source: std::io::Error,
    },
}

impl GithubEnv {
    /// Reads `GITHUB_TOKEN`, `GITHUB_REPOSITORY`, `GITHUB_API_URL`, `GITHUB_STEP_SUMMARY`, and the pull request's number
    /// from the event's file (`GITHUB_EVENT_PATH`) or `GITHUB_REF`.
    pub(crate) fn from_vars(var: impl Fn(&str) -> Option<String>) -> Self {
        let get = |name: &str| var(name).map(|v| v.trim().to_owned()).filter(|v| !v.is_empty());
        let event = get("GITHUB_EVENT_PATH").and_then(|path| std::fs::read(path).ok());
        let event = event.and_then(|bytes| serde_json::from_slice::<Event>(&bytes).ok());
        Self {
            token: get("GITHUB_TOKEN").map(Token),
            repository: get("GITHUB_REPOSITORY"),
            pull_request: event
                .and_then(Event::pull_request)
                .or_else(|| get("GITHUB_REF").as_deref().and_then(pull_request_of_ref)),
            api_url: get("GITHUB_API_URL")
                .map_or_else(|| DEFAULT_API.to_owned(), |u| u.trim_end_matches('/').to_owned()),
            summary: get("GITHUB_STEP_SUMMARY").map(PathBuf::from),
            backoff: BACKOFF,
        }
    }
}

#[derive(Deserialize)]
struct Event {
    pull_request: Option<Numbered>,
    issue: Option<Issue>,
    workflow_run: Option<WorkflowRun>,
}

#[derive(Deserialize)]
struct Numbered {
    number: u64,
}

#[derive(Deserialize)]
struct Issue {
    number: u64,
    pull_request: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct WorkflowRun {
    #[serde(default)]
    pull_requests: Vec<Numbered>,
}

impl Event {
    /// A pull request's own events, a comment on one, or a workflow that follows one.
    fn pull_request(self) -> Option<u64> {
        let issue = self.issue.filter(|i| i.pull_request.is_some()).map(|i| i.number);
        let followed = self.workflow_run.and_then(|w| w.pull_requests.into_iter().next());
        self.pull_request.map(|p| p.number).or(issue).or(followed.map(|p| p.number))
    }
}

fn pull_request_of_ref(reference: &str) -> Option<u64> {
    let (number, kind) = reference.strip_prefix("refs/pull/")?.split_once('/')?;
    if matches!(kind, "merge" | "head") { number.parse().ok() } else { None }
}

/// Appends the scorecard to the job's summary and puts it into the comment. Its first line is its marker.
///
/// # Errors
/// When GitHub cannot be reached or refuses, after several attempts where that can help; the summary is written by then.
pub(crate) async fn publish(http: &reqwest::Client, env: &GithubEnv, scorecard: &str) -> Result<Outcome, GithubError> {
    if let Some(path) = &env.summary {
        append(path, scorecard)?;
    }
    let api = match Api::new(http, env) {
        Ok(api) => api,
        Err(reason) => return Ok(Outcome::Printed(reason)),
    };
    let marker = scorecard.lines().next().unwrap_or_default();
    let mut pause = env.backoff;
    for _ in 1..ATTEMPTS {
        // The whole exchange is repeated: a comment whose answer was lost is found, not written twice.
        match api.put(marker, scorecard).await {
            Ok(outcome) => return Ok(outcome),
            Err(Attempt::Final(error)) => return Err(error),
            Err(Attempt::Again { wanted, .. }) => {
                tokio::time::sleep(wanted.unwrap_or(pause).min(MAX_PAUSE)).await;
                pause *= 2;
            }
        }
    }
    api.put(marker, scorecard).await.map_err(|attempt| match attempt {
        Attempt::Final(error) | Attempt::Again { error, .. } => error,
    })
}

fn append(path: &Path, text: &str) -> Result<(), GithubError> {
    let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
    file.and_then(|mut file| file.write_all(format!("{}\n\n", text.trim_end()).as_bytes()))
        .map_err(|source| GithubError::Summary { path: path.display().to_string(), source })
}

/// A failed attempt.
enum Attempt {
    /// Another would fail the same way.
    Final(GithubError),
    /// Another may succeed, after the pause that GitHub wants.
    Again { error: GithubError, wanted: Option<Duration> },
}

#[derive(Deserialize)]
struct Comment {
    id: u64,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    html_url: String,
    user: Option<User>,
}

#[derive(Deserialize)]
struct User {
    #[serde(rename = "type", default)]
    kind: String,
}

struct Api<'a> {
    http: &'a reqwest::Client,
    base: String,
    number: u64,
    token: &'a Token,
    authorization: HeaderValue,
}

impl<'a> Api<'a> {
    /// The reason, where something is missing.
    fn new(http: &'a reqwest::Client, env: &'a GithubEnv) -> Result<Self, String> {
        let token = env.token.as_ref().ok_or("GITHUB_TOKEN is not set")?;
        let repository = env.repository.as_deref().ok_or("GITHUB_REPOSITORY is not set")?;
        let plain = |part: &str| {
            !part.is_empty() && part != ".." && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        };
        if !repository.split_once('/').is_some_and(|(owner, name)| plain(owner) && plain(name)) {
            return Err("GITHUB_REPOSITORY is not OWNER/NAME".to_owned());
        }
        let number = env.pull_request.ok_or("this job is not about a pull request")?;
        let mut authorization = HeaderValue::from_str(&format!("Bearer {}", token.0))
            .map_err(|_| "GITHUB_TOKEN holds characters that no token has")?;
        authorization.set_sensitive(true);
        Ok(Self { http, base: format!("{}/repos/{repository}", env.api_url), number, token, authorization })
    }

    /// Updates the newest comment that begins with the marker and may be changed, or writes one.
    async fn put(&self, marker: &str, text: &str) -> Result<Outcome, Attempt> {
        let body = serde_json::json!({ "body": text });
        for found in self.find(marker).await?.into_iter().rev() {
            let url = format!("{}/issues/comments/{}", self.base, found.id);
            match self.send(Method::PATCH, &url, "update the comment", Some(&body)).await {
                Ok(response) => return Ok(Outcome::Updated(comment(response, "update the comment").await?.html_url)),
                // It is another's, or gone meanwhile: ours may be among the others, or is still to be written.
                Err(Attempt::Final(GithubError::Refused { status: 403 | 404, .. })) => {}
                Err(other) => return Err(other),
            }
        }
        let url = format!("{}/issues/{}/comments", self.base, self.number);
        let response = self.send(Method::POST, &url, "comment", Some(&body)).await?;
        Ok(Outcome::Created(comment(response, "comment").await?.html_url))
    }

    /// The comments that begin with the marker, oldest first; at most [`MAX_LIKE`] of the newest.
    async fn find(&self, marker: &str) -> Result<Vec<Comment>, Attempt> {
        const ACTION: &str = "list the comments";
        // A workflow's own token writes as a bot: a person's comment that imitates the marker is not taken for ours.
        let bot = self.token.0.starts_with("ghs_");
        let mut found = Vec::new();
        for page in 1..=MAX_PAGES {
            let url = format!("{}/issues/{}/comments?per_page={PAGE}&page={page}", self.base, self.number);
            let response = self.send(Method::GET, &url, ACTION, None).await?;
            let link = response.headers().get(LINK).and_then(|l| l.to_str().ok());
            let linked = link.is_some_and(|l| l.contains("rel=\"next\""));
            let comments: Vec<Comment> = response.json().await.map_err(|e| unreachable_at(ACTION, &url, e))?;
            let last = comments.len() < PAGE && !linked;
            let ours = |c: &Comment| {
                c.body.as_deref().is_some_and(|b| b.trim_start().starts_with(marker))
                    && (!bot || c.user.as_ref().is_some_and(|u| u.kind == "Bot"))
            };
            found.extend(comments.into_iter().filter(ours));
            if last {
                break;
            }
        }
        Ok(found.split_off(found.len().saturating_sub(MAX_LIKE)))
    }

    async fn send(
        &self,
        method: Method,
        url: &str,
        action: &'static str,
        body: Option<&serde_json::Value>,
    ) -> Result<Response, Attempt> {
        let mut request = self
            .http
            .request(method, url)
            .timeout(TIMEOUT)
            .header(AUTHORIZATION, self.authorization.clone())
            .header(ACCEPT, "application/vnd.github+json")
            .header("x-github-api-version", "2022-11-28");
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.map_err(|e| unreachable_at(action, url, e))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let headers = response.headers().clone();
        let text = response.text().await.unwrap_or_default();
        Err(self.refused(status, &headers, &text, action))
    }

    fn refused(&self, status: StatusCode, headers: &HeaderMap, text: &str, action: &'static str) -> Attempt {
        let json = serde_json::from_str::<serde_json::Value>(text).ok();
        let said = json.as_ref().and_then(|v| v["message"].as_str()).unwrap_or(text);
        let message = short_line(&said.replace(&self.token.0, "***"), 300);
        let limited = status == StatusCode::TOO_MANY_REQUESTS
            || (status == StatusCode::FORBIDDEN && is_rate_limit(headers, &message));
        let hint = match status {
            StatusCode::UNAUTHORIZED => " (is GITHUB_TOKEN valid?)",
            StatusCode::FORBIDDEN if !limited => {
                " (the job needs `permissions: pull-requests: write`; a pull request from a fork has a read-only token)"
            }
            StatusCode::NOT_FOUND => " (may GITHUB_TOKEN see this repository?)",
            _ => "",
        };
        let error = GithubError::Refused { status: status.as_u16(), action, message, hint };
        if limited || status.is_server_error() {
            let seconds = headers.get(RETRY_AFTER).and_then(|v| v.to_str().ok()?.trim().parse().ok());
            Attempt::Again { error, wanted: seconds.map(Duration::from_secs) }
        } else {
            Attempt::Final(error)
        }
    }
}

fn is_rate_limit(headers: &HeaderMap, message: &str) -> bool {
    headers.contains_key(RETRY_AFTER)
        || headers.get("x-ratelimit-remaining").is_some_and(|v| v == "0")
        || message.to_ascii_lowercase().contains("rate limit")
}

async fn comment(response: Response, action: &'static str) -> Result<Comment, Attempt> {
    let url = response.url().to_string();
    response.json().await.map_err(|e| unreachable_at(action, &url, e))
}

fn unreachable_at(action: &'static str, url: &str, source: reqwest::Error) -> Attempt {
    // An address that does not parse or an answer that is no JSON stays so.
    let hopeless = source.is_builder() || source.is_decode();
    let error = GithubError::Unreachable { action, url: shown_address(url), source: source.without_url() };
    if hopeless { Attempt::Final(error) } else { Attempt::Again { error, wanted: None } }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use axum::Router;
    use axum::body::{Body, to_bytes};
    use axum::extract::{Request, State};
    use serde_json::{Value, json};

    use super::*;

    const MARKER: &str = "<!-- llmops:scorecard bot/golden -->";
    const TEXT: &str = "<!-- llmops:scorecard bot/golden -->\n## ✅ PASS";

    /// Status, headers, body.
    type Answer = (u16, &'static [(&'static str, &'static str)], Value);

    /// A GitHub that gives the prepared answers in turn and keeps what it was asked.
    #[derive(Clone, Default)]
    struct Fake {
        answers: Arc<Mutex<Vec<Answer>>>,
        asked: Arc<Mutex<Vec<String>>>,
    }

    async fn answer(State(fake): State<Fake>, request: Request) -> axum::http::Response<Body> {
        let (parts, body) = request.into_parts();
        let body = to_bytes(body, 1 << 20).await.expect("body");
        let sent = serde_json::from_slice::<Value>(&body).ok().and_then(|v| Some(v["body"].as_str()?.to_owned()));
        let authorized = parts.headers[AUTHORIZATION] == "Bearer ghs_secret";
        assert!(authorized && parts.headers.contains_key("user-agent"));
        fake.asked.lock().expect("asked").push(format!("{} {} {}", parts.method, parts.uri, sent.unwrap_or_default()));
        let (status, headers, body) = fake.answers.lock().expect("answers").remove(0);
        let mut response = axum::http::Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        response.body(Body::from(body.to_string())).expect("response")
    }

    impl Fake {
        async fn start(answers: Vec<Answer>) -> (Self, GithubEnv) {
            let fake = Self { answers: Arc::new(Mutex::new(answers)), asked: Arc::default() };
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let url = format!("http://{}", listener.local_addr().expect("address"));
            let app = Router::new().fallback(answer).with_state(fake.clone());
            tokio::spawn(async move { axum::serve(listener, app).await });
            let mut env = GithubEnv::from_vars(vars(&[
                ("GITHUB_TOKEN", "ghs_secret"),
                ("GITHUB_REPOSITORY", "acme/bot"),
                ("GITHUB_REF", "refs/pull/7/merge"),
                ("GITHUB_API_URL", &format!("{url}/")),
            ]));
            env.backoff = Duration::ZERO;
            (fake, env)
        }

        fn asked(&self) -> Vec<String> {
            self.asked.lock().expect("asked").clone()
        }
    }

    fn vars(set: &[(&str, &str)]) -> impl Fn(&str) -> Option<String> {
        let set: Vec<(String, String)> = set.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        move |name| set.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone())
    }

    fn client() -> reqwest::Client {
        let _ = rustls::crypto::ring::default_provider().install_default();
        reqwest::Client::builder().user_agent("llmops").no_proxy().build().expect("client")
    }

    fn by_bot(id: u64, body: &str) -> Value {
        json!({"id": id, "body": body, "html_url": format!("https://github.com/c/{id}"), "user": {"type": "Bot"}})
    }

    async fn run(answers: Vec<Answer>) -> (Result<Outcome, GithubError>, Vec<String>) {
        let (fake, env) = Fake::start(answers).await;
        let outcome = publish(&client(), &env, TEXT).await;
        let asked = fake.asked();
        (outcome, asked)
    }

    #[tokio::test]
    async fn the_first_run_comments() {
        let (outcome, asked) = run(vec![(200, &[], json!([by_bot(1, "hello")])), (201, &[], by_bot(2, TEXT))]).await;
        assert_eq!(outcome.expect("created"), Outcome::Created("https://github.com/c/2".to_owned()));
        assert_eq!(
            asked,
            [
                "GET /repos/acme/bot/issues/7/comments?per_page=100&page=1 ".to_owned(),
                format!("POST /repos/acme/bot/issues/7/comments {TEXT}"),
            ]
        );
    }

    #[tokio::test]
    async fn later_runs_update_even_on_the_second_page() {
        let first: Vec<Value> = (0..100).map(|i| by_bot(i, "talk")).collect();
        let second = json!([by_bot(200, "talk"), by_bot(201, &format!("{MARKER}\nold"))]);
        let (outcome, asked) =
            run(vec![(200, &[], json!(first)), (200, &[], second), (200, &[], by_bot(201, TEXT))]).await;
        assert_eq!(outcome.expect("updated"), Outcome::Updated("https://github.com/c/201".to_owned()));
        assert_eq!(asked[1], "GET /repos/acme/bot/issues/7/comments?per_page=100&page=2 ");
        assert_eq!(asked[2], format!("PATCH /repos/acme/bot/issues/comments/201 {TEXT}"));
    }

    #[tokio::test]
    async fn a_next_link_is_followed_on_short_pages() {
        let next: &[_] = &[("link", "<https://elsewhere.example/steal>; rel=\"next\"")];
        let (outcome, asked) = run(vec![
            (200, next, json!([by_bot(1, "talk")])),
            (200, &[], json!([by_bot(2, MARKER)])),
            (200, &[], by_bot(2, TEXT)),
        ])
        .await;
        assert!(matches!(outcome, Ok(Outcome::Updated(_))) && asked.len() == 3);
    }

    #[tokio::test]
    async fn imitations_are_not_taken_for_ours() {
        let person = json!({"id": 5, "body": TEXT, "user": {"type": "User"}});
        let quoted = by_bot(6, &format!("> {MARKER}"));
        let ghost = json!({"id": 7, "body": TEXT, "user": null});
        let (outcome, _) = run(vec![(200, &[], json!([person, quoted, ghost])), (201, &[], by_bot(8, TEXT))]).await;
        assert_eq!(outcome.expect("created"), Outcome::Created("https://github.com/c/8".to_owned()));
    }

    #[tokio::test]
    async fn a_comment_that_may_not_be_changed_gets_a_successor() {
        let (outcome, asked) = run(vec![
            (200, &[], json!([by_bot(1, TEXT)])),
            (404, &[], json!({"message": "Not Found"})),
            (201, &[], by_bot(2, TEXT)),
        ])
        .await;
        assert!(matches!(outcome, Ok(Outcome::Created(_))) && asked.len() == 3);
    }

    /// Without the token of a workflow every comment that looks like ours may be: another's stays, ours is updated.
    #[tokio::test]
    async fn anothers_comment_does_not_hide_ours() {
        let comments = json!([by_bot(1, TEXT), by_bot(2, TEXT), by_bot(3, TEXT), by_bot(4, "talk")]);
        let no: Answer = (403, &[], json!({"message": "Must have admin rights"}));
        let (outcome, asked) = run(vec![(200, &[], comments), no, (200, &[], by_bot(2, TEXT))]).await;
        assert_eq!(outcome.expect("updated"), Outcome::Updated("https://github.com/c/2".to_owned()));
        let patched = |id: u64| format!("PATCH /repos/acme/bot/issues/comments/{id} {TEXT}");
        assert_eq!(asked[1..], [patched(3), patched(2)]);
    }

    #[tokio::test]
    async fn a_refusal_is_final_and_shows_no_token() {
        let said = json!({"message": "Resource not accessible by integration (ghs_secret)"});
        let (outcome, asked) = run(vec![(200, &[], json!([])), (403, &[], said)]).await;
        let error = outcome.expect_err("refused");
        insta::assert_snapshot!(error, @"GitHub answered 403 when asked to comment: Resource not accessible by integration (***) (the job needs `permissions: pull-requests: write`; a pull request from a fork has a read-only token)");
        assert!(!format!("{error:?}").contains("ghs_secret") && asked.len() == 2);
    }

    #[tokio::test]
    async fn trouble_passes() {
        let limited: &[_] = &[("retry-after", "0")];
        let (outcome, asked) = run(vec![
            (502, &[], json!({})),
            (403, limited, json!({"message": "You have exceeded a secondary rate limit"})),
            (200, &[], json!([])),
            (500, &[], json!({})),
            // The comment was written although the answer was lost: it is found, not written twice.
            (200, &[], json!([by_bot(3, TEXT)])),
            (200, &[], by_bot(3, TEXT)),
        ])
        .await;
        assert_eq!(outcome.expect("updated"), Outcome::Updated("https://github.com/c/3".to_owned()));
        assert_eq!(asked.len(), 6);
    }

    #[tokio::test]
    async fn trouble_that_stays_is_told() {
        let (outcome, asked) = run(vec![(503, &[], json!("unicorn")); 4]).await;
        assert!(outcome.expect_err("refused").to_string().starts_with("GitHub answered 503 when asked to list"));
        assert_eq!(asked.len(), 4);
    }

    #[tokio::test]
    async fn an_answer_that_is_not_github_is_told() {
        let (outcome, _) = run(vec![(200, &[], json!({"not": "a list"}))]).await;
        assert!(matches!(outcome, Err(GithubError::Unreachable { .. })));
        let mut env = GithubEnv::from_vars(vars(&[
            ("GITHUB_TOKEN", "ghs_secret"),
            ("GITHUB_REPOSITORY", "acme/bot"),
            ("GITHUB_REF", "refs/pull/7/merge"),
            ("GITHUB_API_URL", "http://user:password@127.0.0.1:1"),
        ]));
        env.backoff = Duration::ZERO;
        let error = publish(&client(), &env, TEXT).await.expect_err("nobody there");
        assert!(!format!("{error:?} {error}").contains("password"), "{error:?}");
    }

    #[tokio::test]
    async fn without_variables_the_caller_prints() {
        let all = [("GITHUB_TOKEN", "t"), ("GITHUB_REPOSITORY", "a/b"), ("GITHUB_REF", "refs/pull/7/merge")];
        let check = async |set: &[(&str, &str)], reason: &str| {
            let outcome = publish(&client(), &GithubEnv::from_vars(vars(set)), TEXT).await.expect("printed");
            assert_eq!(outcome, Outcome::Printed(reason.to_owned()));
        };
        check(&[], "GITHUB_TOKEN is not set").await;
        check(&[("GITHUB_TOKEN", " "), all[1], all[2]], "GITHUB_TOKEN is not set").await;
        check(&all[..1], "GITHUB_REPOSITORY is not set").await;
        check(&all[..2], "this job is not about a pull request").await;
        check(&[all[0], all[2], ("GITHUB_REPOSITORY", "a/../../user")], "GITHUB_REPOSITORY is not OWNER/NAME").await;
        check(&[("GITHUB_TOKEN", "a\nb"), all[1], all[2]], "GITHUB_TOKEN holds characters that no token has").await;
    }

    #[tokio::test]
    async fn the_summary_grows() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("summary.md");
        std::fs::write(&path, "# before\n").expect("write");
        let env = GithubEnv::from_vars(vars(&[("GITHUB_STEP_SUMMARY", path.to_str().expect("UTF-8"))]));
        assert!(matches!(publish(&client(), &env, TEXT).await, Ok(Outcome::Printed(_))));
        assert_eq!(std::fs::read_to_string(&path).expect("read"), format!("# before\n{TEXT}\n\n"));
        let nowhere = dir.path().join("no/such/dir");
        let env = GithubEnv::from_vars(vars(&[("GITHUB_STEP_SUMMARY", nowhere.to_str().expect("UTF-8"))]));
        assert!(matches!(publish(&client(), &env, TEXT).await, Err(GithubError::Summary { .. })));
    }

    #[test]
    fn the_pull_request_comes_from_the_event_or_the_ref() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("event.json");
        let check = |event: &str, reference: &str, expected: Option<u64>| {
            std::fs::write(&path, event).expect("write");
            let set = [("GITHUB_EVENT_PATH", path.to_str().expect("UTF-8")), ("GITHUB_REF", reference)];
            assert_eq!(GithubEnv::from_vars(vars(&set)).pull_request, expected, "{event} {reference}");
        };
        check(r#"{"pull_request": {"number": 3}}"#, "refs/pull/9/merge", Some(3));
        check(r#"{"issue": {"number": 4, "pull_request": {"url": "…"}}}"#, "refs/heads/main", Some(4));
        check(r#"{"issue": {"number": 4}}"#, "refs/heads/main", None);
        check(r#"{"workflow_run": {"pull_requests": [{"number": 5}]}}"#, "refs/heads/main", Some(5));
        check(r#"{"workflow_run": {"pull_requests": []}}"#, "", None);
        check("not json", "refs/pull/9/head", Some(9));
        check("{}", "refs/pull/x/merge", None);
        check("{}", "refs/tags/pull/9/merge", None);
    }
}
