//! What a revision must find before it is in force.

use std::fs;

use bulkhead_crds::effective::EffectiveDatabase;
use bulkhead_crds::kinds::{RowLevelSecurity, SecretRef, Tier, TlsMode};

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

#[test]
fn what_reset_or_row_level_security_goes_by_opens_new_connections() {
    type Change = fn(&mut EffectivePolicy);
    let build = |policy: EffectivePolicy, before: Option<&Force>| {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("signing")).unwrap();
        let line = "k BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";
        fs::write(directory.path().join("signing/signing-keys"), line).unwrap();
        let secrets = Arc::new(Secrets::new(Some(directory.path().to_owned())));
        Force::build(
            "r".into(),
            &Arc::new(policy),
            &secrets,
            &Resolver::system(),
            before,
        )
        .unwrap()
    };
    let signs = |database: &mut EffectiveDatabase| {
        database.row_level_security = RowLevelSecurity::Signed;
        database.signing_key_secret_ref = Some(bulkhead_crds::kinds::SecretKeyRef {
            name: "signing".to_owned(),
            key: None,
        });
    };
    let mut main = fixtures::database("main", 5432);
    main.upstream.tls_mode = TlsMode::Disable;
    let policy = fixtures::policy(vec![main]);
    let cases: [(Change, u64); 5] = [
        (|_| {}, 0),
        (|policy| policy.databases[0].pool.max_connections = 7, 0),
        (|policy| policy.isolation.tier = Tier::Reset, 1),
        (
            |policy| policy.databases[0].user_parameter = Some("app.user".to_owned()),
            1,
        ),
        (|policy| policy.databases[0].upstream.port = 5433, 1),
    ];
    let before = build(policy.clone(), None);
    for (change, epoch) in cases {
        let mut next = policy.clone();
        change(&mut next);
        assert_eq!(build(next, Some(&before)).databases[0].epoch, epoch);
    }
    let mut next = policy.clone();
    signs(&mut next.databases[0]);
    let after = build(next, Some(&before));
    assert_eq!(after.databases[0].epoch, 1);
    assert!(after.databases[0].signing.is_some() && before.databases[0].signing.is_none());
}
