//! Asks sidecars what they have in force, on their admin ports.
//!
//! A pod's answer is hostile input like any other: it has a time limit, a size limit, and no way to make the operator do anything.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bulkhead_crds::kinds::AttributionCounts;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::TcpStream;

use super::programmed::{Answer, Applicant, ListAnswer, Report};

/// From connecting to the last byte.
const PATIENCE: Duration = Duration::from_secs(2);
/// The largest answer that is read, in bytes.
const LARGEST: usize = 64 * 1024;
/// After so many seconds without a client a listener counts as quiet.
const QUIET: u64 = 600;
/// The longest text that is taken over from a sidecar, in characters.
const LONGEST_TEXT: usize = 200;

/// The protocols that a sidecar counts, as it labels them.
const PROTOCOLS: [&str; 4] = ["clickhouse", "postgresql", "redis", "websocket"];
/// Applications that are taken over from one sidecar; one tells a hundred apart.
const MOST_APPLICATIONS: usize = 128;
/// The longest name of an application, in characters.
const LONGEST_NAME: usize = 63;

/// Of `/revision`, what the operator reads. Older sidecars do not say all of it.
#[derive(Debug, Deserialize)]
struct RevisionReport {
    revision: String,
    #[serde(default)]
    rejection: Option<Rejection>,
    #[serde(default, alias = "pending_restart")]
    #[serde(rename = "pendingRestart")]
    pending_restart: Vec<Pending>,
    #[serde(default)]
    revocations: Option<List>,
    #[serde(default)]
    attributed: u64,
    #[serde(default)]
    total: u64,
    #[serde(default)]
    listeners: Vec<Listener>,
    #[serde(default)]
    inventory: Vec<Application>,
}

/// What an application has come to, in mode `Audit`.
#[derive(Debug, Deserialize)]
struct Application {
    protocol: String,
    application: String,
    connections: Counts,
    queries: Counts,
}

#[derive(Debug, Deserialize)]
struct Counts {
    #[serde(default)]
    verified: u64,
    #[serde(default)]
    claimed: u64,
    #[serde(default)]
    placeholder: u64,
    #[serde(default)]
    unattributed: u64,
}

/// A list of revocations.
#[derive(Debug, Deserialize)]
struct List {
    revision: String,
    #[serde(default)]
    refused: bool,
}

/// A listener, and for how long nobody has come to it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Listener {
    name: String,
    #[serde(default)]
    quiet_seconds: u64,
}

#[derive(Debug, Deserialize)]
struct Rejection {
    #[serde(default)]
    diagnostics: Vec<Diagnostic>,
}

#[derive(Debug, Deserialize)]
struct Diagnostic {
    #[serde(default)]
    severity: String,
    #[serde(default)]
    path: String,
    #[serde(default)]
    message: String,
}

#[derive(Debug, Deserialize)]
struct Pending {
    #[serde(default)]
    path: String,
}

/// Asks the sidecar at this address. Cancel safe: dropping the future closes the connection.
pub async fn ask(address: IpAddr, port: u16) -> Report {
    match tokio::time::timeout(PATIENCE, get(SocketAddr::new(address, port))).await {
        Ok(Ok(body)) => read(&body),
        Ok(Err(why)) => Report::Silent(why),
        Err(_) => Report::Silent(format!("no answer within {} s", PATIENCE.as_secs())),
    }
}

async fn get(address: SocketAddr) -> Result<Bytes, String> {
    let stream = TcpStream::connect(address)
        .await
        .map_err(|error| plain(&error))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| error.to_string())?;
    let request = Request::get("/revision")
        .header("host", address.to_string())
        .body(Empty::<Bytes>::new())
        .map_err(|error| error.to_string())?;
    let exchange = async {
        let response = sender
            .send_request(request)
            .await
            .map_err(|error| error.to_string())?;
        if response.status() != StatusCode::OK {
            return Err(format!("it answers {}", response.status()));
        }
        let body = Limited::new(response.into_body(), LARGEST);
        let body = body.collect().await.map_err(|error| error.to_string())?;
        Ok(body.to_bytes())
    };
    tokio::pin!(exchange);
    tokio::select! {
        body = &mut exchange => body,
        // The connection may end with the last byte of the answer, which is still to be read then.
        _ = connection => exchange.await,
    }
}

/// What the system says, without its number.
fn plain(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        kind => kind.to_string(),
    }
}

fn read(body: &[u8]) -> Report {
    match serde_json::from_slice::<RevisionReport>(body) {
        Ok(report) => Report::Answer(Answer {
            rejection: report.rejection.map(|rejection| why(&rejection)),
            pending_restart: report
                .pending_restart
                .into_iter()
                .map(|pending| cut(&pending.path))
                .collect(),
            revision: cut(&report.revision),
            revocations: report.revocations.map(|list| ListAnswer {
                revision: cut(&list.revision),
                refused: list.refused,
            }),
            quiet: report
                .listeners
                .iter()
                .filter(|listener| listener.quiet_seconds >= QUIET)
                .map(|listener| cut(&listener.name))
                .collect(),
            attributed: report.attributed.min(report.total),
            total: report.total,
            inventory: inventory(report.inventory),
        }),
        Err(error) => Report::Silent(format!("its answer cannot be read: {error}")),
    }
}

