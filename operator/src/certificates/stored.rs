//! A Secret in which the operator keeps the authorities and the certificate that it has made: that of the webhooks, and how it is laid out.

use std::collections::BTreeMap;

use bulkhead_crds::names::objects;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::api::{Api, DeleteParams, ObjectMeta, Patch, PatchParams};

use super::CertificateError;
use super::make::Identity;

const AUTHORITIES: &str = "ca.crt";
const AUTHORITY_KEY: &str = "ca.key";
const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";

/// The texts of a Secret.
pub type Data = BTreeMap<String, String>;

/// What the Secret holds.
#[derive(Clone, PartialEq, Eq)]
pub struct Stored {
    /// The authorities to trust, the newest first, PEM.
    pub authorities: String,
    /// The newest authority's private key.
    pub authority_key: String,
    /// What is shown.
    pub shown: Identity,
}

impl Stored {
    /// What these texts hold; none where something is missing.
    #[must_use]
    pub fn of(data: &Data) -> Option<Self> {
        let text = |key: &str| data.get(key).filter(|text| !text.is_empty()).cloned();
        Some(Self {
            authorities: text(AUTHORITIES)?,
            authority_key: text(AUTHORITY_KEY)?,
            shown: Identity {
                certificate: text(CERTIFICATE)?,
                key: text(KEY)?,
            },
        })
    }

    /// As the texts of a Secret.
    #[must_use]
    pub fn data(&self) -> Data {
        let texts = [
            (AUTHORITIES, &self.authorities),
            (AUTHORITY_KEY, &self.authority_key),
            (CERTIFICATE, &self.shown.certificate),
            (KEY, &self.shown.key),
        ];
        texts
            .map(|(key, text)| (key.to_owned(), text.clone()))
            .into()
    }
}

/// The Secret as it was read; its version is the precondition of the next write.
#[derive(Clone, Default)]
pub struct Read {
    /// What it holds; none where it is not there, or is not whole.
    pub stored: Option<Stored>,
    /// Its resource version; none where it is not there.
    pub version: Option<String>,
}

/// Reads it. `get` on this one name is all the right that this needs.
///
/// # Errors
/// Those of the API server, but that there is none.
pub async fn read(client: &Client, namespace: &str) -> Result<Read, CertificateError> {
    let secret = api(client, namespace)
        .get_opt(objects::WEBHOOK_CERTIFICATES)
        .await?;
    Ok(secret.map_or_else(Read::default, |secret| Read {
        stored: stored(secret.data.unwrap_or_default()),
        version: secret.metadata.resource_version,
    }))
}

/// Writes it, if it still is as it was read.
///
/// # Errors
/// Those of the API server: a conflict where somebody else has written meanwhile.
pub async fn write(
    client: &Client,
    namespace: &str,
    stored: &Stored,
    version: Option<String>,
) -> Result<(), CertificateError> {
    let bytes = |(key, text): (String, String)| (key, ByteString(text.into_bytes()));
    let secret = Secret {
        metadata: ObjectMeta {
            name: Some(objects::WEBHOOK_CERTIFICATES.to_owned()),
            resource_version: version,
            ..ObjectMeta::default()
        },
        data: Some(stored.data().into_iter().map(bytes).collect()),
        ..Secret::default()
    };
    // Server-side apply creates it with rights on this one name alone; `create` could not be bound to it.
    let params = PatchParams::apply(objects::MANAGER).force();
    api(client, namespace)
        .patch(
            objects::WEBHOOK_CERTIFICATES,
            &params,
            &Patch::Apply(&secret),
        )
        .await?;
    Ok(())
}

/// Removes it. Returns whether it was there.
///
/// # Errors
/// Those of the API server.
pub async fn remove(client: &Client, namespace: &str) -> Result<bool, CertificateError> {
    match api(client, namespace)
        .delete(objects::WEBHOOK_CERTIFICATES, &DeleteParams::default())
        .await
    {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn api(client: &Client, namespace: &str) -> Api<Secret> {
    Api::namespaced(client.clone(), namespace)
}

fn stored(data: BTreeMap<String, ByteString>) -> Option<Stored> {
    let text = |(key, bytes): (String, ByteString)| Some((key, String::from_utf8(bytes.0).ok()?));
    Stored::of(&data.into_iter().filter_map(text).collect())
}
