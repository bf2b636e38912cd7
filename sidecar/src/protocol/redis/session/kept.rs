//! Commands that the sidecar answers, or keeps, for its client: who it is, what it is called, which database it works in.

use super::super::client::{NAMES_USER, database_number, is_name};
use super::super::codec::{push_array_header, push_bulk};
use super::super::commands::{Kept, Shape};
use super::super::hello::Hello;
use super::judging::May;
use super::pending::Due;
use super::{Ending, Flow, Session, Waits};

impl Session {
    /// Deals with such a command. A flow where it must wait, unread.
    ///
    /// # Errors
    /// The session's end.
    pub(super) fn keep(
        &mut self,
        kept: Kept,
        arguments: &[Box<[u8]>],
    ) -> Result<Option<Flow>, Ending> {
        // What these do is done at once, and not when a transaction is executed.
        if self.transaction.is_queueing()
            && !matches!(kept, Kept::Select | Kept::Quit | Kept::Reset)
        {
            self.refuse("ERR this command is answered by Bulkhead, which does not queue it in a transaction");
            return Ok(None);
        }
        match (kept, arguments) {
            (Kept::Auth, _) => Ok(Some(self.says_who(Waits::Identity))),
            (Kept::SetName, [_, _, name]) if name.starts_with(NAMES_USER) => {
                Ok(Some(self.says_who(Waits::Identity)))
            }
            (Kept::Hello, [_, rest @ ..]) => self.hello(rest),
            (Kept::Select, [_, number]) => self.select(number),
            (Kept::Quit, _) => {
                self.say(b"+OK\r\n");
                self.waits = Some(Waits::Quit);
                Ok(None)
            }
            (Kept::Reset, _) => {
                self.say(b"+RESET\r\n");
                self.waits = Some(Waits::Reset);
                Ok(None)
            }
            (Kept::SetName, [_, _, name]) => {
                self.set_name(name);
                Ok(None)
            }
            (Kept::GetName, [_, _]) => {
                let name = self.choices.name.clone().unwrap_or_default();
                self.say_bulk(&name);
                Ok(None)
            }
            (Kept::SetInfo, [_, _, attribute, value]) => {
                if attribute.eq_ignore_ascii_case(b"LIB-NAME") && is_name(value) {
                    self.choices.library = Some(value.clone());
                }
                self.say(b"+OK\r\n");
                Ok(None)
            }
            (Kept::ClientId, [_, _]) => {
                let id = self.id();
                self.say(format!(":{id}\r\n").as_bytes());
                Ok(None)
            }
            (Kept::ClientInfo, [_, _]) => {
                let info = self.info();
                self.say_bulk(info.as_bytes());
                Ok(None)
            }
            (Kept::Reply, _) => {
                self.say_error("ERR Bulkhead does not serve CLIENT REPLY: it must hear the server's answers to tell them apart");
                Ok(None)
            }
            (_, [name, ..]) => {
                let name = String::from_utf8_lossy(name).to_lowercase();
                self.say_error(&format!(
                    "ERR wrong number of arguments for '{name}' command"
                ));
                Ok(None)
            }
            (_, []) => Ok(None),
        }
    }

    /// The client says again who it is: that waits until nothing is owed.
    fn says_who(&mut self, waits: Waits) -> Flow {
        if self.pending.is_empty() {
            return Flow::Identify;
        }
        self.waits = Some(waits);
        Flow::Continue
    }

    /// `HELLO`: the server answers for itself. Everything else of it stays here.
    fn hello(&mut self, rest: &[Box<[u8]>]) -> Result<Option<Flow>, Ending> {
        let rest: Vec<&[u8]> = rest.iter().map(|word| &**word).collect();
        let hello = match Hello::read(&rest) {
            Ok(hello) if hello.says_who() => return Ok(Some(self.says_who(Waits::Identity))),
            Ok(hello) => hello,
            Err(line) => {
                self.say_error(&line);
                return Ok(None);
            }
        };
        if let Some(name) = hello.name {
            self.choices.name = Some(name.into());
        }
        let version = hello.resp.unwrap_or(self.choices.resp);
        let number = [b'0' + version.number()];
        self.forward_own(&[b"HELLO", &number], Due::Hello(version))
    }

    /// `SELECT`: the server says whether it has such a database.
    fn select(&mut self, number: &[u8]) -> Result<Option<Flow>, Ending> {
        let Some(database) = database_number(number) else {
            self.refuse("ERR value is not an integer or out of range");
            return Ok(None);
        };
        let text = database.to_string();
        let command: [&[u8]; 2] = [b"SELECT", text.as_bytes()];
        if self.transaction.is_queueing() {
            self.transaction.queue(Shape::Plain);
            self.transaction.select(database);
            return self.forward_own(&command, Due::Pass);
        }
        self.forward_own(&command, Due::Select(database))
    }

    /// Sends the server a command in the client's place.
    fn forward_own(&mut self, command: &[&[u8]], due: Due) -> Result<Option<Flow>, Ending> {
        match self.may_send() {
            May::Attach => return Ok(Some(Flow::Attach)),
            May::Not(line) => {
                self.say_error(&line);
                return Ok(None);
            }
            May::Send => {}
        }
        self.note_begun();
        if let Some(owned) = &mut self.server {
            let out = owned.server.outbox.writer();
            push_array_header(out, command.len());
            command.iter().for_each(|argument| push_bulk(out, argument));
        }
        self.pending.push(due);
        Ok(None)
    }

    fn set_name(&mut self, name: &[u8]) {
        if !is_name(name) {
            self.say_error(
                "ERR Client names cannot contain spaces, newlines or special characters.",
            );
            return;
        }
        self.choices.name = (!name.is_empty()).then(|| name.into());
        self.factory
            .activity
            .note_application(&self.choices.application());
        self.say(b"+OK\r\n");
    }

    fn say_bulk(&mut self, text: &[u8]) {
        let mut bytes = Vec::new();
        push_bulk(&mut bytes, text);
        self.say(&bytes);
    }

    /// What the client is told its id is: the sidecar's, for its server connections change.
    fn id(&self) -> u64 {
        ((self.worker.index as u64) << 32) + self.slot as u64 + 1
    }

    /// `CLIENT INFO`, of what the sidecar knows.
    fn info(&self) -> String {
        let text = |bytes: &Option<Box<[u8]>>| {
            String::from_utf8_lossy(bytes.as_deref().unwrap_or_default()).into_owned()
        };
        format!(
            "id={} name={} db={} resp={} lib-name={} user={}\n",
            self.id(),
            text(&self.choices.name),
            self.database(),
            self.choices.resp.number(),
            text(&self.choices.library),
            self.factory.key.role,
        )
    }
}
