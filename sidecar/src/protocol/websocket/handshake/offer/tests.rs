//! What clients offer, what applications select of it, and what a client is told.

use proptest::prelude::*;

use super::*;

fn headers(protocols: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in protocols.split(" | ").filter(|line| !line.is_empty()) {
        headers.append(SEC_WEBSOCKET_PROTOCOL, line.parse().unwrap());
    }
    headers
}

fn text(headers: &HeaderMap) -> Option<String> {
    let mut lines = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter();
    let first = lines.next().map(|it| it.to_str().unwrap().to_owned());
    assert!(lines.next().is_none());
    first
}

/// What the application is told of an offer.
fn told(protocols: &str, resumes: bool) -> Option<String> {
    let mut headers = headers(protocols);
    let offer = Offer::of(&headers, resumes).unwrap();
    offer.tell_application(&mut headers);
    text(&headers)
}

#[test]
fn the_application_sees_its_own_subprotocols_only() {
    let rows: [(&str, Option<&str>, Option<&str>); 13] = [
        // What is offered, what the application sees without resume, and with it.
        ("", None, None),
        (
            "chat,  graphql-ws",
            Some("chat,  graphql-ws"),
            Some("chat,  graphql-ws"),
        ),
        (
            "chat, bulkhead.token.YQ, mqtt",
            Some("chat, mqtt"),
            Some("chat, mqtt"),
        ),
        (
            "chat | bulkhead.token.YQ | mqtt",
            Some("chat, mqtt"),
            Some("chat, mqtt"),
        ),
        ("bulkhead.v1, bulkhead.token.YQ", None, None),
        ("bulkhead.v1", None, None),
        ("bulkhead.v2", Some("bulkhead.v2"), Some("bulkhead.v2")),
        ("BULKHEAD.V1", Some("BULKHEAD.V1"), Some("BULKHEAD.V1")),
        ("bulkhead.resume.v1, bulkhead.v1", None, None),
        ("bulkhead.resume.v1+chat, bulkhead.v1", None, Some("chat")),
        (
            "bulkhead.resume.v1+chat, mqtt, chat",
            Some("mqtt, chat"),
            Some("chat, mqtt"),
        ),
        (
            "mqtt, bulkhead.resume.v1+chat",
            Some("mqtt"),
            Some("mqtt, chat"),
        ),
        ("bulkhead.resume.v1+a+b, bulkhead.v1", None, Some("a+b")),
    ];
    for (offered, without, with) in rows {
        assert_eq!(told(offered, false).as_deref(), without, "{offered}");
        assert_eq!(told(offered, true).as_deref(), with, "{offered}");
    }
}

#[test]
fn a_client_is_told_the_applications_choice_under_the_name_that_it_knows() {
    /// What is offered, what the application selects, what the client is told without resume, and with it.
    type Row = (
        &'static str,
        Option<&'static str>,
        Option<&'static str>,
        Option<&'static str>,
    );
    let resume_chat = Some("bulkhead.resume.v1+chat");
    let rows: [Row; 13] = [
        ("", None, None, None),
        ("chat", None, None, None),
        ("chat", Some("chat"), Some("chat"), Some("chat")),
        ("chat, bulkhead.token.YQ", None, None, None),
        (
            "chat, bulkhead.v1",
            Some("chat"),
            Some("chat"),
            Some("chat"),
        ),
        ("chat, bulkhead.v1", None, Some(MARKER), Some(MARKER)),
        (
            "bulkhead.resume.v1, bulkhead.v1",
            None,
            Some(MARKER),
            Some(RESUME),
        ),
        (
            "bulkhead.v1, bulkhead.resume.v1",
            None,
            Some(MARKER),
            Some(RESUME),
        ),
        (
            "bulkhead.resume.v1+chat, chat",
            Some("chat"),
            Some("chat"),
            resume_chat,
        ),
        (
            "chat, bulkhead.resume.v1+chat",
            Some("chat"),
            Some("chat"),
            resume_chat,
        ),
        (
            "mqtt, bulkhead.resume.v1+chat",
            Some("mqtt"),
            Some("mqtt"),
            Some("mqtt"),
        ),
        (
            "chat, bulkhead.resume.v1+chat, bulkhead.resume.v1",
            None,
            None,
            Some(RESUME),
        ),
        (
            "bulkhead.resume.v1+chat, bulkhead.v1",
            None,
            Some(MARKER),
            Some(MARKER),
        ),
    ];
    for (offered, selected, without, with) in rows {
        for (resumes, expected) in [(false, without), (true, with)] {
            let choice = Offer::of(&headers(offered), resumes)
                .unwrap()
                .choose(selected)
                .unwrap();
            let mut answer = headers("whatever");
            choice.tell_client(&mut answer);
            assert_eq!(text(&answer).as_deref(), expected, "{offered} {resumes}");
            let is_resume = expected.is_some_and(|it| it.starts_with(RESUME));
            assert_eq!(choice.resumes, is_resume, "{offered} {resumes}");
        }
    }
}

