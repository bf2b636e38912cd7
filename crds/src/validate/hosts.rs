//! Rules about several servers behind one entry.

use super::rule::{Complaint, Complaints, complain, database, per_database};
use crate::effective::EffectivePolicy;
use crate::kinds::{IsolationPolicy, UpstreamHost};

/// Where the servers are is said in one way: by `host`, or by `hosts`.
pub(super) fn one_of_two(policy: &IsolationPolicy) -> Complaints {
    let mut complaints = Vec::new();
    for one in policy.spec.databases.iter().flatten() {
        let upstream = &one.upstream;
        let path = format!("databases[{}].upstream.host", one.name);
        if upstream.host.is_none() && upstream.hosts.is_none() {
            complaints.push(complain(
                path,
                "is missing, and so is upstream.hosts: write host, or hosts where several servers hold the same data",
            ));
        } else {
            complaints.extend(both(path, upstream.host.as_ref(), upstream.hosts.as_ref()));
        }
    }
    for environment in policy.spec.environments.iter().flatten() {
        for one in environment.databases.iter().flatten() {
            if let Some(upstream) = &one.upstream {
                let path = format!(
                    "environments[{}].databases[{}].upstream.host",
                    environment.name, one.name
                );
                complaints.extend(both(path, upstream.host.as_ref(), upstream.hosts.as_ref()));
            }
        }
    }
    complaints
}

fn both(
    path: String,
    host: Option<&String>,
    hosts: Option<&Vec<UpstreamHost>>,
) -> Option<Complaint> {
    let message = "stands beside upstream.hosts, and they say the same thing in two ways: leave one of them out";
    (host.is_some() && hosts.is_some()).then(|| complain(path, message))
}

pub(super) fn twice(policy: &EffectivePolicy) -> Complaints {
    per_database(policy, |one| {
        let hosts: Vec<_> = one.upstream.hosts().collect();
        let again = hosts
            .iter()
            .enumerate()
            .find(|(at, host)| hosts[..*at].contains(host));
        let (_, host) = again?;
        let message = format!("has {host} twice: leave one out");
        Some(complain(database(&one.name, "upstream.hosts"), message))
    })
}

/// Host aliases lead every name to one listener, which has one port.
pub(super) fn ports(policy: &EffectivePolicy) -> Complaints {
    per_database(policy, |one| {
        let port = one.listen.port;
        let other = one
            .upstream
            .other_hosts
            .iter()
            .find(|host| host.port != one.upstream.port && port != 0)?;
        let message = format!(
            "has servers on different ports, and the sidecar listens for all of them on {port}: an application that connects to {other} finds nothing there, so have it use port {port} for every host"
        );
        Some(complain(database(&one.name, "upstream.hosts"), message))
    })
}
