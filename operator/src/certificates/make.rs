//! Keys, authorities and the certificates that they issue.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use super::CertificateError;

/// How long before it is made a certificate is valid: clocks differ.
pub const BACKDATED: Duration = Duration::from_secs(300);

/// A certificate with its private key, both PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Identity {
    /// The certificate.
    pub certificate: String,
    /// The private key.
    pub key: String,
}

/// What a certificate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A server, whose clients are known by other means.
    Server,
    /// Both ends of a connection.
    Peer,
}

/// What a certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Whom it is of.
    pub subject: String,
    /// Who issued it.
    pub issuer: String,
    /// When it was made.
    pub made: SystemTime,
    /// When it expires.
    pub expires: SystemTime,
    /// The DNS names and addresses that it is for.
    pub names: Vec<String>,
}

/// A new authority. Its subject is unlike any other's, so that what it issues is told from what its predecessor did.
///
/// # Errors
/// Those of the system's randomness.
pub fn authority(
    name: &str,
    now: SystemTime,
    lifetime: Duration,
) -> Result<Identity, CertificateError> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(Vec::new())?;
    let mark: String = key
        .public_key_raw()
        .iter()
        .rev()
        .take(6)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    params.distinguished_name = common_name(&format!("{name} {mark}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    dated(&mut params, now, lifetime);
    Ok(Identity {
        certificate: params.self_signed(&key)?.pem(),
        key: key.serialize_pem(),
    })
}

/// A certificate for `names` (DNS names and addresses), issued by `authority`.
///
/// # Errors
/// A name that is none, and an authority that cannot be read.
pub fn issue(
    authority: &Identity,
    purpose: Purpose,
    names: &[String],
    now: SystemTime,
    lifetime: Duration,
) -> Result<Identity, CertificateError> {
    let mut of_issuer = CertificateParams::new(Vec::new())?;
    of_issuer.distinguished_name = common_name(&facts(&authority.certificate)?.subject);
    let issuer = Issuer::new(of_issuer, KeyPair::from_pem(&authority.key)?);
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(names.to_vec())?;
    params.distinguished_name = common_name(names.first().map_or("bulkhead", String::as_str));
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    if purpose == Purpose::Peer {
        params
            .extended_key_usages
            .push(ExtendedKeyUsagePurpose::ClientAuth);
    }
    params.use_authority_key_identifier_extension = true;
    dated(&mut params, now, lifetime);
    Ok(Identity {
        certificate: params.signed_by(&key, &issuer)?.pem(),
        key: key.serialize_pem(),
    })
}

/// What the first certificate of a PEM text says.
///
/// # Errors
/// [`CertificateError::Read`].
pub fn facts(pem: &str) -> Result<Facts, CertificateError> {
    let der = CertificateDer::from_pem_slice(pem.as_bytes())
        .map_err(|error| CertificateError::Read(error.to_string()))?;
    facts_of(&der)
}

/// What each certificate of a PEM text says, with its own PEM.
///
/// # Errors
/// [`CertificateError::Read`].
pub fn each(pem: &str) -> Result<Vec<(Facts, String)>, CertificateError> {
    const END: &str = "-----END CERTIFICATE-----";
    pem.split_inclusive(END)
        .filter(|part| part.contains(END))
        .map(|part| Ok((facts(part)?, format!("{}\n", part.trim()))))
        .collect()
}

fn facts_of(der: &CertificateDer<'_>) -> Result<Facts, CertificateError> {
    let read = |error: &dyn std::fmt::Display| CertificateError::Read(error.to_string());
    let (_, certificate) = X509Certificate::from_der(der).map_err(|error| read(&error))?;
    let common_name = |name: &x509_parser::x509::X509Name<'_>| {
        name.iter_common_name()
            .next()
            .and_then(|name| name.as_str().ok())
            .unwrap_or_default()
            .to_owned()
    };
    let names = certificate
        .subject_alternative_name()
        .map_err(|error| read(&error))?;
    Ok(Facts {
        subject: common_name(certificate.subject()),
        issuer: common_name(certificate.issuer()),
        made: at(certificate.validity().not_before.timestamp()) + BACKDATED,
        expires: at(certificate.validity().not_after.timestamp()),
        names: names
            .map(|names| names.value.general_names.iter().filter_map(name).collect())
            .unwrap_or_default(),
    })
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => {
            let four =
                <[u8; 4]>::try_from(*bytes).map(|bytes| std::net::IpAddr::from(bytes).to_string());
            let sixteen = || {
                <[u8; 16]>::try_from(*bytes).map(|bytes| std::net::IpAddr::from(bytes).to_string())
            };
            four.or_else(|_| sixteen()).ok()
        }
        _ => None,
    }
}

fn at(seconds: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or_default())
}

fn common_name(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

fn dated(params: &mut CertificateParams, now: SystemTime, lifetime: Duration) {
    // Whole seconds are all that a certificate knows.
    let now = Duration::from_secs(now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs());
    let epoch = date_time_ymd(1970, 1, 1);
    params.not_before = epoch + now.saturating_sub(BACKDATED);
    params.not_after = epoch + now + lifetime;
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn a_certificate_says_what_it_was_made_for() {
        let now = at(1_800_000_000);
        let authority = authority("test", now, 3 * HOUR).unwrap();
        let names = [
            "one.two.svc".to_owned(),
            "127.0.0.1".to_owned(),
            "::1".to_owned(),
        ];
        let issued = issue(&authority, Purpose::Server, &names, now, HOUR).unwrap();
        let facts = facts(&issued.certificate).unwrap();
        assert_eq!(facts.names, names);
        assert_eq!(facts.made, now);
        assert_eq!(facts.expires, now + HOUR);
        assert_eq!(
            facts.issuer,
            super::facts(&authority.certificate).unwrap().subject
        );
    }

    #[test]
    fn a_bundle_is_taken_apart() {
        let now = SystemTime::now();
        let (one, two) = (
            authority("a", now, HOUR).unwrap(),
            authority("a", now, HOUR).unwrap(),
        );
        let bundle = format!("{}{}", one.certificate, two.certificate);
        let apart = each(&bundle).unwrap();
        assert_eq!(apart.len(), 2);
        assert_ne!(apart[0].0.subject, apart[1].0.subject);
        assert_eq!(facts(&apart[1].1).unwrap(), apart[1].0);
        assert!(each("nothing").unwrap().is_empty());
        assert!(facts("nothing").is_err());
    }
}