/// What is believed of an inventory: so many rows, of protocols that there are, with short names.
fn inventory(applications: Vec<Application>) -> Vec<Applicant> {
    let known = applications.into_iter().filter_map(|it| {
        let mut protocols = PROTOCOLS.into_iter();
        let protocol = protocols.find(|protocol| *protocol == it.protocol)?;
        Some(Applicant {
            protocol,
            application: cut(&it.application).chars().take(LONGEST_NAME).collect(),
            connections: counts(&it.connections),
            queries: counts(&it.queries),
        })
    });
    known.take(MOST_APPLICATIONS).collect()
}

fn counts(counts: &Counts) -> AttributionCounts {
    let shown = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    AttributionCounts {
        verified: shown(counts.verified),
        claimed: shown(counts.claimed),
        placeholder: shown(counts.placeholder),
        unattributed: shown(counts.unattributed),
    }
}

fn why(rejection: &Rejection) -> String {
    let error = rejection
        .diagnostics
        .iter()
        .find(|diagnostic| diagnostic.severity.eq_ignore_ascii_case("error"))
        .or(rejection.diagnostics.first());
    match error {
        Some(error) if error.path.is_empty() => cut(&error.message),
        Some(error) => cut(&format!("{}: {}", error.path, error.message)),
        None => "it does not say why".to_owned(),
    }
}

/// A message is shown in the status: it has one line and an end.
fn cut(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_control())
        .take(LONGEST_TEXT)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read() {
        let body = br#"{"policy":"chat","namespace":"n","environment":"e","revision":"r2","number":2,
            "rejection":{"at":1,"diagnostics":[{"severity":"Warning","path":"a","reason":"R","message":"m"},
                {"severity":"Error","path":"spec.x","reason":"R","message":"bad\nthing"}]},
            "pending_restart":[{"path":"databases[main].listen.port","running":"1","wanted":"2"}],
            "inventory":[{"protocol":"postgresql","application":"we\u0007b","connections":{"verified":1,"claimed":0,"placeholder":0,"unattributed":2},
                    "queries":{"claimed":18446744073709551615}},
                {"protocol":"gopher","application":"x","connections":{},"queries":{}}],
            "attributed":7,"total":9,"revocations":{"revision":"l7","count":3,"refused":false},
            "listeners":[{"name":"main","open":true,"quietSeconds":600},{"name":"busy","open":true,"quietSeconds":0}]}"#;
        let Report::Answer(answer) = read(body) else {
            panic!("it can be read")
        };
        assert_eq!(answer.revision, "r2");
        assert_eq!(answer.rejection.as_deref(), Some("spec.x: badthing"));
        assert_eq!(answer.pending_restart, ["databases[main].listen.port"]);
        assert_eq!((answer.attributed, answer.total), (7, 9));
        assert_eq!(
            answer.revocations.map(|list| list.revision).as_deref(),
            Some("l7")
        );
        let [web] = answer.inventory.as_slice() else {
            panic!("one protocol is none of ours: {:?}", answer.inventory)
        };
        assert_eq!(
            (web.protocol, web.application.as_str()),
            ("postgresql", "web")
        );
        assert_eq!(
            (web.connections.total(), web.queries.claimed),
            (3, i64::MAX)
        );
        assert_eq!(answer.quiet.into_iter().collect::<Vec<_>>(), ["main"]);
    }

    #[test]
    fn an_older_sidecar_says_less_and_a_lying_one_gains_nothing() {
        let Report::Answer(answer) = read(br#"{"revision":"r1","attributed":5,"total":2}"#) else {
            panic!("it can be read")
        };
        assert_eq!((answer.attributed, answer.total), (2, 2));
        for body in [&b"{}"[..], b"", b"[1]", b"{\"revision\":7}"] {
            assert!(matches!(read(body), Report::Silent(_)));
        }
    }

    #[tokio::test]
    async fn a_port_that_nobody_listens_on_is_told_plainly() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let report = ask("127.0.0.1".parse().unwrap(), port).await;
        assert_eq!(report, Report::Silent("connection refused".to_owned()));
    }

    #[tokio::test]
    async fn an_endless_answer_ends_at_the_limit() {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 512];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
            while stream.write_all(&[b'x'; 4096]).await.is_ok() {}
        });
        let Report::Silent(why) = ask(address.ip(), address.port()).await else {
            panic!("no such answer is read")
        };
        assert!(why.contains("limit"), "{why}");
    }
}
