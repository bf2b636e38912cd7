//! Start-up packets, and what is read out of them.

use super::*;
use crate::protocol::postgres::message::StartupPacket;

fn read(
    version: ProtocolVersion,
    parameters: &[(&str, &str)],
    check: impl FnOnce(Result<Request<'_>, HandshakeError>),
) {
    let mut out = Vec::new();
    StartupMessage::write(version, parameters, &mut out);
    let StartupPacket::Startup(startup) = StartupPacket::read(&out[4..]).unwrap() else {
        panic!("not a login");
    };
    check(Request::read(&startup));
}

fn accepted(parameters: &[(&str, &str)], check: impl FnOnce(Request<'_>)) {
    read(ProtocolVersion::V3_0, parameters, |request| {
        check(request.unwrap())
    });
}

fn refused(parameters: &[(&str, &str)]) -> String {
    let mut text = String::new();
    read(ProtocolVersion::V3_0, parameters, |request| {
        text = request.unwrap_err().to_string();
    });
    text
}

#[test]
fn the_database_is_the_user_unless_it_is_named() {
    accepted(&[("user", "chat")], |request| {
        assert_eq!(request.database, "chat")
    });
    accepted(&[("user", "chat"), ("database", "db")], |request| {
        assert_eq!(request.database, "db");
    });
    accepted(&[("user", "chat"), ("database", "")], |request| {
        assert_eq!(request.database, "chat");
    });
}

#[test]
fn nobody_comes_in_without_a_user() {
    let expected = "no PostgreSQL user name specified in startup packet";
    assert_eq!(refused(&[("database", "db")]), expected);
    assert_eq!(refused(&[("user", "")]), expected);
}

#[test]
fn options_are_unfolded_before_the_packet_s_own_parameters() {
    accepted(
        &[
            ("application_name", "psql"),
            ("user", "chat"),
            ("options", "-c search_path=a,\\ b --TimeZone=UTC"),
        ],
        |request| {
            let parameters: Vec<_> = request
                .parameters
                .iter()
                .map(|(n, v)| (n.as_str(), v.as_str()))
                .collect();
            assert_eq!(
                parameters,
                [
                    ("search_path", "a, b"),
                    ("TimeZone", "UTC"),
                    ("application_name", "psql")
                ]
            );
        },
    );
}

#[test]
fn what_is_meant_for_the_sidecar_goes_no_further() {
    for spelling in [
        "-c bulkhead.user=alice",
        "-c BulkHead.User=alice",
        "--bulkhead.user=alice",
    ] {
        accepted(&[("user", "chat"), ("options", spelling)], |request| {
            assert_eq!(request.asserted_user.as_deref(), Some("alice"));
            assert!(request.parameters.is_empty());
        });
    }
    accepted(
        &[("user", "chat"), ("bulkhead.context", "eyJ")],
        |request| {
            assert_eq!(
                request.context_token.as_ref().map(Redacted::expose),
                Some("eyJ")
            );
            assert!(!format!("{request:?}").contains("eyJ"));
            assert!(request.parameters.is_empty());
        },
    );
}

#[test]
fn a_name_close_to_ours_is_mended() {
    read(
        ProtocolVersion::V3_0,
        &[("user", "chat"), ("options", "-c bulkhead.contxt=x")],
        |request| {
            let hint = request.unwrap_err().response().unwrap().hint.unwrap();
            assert_eq!(hint, "Perhaps you meant \"bulkhead.context\".");
        },
    );
    assert_eq!(
        refused(&[("user", "chat"), ("bulkhead.usr", "x")]),
        "unrecognized parameter \"bulkhead.usr\""
    );
}

#[test]
fn who_is_calling_is_said_once() {
    let duplicate = |name: &str| format!("parameter \"{name}\" was sent more than once");
    assert_eq!(refused(&[("user", "a"), ("user", "b")]), duplicate("user"));
    assert_eq!(
        refused(&[("user", "a"), ("database", "b"), ("database", "b")]),
        duplicate("database")
    );
    assert_eq!(
        refused(&[
            ("user", "a"),
            ("bulkhead.user", "x"),
            ("options", "-c bulkhead.user=y")
        ]),
        duplicate("bulkhead.user")
    );
}

#[test]
fn names_that_could_end_up_in_sql_are_names() {
    for name in ["a b", "a;b", "1a", "a..b", ".a", "a'"] {
        assert_eq!(
            refused(&[("user", "chat"), (name, "x")]),
            format!("unrecognized configuration parameter \"{name}\"")
        );
    }
    accepted(&[("user", "chat"), ("app.user_id", "7")], |request| {
        assert_eq!(request.parameters.len(), 1);
    });
}

#[test]
fn replication_is_a_truth_value_or_a_database() {
    for (value, asked) in [
        ("true", true),
        ("ON", true),
        ("database", true),
        ("off", false),
        ("0", false),
    ] {
        accepted(&[("user", "chat"), ("replication", value)], |request| {
            assert_eq!(request.replication, asked, "{value}");
        });
    }
    for value in ["", "o", "maybe"] {
        assert_eq!(
            refused(&[("user", "chat"), ("replication", value)]),
            "invalid value for parameter \"replication\""
        );
    }
}

#[test]
fn newer_clients_are_told_what_is_known() {
    let version = |major, minor| ProtocolVersion { major, minor };
    for (asked, in_force, told) in [
        (version(3, 0), version(3, 0), false),
        (version(3, 1), version(3, 1), false),
        (version(3, 2), version(3, 2), false),
        (version(3, 9999), version(3, 2), true),
    ] {
        read(asked, &[("user", "chat")], |request| {
            let request = request.unwrap();
            assert_eq!(request.protocol, in_force);
            assert_eq!(request.negotiation.is_some(), told, "{asked}");
        });
    }
    read(
        version(3, 0),
        &[("user", "chat"), ("_pq_.x", "1")],
        |request| {
            let negotiation = request.unwrap().negotiation.unwrap();
            assert_eq!(negotiation.unknown_options, [b"_pq_.x"]);
            assert_eq!(negotiation.version, ProtocolVersion::V3_0);
        },
    );
    read(version(2, 0), &[("user", "chat")], |request| {
        assert!(matches!(
            request,
            Err(HandshakeError::UnsupportedVersion(_))
        ));
    });
}
