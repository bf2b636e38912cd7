//! What passes, what is dropped, and what is told instead.

use BackendTag as T;

use super::super::super::error_response::SqlState;
use super::*;

fn overdue() -> Overdue {
    let error = ErrorResponse::error(SqlState::QUERY_CANCELED, "it took too long");
    Overdue::new(TimeoutKind::Statement, Box::new(error), Instant::now())
}

/// One whose client has had its time.
fn impatient() -> Overdue {
    let mut overdue = overdue();
    let lost = overdue.lose_patience(STANDING + 1, Rest::default());
    assert!(lost.unwrap(), "that was its patience, not its limit");
    overdue
}

fn passes(overdue: &mut Overdue, tag: T, standing: usize) -> bool {
    matches!(overdue.judge(tag, 100, standing, false), Fate::Pass)
}

#[test]
fn an_answer_that_is_whole_passes_without_an_error() {
    let mut overdue = impatient();
    for tag in [T::DataRow, T::CommandComplete, T::ReadyForQuery] {
        assert!(passes(&mut overdue, tag, STANDING), "{tag:?}");
    }
    assert!(overdue.owed().is_none());
    assert!(overdue.into_late().is_some(), "its cancel may hit the next");
}

#[test]
fn the_cancels_own_error_is_told_in_our_words_once() {
    let mut overdue = overdue();
    let fate = overdue.judge(T::ErrorResponse, 100, 0, true);
    assert!(matches!(fate, Fate::Replace(error) if error.message == "it took too long"));
    assert!(overdue.owed().is_none());
    assert!(overdue.into_untold().is_none());
}

#[test]
fn another_error_is_the_statements_own() {
    let mut overdue = overdue();
    assert!(passes(&mut overdue, T::ErrorResponse, 0));
    assert!(overdue.into_untold().is_none());
}

#[test]
fn an_answer_that_is_not_whole_ends_with_the_error_whatever_the_server_says() {
    let mut overdue = impatient();
    assert!(!passes(&mut overdue, T::DataRow, STANDING + 1));
    // What comes when the client reads again is behind a gap.
    assert!(!passes(&mut overdue, T::DataRow, 0));
    assert!(!passes(&mut overdue, T::CommandComplete, 0));
    assert!(overdue.owed().is_some());
    assert!(overdue.owed().is_none(), "once");

    let mut overdue = impatient();
    assert!(!passes(&mut overdue, T::DataRow, STANDING + 1));
    let fate = overdue.judge(T::ErrorResponse, 100, 0, false);
    assert!(matches!(fate, Fate::Replace(_)));
    assert!(overdue.owed().is_none());
}

#[test]
fn a_notice_that_is_dropped_leaves_the_answer_whole() {
    let mut overdue = impatient();
    assert!(!passes(&mut overdue, T::NoticeResponse, STANDING + 1));
    assert!(passes(&mut overdue, T::CommandComplete, 0));
    assert!(overdue.owed().is_none());
}

#[test]
fn a_server_is_read_as_far_as_its_output_may_stand() {
    let begun = |left| Rest {
        left,
        forward: true,
    };
    let patient = overdue();
    assert!(patient.may_read(STANDING, begun(TAIL + 1)));
    assert!(!patient.may_read(STANDING + 1, Rest::default()));
    let impatient = impatient();
    assert!(impatient.may_read(usize::MAX, begun(TAIL)));
    assert!(
        !impatient.may_read(STANDING + 1, begun(TAIL + 1)),
        "it must be finished"
    );
    assert!(impatient.may_read(STANDING, begun(TAIL + 1)));
}

#[test]
fn a_message_begun_that_is_too_long_to_stand_ends_the_client() {
    let rest = Rest {
        left: TAIL + 1,
        forward: true,
    };
    assert!(overdue().lose_patience(STANDING + 1, rest).is_err());
    let mut reads = overdue();
    assert!(
        reads.lose_patience(STANDING, rest).unwrap(),
        "this one reads"
    );
    assert!(!reads.lose_patience(STANDING, rest).unwrap());
}

#[test]
fn a_cancel_that_was_asked_for_is_told_in_the_servers_words_unless_the_answer_is_not_whole() {
    let asked = || {
        let error = ErrorResponse::error(SqlState::QUERY_CANCELED, "as you wish");
        Overdue::requested(Box::new(error), Instant::now())
    };
    let mut told = asked();
    assert!(matches!(
        told.judge(T::ErrorResponse, 100, 0, true),
        Fate::Pass
    ));
    assert!(told.into_untold().is_none());

    let mut cut = asked();
    cut.lose_patience(STANDING + 1, Rest::default()).unwrap();
    assert!(!passes(&mut cut, T::DataRow, STANDING + 1));
    let fate = cut.judge(T::ErrorResponse, 100, 0, true);
    assert!(matches!(fate, Fate::Replace(error) if error.message == "as you wish"));

    assert!(asked().into_late().is_none(), "the server's words do");
    assert!(
        asked().into_untold().is_some(),
        "for a server that never answers"
    );
}
