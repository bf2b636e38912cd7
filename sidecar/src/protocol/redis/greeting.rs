//! What a client says before it has said whose work it brings: who it is, what it chooses for its connection, and that it is there. Pure,
//! but for the version of the server, which somebody must have been told.

use std::rc::Rc;

use super::client::{Choices, NAMES_USER, Resp, database_number, is_name};
use super::codec::{Arguments, push_array_header, push_bulk, push_error};
use super::hello::Hello;
use super::versions;
use crate::protocol::postgres::handshake::Redacted;
use crate::worker::{Entry, Worker};

/// What a newcomer's command asks for.
pub(super) enum Asked {
    /// It is answered here.
    Local(Answer),
    /// It says who it is.
    Credentials(Credentials),
    /// Work.
    Work,
}

/// The sidecar's answer.
pub(super) struct Answer {
    pub(super) bytes: Vec<u8>,
    /// In the place of `bytes`: what the server says of itself, in this version.
    pub(super) hello: Option<Resp>,
    /// The client's choices from here on.
    pub(super) choices: Choices,
    /// Whether the connection ends with it.
    pub(super) ends: bool,
}

/// What a client says of who it is.
pub(super) struct Credentials {
    /// The user name beside the password: a role, in Trusted with a user id behind `+`.
    pub(super) user: Option<String>,
    /// The password: a token.
    pub(super) password: Option<Redacted>,
    /// The id of `CLIENT SETNAME bulkhead:ID`.
    pub(super) named: Option<String>,
    /// What it is told where it is admitted.
    pub(super) reply: Reply,
    /// Its choices from here on.
    pub(super) choices: Choices,
}

/// What a client is told that is admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// `OK`.
    Ok,
    /// What the server says of itself.
    Hello,
    /// Nothing: its command is still to be answered.
    Nothing,
}

impl Credentials {
    /// A client that says nothing.
    pub(super) const fn nobody(choices: Choices) -> Self {
        Self {
            user: None,
            password: None,
            named: None,
            reply: Reply::Nothing,
            choices,
        }
    }
}

/// Reads a whole command of a client that has not said who it is.
pub(super) fn read(command: &Arguments<'_>, choices: &Choices) -> Asked {
    let arguments: Vec<&[u8]> = command.iter().collect();
    let Some((name, rest)) = arguments.split_first() else {
        return Asked::Work;
    };
    let name = name.to_ascii_uppercase();
    match (name.as_slice(), rest) {
        (b"AUTH", [password]) => credentials(None, password, choices),
        (b"AUTH", [user, password]) => credentials(Some(user), password, choices),
        (b"AUTH", _) => wrong_number(choices, "auth"),
        (b"HELLO", rest) => read_hello(rest, choices),
        (b"CLIENT", [subcommand, rest @ ..]) => {
            read_client(&subcommand.to_ascii_uppercase(), rest, choices)
        }
        (b"PING", []) => say(choices, b"+PONG\r\n"),
        (b"PING", [text]) => say(choices, &bulk(text)),
        (b"SELECT", [number]) => match database_number(number) {
            Some(number) => {
                let mut choices = choices.clone();
                choices.database = Some(number);
                say(&choices, OK)
            }
            None => say(choices, b"-ERR value is not an integer or out of range\r\n"),
        },
        (b"RESET", []) => say(&Choices::default(), b"+RESET\r\n"),
        (b"QUIT", _) => Asked::Local(Answer {
            bytes: OK.to_vec(),
            hello: None,
            choices: choices.clone(),
            ends: true,
        }),
        _ => Asked::Work,
    }
}

const OK: &[u8] = b"+OK\r\n";

fn say(choices: &Choices, bytes: &[u8]) -> Asked {
    Asked::Local(Answer {
        bytes: bytes.to_vec(),
        hello: None,
        choices: choices.clone(),
        ends: false,
    })
}

fn wrong_number(choices: &Choices, command: &str) -> Asked {
    let line = format!("ERR wrong number of arguments for '{command}' command");
    say(choices, &error_bytes(&line))
}

fn bulk(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    push_bulk(&mut bytes, text);
    bytes
}

