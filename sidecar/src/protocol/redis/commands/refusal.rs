//! Why a command does not reach the server, and the error that its client reads.

use std::fmt::{self, Display, Formatter};

/// Why a command is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Why {
    /// It sees keys of everybody.
    OthersKeys,
    /// It counts or weighs what everybody has.
    OthersCounts,
    /// It removes or replaces what everybody has.
    OthersData,
    /// It shows what others do or have done.
    OthersActivity,
    /// It acts on connections of others.
    OthersConnections,
    /// It changes or stops the server for everybody.
    Server,
    /// It changes the cluster for everybody.
    Cluster,
    /// It has the server connect to an address of the client's choice.
    Elsewhere,
    /// A payload of the client's making is read unchecked.
    Payload,
    /// Functions and cached scripts belong to everybody.
    SharedCode,
    /// A script reaches keys that it does not declare.
    Script,
    /// A script may call it, and no key pattern holds it back there.
    OpenToScripts,
    /// BY and GET of SORT name keys by what others hold.
    SortPatterns,
    /// The messages of this channel name keys of everybody, and a server can not be made to send only some.
    KeyEvents,
    /// The pattern may match notifications about keys of everybody.
    NotificationPattern,
    /// Invalidations name keys, and some are about everybody's.
    Invalidations,
    /// A section of INFO that tells of everybody's keys or work.
    InfoSection,
    /// The module keeps an index or a rule over keys of everybody.
    Index,
    /// Bulkhead does not know it.
    Unknown,
    /// It turns the connection into a stream to a replica.
    Replication,
    /// It names connections by the server's numbers, and the client has none behind the sidecar.
    ConnectionNumbers,
    /// It is a line of HTTP.
    Http,
}

impl Why {
    /// The reason, as the part of a sentence behind a colon.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::OthersKeys => "it would show other users' keys",
            Self::OthersCounts => "it would tell of what other users have",
            Self::OthersData => "it would change or remove other users' keys",
            Self::OthersActivity => "it would show what other users do",
            Self::OthersConnections => "it would act on other users' connections",
            Self::Server => "it would change, slow or stop the server for every user",
            Self::Cluster => "it would change the cluster for every user",
            Self::Elsewhere => "it would make the server connect elsewhere",
            Self::Payload => {
                "the server reads such a payload unchecked, and a crafted one stops it for every user"
            }
            Self::SharedCode => "functions and cached scripts are shared by all users",
            Self::Script => {
                "a script reaches keys that it does not declare; it needs a Redis user for each end user (acl: PerUser)"
            }
            Self::OpenToScripts => {
                "under acl: PerUser a script could call it too, where nothing holds it to one user's keys"
            }
            Self::SortPatterns => "BY and GET with a pattern read whatever keys the elements name",
            Self::KeyEvents => "its messages name the keys of every user",
            Self::NotificationPattern => {
                "the pattern may match notifications of other users' keys; begin it with __keyspace@<database>__: or __keyevent@<database>__:"
            }
            Self::Invalidations => {
                "the keys in invalidations are the server's, and some tell of other users"
            }
            Self::InfoSection => {
                "of INFO's sections only server, replication, cluster and modules tell nothing of other users"
            }
            Self::Index => "what the module keeps spans the keys of all users",
            Self::Unknown => "Bulkhead does not know which of its arguments are keys",
            Self::Replication => {
                "it turns the connection into a stream to a replica, which the sidecar does not carry"
            }
            Self::ConnectionNumbers => {
                "it names connections by the server's numbers, which are not the client's own behind the sidecar"
            }
            Self::Http => "it is a line of an HTTP request",
        }
    }
}

/// What a client is told in the place of an answer.
///
/// Within a transaction the server, which does not hear of it, would not fail EXEC as it does after an error of its own: whoever refuses a
/// command there answers EXEC with `EXECABORT`, and has the server DISCARD.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The command is not for it.
    NotPermitted {
        /// The command, as the client wrote it.
        command: String,
        /// Why not.
        why: Why,
    },
    /// The command is malformed, and would be an error on the server too: the server's own line.
    Malformed(String),
}

impl Refusal {
    /// A refusal of the command of this name, which is the client's, and cut where it is long.
    #[must_use]
    pub fn not_permitted(name: &[u8], sub: Option<&[u8]>, why: Why) -> Self {
        let mut command = shown(name);
        if let Some(sub) = sub {
            command.push(' ');
            command.push_str(&shown(sub));
        }
        Self::NotPermitted { command, why }
    }

    /// A syntax error, in the server's words.
    #[must_use]
    pub fn syntax() -> Self {
        Self::Malformed("ERR syntax error".to_owned())
    }

    /// An argument that is no number, in the server's words.
    #[must_use]
    pub fn not_an_integer() -> Self {
        Self::Malformed("ERR value is not an integer or out of range".to_owned())
    }

    /// Too few or too many arguments, in the server's words.
    #[must_use]
    pub fn arity(name: &str) -> Self {
        Self::Malformed(format!(
            "ERR wrong number of arguments for '{name}' command"
        ))
    }

    /// The error's line, without its `-` and CR LF. `setting` names the field of the policy that a refusal comes from, such as
    /// `databases[cache].session.keyPrefix`.
    #[must_use]
    pub fn line<'a>(&'a self, setting: &'a str) -> impl Display + 'a {
        Line(self, setting)
    }
}

struct Line<'a>(&'a Refusal, &'a str);

impl Display for Line<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self(refusal, setting) = self;
        match refusal {
            Refusal::NotPermitted { command, why } => {
                let why = why.text();
                write!(f, "NOPERM Bulkhead refuses '{command}': {why} ({setting})")
            }
            Refusal::Malformed(line) => f.write_str(line),
        }
    }
}

/// A name of the client's as it may stand in an error: its beginning, in capitals, and nothing that a terminal would obey.
fn shown(name: &[u8]) -> String {
    const MOST: usize = 64;
    name.iter()
        .take(MOST)
        .map(|byte| match byte {
            b' '..=b'~' => char::from(byte.to_ascii_uppercase()),
            _ => '?',
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_what_why_and_by_which_setting() {
        let refusal = Refusal::not_permitted(b"client", Some(b"list"), Why::OthersActivity);
        assert_eq!(
            refusal
                .line("databases[cache].session.keyPrefix")
                .to_string(),
            "NOPERM Bulkhead refuses 'CLIENT LIST': it would show what other users do (databases[cache].session.keyPrefix)"
        );
    }

    #[test]
    fn a_name_is_shown_as_harmless_text() {
        let name = [b"\x1b[31m\r\n".as_slice(), &[b'x'; 100]].concat();
        let Refusal::NotPermitted { command, .. } =
            Refusal::not_permitted(&name, None, Why::Unknown)
        else {
            unreachable!()
        };
        assert_eq!(command.len(), 64);
        assert!(command.starts_with("?[31M??XX"), "{command}");
    }
}
