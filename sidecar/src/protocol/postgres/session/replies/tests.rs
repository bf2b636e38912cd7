//! The queue against tables, stories, and a small model of PostgreSQL's server.

mod model;

use super::super::super::codec::BackendTag as T;
use super::super::super::error_response::{ErrorResponse, SqlState};
use super::super::statements::{ClientStatements, Interner, ServerStatements, Statement};
use super::*;

/// What became of a message, without what it carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Forward,
    Finished,
    Swallowed,
    Swallow,
    Replaced,
    Unsolicited,
    OutOfOrder,
}

use Fate::{Finished, Forward, OutOfOrder as Wrong, Replaced, Swallow, Swallowed, Unsolicited};

fn step(replies: &mut Replies, tag: T) -> Fate {
    match replies.step(tag, drop) {
        Ok(Step::Forward) => Forward,
        Ok(Step::Finished(_)) => Finished,
        Ok(Step::Swallowed(_)) => Swallowed,
        Ok(Step::Swallow) => Swallow,
        Ok(Step::Replace(_)) => Replaced,
        Ok(Step::Unsolicited) => Unsolicited,
        Err(super::OutOfOrder(at)) => {
            assert_eq!(at, tag, "the error names the message");
            Wrong
        }
    }
}

fn steps(replies: &mut Replies, tags: &[T]) -> Vec<Fate> {
    tags.iter().map(|tag| step(replies, *tag)).collect()
}

fn sent(expects: impl IntoIterator<Item = Expect>) -> Replies {
    let mut replies = Replies::default();
    for expect in expects {
        match expect {
            Expect::Sync => replies.push_sync(),
            Expect::CopyEnd => replies.push_copy_end(),
            other => replies.push(other),
        }
    }
    replies
}

fn statement(text: &str) -> Rc<Statement> {
    let mut body = text.as_bytes().to_vec();
    body.extend([0, 0, 0]);
    Interner::default().intern(&body)
}

fn parse() -> Expect {
    Expect::Parse {
        statement: None,
        name: None,
        hidden: false,
    }
}

fn hidden_parse() -> Expect {
    Expect::Parse {
        statement: Some(statement("SELECT 1")),
        name: None,
        hidden: true,
    }
}

fn refusal() -> Expect {
    Expect::Refusal(Box::new(ErrorResponse::error(
        SqlState::DUPLICATE_STATEMENT,
        "no",
    )))
}

const ALL_TAGS: [T; 24] = [
    T::Authentication,
    T::BackendKeyData,
    T::BindComplete,
    T::CloseComplete,
    T::CommandComplete,
    T::CopyBothResponse,
    T::CopyData,
    T::CopyDone,
    T::CopyInResponse,
    T::CopyOutResponse,
    T::DataRow,
    T::EmptyQueryResponse,
    T::ErrorResponse,
    T::FunctionCallResponse,
    T::NegotiateProtocolVersion,
    T::NoData,
    T::NoticeResponse,
    T::NotificationResponse,
    T::ParameterDescription,
    T::ParameterStatus,
    T::ParseComplete,
    T::PortalSuspended,
    T::ReadyForQuery,
    T::RowDescription,
];