/// An error as it goes to a client.
pub(super) fn error_bytes(line: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    push_error(&mut bytes, line);
    bytes
}

fn credentials(user: Option<&[u8]>, password: &[u8], choices: &Choices) -> Asked {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Asked::Credentials(Credentials {
        user: user.map(text),
        password: Some(Redacted::new(text(password))),
        named: None,
        reply: Reply::Ok,
        choices: choices.clone(),
    })
}

fn read_hello(rest: &[&[u8]], choices: &Choices) -> Asked {
    let hello = match Hello::read(rest) {
        Ok(hello) => hello,
        Err(line) => return say(choices, &error_bytes(&line)),
    };
    let mut choices = choices.clone();
    choices.resp = hello.resp.unwrap_or(choices.resp);
    if let Some(name) = hello.name {
        choices.name = Some(name.into());
    }
    if !hello.says_who() {
        return Asked::Local(Answer {
            bytes: Vec::new(),
            hello: Some(choices.resp),
            choices,
            ends: false,
        });
    }
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Asked::Credentials(Credentials {
        user: hello.auth.map(|(user, _)| text(user)),
        password: hello
            .auth
            .map(|(_, password)| Redacted::new(text(password))),
        named: hello.named.map(text),
        reply: Reply::Hello,
        choices,
    })
}

fn read_client(subcommand: &[u8], rest: &[&[u8]], choices: &Choices) -> Asked {
    match (subcommand, rest) {
        (b"SETNAME", [name]) if !is_name(name) => say(
            choices,
            b"-ERR Client names cannot contain spaces, newlines or special characters.\r\n",
        ),
        (b"SETNAME", [name]) => match name.strip_prefix(NAMES_USER) {
            Some(id) => Asked::Credentials(Credentials {
                user: None,
                password: None,
                named: Some(String::from_utf8_lossy(id).into_owned()),
                reply: Reply::Ok,
                choices: choices.clone(),
            }),
            None => {
                let mut choices = choices.clone();
                choices.name = (!name.is_empty()).then(|| (*name).into());
                say(&choices, OK)
            }
        },
        (b"GETNAME", []) => say(choices, &bulk(choices.name.as_deref().unwrap_or_default())),
        (b"SETINFO", [attribute, value]) => set_info(attribute, value, choices),
        _ => Asked::Work,
    }
}

/// `CLIENT SETINFO LIB-NAME …`, of Redis 7.2: kept here, whatever the server's version.
fn set_info(attribute: &[u8], value: &[u8], choices: &Choices) -> Asked {
    let mut choices = choices.clone();
    if attribute.eq_ignore_ascii_case(b"LIB-NAME") {
        choices.library = is_name(value).then(|| value.into());
    }
    say(&choices, OK)
}

/// What a server says of itself at HELLO, said again to a client that has no server connection.
///
/// # Errors
/// The error line for the client, where the server is not known and cannot be reached.
pub(super) async fn hello(
    worker: &Rc<Worker>,
    entry: &Rc<Entry>,
    resp: Resp,
) -> Result<Vec<u8>, String> {
    let version = versions::of(worker, entry).await?;
    Ok(hello_bytes(&version, resp))
}

/// A map in RESP3, and the same as an array in RESP2.
fn hello_bytes(version: &str, resp: Resp) -> Vec<u8> {
    let mut out = Vec::new();
    match resp {
        Resp::Two => push_array_header(&mut out, 14),
        Resp::Three => out.extend_from_slice(b"%7\r\n"),
    }
    let text = |out: &mut Vec<u8>, name: &str, value: &str| {
        push_bulk(out, name.as_bytes());
        push_bulk(out, value.as_bytes());
    };
    text(&mut out, "server", "redis");
    text(&mut out, "version", version);
    push_bulk(&mut out, b"proto");
    out.extend_from_slice(format!(":{}\r\n", resp.number()).as_bytes());
    push_bulk(&mut out, b"id");
    out.extend_from_slice(b":0\r\n");
    text(&mut out, "mode", "standalone");
    text(&mut out, "role", "master");
    push_bulk(&mut out, b"modules");
    push_array_header(&mut out, 0);
    out
}
