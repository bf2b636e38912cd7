//! Portals of statements that the sidecar answers itself. Pure.

use super::super::super::message::Format;
use super::super::super::statement_text::{Answered, Naming};

/// The most that one client keeps; drivers use one.
const MAX_PORTALS: usize = 16;

/// What a portal runs.
#[derive(Clone, Debug)]
pub(super) enum Runs {
    /// A statement that names a user, with the value of its parameter.
    Naming(Naming, Option<Vec<u8>>),
    /// A statement that is answered here; none in an empty text.
    Answered(Option<Answered>),
}

/// One portal.
#[derive(Clone, Debug)]
pub(super) struct Portal {
    pub(super) runs: Runs,
    /// How its row is written.
    pub(super) format: Format,
}

/// A client's portals.
#[derive(Debug, Default)]
pub(super) struct Portals(Vec<(Box<[u8]>, Portal)>);

/// Why a portal cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoPortal {
    /// One of this name is open.
    Duplicate,
    /// Too many are.
    TooMany,
}

impl Portals {
    /// Opens a portal; the unnamed one replaces the one before.
    pub(super) fn open(&mut self, name: &[u8], portal: Portal) -> Result<(), NoPortal> {
        if name.is_empty() {
            self.close(name);
        } else if self.get(name).is_some() {
            return Err(NoPortal::Duplicate);
        }
        if self.0.len() >= MAX_PORTALS {
            return Err(NoPortal::TooMany);
        }
        self.0.push((name.into(), portal));
        Ok(())
    }

    pub(super) fn get(&self, name: &[u8]) -> Option<&Portal> {
        let found = self.0.iter().find(|(known, _)| **known == *name);
        found.map(|(_, portal)| portal)
    }

    /// Closes a portal, and gives it back.
    pub(super) fn close(&mut self, name: &[u8]) -> Option<Portal> {
        let at = self.0.iter().position(|(known, _)| **known == *name)?;
        Some(self.0.swap_remove(at).1)
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn portal(text: &[u8]) -> Portal {
        Portal {
            runs: Runs::Answered(Some(Answered::Begin(text.into()))),
            format: Format::Text,
        }
    }

    #[test]
    fn the_unnamed_portal_is_replaced_and_a_named_one_is_not() {
        let mut portals = Portals::default();
        assert_eq!(portals.open(b"", portal(b"a")), Ok(()));
        assert_eq!(portals.open(b"", portal(b"b")), Ok(()));
        assert_eq!(portals.open(b"p", portal(b"c")), Ok(()));
        assert_eq!(portals.open(b"p", portal(b"d")), Err(NoPortal::Duplicate));
        let replaced = &portals.get(b"").unwrap().runs;
        assert!(matches!(replaced, Runs::Answered(Some(Answered::Begin(text))) if **text == *b"b"));
        assert!(portals.close(b"p").is_some());
        assert!(portals.close(b"p").is_none());
    }

    #[test]
    fn there_is_an_end_to_them() {
        let mut portals = Portals::default();
        for name in 0..MAX_PORTALS {
            let name = name.to_string();
            assert_eq!(portals.open(name.as_bytes(), portal(b"a")), Ok(()));
        }
        assert_eq!(portals.open(b"x", portal(b"a")), Err(NoPortal::TooMany));
        portals.clear();
        assert_eq!(portals.open(b"x", portal(b"a")), Ok(()));
    }
}
