//! The policy file that a test gives to the sidecar: a small base, and what the test has different, written as YAML.

use serde_json::{Value, json};

/// The database entry's name in every test policy.
pub const DATABASE: &str = "main";
/// The WebSocket entry's name in every test policy that has one.
pub const SOCKETS: &str = "chat";
/// The environment for which the sidecar resolves every test policy.
pub const ENVIRONMENT: &str = "testing";

/// A policy in the making.
#[derive(Clone, Debug)]
pub struct Policy(Value);

impl Policy {
    /// The application's word is taken for who the user is.
    #[must_use]
    pub fn trusted() -> Self {
        Self::with_identity("{source: Trusted}")
    }

    /// A user is who a JSON Web Token says; `jwt` is the YAML of `identity.jwt`.
    #[must_use]
    pub fn jwt(jwt: &str) -> Self {
        Self::with_identity(&format!("{{source: Jwt, jwt: {jwt}}}"))
    }

    /// A user is who a context token says.
    #[must_use]
    pub fn signed_context() -> Self {
        Self::with_identity("{source: SignedContext}")
    }

    fn with_identity(identity: &str) -> Self {
        Self(json!({
            "apiVersion": "bulkhead.dev/v1alpha1",
            "kind": "IsolationPolicy",
            "metadata": {"name": "chat", "namespace": "chat"},
            "spec": {
                "selector": {"matchLabels": {"app": "chat"}},
                "identity": yaml(identity),
                "databases": [{
                    "name": DATABASE,
                    "protocol": "PostgreSQL",
                    "listen": {"auth": {"mode": "Trust"}},
                    "upstream": {
                        "host": "127.0.0.1",
                        "tls": {"mode": "Disable"},
                        "credentialsSecretRef": {"name": "db"},
                    },
                    "session": {"userParameter": "app.user_id"},
                }],
            },
        }))
    }

    /// The policy without databases, and with a WebSocket entry called [`SOCKETS`] into which `text` is merged.
    #[must_use]
    pub fn web_socket(mut self, text: &str) -> Self {
        self.0["spec"]["databases"] = json!([]);
        let mut entry = json!({"name": SOCKETS, "listen": {}, "upstream": {}});
        if !text.is_empty() {
            merge(&mut entry, yaml(text));
        }
        self.0["spec"]["webSockets"] = json!([entry]);
        self
    }

    /// The policy with a Redis server in the place of the database, without credentials, and with `text` merged into its entry.
    #[must_use]
    pub fn redis(mut self, text: &str) -> Self {
        self.0["spec"]["databases"] = json!([{
            "name": DATABASE,
            "protocol": "Redis",
            "listen": {"auth": {"mode": "Trust"}},
            "upstream": {"host": "127.0.0.1", "tls": {"mode": "Disable"}},
        }]);
        if text.is_empty() {
            self
        } else {
            self.database(text)
        }
    }

    /// Merges `text` into `spec`.
    #[must_use]
    pub fn spec(mut self, text: &str) -> Self {
        merge(&mut self.0["spec"], yaml(text));
        self
    }

    /// Merges `text` into the database entry.
    #[must_use]
    pub fn database(mut self, text: &str) -> Self {
        merge(&mut self.0["spec"]["databases"][0], yaml(text));
        self
    }

    /// Adds a database entry called `name`: a copy of the first one as it is now, with `text` merged into it.
    ///
    /// # Panics
    /// Never: the policy has a first entry.
    #[must_use]
    pub fn another(mut self, name: &str, text: &str) -> Self {
        let mut entry = self.0["spec"]["databases"][0].clone();
        merge(&mut entry, yaml(text));
        entry["name"] = json!(name);
        self.0["spec"]["databases"]
            .as_array_mut()
            .unwrap()
            .push(entry);
        self
    }

    /// Merges `text` into the database's timeouts.
    #[must_use]
    pub fn timeouts(self, text: &str) -> Self {
        self.database(&format!("timeouts: {{{text}}}"))
    }

    /// Merges `text` into the database's pool.
    #[must_use]
    pub fn pool(self, text: &str) -> Self {
        self.database(&format!("pool: {{{text}}}"))
    }

    /// The policy in `Session` mode.
    #[must_use]
    pub fn in_session_mode(self) -> Self {
        self.pool("mode: Session")
    }

    /// The policy with the tier `tier`.
    #[must_use]
    pub fn tier(self, tier: &str) -> Self {
        self.spec(&format!("isolation: {{tier: {tier}}}"))
    }

    /// Writes `text` as what the tests' environment has different in the database.
    #[must_use]
    pub fn overlay(mut self, text: &str) -> Self {
        let mut database = yaml(text);
        database["name"] = json!(DATABASE);
        self.0["spec"]["environments"] = json!([{"name": ENVIRONMENT, "databases": [database]}]);
        self
    }

    /// Fills in what only the stage knows, where the test has not written it.
    #[must_use]
    pub fn completed(mut self, listen: u16, upstream: u16, database: &str) -> Self {
        let entries = self.0["spec"]["databases"]
            .as_array_mut()
            .into_iter()
            .flatten();
        for (at, entry) in entries.enumerate() {
            fill(&mut entry["listen"]["port"], json!(listen));
            fill(&mut entry["upstream"]["port"], json!(upstream));
            if at == 0 {
                fill(&mut entry["upstream"]["database"], json!(database));
            }
        }
        let sockets = self.0["spec"].get_mut("webSockets");
        for entry in sockets.and_then(Value::as_array_mut).into_iter().flatten() {
            fill(&mut entry["listen"]["port"], json!(listen));
            fill(&mut entry["upstream"]["port"], json!(upstream));
        }
        self
    }

    /// What the operator would publish of it: the text of a snapshot, and its revision.
    ///
    /// # Panics
    /// When the policy is none that can be resolved.
    #[must_use]
    pub fn snapshot(&self) -> (String, String) {
        let policy = bulkhead_crds::load(&self.text()).unwrap();
        let resolved = bulkhead_crds::resolve(&policy, ENVIRONMENT).unwrap();
        let snapshot = bulkhead_crds::wire::Snapshot::of(resolved);
        (snapshot.to_json().unwrap(), snapshot.revision().to_owned())
    }

    /// The file's text.
    ///
    /// # Panics
    /// Never: what was read from YAML can be written as YAML.
    #[must_use]
    pub fn text(&self) -> String {
        serde_yaml::to_string(&self.0).unwrap()
    }
}

fn yaml(text: &str) -> Value {
    serde_yaml::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn fill(field: &mut Value, value: Value) {
    if field.is_null() {
        *field = value;
    }
}

/// Maps are merged field by field, everything else is replaced.
fn merge(base: &mut Value, overlay: Value) {
    match (base, overlay) {
        (Value::Object(base), Value::Object(overlay)) => {
            for (key, value) in overlay {
                merge(base.entry(key).or_insert(Value::Null), value);
            }
        }
        (base, overlay) => *base = overlay,
    }
}
