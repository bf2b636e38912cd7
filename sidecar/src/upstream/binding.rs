//! `tls-server-end-point` (RFC 5929, section 4): the hash of the server's certificate that SCRAM-SHA-256-PLUS signs.
//!
//! Lives here: which hash a certificate calls for. May not live here: whether the certificate is to be trusted.

use aws_lc_rs::digest;
use x509_parser::asn1_rs::Oid;
use x509_parser::oid_registry as oid;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::signature_algorithm::SignatureAlgorithm;
use x509_parser::x509::AlgorithmIdentifier;

/// The end point's hash; `None` where the certificate's signature has no single hash function (Ed25519), or is unknown.
pub(crate) fn tls_server_end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let hash = hash_of(&parsed.signature_algorithm)?;
    Some(digest::digest(hash, certificate).as_ref().to_vec())
}

/// MD5 and SHA-1 are raised to SHA-256, as the RFC says.
fn hash_of(algorithm: &AlgorithmIdentifier<'_>) -> Option<&'static digest::Algorithm> {
    let named = &algorithm.algorithm;
    let is = |known: &[Oid<'static>]| known.contains(named);
    if *named == oid::OID_PKCS1_RSASSAPSS {
        let SignatureAlgorithm::RSASSA_PSS(parameters) = algorithm.try_into().ok()? else {
            return None;
        };
        return named_hash(parameters.hash_algorithm_oid());
    }
    if is(&[
        oid::OID_PKCS1_SHA256WITHRSA,
        oid::OID_SIG_ECDSA_WITH_SHA256,
        oid::OID_PKCS1_SHA1WITHRSA,
        oid::OID_PKCS1_MD5WITHRSAENC,
        x509_parser::der_parser::oid!(1.2.840.10045.4.1),
    ]) {
        Some(&digest::SHA256)
    } else if is(&[oid::OID_PKCS1_SHA384WITHRSA, oid::OID_SIG_ECDSA_WITH_SHA384]) {
        Some(&digest::SHA384)
    } else if is(&[oid::OID_PKCS1_SHA512WITHRSA, oid::OID_SIG_ECDSA_WITH_SHA512]) {
        Some(&digest::SHA512)
    } else {
        None
    }
}

fn named_hash(hash: &Oid<'_>) -> Option<&'static digest::Algorithm> {
    if *hash == oid::OID_HASH_SHA1 || *hash == oid::OID_NIST_HASH_SHA256 {
        Some(&digest::SHA256)
    } else if *hash == oid::OID_NIST_HASH_SHA384 {
        Some(&digest::SHA384)
    } else if *hash == oid::OID_NIST_HASH_SHA512 {
        Some(&digest::SHA512)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, SignatureAlgorithm as Signed};

    fn end_point(algorithm: &'static Signed) -> (Vec<u8>, Option<Vec<u8>>) {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let params = CertificateParams::new(vec!["db.internal".to_owned()]).unwrap();
        let der = params.self_signed(&key).unwrap().der().to_vec();
        let end_point = tls_server_end_point(&der);
        (der, end_point)
    }

    #[test]
    fn the_hash_is_that_of_the_signature() {
        let cases: [(&'static Signed, &'static digest::Algorithm); 2] = [
            (&rcgen::PKCS_ECDSA_P256_SHA256, &digest::SHA256),
            (&rcgen::PKCS_ECDSA_P384_SHA384, &digest::SHA384),
        ];
        for (signed, hash) in cases {
            let (der, end_point) = end_point(signed);
            assert_eq!(end_point.unwrap(), digest::digest(hash, &der).as_ref());
        }
    }

    #[test]
    fn a_signature_without_a_single_hash_binds_nothing() {
        assert_eq!(end_point(&rcgen::PKCS_ED25519).1, None);
        assert_eq!(tls_server_end_point(b"not a certificate"), None);
    }
}
