//! `run` and `check` where something is wrong: the exit code, and who can read what they say.

use std::path::Path;
use std::process::{Command, Output};

use bulkhead_tests::policy::{ENVIRONMENT, Policy};
use bulkhead_tests::processes::{folder, free_port};
use bulkhead_tests::programs;

/// What the sidecar says, to whom nothing answers at the upstream, and which finds no secrets.
fn bulkhead(home: &Path, policy: &str, arguments: &[&str]) -> Output {
    let file = home.join("policy.yaml");
    std::fs::write(&file, policy).unwrap();
    Command::new(programs::sidecar())
        .args(arguments)
        .arg("--policy")
        .arg(file)
        .args(["--environment", ENVIRONMENT])
        .arg("--secrets")
        .arg(home)
        .args(["--admin", "127.0.0.1:0"])
        .arg("--control")
        .arg(home.join("control"))
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn policy() -> String {
    let policy = Policy::trusted().completed(free_port(), free_port(), "app");
    policy.text()
}

#[test]
fn check_ends_where_run_does_when_the_credentials_are_missing() {
    let home = folder("command-line");
    for command in ["run", "check"] {
        let said = bulkhead(&home, &policy(), &[command]);
        assert_eq!(said.status.code(), Some(1), "{command}: {said:?}");
        let errors = text(&said.stderr);
        assert!(
            errors.contains("upstream.credentialsSecretRef: secret db/username is missing"),
            "{command}: {errors}"
        );
    }
}

#[test]
fn why_it_does_not_start_is_an_event_in_the_log() {
    let home = folder("command-line");
    for (policy, what) in [
        (policy(), "db/username"),
        (policy().replace("upstream:", "upstraem:"), "upstraem"),
        ("nonsense".to_owned(), ""),
    ] {
        let said = bulkhead(&home, &policy, &["run"]);
        assert_eq!(said.status.code(), Some(1), "{said:?}");
        let errors = text(&said.stderr);
        let mut last = serde_json::Value::Null;
        for line in errors.lines() {
            last = serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}"));
        }
        assert_eq!(last["message"], "the sidecar does not start", "{errors}");
        assert_eq!(last["level"], "ERROR");
        assert!(errors.contains(what), "{errors}");

        // A person is told in plain words.
        let said = bulkhead(&home, &policy, &["run", "--log-format", "text"]);
        let errors = text(&said.stderr);
        assert!(
            !errors.contains('\u{1b}') && errors.contains(what),
            "{errors}"
        );
        let plain = ["bulkhead-sidecar: ", "error["];
        assert!(plain.iter().any(|start| errors.contains(start)), "{errors}");
    }
}

#[test]
fn a_log_level_that_is_none_is_a_wrong_command_line() {
    let home = folder("command-line");
    for level in ["loud", ""] {
        let said = bulkhead(&home, &policy(), &["run", "--log-level", level]);
        assert_eq!(said.status.code(), Some(2), "{level:?}: {said:?}");
        assert!(text(&said.stderr).contains("error, warn, info"), "{said:?}");
    }
}
