//! What becomes of one command: refused, or passed on as it came or with prefixes, and what its replies will be. Pure.
//!
//! - [`edits`](Plan::write): the command as the server gets it.
//! - [`specs`]: keys by the server's own key specifications.
//! - [`forms`]: keys of commands that no specification tells all of.

mod edits;
mod forms;
mod specs;

use super::codec::Arguments;
use super::commands::{Command, Effect, Refusal, Rule, Shape, Timeout, Wait, Why, find};
use super::prefix::KeyPrefix;
use edits::Edits;

/// What keeps one user's keys from another's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Isolation {
    /// The user's prefix.
    pub prefix: KeyPrefix,
    /// Whether the user has a Redis user of their own that the server holds to the prefix (`acl: PerUser`).
    pub per_user: bool,
}

impl Isolation {
    /// The prefix that the server itself holds the user's connections to, where it does.
    #[must_use]
    pub const fn held_to(&self) -> Option<&KeyPrefix> {
        if self.per_user {
            Some(&self.prefix)
        } else {
            None
        }
    }
}

/// What becomes of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// That depends on arguments that have not come.
    More,
    /// It does not reach the server; the client gets an error.
    Refused(Refusal),
    /// It goes on.
    Plan(Plan),
}

/// How a command goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The command, if Bulkhead knows it.
    pub command: Option<&'static Command>,
    /// What it does to the connection. [`Effect::Kept`] is the sidecar's own, and not passed on.
    pub effect: Effect,
    /// How long it waits on the server, if it does.
    pub wait: Option<Wait>,
    /// Where its reply holds keys; [`Shape::Plain`] passes as it comes. Always so without a prefix.
    pub reply: Shape,
    edits: Edits,
}

/// Decides about a command by those of its arguments that have come: all of them, or the first ones, at least the name.
#[must_use]
pub fn decide(arguments: &Arguments<'_>, isolation: Option<&Isolation>) -> Decision {
    let Some(name) = arguments.get(0) else {
        return Decision::More;
    };
    let sub = arguments.get(1);
    let command = find(name, sub);
    if command.is_some_and(Command::is_container) && sub.is_none() && !arguments.complete() {
        return Decision::More;
    }
    let Some(command) = command else {
        return match isolation {
            Some(_) => Decision::Refused(Refusal::not_permitted(name, None, Why::Unknown)),
            None => Decision::Plan(Plan::unknown()),
        };
    };
    match planned(arguments, command, isolation) {
        Ok(plan) => Decision::Plan(plan),
        Err(Hindrance::More) => Decision::More,
        Err(Hindrance::Refused(refusal)) => Decision::Refused(refusal),
        Err(Hindrance::Not(why)) => {
            let sub = sub.filter(|_| command.names() > 1 || command.is_container());
            Decision::Refused(Refusal::not_permitted(name, sub, why))
        }
    }
}

/// Why there is no plan.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Hindrance {
    More,
    Refused(Refusal),
    Not(Why),
}

impl From<Refusal> for Hindrance {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

fn planned(
    arguments: &Arguments<'_>,
    command: &'static Command,
    isolation: Option<&Isolation>,
) -> Result<Plan, Hindrance> {
    let treatment = &command.treatment;
    if let Some(why) = treatment.refused {
        return Err(Hindrance::Not(why));
    }
    let mut plan = Plan {
        command: Some(command),
        effect: treatment.effect,
        wait: wait(arguments, treatment.effect)?,
        reply: Shape::Plain,
        edits: Edits::NONE,
    };
    if plan.wait.is_none() && matches!(plan.effect, Effect::Blocking(_)) {
        plan.effect = Effect::None;
    }
    if let Some(isolation) = isolation
        && !matches!(treatment.effect, Effect::Kept(_))
    {
        plan.edits = edits(arguments, command, isolation)?;
        plan.reply = treatment.reply;
    }
    Ok(plan)
}

/// What is to be changed in a command under a prefix.
fn edits(
    arguments: &Arguments<'_>,
    command: &Command,
    isolation: &Isolation,
) -> Result<Edits, Hindrance> {
    let treatment = &command.treatment;
    if command.is_container() && arguments.total() > 1 {
        return Err(Hindrance::Not(Why::Unknown));
    }
    if let Rule::Refused(why) = treatment.prefixed {
        return Err(Hindrance::Not(why));
    }
    if isolation.per_user
        && let Some(why) = treatment.per_user
    {
        return Err(Hindrance::Not(why));
    }
    if !command.takes(arguments.total()) {
        return Err(Refusal::arity(command.facts.name).into());
    }
    match treatment.prefixed {
        Rule::Refused(why) => Err(Hindrance::Not(why)),
        Rule::Passes => Ok(Edits::NONE),
        Rule::Script if !isolation.per_user => Err(Hindrance::Not(Why::Script)),
        Rule::Keys | Rule::Script => specs::edits(arguments, command.facts.keys),
        Rule::Form(form) => forms::edits(form, arguments, isolation),
    }
}

/// How long a command waits, if it does.
fn wait(arguments: &Arguments<'_>, effect: Effect) -> Result<Option<Wait>, Hindrance> {
    let Effect::Blocking(timeout) = effect else {
        return Ok(None);
    };
    let (index, unit) = match timeout {
        Timeout::Last(unit) => (arguments.total().saturating_sub(1), unit),
        Timeout::At(index, unit) => (index, unit),
        Timeout::Block => return forms::block(arguments),
    };
    if index >= arguments.total() {
        return Ok(None);
    }
    let text = arguments.get(index).ok_or(Hindrance::More)?;
    Ok(Some(Wait::parse(text, unit)))
}

impl Plan {
    /// Of a command that passes as it comes.
    #[must_use]
    pub const fn as_it_is() -> Self {
        Self {
            effect: Effect::None,
            ..Self::unknown()
        }
    }

    const fn unknown() -> Self {
        Self {
            command: None,
            effect: Effect::Pins,
            wait: None,
            reply: Shape::Plain,
            edits: Edits::NONE,
        }
    }

    /// Whether the server gets other bytes than came; they may pass as they are where it does not.
    #[inline]
    #[must_use]
    pub const fn rewrites(&self) -> bool {
        self.edits.any()
    }

    /// Appends the command as the server gets it. All `arguments` that have come are written; where they are not all of them, their
    /// last one is followed by [`write_header`](Self::write_header) of the next.
    pub fn write(&self, arguments: &Arguments<'_>, prefix: &KeyPrefix, out: &mut Vec<u8>) {
        self.edits.write(arguments, prefix.as_bytes(), out);
    }

    /// Appends the header of an argument that passes as it comes, with the prefix behind it where it is a key.
    pub fn write_header(&self, index: usize, length: u64, prefix: &KeyPrefix, out: &mut Vec<u8>) {
        self.edits
            .write_header(index, length, prefix.as_bytes(), out);
    }
}

#[cfg(test)]
mod tests;
