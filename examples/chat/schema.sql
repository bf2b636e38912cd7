-- The chat's only table. Row-level security reads app.user_id, the parameter that the sidecar sets on each server connection
-- (session.userParameter in policy.yaml). The application logs in as a role that does not own the table.
CREATE TABLE messages (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id text NOT NULL DEFAULT current_setting('app.user_id'),
    body text NOT NULL
);
ALTER TABLE messages ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_messages ON messages USING (user_id = current_setting('app.user_id', true));
GRANT SELECT, INSERT, UPDATE, DELETE ON messages TO chat;
