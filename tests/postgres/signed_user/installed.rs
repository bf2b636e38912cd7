//! What an administrator installs, and what is said where that is missing.

use super::world::{Key, World, bodies};

#[tokio::test]
async fn each_user_sees_their_own_rows_and_writes_no_others() {
    let world = World::new(|policy| policy).await;
    let (alice, bob) = (world.user("alice").await, world.user("bob").await);
    for _ in 0..3 {
        assert_eq!(bodies(&alice).await, ["hers"]);
        assert_eq!(bodies(&bob).await, ["his"]);
    }
    let refusal = bob
        .refused("INSERT INTO secrets VALUES ('alice', 'forged')")
        .await;
    assert_eq!(refusal.code, "42501");
    bob.run("INSERT INTO secrets VALUES ('bob', 'more')").await;
    assert_eq!(bodies(&bob).await, ["his", "more"]);
}

#[tokio::test]
async fn the_file_can_be_run_again_and_taken_out() {
    let world = World::new(|policy| policy).await;
    let alice = world.user("alice").await;
    assert_eq!(bodies(&alice).await, ["hers"]);
    world.install();
    assert_eq!(
        bodies(&alice).await,
        ["hers"],
        "its keys and sessions go on"
    );
    // What a policy depends on is not taken from under it.
    let held = world.psql(&["sql", "signed-user", "--uninstall"], "chat_app");
    let told = String::from_utf8_lossy(&held.stderr).into_owned();
    assert!(
        !held.status.success() && told.contains("policy own on table"),
        "{told}"
    );
    world.admin.run("DROP POLICY own ON secrets").await;
    let gone = world.psql(&["sql", "signed-user", "--uninstall"], "chat_app");
    assert!(gone.status.success(), "{gone:?}");
    let left = "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'bulkhead_' || current_database()";
    assert_eq!(world.admin.text(left).await.as_deref(), Some("0"));
}

#[tokio::test]
async fn what_would_prove_nothing_is_not_installed() {
    let world = World::bare(|policy| policy).await;
    let admin = &world.admin;
    let name = &world.stage.database;
    admin
        .run(&format!("CREATE ROLE lord_{name} LOGIN BYPASSRLS"))
        .await;
    admin
        .run(&format!("CREATE ROLE {} NOLOGIN", world.owner()))
        .await;
    admin
        .run(&format!(
            "CREATE ROLE kin_{name} LOGIN IN ROLE {}",
            world.owner()
        ))
        .await;
    for (app, told) in [
        ("nobody_at_all".to_owned(), "does not exist"),
        (format!("lord_{name}"), "BYPASSRLS"),
        (format!("kin_{name}"), "is a member of"),
    ] {
        let refused = world.psql(&["sql", "signed-user"], &app);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(
            !refused.status.success() && said.contains(told),
            "{app}: {said}"
        );
    }
    // A schema that was there before could hold anything.
    admin
        .run("CREATE SCHEMA bulkhead AUTHORIZATION chat_app")
        .await;
    let refused = world.psql(&["sql", "signed-user"], "chat_app");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        !refused.status.success() && said.contains("chat_app"),
        "{said}"
    );
}

#[tokio::test]
async fn the_application_cannot_become_the_owner() {
    let world = World::new(|policy| policy).await;
    let owner = world.owner();
    let refused = world
        .admin
        .refused(&format!("GRANT {owner} TO chat_app"))
        .await;
    assert!(
        refused.message.contains("is a member of role"),
        "{refused:?}"
    );
    let bob = world.user("bob").await;
    assert_eq!(
        bob.refused(&format!("SET ROLE {owner}")).await.code,
        "42501"
    );
}

#[tokio::test]
async fn what_is_missing_is_named_with_the_setting_and_what_to_do() {
    let world = World::bare(|policy| policy).await;
    let refused = world.refusal("alice").await;
    assert!(
        refused
            .message
            .contains("schema \"bulkhead\" does not exist"),
        "{refused:?}"
    );
    assert!(
        refused
            .message
            .contains("databases[main].session.rowLevelSecurity = Signed"),
        "{refused:?}"
    );
    let hint = &refused.hint;
    assert!(
        hint.contains("sql signed-user") && hint.contains("add_key"),
        "{hint}"
    );

    world.install();
    let refused = world.refusal("alice").await;
    assert!(refused.message.contains("none of its keys"), "{refused:?}");
    // Another key of the same id is not taken for it.
    let other = Key::new("second");
    let add = other.add().replace("'second'", "'first'");
    world.admin.run(&add).await;
    let refused = world.refusal("alice").await;
    assert!(
        refused.message.contains("another under the same id"),
        "{refused:?}"
    );

    world
        .admin
        .run("SELECT bulkhead.retire_key('first', '0')")
        .await;
    world
        .admin
        .run(&format!("DELETE FROM bulkhead.keys; {}", world.key.add()))
        .await;
    let alice = world.user("alice").await;
    assert_eq!(
        alice.text("SELECT bulkhead.user_id()").await.as_deref(),
        Some("alice")
    );
}

