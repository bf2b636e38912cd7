//! What was asked of the API server: its audit log, at the level of metadata.

use std::path::{Path, PathBuf};

use serde_json::Value;

/// One request, as the audit log tells it.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Who asked, or in whose name: `system:serviceaccount:bulkhead-system:bulkhead-operator`.
    pub user: String,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete` …
    pub verb: String,
    /// The API group; empty for the core.
    pub group: String,
    /// The resource, with its subresource after a slash; empty where a path was asked for.
    pub resource: String,
    /// The namespace; empty for what has none.
    pub namespace: String,
    /// The object's name, where one was named.
    pub name: String,
    /// The HTTP status of the answer.
    pub status: u64,
    /// The event whole.
    pub event: Value,
}

/// The policy by which the API server keeps the log.
pub(super) const POLICY: &str = "\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived, ResponseStarted]
rules:
- level: None
  nonResourceURLs: ['/readyz*', '/livez*', '/healthz*', '/openapi/*']
- level: Metadata
";

/// The file that the log of the cluster in `folder` goes to.
pub(super) fn log(folder: &Path) -> PathBuf {
    folder.join("audit.log")
}

/// The requests in the log at `path` so far.
pub(super) fn read(path: &Path) -> Vec<Asked> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    // What follows the last line break is still being written.
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole
        .lines()
        .map(|line| asked(serde_json::from_str(line).unwrap()))
        .collect()
}

fn asked(event: Value) -> Asked {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let object = &event["objectRef"];
    let mut resource = text(&object["resource"]);
    if let Some(subresource) = object["subresource"].as_str() {
        resource = format!("{resource}/{subresource}");
    }
    let user = match &event["impersonatedUser"]["username"] {
        Value::String(user) => user.clone(),
        _ => text(&event["user"]["username"]),
    };
    Asked {
        user,
        verb: text(&event["verb"]),
        group: text(&object["apiGroup"]),
        resource,
        namespace: text(&object["namespace"]),
        name: text(&object["name"]),
        status: event["responseStatus"]["code"].as_u64().unwrap_or_default(),
        event,
    }
}
