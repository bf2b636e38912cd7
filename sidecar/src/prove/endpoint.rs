//! Any other pooler, by its address: the suite's users log in there as two clients of it.

use std::sync::Arc;
use std::time::Duration;

use bulkhead_crds::effective::EffectiveDatabase;
use serde_json::json;
use thiserror::Error;

use super::cell::Pair;
use super::client::Caller;
use super::suite::Doors;
use crate::secrets::{SecretText, Secrets};
use crate::upstream::{Connector, Resolver, UpstreamError};

/// A pooler, and how two of its users log in.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Its host name or address, or (leading `/`) the folder of its Unix socket.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The database.
    pub database: String,
    /// User A: role and start-up options.
    pub a: (String, String),
    /// User B.
    pub b: (String, String),
    /// The password of both; none: none is asked for.
    pub password: Option<SecretText>,
    /// How long one answer may take. It is also how long B waits where A keeps the only server connection.
    pub patience: Duration,
}

/// Why there is no way to a pooler.
#[derive(Debug, Error)]
pub enum EndpointError {
    /// `--endpoint`.
    #[error("--endpoint {0}: write HOST:PORT, [ADDRESS]:PORT or /FOLDER:PORT")]
    Malformed(String),
    /// The address.
    #[error("--endpoint: {0}")]
    Address(String),
    /// The password file.
    #[error("--password-file: {0}")]
    Password(String),
    /// The way.
    #[error(transparent)]
    Way(#[from] UpstreamError),
}

/// `HOST:PORT` in its parts.
///
/// # Errors
/// It is none.
pub fn address(text: &str) -> Result<(String, u16), EndpointError> {
    let malformed = || EndpointError::Malformed(text.to_owned());
    let (host, port) = text.rsplit_once(':').ok_or_else(malformed)?;
    let bare = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(host);
    match port.parse() {
        Ok(port) if port > 0 && !bare.is_empty() => Ok((bare.to_owned(), port)),
        _ => Err(malformed()),
    }
}

impl Endpoint {
    /// The ways to it.
    ///
    /// # Errors
    /// See [`EndpointError`].
    pub fn doors(&self, resolver: &Resolver) -> Result<Doors, EndpointError> {
        let way = self.way()?;
        // Nothing of the policy's is read on this way.
        let secrets = Arc::new(Secrets::new(None));
        let connector = match &self.password {
            Some(password) => Connector::with_password(&way, password.clone(), &secrets, resolver)?,
            None => Connector::new(&way, &secrets, resolver)?,
        };
        let caller = |(role, options): &(String, String)| Caller {
            connector: connector.clone(),
            database: self.database.clone(),
            role: role.clone(),
            options: options.clone(),
            patience: self.patience,
        };
        Ok(Doors {
            tight: Pair {
                a: caller(&self.a),
                b: caller(&self.b),
            },
            roomy: None,
            held: false,
            rests_on_reset: false,
        })
    }

    /// Nobody listens for this entry, but one that listened where it dials would be refused.
    const fn any_other_port(&self) -> u16 {
        if self.port == 1 { 2 } else { 1 }
    }

    /// The endpoint as an entry of a policy, which is what is dialled.
    fn way(&self) -> Result<EffectiveDatabase, EndpointError> {
        let policy = json!({
            "apiVersion": "bulkhead.dev/v1alpha1",
            "kind": "IsolationPolicy",
            "metadata": {"name": "endpoint"},
            "spec": {
                "selector": {"matchLabels": {"app": "prove"}},
                "identity": {"source": "Trusted"},
                "databases": [{
                    "name": "endpoint",
                    "protocol": "PostgreSQL",
                    "listen": {"port": self.any_other_port(), "auth": {"mode": "Trust"}},
                    "upstream": {"host": self.host, "port": self.port, "tls": {"mode": "Disable"}},
                }],
            },
        });
        let wrong = |what: &dyn std::fmt::Display| EndpointError::Address(what.to_string());
        // JSON is YAML.
        let policy = bulkhead_crds::load(&policy.to_string()).map_err(|error| wrong(&error))?;
        let resolved = bulkhead_crds::resolve(&policy, "prove").map_err(|findings| {
            let first = findings.first().map(|finding| finding.message.clone());
            wrong(&first.unwrap_or_default())
        })?;
        let found = resolved.databases.into_iter().next();
        found.ok_or_else(|| wrong(&"it cannot be dialled"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_host_and_a_port() {
        for (text, host, port) in [
            ("127.0.0.1:6432", "127.0.0.1", 6432),
            ("pooler.internal:5432", "pooler.internal", 5432),
            ("[::1]:6432", "::1", 6432),
            ("/run/pgbouncer:6432", "/run/pgbouncer", 6432),
        ] {
            assert_eq!(address(text).unwrap(), (host.to_owned(), port));
        }
        for text in ["", "host", "host:", ":5432", "host:0", "host:x"] {
            assert!(address(text).is_err(), "{text}");
        }
    }

    #[test]
    fn it_is_dialled_like_an_upstream_whatever_its_port() {
        for port in [1, 2, 6432] {
            let doors = at(port).doors(&Resolver::system()).unwrap();
            assert!(doors.roomy.is_none() && !doors.rests_on_reset, "{port}");
        }
    }

    fn at(port: u16) -> Endpoint {
        Endpoint {
            host: "127.0.0.1".to_owned(),
            port,
            database: "chat".to_owned(),
            a: ("app".to_owned(), String::new()),
            b: ("app".to_owned(), String::new()),
            password: None,
            patience: Duration::from_secs(1),
        }
    }
}
