-- Which versions of a prompt were deleted is asked with every new one, and the record of changes grows without end.
CREATE INDEX audit_deleted_prompts ON audit (project_id, target) WHERE action = 'prompt.deleted';
