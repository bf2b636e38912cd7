//! The console over loopback, for who has the token.

use bulkhead_tests::policy::Policy;
use bulkhead_tests::processes::{folder, free_port};
use bulkhead_tests::programs;
use bulkhead_tests::session::connect;
use bulkhead_tests::stage::Stage;
use bulkhead_tests::tools::{Said, run};

const TOKEN: &str = "a-token-that-nobody-guesses";

async fn psql(port: u16, password: &str) -> Said {
    let mut command = tokio::process::Command::new(programs::postgresql("psql"));
    command
        .env_clear()
        .env("PGPASSWORD", password)
        .args(["-h", "127.0.0.1", "-p", &port.to_string(), "-U", "operator"])
        .args(["-X", "-A", "-t", "-c", "SHOW USERS", "bulkhead"]);
    run(command, "").await
}

#[tokio::test]
async fn who_has_the_token_is_let_in_and_who_has_not_is_not() {
    let home = folder("token");
    let (file, port) = (home.join("token"), free_port());
    std::fs::write(&file, format!("{TOKEN}\n")).unwrap();
    let mut stage = Stage::with(Policy::trusted())
        .flag("--console-listen", &format!("127.0.0.1:{port}"))
        .flag("--console-token", file.to_str().unwrap())
        .start()
        .await;
    stage.sidecar.log.must_not_show(TOKEN);
    let alice = stage.user("alice").await;
    alice.run("SELECT 1").await;
    let said = psql(port, TOKEN).await;
    assert!(
        said.success && said.output.starts_with("alice|user|"),
        "{said:?}"
    );
    for wrong in ["a-token-that-nobody-guesse", "x"] {
        let said = psql(port, wrong).await;
        assert!(
            !said.success && said.errors.contains("not the console's token"),
            "{said:?}"
        );
        assert!(!said.output.contains("alice"), "{said:?}");
    }
    // A Secret that is turned holds at once.
    std::fs::write(&file, "another-token-altogether").unwrap();
    assert!(!psql(port, TOKEN).await.success);
    assert!(psql(port, "another-token-altogether").await.success);

    // What is done says in the log how its caller got in.
    let mut config = tokio_postgres::Config::new();
    config
        .host("127.0.0.1")
        .port(port)
        .user("operator")
        .password("another-token-altogether");
    let operator = connect(&config).await.unwrap();
    operator.run("KILL USER 'alice'").await;
    let told = stage
        .sidecar
        .log
        .until_told("an operator has acted", 1)
        .await;
    let caller = told[0]["caller"].as_str().unwrap();
    assert!(caller.starts_with("token from 127.0.0.1:"), "{caller}");
}

#[tokio::test]
async fn a_token_that_could_be_guessed_or_is_not_there_stops_the_start() {
    let home = folder("token");
    let policy = Policy::trusted().completed(free_port(), free_port(), "app");
    std::fs::write(home.join("policy.yaml"), policy.text()).unwrap();
    std::fs::create_dir_all(home.join("db")).unwrap();
    std::fs::write(home.join("db/username"), "app").unwrap();
    std::fs::write(home.join("db/password"), "app").unwrap();
    std::fs::write(home.join("short"), "secret").unwrap();
    for (file, why) in [("short", "16 to 1024 bytes"), ("nowhere", "No such file")] {
        let said = std::process::Command::new(programs::sidecar())
            .args(["run", "--log-format", "text", "--environment", "testing"])
            .args(["--admin", "127.0.0.1:0", "--console-listen", "127.0.0.1:0"])
            .arg("--policy")
            .arg(home.join("policy.yaml"))
            .arg("--secrets")
            .arg(&home)
            .arg("--control")
            .arg(home.join("control"))
            .arg("--console-token")
            .arg(home.join(file))
            .output()
            .unwrap();
        assert_eq!(said.status.code(), Some(1), "{said:?}");
        let errors = String::from_utf8(said.stderr).unwrap();
        assert!(
            errors.contains("--console-token") && errors.contains(why),
            "{errors}"
        );
    }
}
