//! Names, numbers, and what each side remembers.

use std::hash::BuildHasher;

use super::interner::ROOM;
use super::*;

fn body(text: &str) -> Vec<u8> {
    [text.as_bytes(), &[0, 0, 0]].concat()
}

fn name(text: &str) -> Rc<[u8]> {
    text.as_bytes().into()
}

#[test]
fn a_text_whose_statement_is_retired_gets_another_one_that_outlives_it() {
    let interner = Interner::default();
    let text = body("SELECT * FROM t");
    let old = interner.intern(&text);
    let mut client = ClientStatements::default();
    client.insert((*b"s").into(), Rc::clone(&old));
    client.retire();
    let new = interner.intern(&text);
    assert_ne!(new.id, old.id);
    // Once more for the old one, and its end, leave the new one where it is.
    client.retire();
    drop((client, old));
    assert_eq!(interner.intern(&text).id, new.id);
}

#[test]
fn one_text_is_one_statement_while_somebody_holds_it() {
    let interner = Interner::default();
    let first = interner.intern(&body("SELECT 1"));
    assert!(Rc::ptr_eq(&first, &interner.intern(&body("SELECT 1"))));
    assert!(!Rc::ptr_eq(&first, &interner.intern(&body("SELECT 2"))));
    let id = first.id;
    drop(first);
    assert_ne!(
        interner.intern(&body("SELECT 1")).id,
        id,
        "a number is never used again"
    );
}

#[test]
fn one_text_with_other_types_is_another_statement() {
    let interner = Interner::default();
    let plain = interner.intern(b"SELECT $1\0\0\0");
    let typed = interner.intern(b"SELECT $1\0\0\x01\0\0\0\x17");
    assert_ne!(plain.id, typed.id);
    assert_eq!(plain.text(), typed.text());
}

#[test]
fn what_nobody_holds_is_not_remembered() {
    let interner = Interner::default();
    let listed = || {
        let known = interner.known.by_hash.borrow();
        (known.len(), known.capacity() <= 16 * ROOM)
    };
    // While many live together the list grows,
    let all: Vec<_> = (0..10_000)
        .map(|number| interner.intern(&body(&format!("SELECT {number}"))))
        .collect();
    assert_eq!(listed(), (10_000, false));
    // and without them nothing of it is left, though nothing new comes.
    drop(all);
    assert_eq!(listed(), (0, true));
}

#[test]
fn two_texts_of_one_hash_are_two_statements() {
    let interner = Interner::default();
    let first = interner.intern(&body("SELECT 1"));
    // The list takes the first for one that has the second's hash.
    let hash = interner.known.hasher.hash_one(body("SELECT 2"));
    interner.known.insert(hash, Rc::downgrade(&first));
    let second = interner.intern(&body("SELECT 2"));
    assert_eq!(second.text(), b"SELECT 2");
    assert_ne!(first.id, second.id);
    drop(second);
    assert!(interner.known.get(hash).is_some(), "it was not listed");
}

#[test]
fn a_statement_that_is_not_looked_up_again_stays_out_of_the_books() {
    let interner = Interner::default();
    let (first, second) = (
        interner.once(&body("SELECT 1")),
        interner.once(&body("SELECT 1")),
    );
    assert_ne!(first.id, second.id);
    assert!(interner.known.by_hash.borrow().is_empty());
}

#[test]
fn a_change_is_read_where_it_stands_alone() {
    let interner = Interner::default();
    let change = |text: &str| interner.once(&body(text)).change.clone();
    assert!(
        matches!(change("SET search_path TO app"), Some(Change::Set(set)) if set.name == "search_path")
    );
    assert!(matches!(
        change("RESET ALL"),
        Some(Change::Reset(ResetStatement::All))
    ));
    assert_eq!(change("SET search_path TO app; SELECT 1"), None);
    assert_eq!(change("SELECT 1"), None);
}

