//! One entry of `criticalEvents`.

/// The prefix of socket.io's events.
const SOCKET_IO: &str = "socket.io:";

/// What an entry of `criticalEvents` asks for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum CriticalEvent {
    /// A value at a place of a JSON document.
    Json {
        /// The reference tokens of a JSON pointer (RFC 6901), unescaped.
        path: Vec<String>,
        /// The text of a string there, or a number, `true`, `false` or `null` as it is written.
        value: String,
    },
    /// An event of socket.io, by its name.
    SocketIo(String),
}

impl CriticalEvent {
    /// Reads an entry. What begins with `/` and has a `=` is a pointer and a value, cut at the first `=`; what is none of the other forms is
    /// a name at `/type`. Every text is an entry; which ones match nothing is for the rules to say.
    #[must_use]
    pub fn parse(entry: &str) -> Self {
        if let Some(name) = entry.strip_prefix(SOCKET_IO) {
            return Self::SocketIo(name.to_owned());
        }
        let pointer = entry.strip_prefix('/').and_then(|it| it.split_once('='));
        let Some((pointer, value)) = pointer else {
            return Self::Json {
                path: vec!["type".to_owned()],
                value: entry.to_owned(),
            };
        };
        let token = |token: &str| token.replace("~1", "/").replace("~0", "~");
        Self::Json {
            path: pointer.split('/').map(token).collect(),
            value: value.to_owned(),
        }
    }

    /// The name of the event, or the value that it is known by.
    #[must_use]
    pub fn says(&self) -> &str {
        match self {
            Self::Json { value, .. } => value,
            Self::SocketIo(name) => name,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_a_name_a_pointer_or_an_event_of_socket_io() {
        let json = |path: &[&str], value: &str| CriticalEvent::Json {
            path: path.iter().map(|&token| token.to_owned()).collect(),
            value: value.to_owned(),
        };
        let socket_io = |name: &str| CriticalEvent::SocketIo(name.to_owned());
        let rows = [
            ("done", json(&["type"], "done")),
            ("/payload/kind=done", json(&["payload", "kind"], "done")),
            ("/a~1b/m~0n/~01=x=y", json(&["a/b", "m~n", "~1"], "x=y")),
            ("/=", json(&[""], "")),
            ("/no-value", json(&["type"], "/no-value")),
            ("a=b", json(&["type"], "a=b")),
            ("socket.io:done", socket_io("done")),
            ("socket.io:/a=b", socket_io("/a=b")),
        ];
        for (entry, expected) in rows {
            assert_eq!(CriticalEvent::parse(entry), expected, "{entry}");
        }
    }
}
