//! What a server says of its commands: how many arguments, which flags, and where their keys stand.
//!
//! Source: the replies of COMMAND and COMMAND DOCS; "Command key specifications" (redis.io) for the form of [`KeySpec`].

/// A command or a subcommand, as a server describes it.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// In lower case; a subcommand behind its command and a bar (`config|get`).
    pub name: &'static str,
    /// How many arguments with the name, or at least so many where it is negative.
    pub arity: i16,
    /// The flags, apart by spaces.
    pub flags: &'static str,
    /// The ACL categories, apart by spaces, without their `@`.
    pub categories: &'static str,
    /// The group in the server's documentation.
    pub group: &'static str,
    /// Since which version of Redis, or of Valkey where it says so.
    pub since: &'static str,
    /// Where the keys stand.
    pub keys: &'static [KeySpec],
}

/// Where some keys of a command stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeySpec {
    /// Where to begin.
    pub begin: Begin,
    /// Which arguments from there on are keys.
    pub find: Find,
    /// What is done with them, apart by spaces. `not_key` marks what is no key and is spread over a cluster like one.
    pub flags: &'static str,
}

/// Where the keys of a [`KeySpec`] begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// At this argument.
    Index(u32),
    /// Behind this word, sought from this argument on (from behind where negative).
    Keyword(&'static str, i32),
    /// Nowhere that a rule could tell.
    Unknown,
}

/// Which arguments are keys, from where they begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Find {
    /// Up to the last, which is counted from the first, or from behind where negative; every so many; and, where the last is counted from
    /// behind, only the first of so many equal parts (0: all).
    Range(i32, u32, u32),
    /// As many as an argument says: where it stands, and the first key, both from the beginning; every so many.
    Count(u32, u32, u32),
    /// None that a rule could tell.
    Unknown,
}

impl Facts {
    /// Whether it has this flag.
    #[must_use]
    pub fn has_flag(&self, flag: &str) -> bool {
        self.flags.split(' ').any(|each| each == flag)
    }

    /// The command's name, and the subcommand's where this is one.
    #[must_use]
    pub fn names(&self) -> (&'static str, Option<&'static str>) {
        match self.name.split_once('|') {
            Some((name, sub)) => (name, Some(sub)),
            None => (self.name, None),
        }
    }

    /// Whether a command may have so many arguments, its name included.
    #[must_use]
    pub const fn takes(&self, arguments: usize) -> bool {
        takes(self.arity, arguments)
    }
}

/// Whether a command of this arity may have so many arguments.
pub(super) const fn takes(arity: i16, arguments: usize) -> bool {
    let least = arity.unsigned_abs() as usize;
    if arity < 0 {
        arguments >= least
    } else {
        arguments == least
    }
}

/// One row of a table.
pub(super) const fn facts(
    name: &'static str,
    arity: i16,
    flags: &'static str,
    categories: &'static str,
    group: &'static str,
    since: &'static str,
    keys: &'static [KeySpec],
) -> Facts {
    Facts {
        name,
        arity,
        flags,
        categories,
        group,
        since,
        keys,
    }
}

/// One key specification of a row.
pub(super) const fn keys(begin: Begin, find: Find, flags: &'static str) -> KeySpec {
    KeySpec { begin, find, flags }
}
