//! When the certificates that this process shows, or trusts, end.

use std::collections::BTreeMap;

use prometheus::{IntGaugeVec, Opts, Registry};

use super::labels::label;
use super::upstream::register;

label!(
    /// What a certificate is for: `bulkhead_certificate_expiry_timestamp_seconds{certificate}`.
    CertificateUse {
        /// Clients of a listener see it.
        Listener = "listener",
        /// Other pods of the namespace see it.
        Peers = "peers",
    }
);

/// When a certificate, or the first of its chain to do so, ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateEnd {
    /// The policy's name for the entry; empty for what belongs to none.
    pub upstream: String,
    /// What it is for.
    pub of: CertificateUse,
    /// In seconds since the epoch.
    pub at: i64,
}

/// The family of ends.
#[derive(Debug)]
pub(super) struct Certificates(IntGaugeVec);

impl Certificates {
    pub(super) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let family = IntGaugeVec::new(
            Opts::new(
                "bulkhead_certificate_expiry_timestamp_seconds",
                "When the certificate, or the first of its chain, expires, as a Unix time.",
            ),
            &["upstream", "certificate"],
        )?;
        Ok(Self(register(registry, family)?))
    }

    /// Shows these ends and no others.
    pub(super) fn show(&self, ends: &[CertificateEnd]) {
        let mut first: BTreeMap<(&str, &str), i64> = BTreeMap::new();
        for end in ends {
            let at = first
                .entry((&end.upstream, end.of.as_str()))
                .or_insert(end.at);
            *at = end.at.min(*at);
        }
        self.0.reset();
        for ((upstream, of), at) in first {
            self.0.with_label_values(&[upstream, of]).set(at);
        }
    }
}