#[tokio::test]
async fn keys_have_bounds() {
    let world = World::new(|policy| policy).await;
    let add = |id: &str, bytes: u32| {
        format!("SELECT bulkhead.add_key('{id}', decode(repeat('ab', {bytes}), 'hex'))")
    };
    let long = "a".repeat(65);
    for refused in [
        add("short", 31),
        add("long", 1025),
        add("a:b", 32),
        add("", 32),
        add(&long, 32),
        add("first", 32),
        "SELECT bulkhead.add_key(NULL, NULL)".to_owned(),
        "SELECT bulkhead.retire_key('nobody')".to_owned(),
        "SELECT bulkhead.retire_key('first', '31 days')".to_owned(),
        "SELECT bulkhead.retire_key('first', '-1 s')".to_owned(),
        "SELECT bulkhead.retire_key('first', NULL)".to_owned(),
    ] {
        assert_eq!(
            world.admin.refused(&refused).await.code,
            "P0001",
            "{refused}"
        );
    }
    for n in 1..16 {
        world.admin.run(&add(&format!("k{n}"), 32 + n)).await;
    }
    world.admin.refused(&add("k16", 32)).await;
    // One that is there already is no further one.
    world.admin.run(&add("k1", 33)).await;
    let bob = world.user("bob").await;
    assert_eq!(
        bodies(&bob).await,
        ["his"],
        "the longest answer that there is"
    );
}

#[tokio::test]
async fn a_policy_holds_under_a_parallel_plan_as_well() {
    let world = World::new(|policy| policy).await;
    world
        .admin
        .run("INSERT INTO secrets SELECT 'bob', 'one of many' FROM generate_series(1, 10000)")
        .await;
    let bob = world.user("bob").await;
    bob.run("SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0")
        .await;
    let count = "SELECT count(*) FROM secrets";
    let plan = bob.rows(&format!("EXPLAIN (COSTS OFF) {count}")).await;
    assert!(
        format!("{plan:?}").contains("Parallel Seq Scan"),
        "{plan:?}"
    );
    assert_eq!(bob.text(count).await.as_deref(), Some("10001"));
}

#[tokio::test]
async fn check_finds_what_would_set_the_proof_aside() {
    let world = World::new(|policy| policy).await;
    let admin = &world.admin;
    let told = || {
        let said = world.check();
        let errors = String::from_utf8_lossy(&said.stderr).into_owned();
        (said.status.success(), errors)
    };
    let (usable, errors) = told();
    assert!(usable, "{errors}");
    // Each of these makes it an error, and is undone again.
    let own = format!("bulkhead_{}", world.stage.database);
    for (done, undone, reason) in [
        (
            "SELECT bulkhead.retire_key('first', '0')".to_owned(),
            world.key.add(),
            "SigningKeyUnknown",
        ),
        (
            "CREATE TABLE mine (a int); ALTER TABLE mine ENABLE ROW LEVEL SECURITY; ALTER TABLE mine OWNER TO chat_app".to_owned(),
            "DROP TABLE mine".to_owned(),
            "UnforcedRowSecurity",
        ),
        (
            format!("REVOKE chat_app FROM {own}; GRANT {own} TO chat_app"),
            format!("REVOKE {own} FROM chat_app; GRANT chat_app TO {own}"),
            "MemberOfOwner",
        ),
        (
            "GRANT CREATE ON SCHEMA bulkhead TO chat_app".to_owned(),
            "REVOKE CREATE ON SCHEMA bulkhead FROM chat_app".to_owned(),
            "MayChangeSchema",
        ),
        (
            "ALTER SCHEMA bulkhead RENAME TO gone".to_owned(),
            "ALTER SCHEMA gone RENAME TO bulkhead".to_owned(),
            "SignedUserMissing",
        ),
    ] {
        admin.batch_execute(&done).await.unwrap();
        let (usable, errors) = told();
        assert!(!usable && errors.contains(&format!("error[{reason}]")), "{done}: {errors}");
        admin.batch_execute(&undone).await.unwrap();
    }
    let (usable, errors) = told();
    assert!(usable, "{errors}");
}
