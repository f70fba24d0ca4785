-- The newest records of a user, a session, a deployment, a model, or with one of the rare outcomes, however far back they are.
-- With the id in them, the newest come first without sorting.
DROP INDEX request_records_user;
CREATE INDEX request_records_user ON request_records (project_id, user_id, id) WHERE user_id IS NOT NULL;
CREATE INDEX request_records_session ON request_records (project_id, session, id) WHERE session IS NOT NULL;
CREATE INDEX request_records_deployment ON request_records (project_id, deployment, id) WHERE deployment IS NOT NULL;
CREATE INDEX request_records_model ON request_records (project_id, model, id);
CREATE INDEX request_records_outcome ON request_records (project_id, outcome, id) WHERE outcome <> 'ok';
