//! When certificates end.

use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// When the first of a chain to end does so, in seconds since the epoch; none where nothing of it can be read.
#[must_use]
pub fn first_end(chain: &[CertificateDer<'_>]) -> Option<i64> {
    chain
        .iter()
        .filter_map(|certificate| {
            let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
            Some(parsed.validity.not_after.timestamp())
        })
        .min()
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    fn until(year: i32) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(["db.internal".to_owned()]).unwrap();
        params.not_after = date_time_ymd(year, 1, 1);
        let key = KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().into()
    }

    #[test]
    fn a_chain_ends_with_the_first_of_its_certificates() {
        let chain = [until(2050), until(2040), until(2060)];
        assert_eq!(first_end(&chain), Some(2_208_988_800));
        assert_eq!(first_end(&[]), None);
        assert_eq!(first_end(&[CertificateDer::from(vec![1, 2, 3])]), None);
    }
}
