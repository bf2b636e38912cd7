//! The webhooks: configured, with an authority that is believed, and a certificate that has not expired.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bulkhead_crds::names::objects::{INJECT_POLICY, VALIDATE_WEBHOOK};
use kube::Client;
use kube::api::DynamicObject;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use x509_parser::prelude::{ASN1Time, FromDer as _, X509Certificate};

use super::admission::find;
use super::outcome::Outcome;

const PATIENCE: Duration = Duration::from_secs(5);
/// Days that a certificate should still live: a renewal has gone wrong by then, and there is time to see why.
const DAYS: i64 = 7;

/// A check for each webhook that is configured.
pub(super) async fn all(client: &Client, namespace: &str) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    let check = format!("webhook {VALIDATE_WEBHOOK}");
    match find(
        client,
        "ValidatingWebhookConfiguration",
        "validatingwebhookconfigurations",
        VALIDATE_WEBHOOK,
    )
    .await
    {
        Ok(Some(found)) => outcomes.extend(each(&check, &found, namespace).await),
        Ok(None) => {
            let hint = "the operator installs it: its log says what keeps it";
            outcomes.push(Outcome::failed(
                check,
                "is not configured, so mistakes in policies are found only afterwards",
                hint,
            ));
        }
        Err(error) => outcomes.push(Outcome::unanswered(check, &error)),
    }
    // Only servers that cannot inject by themselves have this one.
    if let Ok(Some(found)) = find(
        client,
        "MutatingWebhookConfiguration",
        "mutatingwebhookconfigurations",
        INJECT_POLICY,
    )
    .await
    {
        outcomes.extend(each(&format!("webhook {INJECT_POLICY}"), &found, namespace).await);
    }
    outcomes
}

async fn each(check: &str, found: &DynamicObject, namespace: &str) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    for webhook in found.data["webhooks"].as_array().into_iter().flatten() {
        let config = &webhook["clientConfig"];
        outcomes.push(match trusted(config["caBundle"].as_str().unwrap_or_default()) {
            Ok(authorities) => shown(check, &address(config, namespace), authorities).await,
            Err(why) => {
                let hint = "the leader announces it: kubectl get lease bulkhead-operator says whether there is one";
                Outcome::failed(check, format!("its caBundle {why}"), hint)
            }
        });
    }
    outcomes
}

/// The host and the port at which the API server finds a webhook.
fn address(config: &serde_json::Value, namespace: &str) -> (String, u16) {
    if let Some(url) = config["url"].as_str() {
        let rest = url
            .trim_start_matches("https://")
            .split('/')
            .next()
            .unwrap_or_default();
        let (host, port) = rest.rsplit_once(':').unwrap_or((rest, "443"));
        return (
            host.trim_matches(['[', ']']).to_owned(),
            port.parse().unwrap_or(443),
        );
    }
    let service = &config["service"];
    let name = service["name"].as_str().unwrap_or_default();
    let namespace = service["namespace"].as_str().unwrap_or(namespace);
    let port = service["port"]
        .as_u64()
        .and_then(|it| u16::try_from(it).ok())
        .unwrap_or(443);
    (format!("{name}.{namespace}.svc"), port)
}

/// The authorities of a caBundle that have not expired.
fn trusted(bundle: &str) -> Result<rustls::RootCertStore, String> {
    let pem = STANDARD
        .decode(bundle)
        .map_err(|_| "is not base64".to_owned())?;
    let mut roots = rustls::RootCertStore::empty();
    let mut expired = 0;
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| format!("is no PEM: {error}"))?;
        if days_left(&certificate).is_some_and(|days| days < 0) {
            expired += 1;
        } else {
            roots
                .add(certificate)
                .map_err(|error| format!("holds no certificate authority: {error}"))?;
        }
    }
    match (roots.is_empty(), expired) {
        (true, 0) => Err("is empty".to_owned()),
        (true, _) => Err("holds expired authorities alone".to_owned()),
        _ => Ok(roots),
    }
}

/// Whole days until a certificate expires; below zero where it has.
fn days_left(certificate: &CertificateDer<'_>) -> Option<i64> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let left = certificate.validity().not_after.timestamp() - ASN1Time::now().timestamp();
    Some(left.div_euclid(86_400))
}

/// Shakes hands as the API server would.
async fn shown(check: &str, (host, port): &(String, u16), roots: rustls::RootCertStore) -> Outcome {
    let stream = match tokio::time::timeout(PATIENCE, TcpStream::connect((host.as_str(), *port)))
        .await
    {
        Ok(Ok(stream)) => stream,
        _ => {
            let message =
                format!("its caBundle is sound; {host}:{port} cannot be reached from here");
            return Outcome::skipped(check, message, "helm test looks from inside of the cluster");
        }
    };
    match handshake(host, stream, roots).await {
        Ok(days) if days < DAYS => {
            let hint = "the operator renews it after two thirds of its life: its log says what keeps it; with cert-manager, kubectl describe certificate";
            Outcome::warned(
                check,
                format!("its certificate expires in {days} days"),
                hint,
            )
        }
        Ok(days) => Outcome::passed(
            check,
            format!("its certificate is of its caBundle, and good for {days} days"),
        ),
        Err(why) => Outcome::failed(
            check,
            format!("the API server cannot trust it: {why}"),
            "the leader announces its authority within seconds: its log says what keeps it",
        ),
    }
}

async fn handshake(
    host: &str,
    stream: TcpStream,
    roots: rustls::RootCertStore,
) -> Result<i64, String> {
    let config = rustls::ClientConfig::builder_with_provider(Arc::new(
        rustls::crypto::aws_lc_rs::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .map_err(|error| error.to_string())?
    .with_root_certificates(roots)
    .with_no_client_auth();
    let name = ServerName::try_from(host.to_owned()).map_err(|error| error.to_string())?;
    let connected = TlsConnector::from(Arc::new(config)).connect(name, stream);
    let connected = tokio::time::timeout(PATIENCE, connected)
        .await
        .map_err(|_| "it says nothing".to_owned())?;
    let stream = connected.map_err(|error| error.to_string())?;
    let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
    certificates
        .first()
        .and_then(days_left)
        .ok_or_else(|| "it shows no certificate that can be read".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_is_judged_before_anything_is_dialled() {
        for (bundle, told) in [
            ("", "is empty"),
            ("%", "is not base64"),
            ("aGVsbG8=", "is empty"),
        ] {
            assert_eq!(trusted(bundle).unwrap_err(), told);
        }
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        let sound = params.clone().self_signed(&key).unwrap().pem();
        params.not_after = rcgen::date_time_ymd(2001, 1, 1);
        let old = params.self_signed(&key).unwrap().pem();
        assert_eq!(
            trusted(&STANDARD.encode(format!("{old}{sound}")))
                .unwrap()
                .len(),
            1
        );
        assert_eq!(
            trusted(&STANDARD.encode(old)).unwrap_err(),
            "holds expired authorities alone"
        );
    }

    #[test]
    fn a_webhook_is_where_its_configuration_says() {
        for (config, expected) in [
            (
                serde_json::json!({"url": "https://127.0.0.1:9443/validate"}),
                ("127.0.0.1", 9443),
            ),
            (
                serde_json::json!({"url": "https://hook.example/validate"}),
                ("hook.example", 443),
            ),
            (
                serde_json::json!({"service": {"name": "bulkhead-operator", "namespace": "sys"}}),
                ("bulkhead-operator.sys.svc", 443),
            ),
        ] {
            let (host, port) = address(&config, "here");
            assert_eq!((host.as_str(), port), expected);
        }
    }
}
