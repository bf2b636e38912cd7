//! What a sidecar runs into by itself: the end of a certificate, the end of its memory.

use std::time::{Duration, SystemTime};

use bulkhead_tests::control_group::MemoryGroup;
use bulkhead_tests::policy::Policy;
use bulkhead_tests::stage::Stage;
use rcgen::{CertificateParams, KeyPair};

use crate::databases::watched;

const DAY: Duration = Duration::from_secs(86_400);

/// A certificate for this long, and its key, both PEM.
pub(crate) fn valid_for(duration: Duration) -> (String, String) {
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.not_after = (SystemTime::now() + duration).into();
    let key = KeyPair::generate().unwrap();
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

pub(crate) fn with_certificate() -> Policy {
    Policy::trusted().database("listen: {tls: Secret, tlsSecretRef: {name: own}}")
}

#[tokio::test]
async fn a_certificate_near_its_end_is_told_of_until_it_is_renewed() {
    let (certificate, key) = valid_for(3 * DAY);
    let stage = Stage::with(with_certificate())
        .secret("own/tls.crt", &certificate)
        .secret("own/tls.key", &key)
        .start()
        .await;
    let prometheus = watched(&stage).await;
    let labels = [
        ("pod", "chat-1"),
        ("upstream", "main"),
        ("certificate", "listener"),
    ];
    let alert = prometheus
        .firing("BulkheadSidecarCertificateExpires", &labels)
        .await;
    let told = &alert.annotations["description"];
    assert!(told.contains("ends in 2d 23h"), "{told}");

    let (certificate, key) = valid_for(90 * DAY);
    stage.sidecar.write_secret("own/tls.key", &key);
    stage.sidecar.write_secret("own/tls.crt", &certificate);
    prometheus
        .resolved("BulkheadSidecarCertificateExpires", &labels)
        .await;
}

#[tokio::test]
async fn memory_near_its_limit_is_told_of_until_there_is_room() {
    let group = MemoryGroup::new();
    group.limit(256 << 20);
    let stage = Stage::with(Policy::trusted())
        .in_group(&group)
        .start()
        .await;
    let prometheus = watched(&stage).await;
    assert_eq!(
        stage.sidecar.metric("bulkhead_memory_limit_bytes", &[]),
        f64::from(256 << 20)
    );
    let used = stage.sidecar.metric("bulkhead_memory_used_bytes", &[]);
    assert!(used > 0.0 && used <= group.used() as f64 * 1.5, "{used}");
    assert!(!prometheus.fires("BulkheadMemoryNearBound"));

    // A limit of which what is in use is 95 %.
    group.limit((stage.sidecar.metric("bulkhead_memory_used_bytes", &[]) / 0.95) as u64);
    let labels = [("pod", "chat-1")];
    prometheus.firing("BulkheadMemoryNearBound", &labels).await;
    group.limit(256 << 20);
    prometheus
        .resolved("BulkheadMemoryNearBound", &labels)
        .await;
}
