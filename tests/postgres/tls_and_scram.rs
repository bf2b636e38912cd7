//! Encryption and passwords on both sides of the sidecar.

mod client;
mod upstream;

use bulkhead_tests::policy::Policy;

fn upstream(tls: &str, host: &str) -> Policy {
    Policy::trusted().database(&format!(
        "upstream: {{host: {host}, tls: {{mode: {tls}, caSecretRef: {{name: ca}}}}}}"
    ))
}

/// Whether the server connection that answers is encrypted.
const ENCRYPTED: &str = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
