//! A server connection becomes its end user's: the Redis user that the server holds to their prefix is made, and logged in (`acl: PerUser`).
//!
//! Nothing is remembered of which servers know which user. Each connection makes its user anew before it becomes theirs, in the same flight, so
//! a server that has been replaced, or has read its users from a file again, has them as they must be, and a sidecar that holds them
//! to other rules than the last one's says so.
//!
//! The password is derived from the upstream's own: every pod makes the same one, a rotation renews it, and nobody has to keep it. What is
//! logged in stays so whatever becomes of the password.
//!
//! Source: Redis, "ACL", "ACL SETUSER", "COMMAND LIST" (7.0).

use std::sync::Arc;

use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};
use tokio::time::Instant;

use super::admission::serving_role;
use super::catalogue::{Grants, names_in};
use super::codec::{push_array_header, push_bulk};
use super::prefix::{KeyPrefix, acl_commands, acl_reach, acl_user};
use super::talk::{Talk, command, error_of, line_of, within};
use crate::factory::server::Server;
use crate::force::DatabaseForce;
use crate::upstream::ConnectError;
use crate::worker::Entry;

/// What is derived from the upstream's password, so that it is of no use for anything else.
const PURPOSE: &[u8] = b"bulkhead: password of a Redis user\0";

/// What the credentials must be allowed beside the login.
pub(super) const RIGHTS: &str = "+acl|setuser +command|list";

/// Makes a connection that is the sidecar's own, and on which nothing is under way, that of the user with this prefix.
///
/// # Errors
/// The server's refusal, with what mends it, or that the connection is lost. The connection is of no use then.
pub(super) async fn become_users(
    entry: &Entry,
    force: &DatabaseForce,
    server: &mut Server,
    prefix: &KeyPrefix,
    deadline: Instant,
) -> Result<(), ConnectError> {
    let at = force.connector.endpoint();
    let talk = Talk::new(at, &mut server.stream);
    let outcome = within(at, deadline, log_in(entry, force, talk, prefix)).await;
    force.connector.note_outcome(outcome.as_ref().map(drop));
    outcome?;
    server.far.held_to = Some(prefix.clone());
    Ok(())
}

async fn log_in(
    entry: &Entry,
    force: &DatabaseForce,
    mut talk: Talk<'_>,
    prefix: &KeyPrefix,
) -> Result<(), ConnectError> {
    let name = acl_user(prefix);
    let password = password(force, &name)?;
    let mut remembered = entry.catalogue.grants(Instant::now());
    let made = loop {
        let was_remembered = remembered.is_some();
        let grants = match remembered.take() {
            Some(grants) => grants,
            None => read_grants(entry, force, &mut talk).await?,
        };
        let mut flight = set_user(&name, &password, prefix, &grants);
        flight.extend(command(&[b"AUTH", name.as_bytes(), password.as_bytes()]));
        talk.say(&flight).await?;
        let (made, logged_in) = (talk.hear().await?, talk.hear().await?);
        // Another server than the one that was asked for its commands, or without a module that it had.
        if was_remembered && error_of(&made) == Some(b"ERR") {
            continue;
        }
        if error_of(&made).is_none() && error_of(&logged_in).is_some() {
            return Err(talk.refused(&logged_in));
        }
        break made;
    };
    if error_of(&made).is_some() {
        return Err(may_not(force, "makes a Redis user for each user", &made));
    }
    talk.end()
}

/// The rules that grant what the server has of the commands that a user may call.
async fn read_grants(
    entry: &Entry,
    force: &DatabaseForce,
    talk: &mut Talk<'_>,
) -> Result<Grants, ConnectError> {
    let list = talk.ask(&[b"COMMAND", b"LIST"]).await?;
    if error_of(&list).is_some() {
        let does = "asks for the server's commands, which takes Redis 7.0 or Valkey";
        return Err(may_not(force, does, &list));
    }
    let names = names_in(&list);
    let grants: Grants = acl_commands(|name| names.contains(name)).into();
    entry.catalogue.keep(Instant::now(), &grants);
    Ok(grants)
}

/// ACL SETUSER: from whatever the user was, in one step, to what it must be.
fn set_user(name: &str, password: &str, prefix: &KeyPrefix, grants: &[Vec<u8>]) -> Vec<u8> {
    let password = [b">", password.as_bytes()].concat();
    let reach = acl_reach(prefix);
    let words: [&[u8]; 6] = [
        b"ACL",
        b"SETUSER",
        name.as_bytes(),
        b"reset",
        b"on",
        &password,
    ];
    let mut bytes = Vec::new();
    push_array_header(&mut bytes, words.len() + reach.len() + grants.len());
    words.iter().for_each(|word| push_bulk(&mut bytes, word));
    let rules = reach.iter().chain(grants);
    rules.for_each(|rule| push_bulk(&mut bytes, rule));
    bytes
}

/// The user's password: nobody but a sidecar with the upstream's can tell it.
fn password(force: &DatabaseForce, name: &str) -> Result<String, ConnectError> {
    let upstreams = force.connector.password();
    let upstreams = upstreams.map_err(|error| ConnectError::Credentials {
        at: Arc::clone(force.connector.endpoint()),
        reason: error.to_string(),
    })?;
    // Validation asks for credentials; without them anybody is an administrator of that server.
    let upstreams = upstreams.as_ref().map(crate::secrets::SecretText::expose);
    Ok(derive(upstreams.unwrap_or_default(), name))
}

fn derive(upstreams: &str, name: &str) -> String {
    let key = Key::new(HMAC_SHA256, upstreams.as_bytes());
    let tag = sign(&key, &[PURPOSE, name.as_bytes()].concat());
    tag.as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// The server refuses the sidecar's own user what `acl: PerUser` takes.
fn may_not(force: &DatabaseForce, does: &str, reply: &[u8]) -> ConnectError {
    let setting = force.name_field("session.acl", "PerUser");
    let role = serving_role(force);
    ConnectError::Authentication {
        at: Arc::clone(force.connector.endpoint()),
        reason: format!(
            "{setting} {does}, and the server answers the user {role:?} of databases[{}].upstream.credentialsSecretRef: {}; grant it {RIGHTS}",
            force.name,
            line_of(reply)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_of_one_user_and_of_the_upstreams_password() {
        let one = derive("secret", "bulkhead:alice:");
        assert_eq!(one, derive("secret", "bulkhead:alice:"));
        assert_ne!(one, derive("secret", "bulkhead:bob:"));
        assert_ne!(one, derive("other", "bulkhead:alice:"));
        assert_eq!(one.len(), 64);
        assert!(!one.contains("secret"));
    }
}
