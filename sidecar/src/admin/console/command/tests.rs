//! What is read, and what is said of the rest.

use super::*;

#[test]
fn views_are_shown_in_any_case_and_with_or_without_an_end() {
    for view in View::ALL {
        let name = view.name();
        let (lower, capital) = (
            name.to_lowercase(),
            name[..1].to_owned() + &name[1..].to_lowercase(),
        );
        for text in [
            format!("SHOW {name}"),
            format!("show {lower};"),
            format!("  Show\t{capital} ;; \n"),
            format!("-- why\nSHOW /* what */ {name}; -- this"),
        ] {
            assert_eq!(read(&text), Ok(vec![Command::Show(view)]), "{text}");
        }
    }
}

#[test]
fn several_commands_are_read_in_their_order_and_nothing_is_none() {
    let read_all = read("SHOW USERS; show stats;;show help").unwrap();
    let views = [View::Users, View::Stats, View::Help].map(Command::Show);
    assert_eq!(read_all, views);
    for nothing in ["", " \n", ";", ";;", "-- nothing", "/* nothing */ ;"] {
        assert_eq!(read(nothing), Ok(Vec::new()), "{nothing:?}");
    }
    let many = "SHOW HELP;".repeat(MOST_COMMANDS);
    assert_eq!(read(&many).unwrap().len(), MOST_COMMANDS);
    assert!(read(&(many + "SHOW HELP")).is_err());
}

#[test]
fn what_changes_something_names_its_upstream_and_its_user_as_they_are_typed() {
    let on = |upstream: &str| (!upstream.is_empty()).then(|| upstream.to_owned());
    let kill = |user: &str, upstream: &str| Action::Kill {
        user: user.to_owned(),
        upstream: on(upstream),
    };
    for (text, action) in [
        ("PAUSE", Action::Pause { upstream: None }),
        (
            "pause main;",
            Action::Pause {
                upstream: on("main"),
            },
        ),
        (
            "Resume \"Main\"",
            Action::Resume {
                upstream: on("Main"),
            },
        ),
        ("RESUME", Action::Resume { upstream: None }),
        (
            "reconnect 'main'",
            Action::Reconnect {
                upstream: on("main"),
            },
        ),
        ("KILL USER 'alice'", kill("alice", "")),
        (
            "kill user Alice@example.org on Main;",
            kill("Alice@example.org", "Main"),
        ),
        ("KILL USER 'it''s; me' ON 'a b'", kill("it's; me", "a b")),
        ("KILL USER ''", kill("", "")),
    ] {
        assert_eq!(read(text), Ok(vec![Command::Do(action)]), "{text}");
    }
    for (text, message) in [
        (
            "PAUSE main now",
            "nothing follows PAUSE \"main\", but there is \"now\"",
        ),
        ("KILL", "KILL whom?"),
        ("KILL 'alice'", "KILL whom?"),
        ("KILL USER", "KILL whom?"),
        ("KILL DATABASE main", "KILL whom?"),
        ("KILL USER 'alice' main", "nothing follows KILL USER"),
        ("KILL USER 'alice' ON", "nothing follows KILL USER"),
        ("KILL USER 'alice' ON main now", "nothing follows KILL USER"),
        ("PAUZE", "\"PAUZE\" is no command"),
    ] {
        let misread = read(text).expect_err(text);
        assert!(misread.message.contains(message), "{text}: {misread:?}");
    }
    assert!(
        read("PAUZE main")
            .unwrap_err()
            .hint
            .contains("Did you mean PAUSE main?")
    );
}

#[test]
fn what_is_no_command_is_refused_with_what_was_perhaps_meant() {
    for (text, message, hint) in [
        (
            "SHOW USER",
            "there is no SHOW USER",
            "Did you mean SHOW USERS?",
        ),
        ("SHOW FACTORYS", "no SHOW FACTORYS", "SHOW FACTORIES?"),
        ("SHOW POOLS", "no SHOW POOLS", "SHOW FACTORIES?"),
        ("show config;", "no SHOW CONFIG", "SHOW POLICY?"),
        (
            "SHOW server_version",
            "no SHOW SERVER_VERSION",
            "SHOW HELP lists",
        ),
        ("SHOW", "SHOW what?", "USERS, FACTORIES"),
        ("SHOW 'users'", "SHOW what?", "USERS"),
        (
            "SHOW USERS now",
            "nothing follows SHOW USERS, but there is \"now\"",
            "semicolon",
        ),
        (
            "SHWO USERS",
            "\"SHWO\" is no command",
            "Did you mean SHOW USERS?",
        ),
        (
            "users",
            "\"users\" is no command",
            "Did you mean SHOW USERS?",
        ),
        (
            "SELECT 1",
            "\"SELECT\" is no command of the console",
            "SHOW HELP lists",
        ),
        ("BEGIN", "\"BEGIN\" is no command", "SHOW HELP"),
        ("'quoted'", "'quoted' is no command", "SHOW HELP"),
        ("?", "\"?\" is no command", "SHOW HELP"),
        (
            "SHOW HELP; nonsense",
            "\"nonsense\" is no command",
            "SHOW HELP",
        ),
        ("SHOW 'x", "has no end", "Write '"),
        ("/* SHOW HELP", "comment has no end", "*/"),
        ("SHOW\0HELP", "is no command", "SHOW HELP"),
    ] {
        let misread = read(text).expect_err(text);
        assert!(misread.message.contains(message), "{text}: {misread:?}");
        assert!(misread.hint.contains(hint), "{text}: {misread:?}");
    }
}

#[test]
fn what_was_typed_is_said_again_only_in_part() {
    let long = "ä".repeat(5000);
    for text in [
        long.clone(),
        format!("SHOW {long}"),
        format!("SHOW USERS '{long}'"),
    ] {
        let misread = read(&text).expect_err("nonsense");
        assert!(
            misread.message.len() < 200 && misread.hint.len() < 200,
            "{misread:?}"
        );
    }
}
