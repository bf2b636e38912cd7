//! Getting a key set over HTTP: one bounded request, no redirects.
//!
//! Lives here: TLS, the request and its limits, and below it the address's rules and DNS. May not live here: when to fetch, and
//! what the document says.

mod address;
mod dns;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::header::{ACCEPT, CACHE_CONTROL, HeaderMap, USER_AGENT};
use hyper::{Request, StatusCode, Uri};
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::ClientConfig;
use thiserror::Error;

use super::keys::MAX_JWKS;
use address::allowed;
use dns::Dns;

/// From the lookup of the name to the last byte.
const TIMEOUT: Duration = Duration::from_secs(5);

/// What may be fetched, and how.
pub(super) struct Fetcher {
    uri: Uri,
    client: Client<HttpsConnector<HttpConnector<Dns>>, Empty<Bytes>>,
}

/// A document, and how long its server says that it holds.
#[derive(Debug)]
pub(super) struct Fetched {
    pub(super) body: Bytes,
    pub(super) max_age: Option<Duration>,
}

/// Why nothing was fetched.
#[derive(Debug, Error)]
pub(super) enum FetchError {
    #[error("no answer within {} s", TIMEOUT.as_secs())]
    Timeout,
    #[error("{0}")]
    Request(String),
    #[error("the answer has status {code}{}", redirected(*.code))]
    Status { code: u16 },
    #[error("the body cannot be read, or has more than {MAX_JWKS} bytes: {0}")]
    Body(String),
}

impl Fetcher {
    /// Prepares to fetch `uri`, trusting the machine's certificate authorities, or Mozilla's where the machine has none.
    ///
    /// # Errors
    /// A sentence about the address, where it may not be used.
    pub(super) fn new(uri: &str) -> Result<Self, String> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = || {
            ClientConfig::builder_with_provider(Arc::clone(&provider))
                .with_safe_default_protocol_versions()
        };
        let tls = match builder()
            .map_err(|error| error.to_string())?
            .with_native_roots()
        {
            Ok(trusting) => trusting,
            Err(_) => builder()
                .map_err(|error| error.to_string())?
                .with_webpki_roots(),
        };
        Self::trusting(uri, tls.with_no_client_auth())
    }

    fn trusting(uri: &str, tls: ClientConfig) -> Result<Self, String> {
        let uri = allowed(uri)?;
        let mut http = HttpConnector::new_with_resolver(Dns);
        http.enforce_http(false);
        http.set_connect_timeout(Some(TIMEOUT));
        let https = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(http);
        // Fetches are minutes apart, and each worker has a runtime of its own: no connection is kept.
        let client = Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(0)
            .build(https);
        Ok(Self { uri, client })
    }

    /// The address, for logs.
    pub(super) const fn uri(&self) -> &Uri {
        &self.uri
    }

    /// Fetches once. Dropping the future gives the request up.
    pub(super) async fn get(&self) -> Result<Fetched, FetchError> {
        tokio::time::timeout(TIMEOUT, self.exchange())
            .await
            .map_err(|_| FetchError::Timeout)?
    }

    async fn exchange(&self) -> Result<Fetched, FetchError> {
        let request = Request::get(self.uri.clone())
            .header(ACCEPT, "application/json")
            .header(
                USER_AGENT,
                concat!("bulkhead-sidecar/", env!("CARGO_PKG_VERSION")),
            )
            .body(Empty::new())
            .map_err(|error| FetchError::Request(chain(&error)))?;
        let response = self
            .client
            .request(request)
            .await
            .map_err(|error| FetchError::Request(chain(&error)))?;
        if response.status() != StatusCode::OK {
            return Err(FetchError::Status {
                code: response.status().as_u16(),
            });
        }
        let max_age = max_age(response.headers());
        let body = Limited::new(response.into_body(), MAX_JWKS)
            .collect()
            .await
            .map_err(|error| FetchError::Body(chain(&*error)))?;
        Ok(Fetched {
            body: body.to_bytes(),
            max_age,
        })
    }
}

