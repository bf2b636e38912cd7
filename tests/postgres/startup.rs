//! What a client may ask for at start-up, what it may not, and where it may come from.

use bulkhead_tests::policy::Policy;
use bulkhead_tests::refusal::Refusal;
use bulkhead_tests::stage::Stage;
use bulkhead_tests::wire::{V3_0, Wire};

/// Logs alice in with a start-up parameter of her own.
async fn alice_with(
    wire: &mut Wire,
    stage: &Stage,
    parameter: (&str, &str),
) -> Result<(), Refusal> {
    let database = stage.database.as_str();
    wire.login(&[
        ("user", "chat_app+alice"),
        ("database", database),
        parameter,
    ])
    .await
}

#[tokio::test]
async fn start_up_parameters_are_the_clients_own() {
    let stage = Stage::start(Policy::trusted()).await;
    let mut wire = stage.wire().await;
    wire.login(&[
        ("user", "chat_app+alice"),
        ("database", &stage.database),
        ("application_name", "a; b' c\""),
        ("DateStyle", "German"),
        ("extra_float_digits", "2"),
        ("client_encoding", "UTF8"),
        ("search_path", "\"$user\", public"),
    ])
    .await
    .unwrap();
    assert_eq!(wire.parameters["application_name"], "a; b' c\"");
    assert!(wire.parameters["DateStyle"].starts_with("German"));
    assert_eq!(
        wire.query("SHOW search_path").await.value().as_deref(),
        Some("\"$user\", public")
    );
    assert_eq!(
        wire.query("SHOW extra_float_digits")
            .await
            .value()
            .as_deref(),
        Some("2")
    );
    assert_eq!(
        wire.query("SHOW application_name").await.value().as_deref(),
        Some("a; b' c\"")
    );
}

#[tokio::test]
async fn a_login_tells_what_the_server_would() {
    let stage = Stage::start(Policy::trusted()).await;
    let mut wire = stage.wire().await;
    let login = wire
        .login_as(
            V3_0,
            &[("user", "chat_app+alice"), ("database", &stage.database)],
        )
        .await
        .unwrap();
    assert_eq!(login.tags(), "RKZ");
    for name in [
        "server_version",
        "server_encoding",
        "client_encoding",
        "DateStyle",
        "TimeZone",
        "IntervalStyle",
        "integer_datetimes",
        "standard_conforming_strings",
        "is_superuser",
        "session_authorization",
    ] {
        assert!(wire.parameters.contains_key(name), "{name} is not reported");
    }
    assert_eq!(wire.parameters["is_superuser"], "off");
    assert_eq!(wire.parameters["session_authorization"], "chat_app");
}

#[tokio::test]
async fn a_parameter_that_does_not_exist_is_the_servers_word() {
    let stage = Stage::start(Policy::trusted()).await;
    for (name, value, code) in [
        ("no_such_parameter", "1", "42704"),
        ("work_mem", "much", "22023"),
    ] {
        let mut wire = stage.wire().await;
        let login = alice_with(&mut wire, &stage, (name, value)).await;
        let refusal = login.unwrap_err();
        assert_eq!(refusal.code, code, "{refusal:?}");
    }
    // It has spoilt nothing for others.
    assert_eq!(
        stage.user("alice").await.text("SELECT 1").await.as_deref(),
        Some("1")
    );
}

#[tokio::test]
async fn nobody_starts_as_another_role_or_another_user() {
    let stage = Stage::start(Policy::trusted()).await;
    for parameter in [
        ("app.user_id", "bob"),
        ("APP.USER_ID", "bob"),
        ("role", "chat_reader"),
        ("session_authorization", "postgres"),
    ] {
        let mut wire = stage.wire().await;
        if alice_with(&mut wire, &stage, parameter).await.is_ok() {
            let seen = wire
                .query("SELECT current_setting('app.user_id'), current_user, session_user")
                .await;
            let row: Vec<_> = seen.rows().concat().into_iter().flatten().collect();
            assert_eq!(row, ["alice", "chat_app", "chat_app"], "{parameter:?}");
        }
    }
    for options in [
        "-c app.user_id=bob",
        "-c role=chat_reader",
        "--App.User-Id=bob",
        "-c session_authorization=chat_reader",
    ] {
        let login = stage
            .try_options(&format!("-c bulkhead.user=alice {options}"))
            .await;
        if let Ok(session) = login {
            let rows = session
                .rows("SELECT current_setting('app.user_id'), current_user")
                .await;
            assert_eq!(
                rows.concat(),
                [Some("alice".to_owned()), Some("chat_app".to_owned())],
                "{options}"
            );
        }
    }
}

