//! Every way in that `pg_hba.conf` knows and the sidecar speaks, and what is told when it does not work.

use bulkhead_crds::kinds::TlsMode;
use bulkhead_sidecar::upstream::ConnectError;

use crate::support::Entry;
use crate::support::certificates::Authority;
use crate::support::postgres::Postgres;
use crate::support::query::ask;

fn entry() -> Entry {
    Entry::new("127.0.0.1", Postgres::shared().port)
}

fn pair(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

#[tokio::test]
async fn a_trusted_role_is_ready_for_queries() {
    let mut connection = entry().connect("trusty").await.unwrap();
    let told = |name: &str| connection.parameters.iter().any(|(known, _)| known == name);
    assert!(told("server_version") && told("client_encoding"));
    assert!(connection.leftover.is_empty());
    let pid = connection.pid.unwrap().to_string();
    assert_eq!(
        ask(&mut connection, "SELECT pg_backend_pid()").await,
        Ok(pid)
    );
    assert_eq!(
        ask(&mut connection, "SELECT session_user").await,
        Ok("trusty".to_owned())
    );
}

#[tokio::test]
async fn startup_parameters_reach_the_server_verbatim() {
    let parameters = [
        pair("application_name", "chat"),
        pair("options", "-c search_path=a,\\ b -c geqo=off"),
    ];
    let connected = entry()
        .connect_with("trusty", "template1", &parameters)
        .await;
    let mut connection = connected.unwrap();
    for (sql, shown) in [
        ("SHOW search_path", "a, b"),
        ("SHOW geqo", "off"),
        ("SHOW application_name", "chat"),
        ("SELECT current_database()", "template1"),
    ] {
        assert_eq!(
            ask(&mut connection, sql).await,
            Ok(shown.to_owned()),
            "{sql}"
        );
    }
}

#[tokio::test]
async fn scram_and_md5_log_in_over_plain_tcp() {
    for role in ["scrammy", "md5y"] {
        let entry = entry().credentials(role, "correct horse");
        let mut connection = entry.connect(role).await.unwrap();
        assert_eq!(
            ask(&mut connection, "SELECT session_user").await,
            Ok(role.to_owned())
        );
    }
}

#[tokio::test]
async fn one_connector_serves_many_at_once() {
    let entry = entry().credentials("scrammy", "correct horse");
    let connector = entry.connector();
    let mut connecting = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let connector = connector.clone();
        connecting.spawn(async move {
            let request = bulkhead_sidecar::upstream::ConnectRequest {
                database: "postgres",
                role: "scrammy",
                parameters: &[],
            };
            let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
            connector.connect(&request, deadline).await.map(|c| c.pid)
        });
    }
    let mut pids = std::collections::HashSet::new();
    while let Some(connected) = connecting.join_next().await {
        pids.insert(connected.unwrap().unwrap());
    }
    assert_eq!(pids.len(), 20);
}

#[tokio::test]
async fn a_wrong_password_is_told_in_the_servers_own_words() {
    for role in ["scrammy", "md5y"] {
        let (error, text) = entry().credentials(role, "hunter2").refusal(role).await;
        let ConnectError::Server { fields, .. } = error else {
            panic!("{text}");
        };
        assert_eq!(fields.sqlstate(), Some("28P01"));
        assert_eq!(fields.field(b'S'), Some(&b"FATAL"[..]));
        assert!(!text.contains("hunter2"));
    }
}

#[tokio::test]
async fn the_servers_refusals_pass_through_whole() {
    for (role, database, sqlstate) in [
        ("trusty", "nowhere", "3D000"),
        ("nobody", "postgres", "28000"),
    ] {
        let refused = entry().connect_with(role, database, &[]).await;
        let Err(ConnectError::Server { fields, .. }) = refused else {
            panic!("{refused:?}");
        };
        assert_eq!(fields.sqlstate(), Some(sqlstate));
        assert!(fields.body().ends_with(b"\0\0"));
    }
}

#[tokio::test]
async fn a_missing_password_names_the_field_or_the_file() {
    let (error, text) = entry().refusal("scrammy").await;
    assert!(matches!(error, ConnectError::Credentials { .. }));
    assert!(
        text.contains("databases[main].upstream.credentialsSecretRef"),
        "{text}"
    );

    let entry = entry().credentials("scrammy", "correct horse");
    std::fs::remove_file(entry.secrets.0.join("db").join("password")).unwrap();
    let (error, text) = entry.refusal("scrammy").await;
    assert!(matches!(error, ConnectError::Credentials { .. }));
    assert!(text.contains("db/password"), "{text}");
}

#[tokio::test]
async fn a_password_is_never_sent_in_the_clear() {
    let entry = entry().credentials("cleary", "correct horse");
    let (error, text) = entry.refusal("cleary").await;
    assert!(matches!(error, ConnectError::Authentication { .. }));
    assert!(text.contains("databases[main].upstream.tls.mode"), "{text}");
}

#[tokio::test]
async fn a_clear_text_password_goes_over_tls() {
    let authority = Authority::new();
    let server = Postgres::start(Some(&authority.server(&["localhost"])));
    let entry = Entry::new("localhost", server.port)
        .credentials("cleary", "correct horse")
        .tls(TlsMode::VerifyFull, Some(&authority.pem()));
    let mut connection = entry.connect("cleary").await.unwrap();
    assert_eq!(
        ask(&mut connection, "SELECT session_user").await,
        Ok("cleary".to_owned())
    );
}

#[tokio::test]
async fn a_rotated_password_is_used_at_once() {
    // Given a connector that has logged in,
    let entry = entry().credentials("rotating", "correct horse");
    let connector = entry.connector();
    let request = bulkhead_sidecar::upstream::ConnectRequest {
        database: "postgres",
        role: "rotating",
        parameters: &[],
    };
    let soon = || tokio::time::Instant::now() + std::time::Duration::from_secs(20);
    connector.connect(&request, soon()).await.unwrap();
    assert_eq!(connector.role().as_deref(), Some("rotating"));
    // when the password changes at the server,
    let mut admin = entry.connect("postgres").await.unwrap();
    let sql = "ALTER ROLE rotating PASSWORD 'battery staple'";
    ask(&mut admin, sql).await.unwrap();
    assert!(connector.connect(&request, soon()).await.is_err());
    // then the same connector logs in as soon as the file has it too.
    entry.secret("db", "password", b"battery staple\n");
    connector.connect(&request, soon()).await.unwrap();
}

#[tokio::test]
async fn a_unix_socket_is_a_directory_as_host() {
    let server = Postgres::shared();
    let entry = Entry::new(server.dir.to_str().unwrap(), server.port);
    let mut connection = entry.connect("trusty").await.unwrap();
    let sql = "SELECT coalesce(host(inet_client_addr()), 'unix')";
    assert_eq!(ask(&mut connection, sql).await, Ok("unix".to_owned()));

    let gone = Entry::new("/nowhere", 5432);
    let (error, text) = gone.refusal("trusty").await;
    assert!(matches!(error, ConnectError::Unreachable { .. }));
    assert!(text.contains("/nowhere/.s.PGSQL.5432"), "{text}");
}
