//! The upstreams of a policy, reached from here as the policy says.

use std::path::Path;
use std::time::Instant;

use bulkhead_crds::effective::{EffectiveDatabase, EffectiveHost};
use bulkhead_crds::kinds::{Protocol, TlsMode};
use bulkhead_crds::{load, resolve};
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{ConnectOptions as _, Connection as _, Row as _};

use super::outcome::Outcome;

/// A check for each database of the policy in this environment.
pub(super) async fn all(file: &Path, environment: &str, secrets: Option<&Path>) -> Vec<Outcome> {
    let check = format!("policy {}", file.display());
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) => {
            return vec![Outcome::failed(
                check,
                error.to_string(),
                "name a file with one IsolationPolicy",
            )];
        }
    };
    let policy = match load(&text) {
        Ok(policy) => policy,
        Err(error) => {
            return vec![Outcome::failed(
                check,
                error.to_string(),
                "bulkhead-operator lint names file and line",
            )];
        }
    };
    let effective = match resolve(&policy, environment) {
        Ok(effective) => effective,
        Err(findings) => {
            let all: Vec<String> = findings
                .iter()
                .map(|it| format!("{}: {}", it.path, it.message))
                .collect();
            return vec![Outcome::failed(
                check,
                all.join("; "),
                "bulkhead-operator lint names file and line",
            )];
        }
    };
    let mut outcomes = Vec::new();
    for database in &effective.databases {
        for host in database.upstream.hosts() {
            outcomes.push(reach(database, &host, secrets).await);
        }
    }
    outcomes
}

async fn reach(
    database: &EffectiveDatabase,
    upstream: &EffectiveHost,
    secrets: Option<&Path>,
) -> Outcome {
    let check = format!("upstream {}", database.name);
    if database.protocol != Protocol::PostgreSQL {
        return Outcome::skipped(
            check,
            format!("{:?} is not probed from here", database.protocol),
            "bulkhead-sidecar check --policy FILE reaches it",
        );
    }
    let options = match options(database, upstream, secrets) {
        Ok(options) => options,
        Err((message, hint)) => return Outcome::failed(check, message, hint),
    };
    let at = upstream.to_string();
    let began = Instant::now();
    match tokio::time::timeout(database.timeouts.connect, ask(options)).await {
        Ok(Ok(version)) => {
            let took = began.elapsed().as_millis();
            Outcome::passed(
                check,
                format!(
                    "{at} is PostgreSQL {version}, in {took} ms of the {} ms that timeouts.connect grants",
                    database.timeouts.connect.as_millis()
                ),
            )
        }
        Ok(Err(error)) => Outcome::failed(check, format!("{at}: {error}"), hint(&error, database)),
        Err(_) => Outcome::failed(
            check,
            format!(
                "{at} has not answered within timeouts.connect, {} ms",
                database.timeouts.connect.as_millis()
            ),
            format!(
                "is it asleep, or does a firewall drop it? databases[{}].timeouts.connect says how long to wait",
                database.name
            ),
        ),
    }
}

async fn ask(options: PgConnectOptions) -> Result<String, sqlx::Error> {
    let mut connection = options.connect().await?;
    let row = sqlx::query("SHOW server_version")
        .fetch_one(&mut connection)
        .await?;
    let version = row.try_get(0)?;
    connection.close().await?;
    Ok(version)
}

type Missing = (String, String);

fn options(
    database: &EffectiveDatabase,
    at: &EffectiveHost,
    secrets: Option<&Path>,
) -> Result<PgConnectOptions, Missing> {
    let upstream = &database.upstream;
    let mut options = PgConnectOptions::new_without_pgpass()
        .port(at.port)
        .application_name("bulkhead-operator check")
        .ssl_mode(match upstream.tls_mode {
            TlsMode::Disable => PgSslMode::Disable,
            TlsMode::Require => PgSslMode::Require,
            TlsMode::VerifyCa => PgSslMode::VerifyCa,
            TlsMode::VerifyFull => PgSslMode::VerifyFull,
        });
    options = match at.host.strip_prefix('/') {
        Some(_) => options.socket(&at.host),
        None => options.host(&at.host),
    };
    if let Some(name) = &upstream.database {
        options = options.database(name);
    }
    let Some(credentials) = &upstream.credentials_secret_ref else {
        return Err((
            "the policy names no credentials of its own, so only the application can log in"
                .to_owned(),
            format!("databases[{}].upstream.credentialsSecretRef", database.name),
        ));
    };
    options = options.username(&secret(secrets, &credentials.name, "username")?);
    options = options.password(&secret(secrets, &credentials.name, "password")?);
    if let Some(authority) = &upstream.tls_ca_secret_ref {
        options = options
            .ssl_root_cert_from_pem(secret(secrets, &authority.name, "ca.crt")?.into_bytes());
    }
    Ok(options)
}

/// The file of a Secret's key, without the line's end that editors add.
fn secret(folder: Option<&Path>, name: &str, key: &str) -> Result<String, Missing> {
    let hint = format!("write it to DIR/{name}/{key}, and name DIR by --secrets");
    let Some(folder) = folder else {
        return Err((format!("the Secret {name} is not at hand"), hint));
    };
    let path = folder.join(name).join(key);
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(text.trim_end_matches(['\r', '\n']).to_owned()),
        Err(error) => Err((format!("{}: {error}", path.display()), hint)),
    }
}

fn hint(error: &sqlx::Error, database: &EffectiveDatabase) -> String {
    let field = |name: &str| format!("databases[{}].upstream.{name}", database.name);
    match error {
        sqlx::Error::Database(error) if error.code().is_some_and(|code| code.starts_with("28")) => {
            format!(
                "are username and password of {} the database's?",
                field("credentialsSecretRef")
            )
        }
        sqlx::Error::Database(error) if error.code().is_some_and(|code| code == "3D000") => {
            format!("see {}", field("database"))
        }
        error if is_tls(error) => {
            format!("see {} and {}", field("tls.mode"), field("tls.caSecretRef"))
        }
        _ => format!("see {} and {}", field("host"), field("port")),
    }
}

/// A handshake that fails is an error of the stream that it was on.
fn is_tls(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Tls(_) => true,
        sqlx::Error::Io(error) => error
            .get_ref()
            .is_some_and(|inner| inner.is::<rustls::Error>()),
        _ => false,
    }
}
