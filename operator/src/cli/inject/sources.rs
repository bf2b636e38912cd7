//! What is injected from: the templates that the files hold, and those that their policies come to, in each namespace.

use std::collections::BTreeMap;

use bulkhead_crds::kinds::{InjectionTemplate, IsolationPolicy, Selector};
use bulkhead_crds::names::objects::{ENABLED, ENVIRONMENT, INJECTION};
use bulkhead_crds::{Severity, load, resolve};
use kube::ResourceExt as _;

use super::wrong;
use crate::build::{Rendering, Serves, SidecarImage, template};
use crate::cli::manifests::{Manifest, Problem};

/// What the files do not say themselves.
pub(super) struct Circumstances {
    /// The environment of every namespace.
    pub environment: Option<String>,
    /// The environment of those that say none, where it is not given for all.
    pub default_environment: String,
    /// What the operator is told of the sidecar.
    pub sidecar: SidecarImage,
}

/// Everything that is injected from.
pub(super) struct Sources<'a> {
    policies: Vec<(&'a Manifest, IsolationPolicy)>,
    templates: Vec<InjectionTemplate>,
    /// The labels of the namespaces that the files have.
    namespaces: BTreeMap<&'a str, BTreeMap<&'a str, &'a str>>,
    circumstances: Circumstances,
}

/// What is injected from in one namespace.
pub(super) enum Home {
    /// The files have the namespace, and it is not labelled for injection: the cluster would inject nothing.
    NotEnabled,
    /// Its templates.
    Templates(Vec<InjectionTemplate>),
}

impl<'a> Sources<'a> {
    /// Reads the policies, templates and namespaces among manifests.
    ///
    /// # Errors
    /// Every policy and template that cannot be read.
    pub(super) fn read(
        printed: &'a [Manifest],
        beside: &'a [Manifest],
        circumstances: Circumstances,
    ) -> Result<Self, Vec<Problem>> {
        let mut sources = Self {
            policies: Vec::new(),
            templates: Vec::new(),
            namespaces: BTreeMap::new(),
            circumstances,
        };
        let mut problems = Vec::new();
        for manifest in printed.iter().chain(beside) {
            let taken = if manifest.is("bulkhead.dev", "IsolationPolicy") {
                policy(manifest).map(|it| sources.policies.push((manifest, it)))
            } else if manifest.is("bulkhead.dev", "InjectionTemplate") {
                rendered(manifest).map(|it| sources.templates.push(it))
            } else {
                if manifest.is("", "Namespace") {
                    sources.namespaces.insert(manifest.name(), labels(manifest));
                }
                Ok(())
            };
            problems.extend(taken.err());
        }
        // The oldest policy wins, and then the first by name, as in a cluster.
        let policies = &mut sources.policies;
        policies.sort_by_key(|(_, it)| (it.creation_timestamp(), it.name_any()));
        if problems.is_empty() {
            Ok(sources)
        } else {
            Err(problems)
        }
    }

    /// What is injected from in a namespace. A template of the files goes before the policy of its name, for it is what a cluster has.
    ///
    /// # Errors
    /// What is wrong with the namespace's policies.
    pub(super) fn of(&self, namespace: &str) -> Result<Home, Vec<Problem>> {
        let labels = self.namespaces.get(namespace);
        if labels.is_some_and(|labels| labels.get(INJECTION) != Some(&ENABLED)) {
            return Ok(Home::NotEnabled);
        }
        let is_here = |it: Option<&str>| it.is_none_or(|of| of == namespace);
        let mut found: Vec<InjectionTemplate> = self
            .templates
            .iter()
            .filter(|it| is_here(it.metadata.namespace.as_deref()))
            .cloned()
            .collect();
        let environment = self.environment(namespace);
        let (mut older, mut problems) = (Vec::<Selector>::new(), Vec::new());
        for (manifest, policy) in &self.policies {
            if !is_here(policy.metadata.namespace.as_deref()) {
                continue;
            }
            if !found.iter().any(|it| it.spec.policy == policy.name_any()) {
                match self.render(manifest, policy, (namespace, environment), &older) {
                    Ok(template) => found.push(template),
                    Err(more) => problems.extend(more),
                }
            }
            older.push(policy.spec.selector.clone());
        }
        if problems.is_empty() {
            Ok(Home::Templates(found))
        } else {
            Err(problems)
        }
    }

    /// The environment of a namespace.
    pub(super) fn environment(&self, namespace: &str) -> &str {
        let label = || self.namespaces.get(namespace)?.get(ENVIRONMENT).copied();
        let given = self.circumstances.environment.as_deref();
        given
            .or_else(label)
            .unwrap_or(&self.circumstances.default_environment)
    }

    fn render(
        &self,
        manifest: &Manifest,
        policy: &IsolationPolicy,
        (namespace, environment): (&str, &str),
        older: &[Selector],
    ) -> Result<InjectionTemplate, Vec<Problem>> {
        let mut policy = policy.clone();
        policy.metadata.namespace = Some(namespace.to_owned());
        let effective = resolve(&policy, environment).map_err(|findings| {
            let errors = findings.iter().filter(|it| it.severity == Severity::Error);
            errors
                .map(|it| wrong(manifest, &it.path, &it.message))
                .collect::<Vec<_>>()
        })?;
        Ok(template(&Rendering {
            policy: &policy,
            effective: &effective,
            excluding: older,
            previous: None,
            sidecar: &self.circumstances.sidecar,
            serves: Serves::THIS_RELEASE,
        }))
    }
}

fn policy(manifest: &Manifest) -> Result<IsolationPolicy, Problem> {
    load(&manifest.own_text()).map_err(|error| {
        let problem = error.problems().first();
        let path = problem.map_or("", |problem| problem.path.as_str());
        Problem {
            file: manifest.file.clone(),
            line: manifest.line_of(path),
            message: format!("IsolationPolicy {}: {error}", manifest.name()),
        }
    })
}

fn rendered(manifest: &Manifest) -> Result<InjectionTemplate, Problem> {
    serde_path_to_error::deserialize(&manifest.object)
        .map_err(|error| wrong(manifest, &error.path().to_string(), error.inner()))
}

fn labels(manifest: &Manifest) -> BTreeMap<&str, &str> {
    let labels = manifest.object.pointer("/metadata/labels");
    let labels = labels.and_then(|it| it.as_object()).into_iter().flatten();
    labels
        .filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)))
        .collect()
}
