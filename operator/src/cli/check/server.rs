//! The API server's version.

use kube::Client;

use super::outcome::Outcome;

/// The oldest minor version of Kubernetes 1 that is supported: native sidecars are stable in it.
const OLDEST: u32 = 33;
/// The first in which the API server injects by itself.
const INJECTS: u32 = 36;

/// Whether the server answers, and is new enough.
pub(super) async fn version(client: &Client) -> Outcome {
    match client.apiserver_version().await {
        Ok(info) => judged(&info.git_version, &info.major, &info.minor),
        Err(error) => Outcome::failed(
            "server",
            error.to_string(),
            "is the cluster up, and is it the one you mean?",
        ),
    }
}

fn judged(version: &str, major: &str, minor: &str) -> Outcome {
    // Managed clusters write `33+`.
    let digits: String = minor.chars().take_while(char::is_ascii_digit).collect();
    let minor: u32 = digits.parse().unwrap_or(0);
    if major != "1" || minor < OLDEST {
        let hint = format!("Bulkhead needs Kubernetes 1.{OLDEST} or later: upgrade the cluster");
        return Outcome::failed("server", format!("Kubernetes {version}"), hint);
    }
    let engine = if minor >= INJECTS {
        "injects by itself"
    } else {
        "needs the webhook to inject"
    };
    Outcome::passed("server", format!("Kubernetes {version}, which {engine}"))
}

#[cfg(test)]
mod tests {
    use super::super::outcome::Status;
    use super::*;

    #[test]
    fn old_servers_fail() {
        for (major, minor, expected) in [
            ("1", "32", Status::Failed),
            ("1", "33", Status::Passed),
            ("1", "33+", Status::Passed),
            ("1", "36", Status::Passed),
            ("", "", Status::Failed),
        ] {
            assert_eq!(
                judged("v", major, minor).status,
                expected,
                "{major}.{minor}"
            );
        }
    }
}
