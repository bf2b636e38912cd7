//! Why a revision cannot be put in force.

use thiserror::Error;

use crate::audit::AuditError;
use crate::identity::IdentityError;
use crate::protocol::postgres::handshake::HandshakeError;
use crate::protocol::websocket::http::PeerTlsError;
use crate::protocol::websocket::resume::ResumeKeysError;
use crate::secrets::SecretError;
use crate::signed::KeysError;
use crate::upstream::UpstreamError;

/// Why a revision cannot be put in force.
#[derive(Debug, Error)]
pub enum ForceError {
    /// A key prefix that does not keep users apart.
    #[error("databases[{entry}].session.keyPrefix {source}")]
    KeyPrefix {
        /// The entry.
        entry: String,
        /// What is wrong with it.
        source: bulkhead_crds::names::key_prefix::TemplateError,
    },
    /// The audit trail's key.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// The identity settings.
    #[error("spec.identity: {0}")]
    Identity(#[from] IdentityError),
    /// The keys of session tokens.
    #[error(transparent)]
    ResumeKeys(#[from] ResumeKeysError),
    /// The certificates of pods.
    #[error(transparent)]
    Peers(#[from] PeerTlsError),
    /// An upstream's settings.
    #[error("{0}")]
    Upstream(#[from] UpstreamError),
    /// An upstream's user name or password.
    #[error("databases[{entry}].upstream.credentialsSecretRef: {source}")]
    Credentials {
        /// The entry.
        entry: String,
        /// What is wrong.
        source: SecretError,
    },
    /// A listener's certificate or password.
    #[error("databases[{entry}].listen.{field}: {source}")]
    Secret {
        /// The entry.
        entry: String,
        /// The field below `listen`.
        field: &'static str,
        /// What is wrong.
        source: SecretError,
    },
    /// A listener's certificate that nobody has issued.
    #[error(
        "databases[{entry}].listen.tls: Issued: {source}; the operator issues it in a cluster, and elsewhere it is made by hand: openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 365 -subj '/CN={host}' -addext 'subjectAltName=DNS:{host}' -keyout tls.key -out tls.crt"
    )]
    NotIssued {
        /// The entry.
        entry: String,
        /// The name that the certificate is for.
        host: String,
        /// What is wrong.
        source: Box<SecretError>,
    },
    /// The keys of signed users cannot be read.
    #[error("databases[{entry}].session.signingKeySecretRef: {source}")]
    SigningSecret {
        /// The entry.
        entry: String,
        /// What is wrong.
        source: SecretError,
    },
    /// The keys of signed users are none.
    #[error("databases[{entry}].session.signingKeySecretRef: secret {name}/{key}: {source}")]
    SigningKeys {
        /// The entry.
        entry: String,
        /// The Secret.
        name: String,
        /// Its key.
        key: String,
        /// What is wrong.
        source: KeysError,
    },
    /// A listener's certificate cannot be used.
    #[error("databases[{entry}].listen.{field}: {source}")]
    Certificate {
        /// The entry.
        entry: String,
        /// The field below `listen`.
        field: &'static str,
        /// What is wrong.
        source: HandshakeError,
    },
}