#[test]
fn each_expectation_takes_just_the_messages_that_the_protocol_gives_it() {
    let copies = [
        T::CopyInResponse,
        T::CopyOutResponse,
        T::CopyBothResponse,
        T::CopyData,
        T::CopyDone,
    ];
    // What leaves the front where it is, and what ends it; everything else but the asynchronous messages and errors is wrong.
    type Row = (fn() -> Expect, Vec<T>, Vec<T>);
    let table: [Row; 9] = [
        (parse, vec![], vec![T::ParseComplete]),
        (|| Expect::Bind, vec![], vec![T::BindComplete]),
        (
            || Expect::DescribeStatement,
            vec![T::ParameterDescription],
            vec![T::RowDescription, T::NoData],
        ),
        (
            || Expect::DescribePortal,
            vec![],
            vec![T::RowDescription, T::NoData],
        ),
        (
            || Expect::Execute(None),
            [&copies[..], &[T::DataRow]].concat(),
            vec![
                T::CommandComplete,
                T::EmptyQueryResponse,
                T::PortalSuspended,
            ],
        ),
        (|| Expect::Close, vec![], vec![T::CloseComplete]),
        (|| Expect::Sync, vec![], vec![T::ReadyForQuery]),
        (
            || Expect::Query(None),
            [
                &copies[..],
                &[
                    T::RowDescription,
                    T::DataRow,
                    T::CommandComplete,
                    T::EmptyQueryResponse,
                ],
            ]
            .concat(),
            vec![T::ReadyForQuery],
        ),
        (
            || Expect::FunctionCall,
            vec![T::FunctionCallResponse],
            vec![T::ReadyForQuery],
        ),
    ];
    for (make, passing, ending) in table {
        for tag in ALL_TAGS {
            let mut replies = sent([make()]);
            let fate = step(&mut replies, tag);
            let expected = match tag {
                T::NoticeResponse
                | T::NotificationResponse
                | T::ParameterStatus
                | T::ErrorResponse => Forward,
                tag if passing.contains(&tag) => Forward,
                tag if ending.contains(&tag) => Finished,
                _ => Wrong,
            };
            assert_eq!(fate, expected, "{:?} meets {tag:?}", make());
            if expected == Wrong {
                continue;
            }
            let done = expected == Finished
                || (tag == T::ErrorResponse
                    && !matches!(
                        make(),
                        Expect::Sync | Expect::Query(_) | Expect::FunctionCall
                    ));
            assert_eq!(
                replies.is_outstanding(),
                !done,
                "{:?} after {tag:?}",
                make()
            );
        }
    }
}

#[test]
fn a_server_that_owes_nothing_may_say_only_what_nobody_asks_for() {
    for tag in ALL_TAGS {
        let expected = match tag {
            T::NoticeResponse | T::NotificationResponse | T::ParameterStatus => Forward,
            T::ErrorResponse => Unsolicited,
            _ => Wrong,
        };
        assert_eq!(step(&mut Replies::default(), tag), expected, "{tag:?}");
    }
}

#[test]
fn ready_for_query_in_mid_pipeline_is_not_taken_for_the_end() {
    let mut replies = sent([
        parse(),
        Expect::Bind,
        Expect::Execute(None),
        Expect::Sync,
        Expect::Query(None),
    ]);
    let fates = steps(
        &mut replies,
        &[
            T::ParseComplete,
            T::BindComplete,
            T::DataRow,
            T::CommandComplete,
            T::ReadyForQuery,
        ],
    );
    assert_eq!(fates, [Finished, Finished, Forward, Finished, Finished]);
    assert!(!replies.is_settled(), "the query behind it is outstanding");
    assert_eq!(
        steps(&mut replies, &[T::CommandComplete, T::ReadyForQuery]),
        [Forward, Finished]
    );
    assert!(replies.is_settled());
}

#[test]
fn a_batch_without_its_sync_is_not_settled_though_every_answer_has_come() {
    let mut replies = sent([parse()]);
    assert_eq!(step(&mut replies, T::ParseComplete), Finished);
    assert!(!replies.is_outstanding());
    assert!(!replies.is_settled(), "the implicit transaction is open");
    replies.push_sync();
    assert_eq!(step(&mut replies, T::ReadyForQuery), Finished);
    assert!(replies.is_settled());
}

#[test]
fn an_error_takes_with_it_everything_up_to_the_next_sync() {
    let mut replies = sent([
        parse(),
        Expect::Bind,
        Expect::Execute(None),
        Expect::Query(None),
        Expect::Own,
        Expect::Sync,
        Expect::Bind,
        Expect::Sync,
    ]);
    let mut dropped = 0;
    assert!(matches!(
        replies.step(T::ErrorResponse, |_| dropped += 1),
        Ok(Step::Forward)
    ));
    assert_eq!(
        dropped, 5,
        "a server that skips does not read a query either"
    );
    assert!(!replies.is_skipping(), "the Sync is on its way already");
    assert_eq!(
        steps(
            &mut replies,
            &[T::ReadyForQuery, T::BindComplete, T::ReadyForQuery]
        ),
        [Finished, Finished, Finished]
    );
    assert!(replies.is_settled());
}

#[test]
fn an_error_without_a_sync_behind_it_makes_the_server_skip_until_one_is_sent() {
    let mut replies = sent([parse(), Expect::Bind]);
    assert_eq!(step(&mut replies, T::ErrorResponse), Forward);
    assert!(replies.is_skipping());
    assert!(!replies.is_outstanding());
    assert!(!replies.is_settled());
    replies.push_sync();
    assert!(!replies.is_skipping());
    assert_eq!(step(&mut replies, T::ReadyForQuery), Finished);
    assert!(replies.is_settled());
}

