//! The committed schemas and the OpenAPI document are those of the code. `TIDY_UPDATE=1` writes them.

use crate::project::{Project, workspace};

#[test]
fn the_committed_schemas_are_current() {
    let project = Project::new(&[]);
    for (of, file) in [
        ("config", "docs/schema/llmops.schema.json"),
        ("prompt", "docs/schema/prompt.schema.json"),
        ("experiment", "docs/schema/experiment.schema.json"),
        ("canary-policy", "docs/schema/canary-policy.schema.json"),
        ("scores", "docs/schema/scores.schema.json"),
        ("openapi", "docs/openapi.json"),
    ] {
        let printed = project.expect(0, &["schema", of]).out;
        let path = workspace().join(file);
        if std::env::var_os("TIDY_UPDATE").is_some() {
            std::fs::write(&path, &printed).unwrap();
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(printed == committed, "{file} is out of date: run `make schemas` and commit what it writes");
    }
}
