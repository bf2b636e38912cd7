//! Trusted: the application says who its user is, and is believed.

use bulkhead_tests::policy::Policy;
use bulkhead_tests::postgres::APP_ROLE;
use bulkhead_tests::refusal::Refusal;
use bulkhead_tests::stage::Stage;

use super::seen;

#[tokio::test]
async fn trusted_takes_the_suffix_of_the_role() {
    let stage = Stage::start(Policy::trusted()).await;
    let session = stage.try_name("chat_app+alice").await.unwrap();
    assert_eq!(seen(&session).await.as_deref(), Some("alice"));
    assert_eq!(
        session.text("SELECT current_user").await.as_deref(),
        Some(APP_ROLE)
    );
}

#[tokio::test]
async fn trusted_takes_the_start_up_options_in_all_their_forms() {
    let stage = Stage::start(Policy::trusted()).await;
    for (options, user) in [
        ("-c bulkhead.user=alice", "alice"),
        ("-cbulkhead.user=alice", "alice"),
        ("--bulkhead.user=alice", "alice"),
        ("-c work_mem=5MB -c bulkhead.user=alice", "alice"),
        (r"-c bulkhead.user=alice\ smith", "alice smith"),
        (r"-c bulkhead.user=alice\\smith", r"alice\smith"),
    ] {
        let session = stage
            .try_options(options)
            .await
            .unwrap_or_else(|error| panic!("{options}: {error:?}"));
        assert_eq!(seen(&session).await.as_deref(), Some(user), "{options}");
    }
}

#[tokio::test]
async fn other_start_up_options_still_reach_the_session() {
    let stage = Stage::start(Policy::trusted()).await;
    let options = r"-c bulkhead.user=alice -c work_mem=7MB --search-path=pg_catalog,\ public";
    let session = stage.try_options(options).await.unwrap();
    assert_eq!(session.text("SHOW work_mem").await.as_deref(), Some("7MB"));
    assert_eq!(
        session.text("SHOW search_path").await.as_deref(),
        Some("pg_catalog, public")
    );
}

#[tokio::test]
async fn reserved_names_never_reach_the_server() {
    let stage = Stage::start(Policy::trusted()).await;
    let session = stage.user("alice").await;
    let setting = session
        .text("SELECT current_setting('bulkhead.user', true)")
        .await;
    assert_eq!(setting.unwrap_or_default(), "");
}

#[tokio::test]
async fn a_hostile_id_is_carried_as_it_is_and_never_as_sql() {
    let stage = Stage::start(Policy::trusted()).await;
    for id in [
        "o'brien",
        r#"x"; DROP TABLE notes; --"#,
        "x', false); DELETE FROM things; --",
        r"back\slash",
        "ünïcødé 你好",
        "%s %n $1 {}",
        "a+b@example.org",
        "a=b -c role=postgres",
    ] {
        let escaped = id.replace('\\', r"\\").replace(' ', r"\ ");
        let session = stage
            .try_options(&format!("-c bulkhead.user={escaped}"))
            .await
            .unwrap_or_else(|error| panic!("{id}: {error:?}"));
        assert_eq!(seen(&session).await.as_deref(), Some(id));
        assert_eq!(
            session.text("SELECT current_user").await.as_deref(),
            Some(APP_ROLE)
        );
        session.close().await;
    }
    let admin = stage.admin().await;
    assert_eq!(
        admin.text("SELECT count(*) FROM things").await.as_deref(),
        Some("100")
    );
    assert_eq!(
        admin.text("SELECT count(*) FROM notes").await.as_deref(),
        Some("0")
    );
}

#[tokio::test]
async fn an_id_of_great_length_is_served_whole_or_refused_and_never_cut() {
    let stage = Stage::start(Policy::trusted()).await;
    for length in [63, 64, 128, 255, 256, 1024, 3000] {
        let id = "a".repeat(length);
        match stage.try_options(&format!("-c bulkhead.user={id}")).await {
            Ok(session) => assert_eq!(seen(&session).await, Some(id)),
            Err(error) => assert_eq!(Refusal::from(error).code, "28000"),
        }
    }
}
