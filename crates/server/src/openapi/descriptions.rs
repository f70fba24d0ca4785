//! What the document says of parts that no field in Rust stands for: parameters of paths, and what tells forms apart.

use utoipa::openapi::schema::Schema;
use utoipa::openapi::{Object, RefOr};

use super::walk::each;

/// What names a thing in a path: the segment before it, the parameter, and what it may be.
const PATH_PARAMETERS: &[(&str, &str, &str)] = &[
    ("alerts", "alert", "The alert: its id, or a beginning of it that fits no other"),
    ("approvals", "approval", "The promotion that waits: its id, or a beginning of it that fits no other"),
    ("canaries", "canary", "The canary: its id, a beginning of it that fits no other, or the name of its deployment"),
    ("compare", "other", "The run that is compared with it: an id, a beginning of it, `latest` or `baseline`"),
    ("datasets", "name", "The dataset's name"),
    ("deliveries", "delivery", "The message's id"),
    ("deployments", "name", "The deployment's name"),
    ("experiments", "experiment", "The experiment: its id, a beginning of it that fits no other, or its key"),
    ("feedback", "id", "The id of the piece of feedback"),
    ("flags", "key", "The flag: the key of an experiment"),
    (
        "incidents",
        "incident",
        "The incident: its id, a beginning of it that fits no other, or the deployment whose incident is open, as NAME or \
         NAME@ENVIRONMENT",
    ),
    ("keys", "key", "The key's id, which is no secret"),
    ("manifests", "hash", "The manifest's hash, or at least 4 hex digits of its beginning"),
    ("projects", "project", "The project's id"),
    ("prompts", "name", "The prompt's name"),
    ("questions", "question", "The question's id"),
    ("records", "id", "The record's id"),
    ("releases", "deployment", "The name of the deployment whose release is meant"),
    ("results", "sample", "The sample's id in the dataset"),
    ("reviews", "id", "The item: its id, a beginning of it that fits no other, or `latest` for the newest open one"),
    ("runs", "run", "The run: its id, a beginning of it that fits no other, `latest` or `baseline`"),
    ("samples", "sample", "The sample's id in the dataset"),
    ("schedules", "schedule", "The schedule's name"),
    ("silences", "silence", "The silence's id"),
];
/// What selects a version in a path, by the first segment that is a collection.
const VERSIONS: [(&str, &str); 2] = [
    ("/api/v1/datasets/", "The version: `latest`, its hash, or at least 4 hex digits of the hash's beginning"),
    ("/api/v1/prompts/", "The version, such as `1.2.0`, or at least 12 hex digits of its hash's beginning"),
];

/// What a part of a path is, where that is the same wherever it stands.
pub(super) fn path_parameter(path: &str, name: &str) -> Option<&'static str> {
    if name == "version" {
        return VERSIONS.iter().find(|(start, _)| path.starts_with(start)).map(|(_, text)| *text);
    }
    let stands = |(before, parameter, _): &&(&str, &str, &str)| {
        *parameter == name && path.contains(&format!("/{before}/{{{name}}}"))
    };
    PATH_PARAMETERS.iter().find(stands).map(|(_, _, text)| *text)
}

/// Describes, in a schema and in all within it, the properties with one possible value: they tell its form from the others.
pub(super) fn complete(schema: &mut RefOr<Schema>) {
    each(schema, &mut |schema| {
        let Schema::Object(object) = schema else { return };
        for property in object.properties.values_mut() {
            if let RefOr::T(Schema::Object(only)) = property {
                describe_tag(only);
            }
        }
    });
}

fn describe_tag(property: &mut Object) {
    if let (Some([value]), None) = (property.enum_values.as_deref(), &property.description) {
        property.description = Some(format!("Always {value}: it tells this form from the others"));
    }
}
