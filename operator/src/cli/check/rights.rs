//! Whether the operator's service account may do what it must: each right is asked of the API server.

use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};

use super::outcome::Outcome;
use crate::rights::{NEEDED, Right, Scope};

/// Whose rights are asked for.
pub(super) struct Account<'a> {
    /// Its namespace, which is the operator's.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// The namespaces that the operator watches; none is all of them.
    pub watched: &'a [String],
}

/// One check for all rights; the message names those that lack.
pub(super) async fn all(client: &Client, account: &Account<'_>) -> Outcome {
    let user = format!(
        "system:serviceaccount:{}:{}",
        account.namespace, account.name
    );
    let check = format!("rights of {}/{}", account.namespace, account.name);
    let api: Api<SubjectAccessReview> = Api::all(client.clone());
    let (mut asked, mut lacking) = (0, Vec::new());
    for attributes in attributes(account) {
        let told = told(&attributes);
        let review = SubjectAccessReview {
            metadata: ObjectMeta::default(),
            spec: SubjectAccessReviewSpec {
                user: Some(user.clone()),
                resource_attributes: Some(attributes),
                ..Default::default()
            },
            status: None,
        };
        asked += 1;
        match api.create(&PostParams::default(), &review).await {
            Ok(answer) if answer.status.as_ref().is_some_and(|it| it.allowed) => {}
            Ok(_) => lacking.push(told),
            Err(error) => return Outcome::unanswered(check, &error),
        }
    }
    if lacking.is_empty() {
        return Outcome::passed(check, format!("all {asked} that it needs"));
    }
    let hint = "helm upgrade with rbac.create=true; with --watch-namespaces, name here the ones that the chart was given";
    Outcome::failed(check, format!("it may not {}", lacking.join(", ")), hint)
}

/// Every question; groups of a service account are the API server's own to add.
fn attributes(account: &Account<'_>) -> Vec<ResourceAttributes> {
    NEEDED
        .iter()
        .flat_map(|right| questions(right, account))
        .collect()
}

/// One question for each verb, object and namespace.
fn questions(right: &Right, account: &Account<'_>) -> Vec<ResourceAttributes> {
    let (everywhere, own) = ([String::new()], [account.namespace.to_owned()]);
    let namespaces: &[String] = match right.scope {
        Scope::Own => &own,
        Scope::Watched if !account.watched.is_empty() => account.watched,
        Scope::Cluster | Scope::Watched => &everywhere,
    };
    let (resource, subresource) = right
        .resource
        .split_once('/')
        .unwrap_or((right.resource, ""));
    let names = if right.names.is_empty() {
        &[""]
    } else {
        right.names
    };
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let mut found = Vec::new();
    for namespace in namespaces {
        for name in names {
            found.extend(right.verbs.iter().map(|verb| ResourceAttributes {
                group: Some(right.group.to_owned()),
                resource: Some(resource.to_owned()),
                subresource: some(subresource),
                verb: Some((*verb).to_owned()),
                name: some(name),
                namespace: some(namespace),
                ..Default::default()
            }));
        }
    }
    found
}

fn told(of: &ResourceAttributes) -> String {
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    let mut told = format!("{} {}", text(&of.verb), text(&of.resource));
    for (mark, field) in [
        ("/", &of.subresource),
        (" ", &of.name),
        (" in ", &of.namespace),
    ] {
        if let Some(field) = field {
            told.push_str(mark);
            told.push_str(field);
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_secret_that_the_operator_makes_is_asked_for_where_it_makes_it() {
        let account = Account {
            namespace: "sys",
            name: "op",
            watched: &["a".to_owned()],
        };
        let asked: Vec<String> = attributes(&account).iter().map(told).collect();
        for (secret, namespace) in [
            ("bulkhead-context-keys", "a"),
            ("bulkhead-issued-certificates", "a"),
            ("bulkhead-peers", "a"),
            ("bulkhead-webhook-certificates", "sys"),
        ] {
            for verb in ["get", "create", "patch"] {
                let right = format!("{verb} secrets {secret} in {namespace}");
                assert!(asked.contains(&right), "{right}: {asked:?}");
            }
        }
    }

    #[test]
    fn watched_namespaces_are_asked_for_one_by_one() {
        let watched = ["a".to_owned(), "b".to_owned()];
        let account = |watched| Account {
            namespace: "sys",
            name: "op",
            watched,
        };
        let asked: Vec<String> = attributes(&account(&watched)).iter().map(told).collect();
        assert!(
            asked.contains(&"patch pods/status in a".to_owned())
                && asked.contains(&"patch pods/status in b".to_owned())
        );
        assert!(
            asked.contains(&"get leases bulkhead-operator in sys".to_owned()),
            "{asked:?}"
        );
        let asked: Vec<String> = attributes(&account(&[])).iter().map(told).collect();
        assert!(asked.contains(&"patch pods/status".to_owned()));
    }
}
