//! What the leader installs in the API server, and keeps as it should be: admission policies, their bindings, webhook configurations.
//!
//! The operator does this and not its chart, for a policy whose parameters' kind is not known yet refuses what it should not: so the
//! definitions come first, then the policies, then a pod on trial, and only then the bindings that put them in force.
//!
//! - [`wanted`]: what there should be.
//! - [`apply`]: written where it is not so, and only then.
//! - [`trial`]: a pod that is not stored, before a binding that could refuse everybody's.
//! - [`standing`]: since when what injects stands, for those who must not act before.
//! - [`remove`]: all of it away again, by `uninstall`.

pub mod apply;
pub mod remove;
pub mod standing;
pub mod trial;
pub mod wanted;

use std::time::{Duration, Instant, SystemTime};

use bulkhead_crds::names::objects;
use kube::Client;

use crate::certificates::make::Purpose;
use crate::certificates::rotate::{Plan, Step};
use crate::certificates::{self, CertificateError, follow, stored};
use crate::metrics::Metrics;
use crate::process::stop::Stop;
use crate::settings::{Certificates, Settings};
use apply::Object;
use standing::Standing;
use wanted::Wanted;

/// How long API servers may take to notice a new authority before a certificate of it is shown.
const NOTICE: Duration = Duration::from_secs(30);

/// Why something is not installed. It is tried again.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// The certificates.
    #[error(transparent)]
    Certificates(#[from] CertificateError),
    /// An object.
    #[error("{object}: {source}")]
    Object {
        /// Its kind and name.
        object: String,
        /// What the API server says.
        source: Box<kube::Error>,
    },
    /// The API server.
    #[error("{0}")]
    Api(#[from] Box<kube::Error>),
    /// A definition that is not there, or not served yet.
    #[error("CustomResourceDefinition {0} is not established: apply the chart's crds folder")]
    Definition(String),
    /// The pod on trial was refused, so nothing was put in force.
    #[error("a pod on trial was refused, so the admission policies are not put in force: {0}")]
    Trial(String),
    /// An object that cannot be written down.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
}

/// What one leader knows of what it has installed.
pub struct Installer {
    client: Client,
    settings: std::sync::Arc<Settings>,
    metrics: Metrics,
    standing: Standing,
    announced: Option<Announced>,
    identity: Option<String>,
}

/// The authorities that every webhook configuration names, and since when.
struct Announced {
    authorities: Option<String>,
    since: Instant,
}

/// Installs, renews and repairs until told to stop, and says in `standing` since when what injects stands. `client` must be the leader's
/// own, fenced.
pub async fn keep(
    client: Client,
    settings: std::sync::Arc<Settings>,
    metrics: Metrics,
    standing: Standing,
    mut stop: Stop,
) {
    let pause = settings
        .repair_interval
        .min(follow::interval(settings.webhooks.certificates()));
    let mut installer = Installer {
        client,
        settings,
        metrics,
        standing,
        announced: None,
        identity: None,
    };
    let mut complained = None;
    while !stop.is_stopped() {
        let complaint = match installer.pass().await {
            Ok(()) => {
                installer.standing.stands();
                String::new()
            }
            Err(error) => {
                installer.standing.falls();
                error.to_string()
            }
        };
        if complained.as_ref() != Some(&complaint) {
            if complaint.is_empty() {
                tracing::info!("admission is installed");
            } else {
                tracing::warn!(
                    error = complaint,
                    "admission is not installed as it should be"
                );
            }
        }
        complained = Some(complaint);
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = stop.stopped() => {}
        }
    }
}

impl Installer {
    /// One look at everything, and what it takes to have it as it should be.
    async fn pass(&mut self) -> Result<(), InstallError> {
        let authorities = self.certificates().await?;
        if self
            .announced
            .as_ref()
            .is_none_or(|announced| announced.authorities != authorities)
        {
            self.announced = None;
        }
        let wanted = self.wanted(authorities.as_deref()).await?;
        apply::established(&self.client, wanted::DEFINITIONS).await?;
        self.install(&wanted).await?;
        self.announced.get_or_insert_with(|| Announced {
            authorities,
            since: Instant::now(),
        });
        Ok(())
    }

    /// Does what is due for the certificates, and returns the authorities to announce; none where somebody else does that.
    async fn certificates(&self) -> Result<Option<String>, InstallError> {
        let (authority, certificate) = match self.settings.webhooks.certificates() {
            Certificates::Folder(folder) => return Ok(follow::announced_by(folder).await?),
            Certificates::Own {
                authority,
                certificate,
            } => (authority, certificate),
        };
        let plan = Plan {
            name: "bulkhead-webhooks",
            purpose: Purpose::Server,
            authority,
            certificate,
            names: certificates::names(&self.settings),
        };
        let read = stored::read(&self.client, &self.settings.namespace).await?;
        let notice = NOTICE.min(certificate / 10);
        let announced = self.announced.as_ref().is_some_and(|announced| {
            announced.since.elapsed() >= notice
                && announced.authorities.as_ref()
                    == read.stored.as_ref().map(|stored| &stored.authorities)
        });
        let now = SystemTime::now();
        let step = plan.due(read.stored.as_ref(), announced, now);
        let Some(next) = plan.take(step, read.stored.as_ref(), now)? else {
            return Ok(read.stored.map(|stored| stored.authorities));
        };
        stored::write(&self.client, &self.settings.namespace, &next, read.version).await?;
        match step {
            Step::Nothing => {}
            Step::Begin => tracing::info!("made an authority and a certificate for the webhooks"),
            Step::NewAuthority => tracing::info!("made a new authority, to be announced first"),
            Step::NewCertificate => tracing::info!("made a new certificate for the webhooks"),
        }
        Ok(Some(next.authorities))
    }

    async fn wanted(&mut self, authorities: Option<&str>) -> Result<Wanted, InstallError> {
        let identity = match &self.identity {
            Some(identity) => identity.clone(),
            None => apply::who_am_i(&self.client).await?,
        };
        let engine = apply::engine(&self.client, self.settings.injection_engine).await?;
        let wanted = wanted::wanted(&self.settings, engine, &identity, authorities)?;
        self.identity = Some(identity);
        Ok(wanted)
    }

    /// Policies and webhooks, then the trial, then the bindings, then what the other engine has left.
    async fn install(&self, wanted: &Wanted) -> Result<(), InstallError> {
        for object in &wanted.webhooks {
            self.apply(object).await?;
        }
        for object in &wanted.policies {
            self.apply(object).await?;
        }
        let mut missing = Vec::new();
        for object in &wanted.bindings {
            if apply::differs(&self.client, object).await? {
                missing.push(object);
            }
        }
        if !missing.is_empty() {
            trial::run(&self.client, &self.settings.namespace, wanted).await?;
        }
        for object in &missing {
            self.apply(object).await?;
        }
        if !missing.is_empty() {
            // Installed is what is in force.
            tokio::time::sleep(trial::TAKEN_UP).await;
        }
        for target in &wanted.unwanted {
            remove::one(&self.client, target).await?;
        }
        Ok(())
    }
    /// Writes an object where it is not as it should be. Of what injects, that is a gap in which pods were missed.
    async fn apply(&self, object: &Object) -> Result<(), InstallError> {
        let written = apply::apply(&self.client, &self.metrics, object).await?;
        if written && object.target.name == objects::INJECT_POLICY {
            self.standing.falls();
        }
        Ok(())
    }
}