#[test]
fn an_error_in_a_query_or_at_a_sync_leaves_the_ready_for_query_owed() {
    for expect in [Expect::Query(None), Expect::FunctionCall, Expect::Sync] {
        let mut replies = sent([expect]);
        assert_eq!(
            steps(&mut replies, &[T::ErrorResponse, T::ReadyForQuery]),
            [Forward, Finished]
        );
        assert!(replies.is_settled());
    }
}

#[test]
fn a_refusal_gives_its_own_words_and_fails_the_rest_of_its_batch() {
    let mut replies = sent([parse(), refusal(), Expect::Bind, Expect::Sync]);
    assert_eq!(step(&mut replies, T::ParseComplete), Finished);
    let replaced = replies.step(T::ErrorResponse, drop);
    assert!(
        matches!(replaced, Ok(Step::Replace(error)) if error.message == "no"),
        "the client reads the sidecar's reason"
    );
    assert_eq!(step(&mut replies, T::ReadyForQuery), Finished);
    assert!(replies.is_settled());
}

#[test]
fn a_refusal_behind_an_error_is_never_told() {
    let mut replies = sent([Expect::Execute(None), refusal(), Expect::Sync]);
    assert_eq!(
        steps(&mut replies, &[T::ErrorResponse, T::ReadyForQuery]),
        [Forward, Finished]
    );
}

#[test]
fn what_the_sidecar_has_added_is_swallowed() {
    let mut replies = sent([Expect::Evict(1), hidden_parse(), Expect::Bind, Expect::Sync]);
    assert_eq!(
        steps(
            &mut replies,
            &[
                T::CloseComplete,
                T::ParseComplete,
                T::BindComplete,
                T::ReadyForQuery
            ]
        ),
        [Swallowed, Swallowed, Finished, Finished]
    );
}

#[test]
fn the_error_of_an_added_parse_is_told_at_the_place_of_what_needed_it() {
    let mut replies = sent([hidden_parse(), Expect::Bind, Expect::Sync]);
    let mut dropped = Vec::new();
    let fate = replies.step(T::ErrorResponse, |gone| dropped.push(gone));
    assert!(matches!(fate, Ok(Step::Forward)));
    assert!(matches!(dropped[0], Expect::Bind), "the last one first");
    assert!(matches!(dropped[1], Expect::Parse { hidden: true, .. }));
}

#[test]
fn the_sidecars_own_query_is_seen_by_nobody() {
    let mut replies = sent([Expect::Own, Expect::Query(None)]);
    assert_eq!(
        steps(
            &mut replies,
            &[
                T::NoticeResponse,
                T::ErrorResponse,
                T::CommandComplete,
                T::ReadyForQuery
            ]
        ),
        [Swallow, Swallow, Swallow, Swallowed]
    );
    assert_eq!(
        steps(&mut replies, &[T::CommandComplete, T::ReadyForQuery]),
        [Forward, Finished]
    );
}

#[test]
fn a_parameter_that_the_sidecars_own_query_changes_is_told() {
    let mut replies = sent([Expect::Own]);
    assert_eq!(step(&mut replies, T::ParameterStatus), Forward);
}

#[test]
fn nobody_waits_for_the_sidecars_own_query() {
    let mut replies = sent([Expect::Own]);
    assert!(replies.is_outstanding() && !replies.client_waits());
    replies.push(Expect::Query(None));
    assert!(replies.client_waits());
}

#[test]
fn an_answer_of_the_sidecars_own_comes_at_its_place() {
    let mut replies = sent([
        Expect::Bind,
        Expect::Answer(Answer::ParseComplete(None)),
        Expect::Bind,
        Expect::Sync,
    ]);
    assert_eq!(
        replies.take_answer(),
        None,
        "the Bind before it is unanswered"
    );
    assert_eq!(step(&mut replies, T::BindComplete), Finished);
    assert_eq!(replies.take_answer(), Some(Answer::ParseComplete(None)));
    assert_eq!(replies.take_answer(), None);
    assert_eq!(
        steps(&mut replies, &[T::BindComplete, T::ReadyForQuery]),
        [Finished, Finished]
    );
}

#[test]
fn an_answer_behind_an_error_is_never_given() {
    let mut replies = sent([
        Expect::Bind,
        Expect::Answer(Answer::CloseComplete(None)),
        Expect::Sync,
    ]);
    assert_eq!(step(&mut replies, T::ErrorResponse), Forward);
    assert_eq!(replies.take_answer(), None);
    assert_eq!(step(&mut replies, T::ReadyForQuery), Finished);
}