#[test]
fn an_application_selects_what_it_was_offered() {
    let offered = headers("chat, bulkhead.v1, bulkhead.token.YQ, bulkhead.resume.v1+mqtt");
    for wrong in [
        "amqp",
        "Chat",
        "bulkhead.v1",
        "bulkhead.token.YQ",
        "bulkhead.resume.v1+mqtt",
        "",
    ] {
        for resumes in [false, true] {
            let choice = Offer::of(&offered, resumes).unwrap().choose(Some(wrong));
            assert!(matches!(choice, Err(Refusal::BadAnswer(_))), "{wrong}");
        }
    }
    let mqtt = |resumes| Offer::of(&offered, resumes).unwrap().choose(Some("mqtt"));
    assert!(mqtt(false).is_err() && mqtt(true).is_ok());
}

#[test]
fn an_offer_that_cannot_be_answered_is_refused_before_the_application_is_asked() {
    let rows = [
        // What is offered, and whether it stands without resume, and with it.
        ("bulkhead.token.YQ", false, false),
        ("bulkhead.token.YQ, bulkhead.v1", true, true),
        ("bulkhead.token.YQ, chat", true, true),
        ("bulkhead.resume.v1", false, true),
        ("bulkhead.resume.v1+chat", false, true),
        ("bulkhead.resume.v1+chat, bulkhead.token.YQ", false, true),
        ("bulkhead.resume.v1+, chat", false, false),
        ("bulkhead.resume.v1+bulkhead.v1, chat", false, false),
        ("bulkhead.resume.v10, chat", false, false),
    ];
    for (offered, without, with) in rows {
        assert_eq!(
            Offer::of(&headers(offered), false).is_ok(),
            without,
            "{offered}"
        );
        assert_eq!(
            Offer::of(&headers(offered), true).is_ok(),
            with,
            "{offered}"
        );
    }
    // Only resume with a subprotocol, and the application has none: silence would end the connection in the browser.
    let offer = Offer::of(&headers("bulkhead.resume.v1+chat"), true).unwrap();
    assert!(matches!(offer.choose(None), Err(Refusal::Malformed(_))));
}

#[test]
fn a_client_that_comes_back_says_to_what_and_with_how_much() {
    let of = |offered: &str, resumes| {
        let offer = Offer::of(&headers(offered), resumes)?;
        Ok::<_, Refusal>(offer.returning().cloned())
    };
    let returning = |token: &str, count| {
        Ok(Some(Returning {
            token: token.to_owned(),
            count,
        }))
    };
    let resume = "bulkhead.resume.v1, bulkhead.v1";
    let rows = [
        ("bulkhead.session.abc.7", returning("abc", 7)),
        ("bulkhead.session.a.b.0", returning("a.b", 0)),
    ];
    for (offered, expected) in rows {
        assert_eq!(of(&format!("{resume}, {offered}"), true), expected);
        // Nothing else of it stands: a policy without resume, a client that does not offer to resume.
        assert_eq!(of(&format!("{resume}, {offered}"), false), Ok(None));
        assert_eq!(of(&format!("bulkhead.v1, {offered}"), true), Ok(None));
    }
    for wrong in [
        "bulkhead.session.abc",
        "bulkhead.session.abc.",
        "bulkhead.session..7",
        "bulkhead.session.abc.-7",
        "bulkhead.session.abc.+7",
        "bulkhead.session.abc.18446744073709551616",
        "bulkhead.session.abc.7, bulkhead.session.abc.8",
    ] {
        assert!(of(&format!("{resume}, {wrong}"), true).is_err(), "{wrong}");
    }
    let long = format!(
        "{resume}, bulkhead.session.{}.1",
        "a".repeat(MOST_TOKEN + 1)
    );
    assert!(of(&long, true).is_err());
}

