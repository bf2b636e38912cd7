//! What a command does to its connection, beside what it does to data.

use std::time::Duration;

/// What a command does to the state that a connection has on the server, or between client and sidecar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Nothing: the next command may go over another connection of the same user.
    None,
    /// It begins, ends or guards a transaction.
    Transaction(Transaction),
    /// It subscribes to something, or ends subscriptions.
    Subscription(Subscription),
    /// It may wait on the server; [`Timeout`] says where it says how long.
    Blocking(Timeout),
    /// It leaves something on the server connection that no other has: the client keeps that one from now on.
    Pins,
    /// It is answered, or kept, by the sidecar, and goes to a server only as the sidecar's own doing.
    Kept(Kept),
    /// It runs a program on the server, for as long as that takes.
    Script,
}

/// MULTI and what belongs to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transaction {
    /// MULTI: commands are queued from here on.
    Multi,
    /// EXEC: it ends, and what was watched is no longer.
    Exec,
    /// DISCARD: the same without anything done.
    Discard,
    /// WATCH: keys are watched on this connection, before a MULTI.
    Watch,
    /// UNWATCH: none is any longer.
    Unwatch,
}

/// A change of what a connection is subscribed to. There is one confirmation for each name, or one where all are ended and there were none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Subscription {
    /// What the names are of.
    pub to: SubscribesTo,
    /// Whether it subscribes, and does not end subscriptions.
    pub begins: bool,
}

/// What there is to subscribe to. The server counts channels and patterns together, shard channels apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SubscribesTo {
    /// Channels.
    Channels,
    /// Patterns of channels.
    Patterns,
    /// Channels of a cluster's shard.
    ShardChannels,
}

/// What the sidecar answers or keeps for its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kept {
    /// AUTH: who the client is.
    Auth,
    /// HELLO: the protocol's version, and who the client is.
    Hello,
    /// QUIT.
    Quit,
    /// RESET: the connection is as new, and nobody's.
    Reset,
    /// SELECT: the database that its commands work in.
    Select,
    /// CLIENT SETNAME.
    SetName,
    /// CLIENT GETNAME.
    GetName,
    /// CLIENT SETINFO.
    SetInfo,
    /// CLIENT ID.
    ClientId,
    /// CLIENT INFO.
    ClientInfo,
    /// CLIENT REPLY: whether it hears answers at all.
    Reply,
}

/// Where a command says how long it waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Timeout {
    /// In its last argument.
    Last(Unit),
    /// In the argument at this index.
    At(usize, Unit),
    /// Behind the word BLOCK among its options, if it waits at all (XREAD and XREADGROUP), in milliseconds.
    Block,
}

/// The unit of a timeout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unit {
    /// Seconds, with a fraction.
    Seconds,
    /// Whole milliseconds.
    Milliseconds,
}

/// How long one command waits on the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Until there is something; also where what it says is no time, which the server will say itself.
    Forever,
    /// No longer than this.
    AtMost(Duration),
}

impl Wait {
    /// What the text of a timeout means; 0 is for ever.
    #[must_use]
    pub fn parse(text: &[u8], unit: Unit) -> Self {
        let number = std::str::from_utf8(text)
            .ok()
            .and_then(|text| text.parse::<f64>().ok());
        let seconds = match unit {
            Unit::Seconds => number,
            Unit::Milliseconds => number.map(|number| number / 1000.0),
        };
        match seconds.map(Duration::try_from_secs_f64) {
            Some(Ok(time)) if !time.is_zero() => Self::AtMost(time),
            _ => Self::Forever,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_a_time_or_for_ever() {
        let milliseconds = |number| Wait::AtMost(Duration::from_millis(number));
        for (text, unit, want) in [
            ("0", Unit::Seconds, Wait::Forever),
            ("1", Unit::Seconds, milliseconds(1000)),
            ("0.25", Unit::Seconds, milliseconds(250)),
            ("250", Unit::Milliseconds, milliseconds(250)),
            ("0", Unit::Milliseconds, Wait::Forever),
            ("-1", Unit::Seconds, Wait::Forever),
            ("nan", Unit::Seconds, Wait::Forever),
            ("inf", Unit::Seconds, Wait::Forever),
            ("1e300", Unit::Seconds, Wait::Forever),
            ("soon", Unit::Seconds, Wait::Forever),
        ] {
            assert_eq!(Wait::parse(text.as_bytes(), unit), want, "{text} {unit:?}");
        }
    }
}
