//! What a policy refers to: which Secrets it names, and what is known of them. A Secret's content is never read.

use std::collections::{BTreeMap, BTreeSet};

use bulkhead_crds::EffectivePolicy;
use bulkhead_crds::kinds::{Jwks, ListenTls, RowLevelSecurity, SecretKeyRef, SecretRef};
use bulkhead_crds::names::objects::{ALLOW_POLICY, CONTEXT_KEYS};
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client, ResourceExt as _};

/// What is known of the Secrets of a namespace that its policies name.
pub type Secrets = BTreeMap<String, SecretFacts>;

/// What is known of one Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretFacts {
    /// It is there, with the names that its annotation allows.
    Present {
        /// Policies that may mount it; `*` is every one.
        allows: Vec<String>,
    },
    /// It is not there.
    Missing,
    /// The operator does not look at Secrets (`--check-secrets=false`), or may not.
    Unknown,
}

impl SecretFacts {
    /// Reads the annotation.
    #[must_use]
    pub fn present(allow_policy: Option<&str>) -> Self {
        let names = allow_policy.unwrap_or_default().split(',').map(str::trim);
        Self::Present {
            allows: names
                .filter(|name| !name.is_empty())
                .map(str::to_owned)
                .collect(),
        }
    }

    /// Whether this policy may mount it, as far as is known.
    #[must_use]
    pub fn allows(&self, policy: &str) -> bool {
        match self {
            Self::Present { allows } => allows.iter().any(|name| name == "*" || name == policy),
            Self::Missing | Self::Unknown => true,
        }
    }
}

/// The Secrets of users that a policy names, each with the fields that name it. Those that the operator makes itself are not among them.
#[must_use]
pub fn named(policy: &EffectivePolicy) -> BTreeMap<String, BTreeSet<String>> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut add = |name: &str, path: String| {
        if name != CONTEXT_KEYS {
            found.entry(name.to_owned()).or_default().insert(path);
        }
    };
    let mut whole = |reference: Option<&SecretRef>, path: String| {
        if let Some(SecretRef { name }) = reference {
            add(name, path);
        }
    };
    for database in &policy.databases {
        let (at, upstream, listen) = (
            format!("spec.databases[{}]", database.name),
            &database.upstream,
            &database.listen,
        );
        whole(
            upstream.credentials_secret_ref.as_ref(),
            format!("{at}.upstream.credentialsSecretRef"),
        );
        whole(
            upstream.tls_ca_secret_ref.as_ref(),
            format!("{at}.upstream.tls.caSecretRef"),
        );
        if listen.tls == Some(ListenTls::Secret) {
            whole(
                listen.tls_secret_ref.as_ref(),
                format!("{at}.listen.tlsSecretRef"),
            );
        }
        whole(
            key(listen.auth_secret_ref.as_ref()).as_ref(),
            format!("{at}.listen.auth.secretRef"),
        );
        if database.row_level_security == RowLevelSecurity::Signed {
            whole(
                key(database.signing_key_secret_ref.as_ref()).as_ref(),
                format!("{at}.session.signingKeySecretRef"),
            );
        }
    }
    let secret_of = |jwks: Option<&Jwks>| key(jwks.and_then(|jwks| jwks.secret_ref.as_ref()));
    let identity = &policy.identity;
    whole(
        secret_of(identity.jwt.as_ref().map(|jwt| &jwt.jwks)).as_ref(),
        "spec.identity.jwt.jwks.secretRef".to_owned(),
    );
    let context = identity.signed_context.as_ref();
    whole(
        secret_of(context.and_then(|context| context.jwks.as_ref())).as_ref(),
        "spec.identity.signedContext.jwks.secretRef".to_owned(),
    );
    found
}

fn key(reference: Option<&SecretKeyRef>) -> Option<SecretRef> {
    reference.map(|reference| SecretRef {
        name: reference.name.clone(),
    })
}

/// Asks for the metadata of these Secrets, one after the other.
///
/// # Errors
/// Those of the API server, but not that a Secret is missing or that the operator may not look at it.
pub async fn look_up(
    client: &Client,
    namespace: &str,
    names: impl IntoIterator<Item = String>,
) -> Result<Secrets, kube::Error> {
    let api = Api::<Secret>::namespaced(client.clone(), namespace);
    let mut found = Secrets::new();
    for name in names {
        let facts = match api.get_metadata_opt(&name).await {
            Ok(Some(secret)) => {
                let annotation = secret.annotations().get(ALLOW_POLICY);
                SecretFacts::present(annotation.map(String::as_str))
            }
            Ok(None) => SecretFacts::Missing,
            Err(kube::Error::Api(status)) if status.code == 403 => SecretFacts::Unknown,
            Err(error) => return Err(error),
        };
        found.insert(name, facts);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_secret_is_found_with_the_fields_that_name_it() {
        let policy = bulkhead_crds::load(
            "apiVersion: bulkhead.dev/v1alpha1\nkind: IsolationPolicy\nmetadata: {name: chat}\n\
             spec:\n  selector: {}\n  identity: {source: Jwt, jwt: {jwks: {secretRef: {name: idp}}}}\n  databases:\n\
             \x20 - {name: main, protocol: PostgreSQL, listen: {tls: Secret, tlsSecretRef: {name: cert}, auth: {mode: Scram, secretRef: {name: app}}},\n\
             \x20    upstream: {host: db, credentialsSecretRef: {name: db}, tls: {caSecretRef: {name: db}}}}\n",
        )
        .unwrap();
        let effective = bulkhead_crds::resolve(&policy, "staging").unwrap();
        let found = named(&effective);
        let names: Vec<_> = found.keys().map(String::as_str).collect();
        assert_eq!(names, ["app", "cert", "db", "idp"]);
        assert_eq!(found["db"].len(), 2, "{found:?}");
    }

    #[test]
    fn an_annotation_allows_the_policies_that_it_names() {
        let one = SecretFacts::present(Some("chat, jobs"));
        assert!(one.allows("chat") && one.allows("jobs") && !one.allows("cha"));
        assert!(SecretFacts::present(Some("*")).allows("any"));
        assert!(!SecretFacts::present(None).allows("chat"));
        assert!(!SecretFacts::present(Some("")).allows(""));
    }
}