#[tokio::test]
async fn reserved_parameters_are_read_or_refused_and_never_passed_on() {
    let stage = Stage::start(Policy::trusted()).await;
    for parameter in [
        ("bulkhead.user", "bob"),
        ("bulkhead.unknown", "1"),
        ("BULKHEAD.User", "bob"),
    ] {
        let mut wire = stage.wire().await;
        if alice_with(&mut wire, &stage, parameter).await.is_ok() {
            for name in ["bulkhead.user", "bulkhead.unknown"] {
                let seen = wire
                    .query(&format!(
                        "SELECT coalesce(current_setting('{name}', true), '')"
                    ))
                    .await;
                assert_eq!(
                    seen.value().as_deref(),
                    Some(""),
                    "{parameter:?} has reached the server"
                );
            }
        }
    }
    // One reserved name whose meaning is unknown is not passed over in silence.
    let login = stage
        .try_options("-c bulkhead.user=alice -c bulkhead.tenant=x")
        .await;
    assert!(
        login.is_err(),
        "bulkhead.tenant means nothing, and nobody said so"
    );
}

#[tokio::test]
async fn another_role_than_the_credentials_is_refused() {
    let stage = Stage::start(Policy::trusted()).await;
    for role in ["postgres+alice", "chat_tls+alice", "CHAT_APP+alice"] {
        let refusal = Refusal::from(stage.try_name(role).await.map(|_| ()).unwrap_err());
        assert_eq!(refusal.code, "28000", "{role}: {refusal:?}");
    }
}

#[tokio::test]
async fn replication_is_refused_in_so_many_words() {
    let stage = Stage::start(Policy::trusted()).await;
    for value in ["database", "true", "on", "1"] {
        let mut wire = stage.wire().await;
        let refusal = wire
            .login(&[
                ("user", "chat_app+alice"),
                ("database", &stage.database),
                ("replication", value),
            ])
            .await
            .unwrap_err();
        assert_eq!(refusal.code, "0A000", "{refusal:?}");
    }
    let mut wire = stage.wire().await;
    let plain = wire
        .login(&[
            ("user", "chat_app+alice"),
            ("database", &stage.database),
            ("replication", "false"),
        ])
        .await;
    assert!(plain.is_ok(), "{plain:?}");
}

#[tokio::test]
async fn without_a_database_the_roles_name_is_meant_as_on_a_server() {
    let stage = Stage::start(Policy::trusted()).await;
    let mut wire = stage.wire().await;
    let refusal = wire.login(&[("user", "chat_app+alice")]).await.unwrap_err();
    assert_eq!(refusal.code, "3D000", "{refusal:?}");
    assert!(refusal.says("\"chat_app\""), "{refusal:?}");
}

#[tokio::test]
async fn many_application_names_need_no_server_connection_each() {
    // Given a user whose only connection is busy,
    let stage = Stage::start(
        Policy::trusted()
            .pool("perUser: {max: 1}")
            .timeouts("acquire: 1s"),
    )
    .await;
    let holder = stage.user("alice").await;
    holder.run("BEGIN; SELECT 1").await;
    // then more of their clients may still log in, whatever they are called.
    for name in ["web-1", "web-2", "worker-77"] {
        let mut config = stage.config();
        config
            .application_name(name)
            .options("-c bulkhead.user=alice");
        let login = bulkhead_tests::session::connect(&config).await;
        assert!(login.is_ok(), "{name}: {:?}", login.err());
    }
    holder.run("COMMIT").await;
}

#[tokio::test]
async fn the_upstream_may_be_a_unix_socket() {
    let server = bulkhead_tests::postgres::Server::shared();
    let folder = server.place().socket.display().to_string();
    let stage =
        Stage::start(Policy::trusted().database(&format!("upstream: {{host: {folder}}}"))).await;
    let alice = stage.user("alice").await;
    assert_eq!(alice.text("SELECT 1").await.as_deref(), Some("1"));
    let address = alice
        .rows("SELECT client_addr FROM pg_stat_activity WHERE pid = pg_backend_pid()")
        .await;
    assert_eq!(address, [[None]]);
    // Cancels find their way too.
    let admin = stage.admin().await;
    let refusal = stage.cancelled_asleep(&admin, &alice).await;
    assert_eq!(refusal.code, "57014");
}

#[tokio::test]
async fn two_databases_of_one_policy_are_apart() {
    let stage = Stage::start(Policy::trusted()).await;
    let other = bulkhead_tests::postgres::Server::shared().database().await;
    // One listener serves every database of its server, each with factories of its own.
    let mut config = stage.config();
    config.dbname(&other).options("-c bulkhead.user=alice");
    let there = bulkhead_tests::session::connect(&config).await.unwrap();
    let here = stage.user("alice").await;
    there.run("INSERT INTO things VALUES (950, 'there')").await;
    assert_eq!(
        there.text("SELECT current_database()").await.as_deref(),
        Some(other.as_str())
    );
    assert_eq!(
        here.text("SELECT count(*) FROM things WHERE id = 950")
            .await
            .as_deref(),
        Some("0")
    );
    assert_ne!(here.server_pid().await, there.server_pid().await);
}
