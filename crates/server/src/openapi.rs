//! The OpenAPI document: what the handlers say of themselves, and what is true of all of them.

mod descriptions;
mod flattened;
mod walk;

use llmops_domain::access::Role;
use llmops_domain::hash::ContentHash;
use utoipa::Number;
use utoipa::openapi::path::Operation;
use utoipa::openapi::schema::{KnownFormat, Schema, SchemaFormat};
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{Content, HttpMethod, OpenApi, Ref, RefOr, ResponseBuilder};

/// Paths that need no key.
const OPEN: [&str; 2] = ["/healthz", "/readyz"];
/// Operations whose role is not what the method says (reading is a viewer's, changing an editor's).
const ROLES: &[(&str, Role)] = &[
    ("get_session", Role::Caller),
    ("render_prompt", Role::Viewer),
    ("gate_run", Role::Viewer),
    ("list_keys", Role::Admin),
    ("create_key", Role::Admin),
    ("get_key", Role::Admin),
    ("revoke_key", Role::Admin),
    ("create_project", Role::Admin),
    ("list_audit", Role::Admin),
    ("put_schedule", Role::Operator),
    ("delete_schedule", Role::Operator),
    ("pause_schedule", Role::Operator),
    ("resume_schedule", Role::Operator),
    ("run_schedule", Role::Operator),
    ("start_experiment", Role::Operator),
    ("pause_experiment", Role::Operator),
    ("resume_experiment", Role::Operator),
    ("complete_experiment", Role::Operator),
    ("cancel_experiment", Role::Operator),
    ("assign_variant", Role::Caller),
    ("evaluate_flag", Role::Caller),
    ("evaluate_flags", Role::Caller),
    ("deploy", Role::Operator),
    ("rollback", Role::Operator),
    ("switch_safe_mode", Role::Operator),
    ("rehearse", Role::Operator),
    ("erase_records", Role::Admin),
    ("reload_config", Role::Operator),
    ("limit_key", Role::Admin),
    ("plan_experiment", Role::Viewer),
    ("start_canary", Role::Operator),
    ("begin_canary", Role::Operator),
    ("pause_canary", Role::Operator),
    ("resume_canary", Role::Operator),
    ("approve_canary", Role::Operator),
    ("promote_canary", Role::Operator),
    ("abort_canary", Role::Operator),
    ("submit_feedback", Role::Caller),
    ("export_feedback", Role::Editor),
    ("start_release", Role::Operator),
    ("advance_release", Role::Operator),
    ("waive_release_step", Role::Operator),
    ("approve_release", Role::Operator),
    ("cancel_release", Role::Operator),
    ("approve_promotion", Role::Operator),
    ("reject_promotion", Role::Operator),
    ("open_incident", Role::Operator),
    ("note_incident", Role::Operator),
    ("close_incident", Role::Operator),
    ("send_feedback_report", Role::Operator),
];

/// The OpenAPI 3.1 document of the API.
pub fn openapi() -> OpenApi {
    let mut document = crate::api_router().describe(<crate::ApiDoc as utoipa::OpenApi>::openapi());
    let components = document.components.get_or_insert_default();
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some("A key of the API")).build();
    components.add_security_scheme("key", SecurityScheme::Http(bearer));
    let cookie = ApiKeyValue::with_description("llmops_session", "The session of a browser, from POST /api/v1/session");
    components.add_security_scheme("session", SecurityScheme::ApiKey(ApiKey::Cookie(cookie)));
    components.schemas.values_mut().for_each(descriptions::complete);
    components.schemas.values_mut().for_each(|schema| walk::each(schema, &mut without_sign));
    flattened::complete(&mut components.schemas);
    if let Some(RefOr::T(Schema::Object(hash))) = components.schemas.get_mut("ContentHash") {
        hash.pattern = Some(ContentHash::PATTERN.to_owned());
    }
    for (path, item) in &mut document.paths.paths {
        let methods = [
            (HttpMethod::Get, &mut item.get),
            (HttpMethod::Put, &mut item.put),
            (HttpMethod::Post, &mut item.post),
            (HttpMethod::Delete, &mut item.delete),
            (HttpMethod::Patch, &mut item.patch),
        ];
        for (method, operation) in methods {
            if let Some(operation) = operation {
                complete(path, &method, operation);
            }
        }
    }
    document
}

/// A whole number that is never negative may be twice as large as the format that the library names for it says.
fn without_sign(schema: &mut Schema) {
    if let Schema::Object(number) = schema
        && number.format == Some(SchemaFormat::KnownFormat(KnownFormat::Int64))
        && number.minimum.as_ref().is_some_and(is_zero)
    {
        number.format = None;
    }
}

fn is_zero(number: &Number) -> bool {
    match number {
        Number::Int(number) => *number == 0,
        Number::UInt(number) => *number == 0,
        Number::Float(number) => *number == 0.0,
    }
}

/// Adds who may, and the errors that any such operation can answer.
fn complete(path: &str, method: &HttpMethod, operation: &mut Operation) {
    for parameter in operation.parameters.iter_mut().flatten() {
        if let RefOr::T(parameter) = parameter {
            let known = || descriptions::path_parameter(path, &parameter.name).map(str::to_owned);
            parameter.description = parameter.description.take().or_else(known);
        }
    }
    let is_open = OPEN.contains(&path) || operation.security.is_some();
    if !is_open {
        let role = role_of(method, operation);
        let needs = [role.as_str()];
        operation.security =
            Some(vec![SecurityRequirement::new("key", needs), SecurityRequirement::new("session", needs)]);
        describe(operation, 401, "No key, or one that is unknown, expired or revoked");
        describe(operation, 403, "The key's role does not allow this, or a page of another site asks");
        describe(operation, 429, "Too many attempts with wrong keys");
    }
    if path.contains('{') {
        describe(operation, 404, "There is no such thing in the key's project");
        describe(operation, 409, "What the path names fits several things, or its state forbids this");
    }
    if operation.parameters.is_some() {
        describe(operation, 422, "A value is none that can be looked for");
    }
    if operation.parameters.is_some() || operation.request_body.is_some() {
        describe(operation, 400, "The request is not well-formed");
    }
    if operation.request_body.is_some() {
        describe(operation, 413, "The body is too large");
        describe(operation, 415, "The body is of a type that is not read here");
        describe(operation, 422, "The content is wrong; `problems` lists everything");
    }
    if path != "/healthz" {
        describe(operation, 503, "The store, or a provider, cannot be reached; `retry-after` says when to ask again");
        describe(operation, 504, "It took too long");
    }
}

/// The weakest role that may.
fn role_of(method: &HttpMethod, operation: &Operation) -> Role {
    let id = operation.operation_id.as_deref().unwrap_or_default();
    let listed = ROLES.iter().find(|(operation, _)| *operation == id).map(|(_, role)| *role);
    listed.unwrap_or(if *method == HttpMethod::Get { Role::Viewer } else { Role::Editor })
}

fn describe(operation: &mut Operation, status: u16, description: &str) {
    let content = Content::new(Some(RefOr::Ref(Ref::from_schema_name("ErrorResponse"))));
    let response = ResponseBuilder::new().description(description).content("application/json", content).build();
    operation.responses.responses.entry(status.to_string()).or_insert(response.into());
}
