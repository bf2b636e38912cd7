//! Which of the table's commands an entry's server has: a Redis user cannot be granted one that the server does not know.

use std::cell::RefCell;
use std::collections::HashSet;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

/// For how long a server is taken to have the same commands: modules are loaded, and another server answers after a failover.
const FRESH: Duration = Duration::from_secs(60);

/// The rules of ACL SETUSER that grant a user their commands, as they were made last.
#[derive(Debug, Default)]
pub struct Catalogue(RefCell<Option<(Instant, Grants)>>);

/// Rules of ACL SETUSER, each an argument.
pub(super) type Grants = Rc<[Vec<u8>]>;

impl Catalogue {
    /// The rules, where they are not too old to go by.
    pub(super) fn grants(&self, now: Instant) -> Option<Grants> {
        let known = self.0.borrow();
        let (at, grants) = known.as_ref()?;
        (now.saturating_duration_since(*at) < FRESH).then(|| Rc::clone(grants))
    }

    /// What was made of the server's own list.
    pub(super) fn keep(&self, now: Instant, grants: &Grants) {
        *self.0.borrow_mut() = Some((now, Rc::clone(grants)));
    }
}

/// The names in what `COMMAND LIST` has answered, subcommands among them (`client|id`): bulk strings, a line for each length and a line for
/// each name.
pub(super) fn names_in(list: &[u8]) -> HashSet<&str> {
    let text = std::str::from_utf8(list).unwrap_or_default();
    let lines = text.split("\r\n").skip(1);
    lines.filter(|line| !line.starts_with('$')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_out_of_a_list() {
        let names = names_in(b"*3\r\n$3\r\nget\r\n$9\r\nclient|id\r\n$6\r\nclient\r\n");
        assert!(
            ["get", "client|id", "client"]
                .iter()
                .all(|name| names.contains(name))
        );
        assert!(!names.contains("$3") && !names.contains("*3"));
    }

    #[test]
    fn what_was_known_too_long_ago_is_asked_again() {
        let (catalogue, now) = (Catalogue::default(), Instant::now());
        assert!(catalogue.grants(now).is_none());
        catalogue.keep(now, &[b"+get".to_vec()].into());
        let later = now + FRESH / 2;
        assert_eq!(
            catalogue.grants(later).as_deref(),
            Some(&[b"+get".to_vec()][..])
        );
        assert!(catalogue.grants(now + FRESH).is_none());
    }
}
