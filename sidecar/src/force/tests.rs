//! What a revision must find before it is in force.

use std::fs;

use bulkhead_crds::kinds::{SecretRef, TlsMode};

use super::*;
use crate::policy::fixtures;

/// Builds a revision whose upstream takes its credentials from the Secret `db`, of which these keys are there.
fn with_credentials(keys: &[&str]) -> Result<Force, ForceError> {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("db")).unwrap();
    for key in keys {
        fs::write(directory.path().join("db").join(key), "x").unwrap();
    }
    let mut main = fixtures::database("main", 5432);
    main.upstream.tls_mode = TlsMode::Disable;
    main.upstream.credentials_secret_ref = Some(SecretRef {
        name: "db".to_owned(),
    });
    let secrets = Arc::new(Secrets::new(Some(directory.path().to_owned())));
    let policy = Arc::new(fixtures::policy(vec![main]));
    Force::build("r1".into(), &policy, &secrets, &Resolver::system(), None)
}

#[test]
fn credentials_that_are_named_must_be_there() {
    assert!(with_credentials(&["username", "password"]).is_ok());
    for (there, missing) in [("username", "db/password"), ("password", "db/username")] {
        let refused = with_credentials(&[there]).unwrap_err().to_string();
        assert!(
            refused.starts_with("databases[main].upstream.credentialsSecretRef: secret ")
                && refused.contains(missing),
            "{refused}"
        );
    }
}
