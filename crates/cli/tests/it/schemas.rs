//! The committed schemas are those of the code.

use crate::project::{Project, workspace};

#[test]
fn the_committed_schemas_are_current() {
    let project = Project::new(&[]);
    for (of, file) in [
        ("config", "docs/schema/llmops.schema.json"),
        ("prompt", "docs/schema/prompt.schema.json"),
        ("scores", "docs/schema/scores.schema.json"),
        ("openapi", "docs/openapi.json"),
    ] {
        let printed = project.expect(0, &["schema", of]).out;
        let committed = std::fs::read_to_string(workspace().join(file)).unwrap_or_default();
        assert!(printed == committed, "{file} is out of date: run `make schemas` and commit what it writes");
    }
}