#[test]
fn a_server_name_is_its_number() {
    let interner = Interner::default();
    let first = interner.once(b"");
    assert_eq!(
        first.server_name().as_bytes(),
        format!("bh_{:x}", first.id).as_bytes()
    );
    for id in [0, 1, 15, 16, 0xdead_beef, u64::MAX] {
        assert_eq!(server_name(id).as_bytes(), format!("bh_{id:x}").as_bytes());
    }
}

#[test]
fn a_client_finds_its_statements_by_name_and_the_unnamed_one_apart() {
    let (interner, mut client) = (Interner::default(), ClientStatements::default());
    let (named, unnamed) = (
        interner.intern(&body("SELECT 1")),
        interner.once(&body("SELECT 2")),
    );
    client.insert(name("a"), Rc::clone(&named));
    client.set_unnamed(Some(Rc::clone(&unnamed)));
    assert!(Rc::ptr_eq(client.get(b"a").unwrap(), &named));
    assert!(Rc::ptr_eq(client.get(b"").unwrap(), &unnamed));
    assert!(client.get(b"b").is_none());
    assert_eq!(client.bytes(), named.body.len() + 1 + unnamed.body.len());
    assert!(client.remove(b"a").is_some() && client.remove(b"a").is_none());
    assert_eq!(client.bytes(), unnamed.body.len());
    client.insert(name("a"), named);
    client.clear();
    assert!(client.get(b"a").is_none() && client.get(b"").is_none());
    assert_eq!(client.bytes(), 0);
}

#[test]
fn a_refused_statement_takes_its_name_back_only_while_the_name_means_it() {
    let (interner, mut client) = (Interner::default(), ClientStatements::default());
    let (refused, later) = (
        interner.intern(&body("oops")),
        interner.intern(&body("SELECT 1")),
    );
    client.insert(name("a"), Rc::clone(&later));
    client.forget(b"a", &refused);
    assert!(client.get(b"a").is_some());
    client.forget(b"a", &later);
    assert!(client.get(b"a").is_none());
}

#[test]
fn only_what_a_client_sent_itself_is_undone_for_it() {
    let (interner, mut client) = (Interner::default(), ClientStatements::default());
    let statement = interner.intern(&body("SELECT 1"));
    client.insert(name("a"), Rc::clone(&statement));
    let parse = |name| Expect::Parse {
        statement: Some(Rc::clone(&statement)),
        name,
        hidden: true,
    };
    client.undo(parse(None));
    client.undo(Expect::Bind);
    assert!(client.get(b"a").is_some());
    client.undo(parse(Some(name("a"))));
    assert!(client.get(b"a").is_none());
}

#[test]
fn the_statement_that_was_used_longest_ago_makes_room() {
    let (interner, mut server) = (Interner::default(), ServerStatements::default());
    let all: Vec<_> = (0..STATEMENTS_PER_SERVER)
        .map(|number| interner.intern(&body(&format!("SELECT {number}"))))
        .collect();
    for statement in &all {
        assert_eq!(server.learn(statement), None);
    }
    assert!(server.knows(&all[0]), "used just now");
    let one_more = interner.intern(&body("SELECT 'more'"));
    assert_eq!(server.learn(&one_more), Some(all[1].id));
    assert!(!server.knows(&all[1]));
    assert!(server.knows(&all[0]) && server.knows(&one_more));
}

#[test]
fn a_server_forgets_what_it_was_never_taught() {
    let (interner, mut server) = (Interner::default(), ServerStatements::default());
    let statement = interner.intern(&body("oops"));
    assert_eq!(server.learn(&statement), None);
    server.set_unnamed(Some(statement.id));
    server.undo(&Expect::Parse {
        statement: Some(Rc::clone(&statement)),
        name: None,
        hidden: true,
    });
    assert!(!server.knows(&statement));
    assert_eq!(server.unnamed(), None);
}

#[test]
fn a_server_that_has_dropped_all_is_taught_again() {
    let (interner, mut server) = (Interner::default(), ServerStatements::default());
    let statement = interner.intern(&body("SELECT 1"));
    assert_eq!(server.learn(&statement), None);
    server.set_unnamed(Some(7));
    server.clear();
    assert!(!server.knows(&statement));
    assert_eq!(server.unnamed(), None);
}
