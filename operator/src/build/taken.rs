//! What a policy's sidecar takes over of the application: names of ports, and the numbers behind them.
//!
//! One place for it: templates are rendered from it, NetworkPolicies close it, and ways round are found by it.

use std::collections::BTreeSet;

use bulkhead_crds::EffectivePolicy;
use bulkhead_crds::effective::EffectiveWebSocket;
use bulkhead_crds::kinds::template::TakenPort;
use sha2::{Digest as _, Sha256};

/// The prefix of the name that a taken-over port entry has in an injected pod.
const RENAMED: &str = "bh-app-";
/// The longest name of a container port.
const PORT_NAME: usize = 15;
/// What is kept of a name that is told apart by a number, of two digits at the most: a template takes at most 16 ports over.
const NUMBERED: usize = 12;
/// Hexadecimal digits of a mark.
const MARK_DIGITS: usize = 12;

/// The listeners that take a port's name over, each with that name and the one that the application's entry has from then on. Of two that
/// take the same name the first has it.
#[must_use]
pub fn ports(policy: &EffectivePolicy) -> Vec<(&EffectiveWebSocket, TakenPort)> {
    let mut taken: Vec<(&EffectiveWebSocket, TakenPort)> = Vec::new();
    let mut used = BTreeSet::new();
    for socket in &policy.web_sockets {
        let Some(name) = &socket.takes_over else {
            continue;
        };
        if taken.iter().any(|(_, port)| &port.name == name) {
            continue;
        }
        let port = TakenPort {
            name: name.clone(),
            renamed: unused(&cut(&format!("{RENAMED}{name}"), PORT_NAME), &mut used),
        };
        taken.push((socket, port));
    }
    taken
}

/// The numbers at which the application listens behind those names: where the sidecar dials it, in every pod of the policy. A port of the
/// sidecar's own is never among them.
#[must_use]
pub fn numbers(policy: &EffectivePolicy) -> BTreeSet<u16> {
    let behind = ports(policy)
        .into_iter()
        .map(|(socket, _)| socket.upstream_port);
    let is_ours = |number: &u16| policy.web_sockets.iter().any(|it| it.port == *number);
    behind.filter(|number| !is_ours(number)).collect()
}

/// What the label of a pod says whose ports are taken over: another value for another policy, and for other numbers. None where there is
/// nothing to close.
#[must_use]
pub fn mark(policy: &EffectivePolicy) -> Option<String> {
    let numbers = numbers(policy);
    if numbers.is_empty() {
        return None;
    }
    let mut digest = Sha256::new();
    digest.update(policy.name.as_bytes());
    for number in numbers {
        digest.update(format!("/{number}"));
    }
    let digits: String = digest
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    Some(digits[..MARK_DIGITS].to_owned())
}

/// Two long names may be cut to the same one, which no container can have twice.
fn unused(name: &str, used: &mut BTreeSet<String>) -> String {
    let mut unused = name.to_owned();
    let mut number = 2;
    while !used.insert(unused.clone()) {
        unused = format!("{}-{number}", cut(name, NUMBERED));
        number += 1;
    }
    unused
}

/// The name of a port may not end in a hyphen.
fn cut(name: &str, longest: usize) -> String {
    let cut: String = name.chars().take(longest).collect();
    cut.trim_end_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A policy with a listener for each of these: its port, the name that it takes over, the application's port.
    fn policy(name: &str, sockets: &[(u16, &str, u16)]) -> EffectivePolicy {
        let sockets: Vec<_> = sockets
            .iter()
            .enumerate()
            .map(|(index, (port, takes_over, upstream))| {
                let mut listen = serde_json::json!({"port": port});
                if !takes_over.is_empty() {
                    listen["takesOver"] = (*takes_over).into();
                }
                serde_json::json!({"name": format!("s{index}"), "listen": listen, "upstream": {"port": upstream}})
            })
            .collect();
        let text = serde_json::json!({
            "apiVersion": "bulkhead.dev/v1alpha1", "kind": "IsolationPolicy", "metadata": {"name": name},
            "spec": {"selector": {}, "identity": {"source": "Trusted"}, "webSockets": sockets},
        });
        let policy = bulkhead_crds::load(&text.to_string()).unwrap();
        bulkhead_crds::resolve(&policy, "staging").unwrap()
    }

    #[test]
    fn each_name_has_another_that_fits_and_that_no_other_has() {
        let table: [(&[&str], &[&str]); 6] = [
            (&["http"], &["bh-app-http"]),
            (&["", "ws"], &["bh-app-ws"]),
            (&["websocket-pub"], &["bh-app-websocke"]),
            (&["abcdefg-x"], &["bh-app-abcdefg"]),
            (
                &["websocket-pub", "websocket-int", "websocket-old"],
                &["bh-app-websocke", "bh-app-webso-2", "bh-app-webso-3"],
            ),
            (
                &["abcd-12345", "abcd-12346"],
                &["bh-app-abcd-123", "bh-app-abcd-2"],
            ),
        ];
        for (names, expected) in table {
            let sockets: Vec<_> = (8001..)
                .zip(names)
                .map(|(at, name)| (at, *name, 9000))
                .collect();
            let policy = policy("chat", &sockets);
            let renamed: Vec<_> = ports(&policy)
                .into_iter()
                .map(|(_, it)| it.renamed)
                .collect();
            assert_eq!(renamed, expected, "{names:?}");
        }
    }

    #[test]
    fn what_is_behind_a_taken_name_is_closed_and_nothing_else() {
        type Row<'a> = (&'a [(u16, &'a str, u16)], &'a [u16]);
        let table: [Row<'_>; 4] = [
            (&[(8080, "http", 8000)], &[8000]),
            (&[(8080, "", 8000)], &[]),
            (
                &[(8080, "http", 8000), (8081, "ws", 8000), (8082, "", 8002)],
                &[8000],
            ),
            (&[(8080, "http", 8001), (8081, "ws", 8000)], &[8000, 8001]),
        ];
        for (sockets, expected) in table {
            let found = numbers(&policy("chat", sockets));
            assert_eq!(
                found.into_iter().collect::<Vec<_>>(),
                expected,
                "{sockets:?}"
            );
        }
    }

    #[test]
    fn a_mark_tells_policies_and_numbers_apart() {
        let of = |name, upstream| mark(&policy(name, &[(8080, "http", upstream)]));
        assert_eq!(of("chat", 8000), of("chat", 8000));
        assert_ne!(of("chat", 8000), of("chat", 8001));
        assert_ne!(of("chat", 8000), of("talk", 8000));
        assert_eq!(mark(&policy("chat", &[(8080, "", 8000)])), None);
    }
}
