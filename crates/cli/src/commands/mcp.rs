//! `llmops mcp`: prompts, runs, the gate, records and rollback as tools for assistants.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use clap::Args;
use llmops_api::Client;
use llmops_domain::access::Role;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

use super::Context;
use crate::failure::{Failure, Kind, Outcome};
use crate::mcp::Server;
use crate::project::Project;

/// Serve the Model Context Protocol: on standard input and output, or over HTTP.
#[derive(Debug, Args)]
pub(crate) struct McpArgs {
    /// Offer what this role may do, at most: viewer, editor, operator or admin. Else what the key's role may
    #[arg(long, value_name = "ROLE", value_parser = role)]
    role: Option<Role>,
    /// Serve streamable HTTP at /mcp on this address, instead of standard input and output
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
}

fn role(text: &str) -> Result<Role, String> {
    let found = Role::ALL.into_iter().filter(|role| *role >= Role::Viewer).find(|role| role.as_str() == text);
    found.ok_or_else(|| "expected viewer, editor, operator or admin".to_owned())
}

/// What a request over HTTP is answered with.
struct Shared {
    project: Project,
    context: Context,
    most: Option<Role>,
    /// The client over the project's own store, where no server is named. It lives on, because runs are worked on in it.
    own: Option<Client>,
}

/// Runs the command.
pub(crate) async fn run(context: Context, args: &McpArgs) -> Outcome {
    let project = Project::find(&context.global, &context.ui)?;
    if let Some(address) = args.listen {
        let own = if context.global.server.is_some() { None } else { Some(project.client(&context.global).await?) };
        return listen(address, Shared { project, context, most: args.role, own }).await;
    }
    let client = project.client(&context.global).await?;
    let role = role_of(&client, args.role).await?;
    let server = Server { client, project: &project, context: &context, role };
    let mut lines = BufReader::new(tokio::io::stdin()).split(b'\n');
    let mut out = tokio::io::stdout();
    let broken = |e: std::io::Error| Failure::because(Kind::Undecided, "the connection broke off", &e);
    while let Some(line) = lines.next_segment().await.map_err(broken)? {
        // What is no text is no message, and is answered so.
        let line = String::from_utf8_lossy(&line);
        if line.trim().is_empty() {
            continue;
        }
        if let Some(answer) = server.answer(&line).await {
            out.write_all(format!("{answer}\n").as_bytes()).await.map_err(broken)?;
            out.flush().await.map_err(broken)?;
        }
    }
    Ok(())
}

/// What the key may do, or less where that is asked for.
async fn role_of(client: &Client, most: Option<Role>) -> Outcome<Role> {
    // In the same process there are no keys: who can open the store may do everything to it.
    let own = if client.is_local() { Role::Admin } else { client.get_session().await?.role };
    Ok(most.map_or(own, |most| most.min(own)))
}

async fn listen(address: SocketAddr, shared: Shared) -> Outcome {
    if shared.context.global.server.is_none() && !address.ip().is_loopback() {
        return Err(Failure::usage(format!(
            "{address} can be reached from elsewhere, and without --server there are no keys"
        ))
        .hint("listen on 127.0.0.1, or name a server whose keys decide: --server URL"));
    }
    let fail = |e: std::io::Error| Failure::because(Kind::Undecided, format!("cannot listen on {address}"), &e);
    let listener = tokio::net::TcpListener::bind(address).await.map_err(fail)?;
    let bound = listener.local_addr().map_err(fail)?;
    shared.context.note(&format!("MCP at http://{bound}/mcp"));
    let router = Router::new().route("/mcp", post(over_http)).with_state(Arc::new(shared));
    let stop = async { drop(tokio::signal::ctrl_c().await) };
    axum::serve(listener, router).with_graceful_shutdown(stop).await.map_err(fail)
}

/// One message over HTTP. There are no sessions: every message brings its key.
async fn over_http(State(shared): State<Arc<Shared>>, headers: HeaderMap, text: String) -> Response {
    // A page of another site must not reach a server on its visitor's machine.
    if headers.get(header::ORIGIN).is_some_and(|origin| !is_own(origin.to_str().unwrap_or_default())) {
        return (StatusCode::FORBIDDEN, "the request comes from a page of another site").into_response();
    }
    let mut global = shared.context.global.clone();
    if global.server.is_some() {
        let key = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        let Some(key) = key else {
            let ask = [(header::WWW_AUTHENTICATE, "Bearer")];
            return (StatusCode::UNAUTHORIZED, ask, "a key is needed: Authorization: Bearer KEY").into_response();
        };
        global.api_key = Some(key.to_owned());
    }
    let answer = async {
        let client = match &shared.own {
            Some(client) => client.clone(),
            None => shared.project.client(&global).await?,
        };
        let role = role_of(&client, shared.most).await?;
        let server = Server { client, project: &shared.project, context: &shared.context, role };
        Ok::<_, Failure>(server.answer(&text).await)
    };
    match answer.await {
        Ok(Some(answer)) => axum::Json(answer).into_response(),
        Ok(None) => StatusCode::ACCEPTED.into_response(),
        Err(failure) if failure.kind == Kind::Usage => {
            (StatusCode::UNAUTHORIZED, failure.chain.join(": ")).into_response()
        }
        Err(failure) => (StatusCode::BAD_GATEWAY, failure.chain.join(": ")).into_response(),
    }
}

fn is_own(origin: &str) -> bool {
    let host = origin.split_once("://").map_or(origin, |(_, host)| host);
    let host = match host.rsplit_once(':') {
        Some((before, port)) if port.bytes().all(|b| b.is_ascii_digit()) => before,
        _ => host,
    };
    matches!(host, "localhost" | "127.0.0.1" | "[::1]")
}