#[test]
fn a_deallocate_that_the_sidecar_answers_leaves_nothing_open() {
    let mut replies = sent([Expect::Answer(Answer::Deallocated(None))]);
    assert_eq!(replies.take_answer(), Some(Answer::Deallocated(None)));
    assert!(replies.is_settled(), "it brings its own ReadyForQuery");
    assert_eq!(replies.abandoned(), (0, false));
}

#[test]
fn a_lost_server_owes_each_ready_for_query_that_the_client_waits_for() {
    let mut replies = sent([
        Expect::Query(None),
        parse(),
        Expect::Sync,
        Expect::FunctionCall,
        Expect::Own,
    ]);
    assert_eq!(replies.abandoned(), (3, false));
    replies.push(Expect::Bind);
    assert_eq!(replies.abandoned(), (3, true), "a batch has been begun");
}

#[test]
fn a_lost_server_owes_the_ready_for_query_of_a_deallocate_too() {
    let replies = sent([
        Expect::Query(None),
        Expect::Answer(Answer::Deallocated(None)),
    ]);
    assert_eq!(replies.abandoned(), (2, false));
}

#[test]
fn a_server_lost_while_it_skips_leaves_a_batch_open() {
    let mut replies = sent([parse()]);
    assert_eq!(step(&mut replies, T::ErrorResponse), Forward);
    assert_eq!(replies.abandoned(), (0, true));
}

#[test]
fn a_copy_by_simple_query_ends_at_its_ready_for_query() {
    let mut replies = sent([Expect::Query(None)]);
    assert_eq!(step(&mut replies, T::CopyInResponse), Forward);
    replies.push_copy_end();
    assert_eq!(
        steps(&mut replies, &[T::CommandComplete, T::ReadyForQuery]),
        [Forward, Finished]
    );
    assert!(replies.is_settled());
}

#[test]
fn a_sync_that_the_server_reads_during_a_copy_is_never_answered() {
    // tokio-postgres sends Bind, Execute and Sync in one go, then the data, then CopyDone and Sync.
    let mut replies = sent([Expect::Bind, Expect::Execute(None), Expect::Sync]);
    assert_eq!(
        steps(&mut replies, &[T::BindComplete, T::CopyInResponse]),
        [Finished, Forward]
    );
    assert!(!replies.is_settled());
    replies.push_copy_end();
    replies.push_sync();
    assert_eq!(
        steps(&mut replies, &[T::CommandComplete, T::ReadyForQuery]),
        [Finished, Finished]
    );
    assert!(replies.is_settled());
}

#[test]
fn a_sync_sent_after_the_copy_has_begun_is_not_expected_to_be_answered() {
    let mut replies = sent([Expect::Execute(None)]);
    assert_eq!(step(&mut replies, T::CopyInResponse), Forward);
    replies.push_sync();
    replies.push_copy_end();
    replies.push_sync();
    assert_eq!(
        steps(&mut replies, &[T::CommandComplete, T::ReadyForQuery]),
        [Finished, Finished]
    );
    assert!(replies.is_settled());
}

#[test]
fn a_copy_whose_end_was_sent_before_it_was_announced_counts_the_sync_behind_it() {
    let mut replies = sent([Expect::Execute(None), Expect::CopyEnd, Expect::Sync]);
    assert_eq!(
        steps(
            &mut replies,
            &[T::CopyInResponse, T::CommandComplete, T::ReadyForQuery]
        ),
        [Forward, Finished, Finished]
    );
    assert!(replies.is_settled());
}

#[test]
fn a_whole_copy_sent_at_once_is_settled_when_it_is_over() {
    let mut replies = sent([
        Expect::Execute(None),
        Expect::Sync,
        Expect::CopyEnd,
        Expect::Sync,
    ]);
    assert_eq!(
        steps(
            &mut replies,
            &[T::CopyInResponse, T::CommandComplete, T::ReadyForQuery]
        ),
        [Forward, Finished, Finished]
    );
    assert!(replies.is_settled(), "the last message was a Sync");
}

#[test]
fn an_error_in_a_copy_of_the_extended_protocol_skips_to_the_sync() {
    let mut replies = sent([Expect::Execute(None)]);
    assert_eq!(
        steps(&mut replies, &[T::CopyInResponse, T::ErrorResponse]),
        [Forward, Forward]
    );
    assert!(replies.is_skipping());
    replies.push_sync();
    assert_eq!(step(&mut replies, T::ReadyForQuery), Finished);
    assert!(replies.is_settled());
}

