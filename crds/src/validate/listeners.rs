//! Rules about where the sidecar listens.

use std::net::IpAddr;

use super::identity::is_loopback;
use super::ports;
use super::rule::{Complaint, Complaints, complain, database, per_database, web_socket};
use crate::effective::{EffectiveDatabase, EffectiveHost, EffectivePolicy};
use crate::kinds::{AuthMode, IdentitySource, ListenTls, Protocol};

pub(super) fn scram_without_secret(policy: &EffectivePolicy) -> Complaints {
    per_database(policy, |one| {
        let missing =
            one.listen.auth_mode == AuthMode::Scram && one.listen.auth_secret_ref.is_none();
        let message =
            "is missing, and auth mode Scram needs it: name the Secret that holds the password";
        missing.then(|| complain(database(&one.name, "listen.auth.secretRef"), message))
    })
}

/// A certificate is named exactly where one is to be read.
pub(super) fn certificate(policy: &EffectivePolicy) -> Complaints {
    per_database(policy, |one| {
        let named = one.listen.tls_secret_ref.is_some();
        let message = match (one.listen.tls, named) {
            (Some(ListenTls::Secret), false) => {
                "is missing, and tls Secret needs it: name a Secret with tls.crt and tls.key"
            }
            (Some(ListenTls::Issued), true) => {
                "is not read with tls Issued: write `tls: Secret`, or leave it out"
            }
            (None, true) => {
                "is not read without `tls: Secret` beside it: add that, or leave it out"
            }
            _ => return None,
        };
        Some(complain(
            database(&one.name, "listen.tlsSecretRef"),
            message,
        ))
    })
}

/// A listener that the network reaches and that believes every caller is no isolation.
pub(super) fn open(policy: &EffectivePolicy) -> Complaints {
    per_database(policy, |one| {
        let open = believes_everyone(policy, one) && !one.listen.address.is_loopback();
        let message = format!(
            "{} is no loopback address, and with identity.source Trusted and auth mode Trust anybody who reaches it may act as any user: listen on 127.0.0.1, or use auth mode Scram",
            one.listen.address
        );
        open.then(|| complain(database(&one.name, "listen.address"), message))
    })
}

fn believes_everyone(policy: &EffectivePolicy, one: &EffectiveDatabase) -> bool {
    policy.identity.source == IdentitySource::Trusted && one.listen.auth_mode == AuthMode::Trust
}

pub(super) fn beyond_loopback(policy: &EffectivePolicy) -> Complaints {
    per_database(policy, |one| {
        let beyond = !one.listen.address.is_loopback() && !believes_everyone(policy, one);
        let message = format!(
            "{} is reached from outside the pod or machine: listen on a loopback address such as 127.0.0.1 where the application is on the same one",
            one.listen.address
        );
        beyond.then(|| complain(database(&one.name, "listen.address"), message))
    })
}

/// Two listeners on one address and port, unless both are for the same server and can be told apart by the database's name.
pub(super) fn clash(policy: &EffectivePolicy) -> Complaints {
    let mut complaints = Vec::new();
    for (at, one) in policy.databases.iter().enumerate() {
        let before = policy.databases[..at]
            .iter()
            .find(|other| same_port(one, other) && !share(one, other));
        complaints.extend(before.map(|other| {
            complain(
                database(&one.name, "listen.port"),
                format!(
                    "{}:{} is taken by database {}: choose another port or a loopback address of its own (127.0.0.2), or give both the same upstream host and port and a different upstream.database",
                    one.listen.address, one.listen.port, other.name
                ),
            )
        }));
    }
    complaints.extend(ports::clash(policy));
    complaints
}

fn same_port(one: &EffectiveDatabase, other: &EffectiveDatabase) -> bool {
    let (one, other) = (&one.listen, &other.listen);
    one.port != 0
        && one.port == other.port
        && (overlap(one.address, other.address)
            || one.socket.is_some() && one.socket == other.socket)
}

fn overlap(one: IpAddr, other: IpAddr) -> bool {
    one == other || one.is_unspecified() || other.is_unspecified()
}

fn share(one: &EffectiveDatabase, other: &EffectiveDatabase) -> bool {
    let server = |one: &EffectiveDatabase| {
        let hosts: Vec<_> = one.upstream.hosts().collect();
        (hosts, one.listen.address)
    };
    one.protocol == Protocol::PostgreSQL
        && other.protocol == Protocol::PostgreSQL
        && server(one) == server(other)
        && one.upstream.database != other.upstream.database
}

pub(super) fn allowed_uids(policy: &EffectivePolicy) -> Complaints {
    per_database(policy, |one| {
        let unused = !one.listen.allowed_uids.is_empty() && one.listen.socket.is_none();
        let message = "is asked of clients of the Unix socket alone, and there is none: add listen.socket, or leave it out";
        unused.then(|| complain(database(&one.name, "listen.allowedUids"), message))
    })
}

pub(super) fn any_port(policy: &EffectivePolicy) -> Complaints {
    let message = "0 is a different port at each start, which no application finds: write the port that it connects to";
    let databases = policy
        .databases
        .iter()
        .filter(|one| one.listen.port == 0)
        .map(|one| database(&one.name, "listen.port"));
    let sockets = policy
        .web_sockets
        .iter()
        .filter(|one| one.port == 0)
        .map(|one| web_socket(&one.name, "listen.port"));
    databases
        .chain(sockets)
        .map(|path| complain(path, message))
        .collect()
}

/// A sidecar whose upstream is its own listener goes round in a circle.
pub(super) fn dials_itself(policy: &EffectivePolicy) -> Complaints {
    per_database(policy, |one| {
        one.upstream
            .hosts()
            .find_map(|upstream| finds_itself(one, &upstream))
    })
}

fn finds_itself(one: &EffectiveDatabase, upstream: &EffectiveHost) -> Option<Complaint> {
    let listen = &one.listen;
    if listen.socket.as_ref() == Some(&upstream.host) && listen.port == upstream.port {
        let message = format!(
            "{} is where the sidecar's own socket lies, which would take the place of the server's: choose another folder",
            upstream.host
        );
        return Some(complain(database(&one.name, "listen.socket"), message));
    }
    let here = match upstream.host.parse::<IpAddr>() {
        Ok(address) => overlap(listen.address, address) && address.is_loopback(),
        Err(_) => {
            is_loopback(&upstream.host)
                && (listen.address.is_loopback() || listen.address.is_unspecified())
        }
    };
    let message = format!(
        "{}:{} is where the sidecar itself listens: give listen another port, or a loopback address of its own",
        upstream.host, upstream.port
    );
    (here && listen.port == upstream.port)
        .then(|| complain(database(&one.name, "upstream.port"), message))
}
