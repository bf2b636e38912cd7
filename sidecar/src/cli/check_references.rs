//! `check`, as far as the secrets and keys go that the policy refers to: all that `run` would build is built.

use std::io::Write;
use std::sync::Arc;

use super::check::print_diagnostics;
use crate::force::Force;
use crate::policy::{Accepted, Diagnostic, Severity};
use crate::secrets::Secrets;
use crate::upstream::Resolver;

/// Builds what the policy refers to (credentials, certificates, passwords, keys) and lets it go again; prints what is to be
/// mended to `complaints`. `false`: `run` would not start, or nobody could log in.
pub async fn check_references(
    accepted: &Accepted,
    secrets: &Arc<Secrets>,
    resolver: &Resolver,
    complaints: &mut impl Write,
) -> bool {
    let policy = Arc::new(accepted.policy.clone());
    let id = Arc::clone(&accepted.id);
    let found = match Force::build(id, &policy, secrets, resolver, None) {
        Ok(force) => keys_at_addresses(&force).await,
        Err(error) => vec![Diagnostic::of_file("CannotApply", error.to_string())],
    };
    print_diagnostics(&found, complaints);
    found.is_empty()
}

/// `run` starts without keys that live at an address, and goes on asking; until they come it refuses everybody who brings a
/// token. So here it is an error, as an upstream is that cannot be reached.
async fn keys_at_addresses(force: &Force) -> Vec<Diagnostic> {
    // All databases of a policy verify alike.
    let Some(database) = force.databases.first() else {
        return Vec::new();
    };
    let problems = database.verifier.problems().await;
    let told = problems.into_iter().map(|problem| Diagnostic {
        severity: Severity::Error,
        path: "identity".to_owned(),
        reason: "KeysUnavailable".to_owned(),
        message: format!("no key set can be read from {problem}"),
    });
    told.collect()
}

#[cfg(test)]
mod tests {
    use bulkhead_crds::kinds::{AuthMode, SecretKeyRef, SecretRef, TlsMode};

    use super::*;
    use crate::policy::fixtures;

    async fn complaints_about(policy: bulkhead_crds::effective::EffectivePolicy) -> (bool, String) {
        let accepted = Accepted {
            id: "r1".into(),
            policy,
            warnings: Vec::new(),
        };
        let directory = tempfile::tempdir().unwrap();
        let secrets = Arc::new(Secrets::new(Some(directory.path().to_owned())));
        let mut complaints = Vec::new();
        let usable =
            check_references(&accepted, &secrets, &Resolver::system(), &mut complaints).await;
        (usable, String::from_utf8(complaints).unwrap())
    }

    #[tokio::test]
    async fn each_secret_that_run_would_miss_is_an_error() {
        let mut good = fixtures::database("main", 5432);
        good.upstream.tls_mode = TlsMode::Disable;
        let (usable, said) = complaints_about(fixtures::policy(vec![good.clone()])).await;
        assert!(usable && said.is_empty(), "{said}");

        let mut certificate = good.clone();
        certificate.listen.tls_secret_ref = Some(SecretRef {
            name: "tls".to_owned(),
        });
        let mut password = good.clone();
        password.listen.auth_mode = AuthMode::Scram;
        password.listen.auth_secret_ref = Some(SecretKeyRef {
            name: "app".to_owned(),
            key: None,
        });
        let mut credentials = good.clone();
        credentials.upstream.credentials_secret_ref = Some(SecretRef {
            name: "db".to_owned(),
        });
        for (database, file) in [
            (certificate, "tls/tls.crt"),
            (password, "app/password"),
            (credentials, "db/username"),
        ] {
            let (usable, said) = complaints_about(fixtures::policy(vec![database])).await;
            assert!(!usable);
            assert!(
                said.starts_with("error[CannotApply]: databases[main]."),
                "{said}"
            );
            assert!(said.contains(file), "{said}");
        }

        let mut signed = fixtures::policy(vec![good]);
        signed.identity.source = bulkhead_crds::kinds::IdentitySource::SignedContext;
        let (usable, said) = complaints_about(signed).await;
        assert!(
            !usable && said.contains("bulkhead-context-keys/jwks.json"),
            "{said}"
        );
    }

    #[tokio::test]
    async fn keys_that_cannot_be_fetched_are_an_error() {
        let mut good = fixtures::database("main", 5432);
        good.upstream.tls_mode = TlsMode::Disable;
        let mut policy = fixtures::policy(vec![good]);
        // Nobody listens on port 1.
        policy.identity = bulkhead_crds::effective::EffectiveIdentity {
            source: bulkhead_crds::kinds::IdentitySource::SignedContext,
            signed_context: Some(
                serde_json::from_value(
                    serde_json::json!({"jwks": {"uri": "http://127.0.0.1:1/k"}}),
                )
                .unwrap(),
            ),
            ..policy.identity
        };
        let (usable, said) = complaints_about(policy).await;
        assert!(
            !usable && said.starts_with("error[KeysUnavailable]"),
            "{said}"
        );
        assert!(said.contains("127.0.0.1:1/k"), "{said}");
    }
}