#[test]
fn a_session_goes_on_under_the_subprotocol_that_it_has() {
    let rows = [
        ("bulkhead.resume.v1", "bulkhead.resume.v1", true),
        ("bulkhead.resume.v1", "bulkhead.resume.v1+chat", false),
        ("bulkhead.resume.v1+chat", "bulkhead.resume.v1+chat", true),
        (
            "bulkhead.resume.v1+chat, mqtt",
            "bulkhead.resume.v1+mqtt",
            false,
        ),
        ("bulkhead.resume.v1+chat, chat", "bulkhead.resume.v1", false),
        ("bulkhead.resume.v1", "chat", false),
    ];
    for (offered, told, stands) in rows {
        let offer = Offer::of(&headers(offered), true).unwrap();
        let choice = offer.choose_again(told);
        assert_eq!(choice.is_some(), stands, "{offered} {told}");
        assert!(choice.is_none_or(|it| it.resumes && it.told() == Some(told)));
    }
}

proptest! {
    /// Whatever is offered and whatever the application selects of what it sees: it sees nothing of ours, the client is told what it
    /// has itself offered, and a token never.
    #[test]
    fn a_client_is_told_only_what_it_has_offered(
        offered in prop::sample::subsequence(
            vec![
                "a", "b", "bulkhead.v1", "bulkhead.token.YQ", "bulkhead.token.Yg", "bulkhead.resume.v1", "bulkhead.resume.v1+a",
                "bulkhead.resume.v1+b", "bulkhead.resume.v1+c",
            ],
            0..=9,
        ).prop_shuffle(),
        resumes in any::<bool>(),
        selected in any::<Option<prop::sample::Index>>(),
    ) {
        let mut headers = headers(&offered.join(", "));
        let Ok(offer) = Offer::of(&headers, resumes) else { return Ok(()) };
        offer.tell_application(&mut headers);
        let seen: Vec<String> = list(&headers, SEC_WEBSOCKET_PROTOCOL).map(str::to_owned).collect();
        prop_assert!(seen.iter().all(|it| ["a", "b", "c"].contains(&it.as_str())));
        let selected = selected.filter(|_| !seen.is_empty()).map(|at| at.get(&seen).as_str());
        let Ok(choice) = offer.choose(selected) else {
            prop_assert!(selected.is_none());
            return Ok(());
        };
        if let Some(told) = &choice.told {
            prop_assert!(offered.contains(&told.as_str()) && !told.contains("token"));
        } else {
            prop_assert!(selected.is_none());
        }
        prop_assert!(resumes || !choice.resumes);
    }
}

#[test]
fn a_plain_request_keeps_the_subprotocols_that_are_not_ours() {
    for (said, kept) in [
        (vec!["chat, v2"], Some("chat, v2")),
        (vec!["bulkhead.token.YQ"], None),
        (
            vec!["chat", "bulkhead.v1, bulkhead.token.YQ, v2"],
            Some("chat, v2"),
        ),
        (vec!["bulkhead.session.x.1"], None),
        (vec![], None),
    ] {
        let mut headers = HeaderMap::new();
        for line in &said {
            headers.append(SEC_WEBSOCKET_PROTOCOL, line.parse().unwrap());
        }
        without_our_protocols(&mut headers);
        let left: Vec<_> = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().collect();
        assert_eq!(left, kept.iter().collect::<Vec<_>>(), "{said:?}");
    }
}
