//! What `explain` needs to know: the policies of a namespace, its labels, and the labels of the pods in question.

use std::collections::BTreeMap;

use bulkhead_crds::kinds::IsolationPolicy;
use bulkhead_crds::load;
use bulkhead_crds::names::objects::INJECTED;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, ListParams};
use kube::{Api, Client, ResourceExt as _};

use crate::cli::Error;
use crate::cli::manifests::Manifest;
use crate::cli::objects::{Kind, PodTemplate, pod_template};

/// What is to be explained.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// A policy, by name.
    Policy(String),
    /// A pod or a workload.
    Pods(&'static Kind, String),
}

/// Whose policy is asked for.
pub(super) enum Subject {
    /// A policy, by name.
    Policy(String),
    /// Pods with these labels.
    Pods {
        /// `deployment/chat`.
        object: String,
        /// Their labels.
        labels: BTreeMap<String, String>,
        /// The template that the pod was injected from.
        injected: Option<String>,
        /// Whether it is a pod that runs, rather than a template of pods.
        is_pod: bool,
    },
}

/// Everything that is known.
pub(super) struct Gathered {
    pub namespace: String,
    /// Its labels; none where it is not known.
    pub labels: Option<BTreeMap<String, String>>,
    pub policies: Vec<IsolationPolicy>,
    pub subject: Subject,
    /// Whether it is of a cluster, where policies have an age and a status.
    pub is_live: bool,
}

impl Target {
    /// Reads `KIND/NAME`.
    pub(super) fn parse(text: &str) -> Result<Self, Error> {
        let wrong = || {
            Error::Manifest(format!(
                "`{text}`: write KIND/NAME, such as pod/NAME, deployment/NAME or ipol/NAME"
            ))
        };
        let (kind, name) = text
            .split_once('/')
            .filter(|(_, name)| !name.is_empty())
            .ok_or_else(wrong)?;
        if matches!(
            kind.to_ascii_lowercase().as_str(),
            "ipol" | "isolationpolicy" | "isolationpolicies" | "policy"
        ) {
            return Ok(Self::Policy(name.to_owned()));
        }
        let kind = Kind::named(kind).ok_or_else(wrong)?;
        Ok(Self::Pods(kind, name.to_owned()))
    }
}

/// From manifests. Without a target they must hold one policy.
pub(super) fn from_files(
    manifests: &[Manifest],
    namespace: Option<&str>,
    target: Option<&Target>,
) -> Result<Gathered, Error> {
    let wrong = |message: String| Err(Error::Manifest(message));
    let of_namespace =
        |it: &&Manifest| namespace.is_none_or(|namespace| it.namespace(namespace) == namespace);
    let mut policies = Vec::new();
    for manifest in manifests
        .iter()
        .filter(|it| it.is("bulkhead.dev", "IsolationPolicy"))
        .filter(of_namespace)
    {
        match load(&manifest.own_text()) {
            Ok(policy) => policies.push(policy),
            Err(error) => {
                let path = error
                    .problems()
                    .first()
                    .map_or("", |problem| problem.path.as_str());
                return wrong(format!(
                    "{}:{}: {error}",
                    manifest.file,
                    manifest.line_of(path)
                ));
            }
        }
    }
    let (subject, home) = match target {
        None if policies.len() == 1 => (
            Subject::Policy(policies[0].name_any()),
            policies[0].namespace(),
        ),
        None => {
            return wrong(format!(
                "the files hold {} policies: name one, as ipol/NAME",
                policies.len()
            ));
        }
        Some(Target::Policy(name)) => match policies.iter().find(|it| it.name_any() == *name) {
            Some(policy) => (Subject::Policy(name.clone()), policy.namespace()),
            None => return wrong(format!("the files hold no policy {name}")),
        },
        Some(Target::Pods(kind, name)) => {
            let mut found = manifests
                .iter()
                .filter(|it| it.is(kind.group, kind.kind) && it.name() == *name)
                .filter(of_namespace);
            let Some(manifest) = found.next() else {
                return wrong(format!("the files hold no {} {name}", kind.kind));
            };
            let Some(template) = pod_template(&manifest.object) else {
                return wrong(format!(
                    "{}:{}: {} {name} has no pods",
                    manifest.file,
                    manifest.line_of("spec"),
                    kind.kind
                ));
            };
            let home = manifest.text_at("/metadata/namespace");
            (
                pods(kind, name, &template),
                (!home.is_empty()).then(|| home.to_owned()),
            )
        }
    };
    let namespace = namespace
        .map(str::to_owned)
        .or(home)
        .unwrap_or_else(|| "default".to_owned());
    policies.retain(|it| it.namespace().is_none_or(|of| of == namespace));
    let labels = manifests
        .iter()
        .find(|it| it.is("", "Namespace") && it.name() == namespace);
    let labels = labels
        .and_then(|it| serde_json::from_value(it.object.pointer("/metadata/labels")?.clone()).ok());
    Ok(Gathered {
        namespace,
        labels,
        policies,
        subject,
        is_live: false,
    })
}

/// From a cluster.
pub(super) async fn from_cluster(
    client: Client,
    namespace: &str,
    target: &Target,
) -> Result<Gathered, Error> {
    let policies: Api<IsolationPolicy> = Api::namespaced(client.clone(), namespace);
    let subject = match target {
        Target::Policy(name) => {
            policies.get(name).await?;
            Subject::Policy(name.clone())
        }
        Target::Pods(kind, name) => {
            let gvk = GroupVersionKind::gvk(kind.group, "v1", kind.kind);
            let resource = ApiResource::from_gvk_with_plural(&gvk, kind.plural);
            let api: Api<DynamicObject> =
                Api::namespaced_with(client.clone(), namespace, &resource);
            let mut object = api.get(name).await?;
            // The API server leaves the type out of what it was asked for by type.
            object.types = Some(kube::core::TypeMeta {
                api_version: resource.api_version.clone(),
                kind: kind.kind.to_owned(),
            });
            let object = serde_json::to_value(object)?;
            let template = pod_template(&object)
                .ok_or_else(|| Error::Manifest(format!("{} {name} has no pods", kind.kind)))?;
            pods(kind, name, &template)
        }
    };
    let all = policies.list(&ListParams::default()).await?;
    // Whoever may read policies in a namespace may not always read the namespace.
    let labels = Api::<Namespace>::all(client)
        .get(namespace)
        .await
        .ok()
        .map(|it| it.labels().clone());
    Ok(Gathered {
        namespace: namespace.to_owned(),
        labels,
        policies: all.items,
        subject,
        is_live: true,
    })
}

fn pods(kind: &Kind, name: &str, template: &PodTemplate<'_>) -> Subject {
    Subject::Pods {
        object: format!("{}/{name}", kind.kind.to_lowercase()),
        labels: template.labels.clone(),
        injected: template.annotations.get(INJECTED).cloned(),
        is_pod: kind.kind == "Pod",
    }
}
