//! Host aliases: ours are added, and those of the pod for the same names go to the sidecar, which dials what they say.

use std::collections::BTreeSet;

use bulkhead_crds::kinds::template::HostAlias;
use serde_json::{Value, json};

use super::elements;

const RESOLVE: &str = "--resolve=";

/// Merges the aliases, and returns the sidecar's arguments for the names that the pod had before. Those of a stale sidecar are kept: the
/// aliases that they came from are gone.
pub(super) fn merge(pod: &mut Value, ours: &[HostAlias], stale: Option<&Value>) -> Vec<String> {
    if ours.is_empty() {
        return carried(stale, &[]);
    }
    let aliased: BTreeSet<&str> = ours
        .iter()
        .flat_map(|alias| alias.hostnames.iter().map(String::as_str))
        .collect();
    let (mut kept, mut resolves) = (Vec::new(), Vec::new());
    for alias in elements(&pod["spec"]["hostAliases"]) {
        let address = alias["ip"].as_str().unwrap_or_default();
        let (taken, others): (Vec<&str>, Vec<&str>) = elements(&alias["hostnames"])
            .iter()
            .filter_map(Value::as_str)
            .partition(|name| aliased.contains(name));
        // On loopback it was the work of an older template: to the sidecar it would be its own door.
        if !is_loopback(address) {
            resolves.extend(
                taken
                    .iter()
                    .map(|name| format!("{RESOLVE}{name}={address}")),
            );
        }
        if !others.is_empty() {
            kept.push(json!({"ip": address, "hostnames": others}));
        }
    }
    resolves.extend(carried(stale, &resolves));
    kept.extend(ours.iter().map(|alias| json!(alias)));
    pod["spec"]["hostAliases"] = kept.into();
    resolves
}

/// What a stale sidecar was told of names that the pod says nothing of any more.
fn carried(stale: Option<&Value>, resolves: &[String]) -> Vec<String> {
    let is_untold = |argument: &&str| {
        let told = argument
            .strip_prefix(RESOLVE)
            .and_then(|it| it.split_once('='));
        told.is_some_and(|(name, _)| {
            let same_name = format!("{RESOLVE}{name}=");
            !resolves.iter().any(|it| it.starts_with(&same_name))
        })
    };
    let arguments = stale.map_or(&[][..], |it| elements(&it["args"]));
    arguments
        .iter()
        .filter_map(Value::as_str)
        .filter(is_untold)
        .map(str::to_owned)
        .collect()
}

fn is_loopback(address: &str) -> bool {
    address.starts_with("127.") || address == "::1"
}