/// `max-age` of Cache-Control (RFC 9111, section 5.2.2); zero where storing is not wanted.
fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let values = headers
        .get_all(CACHE_CONTROL)
        .iter()
        .filter_map(|value| value.to_str().ok());
    let mut found = None;
    for directive in values
        .flat_map(|value| value.split(','))
        .map(|directive| directive.trim().to_ascii_lowercase())
    {
        if directive == "no-store" || directive == "no-cache" {
            return Some(Duration::ZERO);
        }
        if let Some(seconds) = directive.strip_prefix("max-age=") {
            found = seconds
                .trim_matches('"')
                .parse()
                .ok()
                .map(Duration::from_secs)
                .or(found);
        }
    }
    found
}

const fn redirected(status: u16) -> &'static str {
    if matches!(status, 300..=399) {
        "; redirects are not followed: write the final address"
    } else {
        ""
    }
}

/// An error with its causes: hyper's own texts stop at "client error (Connect)".
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::Full;
    use hyper::Response;
    use hyper::server::conn::http1;
    use hyper::service::service_fn;
    use hyper_util::rt::TokioIo;
    use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
    use rustls::{RootCertStore, ServerConfig};
    use std::convert::Infallible;
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    /// A TLS client that trusts `roots` and nobody else.
    fn trusting(roots: &[CertificateDer<'static>]) -> ClientConfig {
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(roots.iter().cloned());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap();
        builder.with_root_certificates(store).with_no_client_auth()
    }

    /// Serves `{"keys":[]}` over TLS for `localhost`; gives its port and its certificate.
    async fn serve_tls() -> (u16, CertificateDer<'static>) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let certificate = made.cert.der().clone();
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap();
        let config = builder
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key.into())
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let Ok(stream) = acceptor.accept(stream).await else {
                    continue;
                };
                let service = service_fn(|_| async {
                    let response = Response::builder().header(CACHE_CONTROL, "max-age=300");
                    Ok::<_, Infallible>(
                        response
                            .body(Full::new(Bytes::from_static(b"{\"keys\":[]}")))
                            .unwrap(),
                    )
                });
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        (port, certificate)
    }

    #[tokio::test]
    async fn over_https_the_server_must_prove_its_name() {
        let (port, certificate) = serve_tls().await;
        let get = async |host: &str, tls| {
            Fetcher::trusting(&format!("https://{host}:{port}/"), tls)
                .unwrap()
                .get()
                .await
        };

        let fetched = get("localhost", trusting(std::slice::from_ref(&certificate)))
            .await
            .unwrap();
        assert_eq!(&fetched.body[..], b"{\"keys\":[]}");
        assert_eq!(fetched.max_age, Some(Duration::from_secs(300)));

        let stranger = get("localhost", trusting(&[]))
            .await
            .unwrap_err()
            .to_string();
        assert!(stranger.contains("certificate"), "{stranger}");
        let other_name = get("127.0.0.1", trusting(&[certificate]))
            .await
            .unwrap_err()
            .to_string();
        assert!(other_name.contains("certificate"), "{other_name}");
    }

    #[test]
    fn the_trusted_authorities_are_never_none() {
        assert!(Fetcher::new("https://id.example.com/jwks.json").is_ok());
    }

    #[test]
    fn cache_control_is_read() {
        let of = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(CACHE_CONTROL, value.parse().unwrap());
            }
            max_age(&headers).map(|age| age.as_secs())
        };
        assert_eq!(of(&[]), None);
        assert_eq!(of(&["public, Max-Age=600, must-revalidate"]), Some(600));
        assert_eq!(of(&["public", "max-age=\"60\""]), Some(60));
        assert_eq!(of(&["max-age=600, no-store"]), Some(0));
        assert_eq!(of(&["max-age=-1"]), None);
        assert_eq!(of(&["max-age=99999999999999999999999"]), None);
    }
}