#[test]
fn a_copy_that_the_client_gives_up_is_an_error_like_any_other() {
    let mut replies = sent([Expect::Execute(None)]);
    assert_eq!(step(&mut replies, T::CopyInResponse), Forward);
    replies.push_copy_end();
    replies.push_sync();
    assert_eq!(
        steps(&mut replies, &[T::ErrorResponse, T::ReadyForQuery]),
        [Forward, Finished]
    );
    assert!(replies.is_settled());
}

#[test]
fn two_copies_in_one_query_take_one_end_each() {
    let mut replies = sent([Expect::Query(None), Expect::CopyEnd, Expect::CopyEnd]);
    assert_eq!(
        steps(
            &mut replies,
            &[
                T::CopyInResponse,
                T::CommandComplete,
                T::CopyInResponse,
                T::CommandComplete,
                T::ReadyForQuery
            ]
        ),
        [Forward, Forward, Forward, Forward, Finished]
    );
    assert!(replies.is_settled());
}

#[test]
fn the_end_of_a_copy_that_has_failed_already_keeps_nothing_open() {
    let mut replies = sent([Expect::Query(None)]);
    assert_eq!(
        steps(&mut replies, &[T::CopyInResponse, T::ErrorResponse]),
        [Forward, Forward]
    );
    replies.push_copy_end();
    assert_eq!(step(&mut replies, T::ReadyForQuery), Finished);
    assert!(!replies.client_waits(), "no answer is to come");
    assert!(replies.is_settled());
}

#[test]
fn the_end_of_no_copy_is_passed_over() {
    let mut replies = sent([
        Expect::Execute(None),
        Expect::CopyEnd,
        Expect::Execute(None),
        Expect::Sync,
    ]);
    assert_eq!(
        steps(
            &mut replies,
            &[T::CommandComplete, T::CommandComplete, T::ReadyForQuery]
        ),
        [Finished, Finished, Finished]
    );
    assert!(replies.is_settled());
}

#[test]
fn a_cleared_queue_owes_nothing() {
    let mut replies = sent([parse(), Expect::Query(None), Expect::Bind]);
    replies.clear();
    assert!(replies.is_settled());
    assert_eq!(replies.queue.len(), 0);
}

#[test]
fn the_front_tells_which_statement_a_command_tag_belongs_to() {
    let set = statement("SET x = 1");
    let mut replies = sent([
        Expect::Bind,
        Expect::Execute(Some(Rc::clone(&set))),
        Expect::Sync,
    ]);
    assert!(replies.front_statement().is_none());
    assert_eq!(step(&mut replies, T::BindComplete), Finished);
    assert!(Rc::ptr_eq(&replies.front_statement().unwrap(), &set));
}

#[test]
fn what_a_skipped_parse_would_have_taught_is_undone_on_both_sides() {
    let wanted = statement("SELECT 7");
    let (mut learnt, mut names) = (ServerStatements::default(), ClientStatements::default());
    let name: Rc<[u8]> = b"s1"[..].into();
    names.insert(Rc::clone(&name), Rc::clone(&wanted));
    assert!(learnt.learn(&wanted).is_none());
    let mut replies = sent([
        Expect::Bind,
        Expect::Parse {
            statement: Some(Rc::clone(&wanted)),
            name: Some(name),
            hidden: false,
        },
        Expect::Sync,
    ]);
    let fate = replies.step(T::ErrorResponse, |gone| {
        learnt.undo(&gone);
        names.undo(gone);
    });
    assert!(fate.is_ok());
    assert!(!learnt.knows(&wanted));
    assert!(names.get(b"s1").is_none());
}

#[test]
fn a_failed_copy_whose_sync_was_answered_after_all_lets_its_client_go_on() {
    // A COPY into a view is announced and fails before it reads the Sync that was sent with it.
    let mut replies = sent([Expect::Execute(None), Expect::Sync]);
    assert_eq!(
        steps(
            &mut replies,
            &[T::CopyInResponse, T::ErrorResponse, T::ReadyForQuery]
        ),
        [Forward, Forward, Finished]
    );
    assert!(!replies.is_skipping(), "the server reads on");
    assert!(replies.is_settled(), "its one Sync has been answered");
}
