//! The CustomResourceDefinitions: served, of this version, and with no object stored in a version that is not served.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{Api, Client, ResourceExt as _};

use super::outcome::Outcome;

const HINT: &str = "kubectl apply --server-side -f crds/, or helm upgrade with crds.install=true";

/// A check for each definition of this binary.
pub(super) async fn all(client: &Client) -> Vec<Outcome> {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let mut outcomes = Vec::new();
    for wanted in crate::cli::crds::definitions() {
        let name = wanted.name_any();
        let check = format!("definition {name}");
        outcomes.push(match api.get_opt(&name).await {
            Ok(Some(found)) => judged(check, &found, &wanted),
            Ok(None) => Outcome::failed(check, "is not there", HINT),
            Err(error) => Outcome::unanswered(check, &error),
        });
    }
    outcomes
}

fn judged(
    check: String,
    found: &CustomResourceDefinition,
    wanted: &CustomResourceDefinition,
) -> Outcome {
    let status = found.status.as_ref();
    let conditions = status
        .and_then(|it| it.conditions.as_ref())
        .into_iter()
        .flatten();
    if !conditions
        .into_iter()
        .any(|it| it.type_ == "Established" && it.status == "True")
    {
        return Outcome::failed(check, "is not served", "kubectl describe crd says why");
    }
    let served: Vec<&str> = found
        .spec
        .versions
        .iter()
        .filter(|it| it.served)
        .map(|it| it.name.as_str())
        .collect();
    let stored = status
        .and_then(|it| it.stored_versions.clone())
        .unwrap_or_default();
    if let Some(gone) = stored.iter().find(|it| !served.contains(&it.as_str())) {
        let hint = "store every object anew in a served version, then take the old one out of status.storedVersions";
        return Outcome::failed(
            check,
            format!("objects may be stored in {gone}, which is not served"),
            hint,
        );
    }
    let schema = |of: &CustomResourceDefinition| {
        let version = of.spec.versions.iter().find(|it| it.storage)?;
        serde_json::to_value(&version.schema).ok()
    };
    if schema(found) != schema(wanted) {
        return Outcome::warned(
            check,
            "has another schema than this version of Bulkhead",
            HINT,
        );
    }
    Outcome::passed(
        check,
        format!("serves {}, stores {}", served.join(", "), stored.join(", ")),
    )
}

#[cfg(test)]
mod tests {
    use super::super::outcome::Status;
    use super::*;

    fn found(change: impl FnOnce(&mut serde_json::Value)) -> Outcome {
        let wanted = &crate::cli::crds::definitions()[0];
        let mut found = serde_json::to_value(wanted).unwrap();
        found["status"] = serde_json::json!({"conditions": [{"type": "Established", "status": "True"}], "storedVersions": ["v1alpha1"]});
        change(&mut found);
        judged("it".into(), &serde_json::from_value(found).unwrap(), wanted)
    }

    #[test]
    fn each_way_of_being_wrong_is_told_apart() {
        assert_eq!(found(|_| ()).status, Status::Passed);
        let not_served = found(|it| it["status"]["conditions"][0]["status"] = "False".into());
        assert_eq!(not_served.status, Status::Failed);
        let left_over = found(|it| {
            it["status"]["storedVersions"] = serde_json::json!(["v1alpha1", "v1alpha0"])
        });
        assert!(left_over.status == Status::Failed && left_over.message.contains("v1alpha0"));
        let other = found(|it| {
            it["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["description"] = "old".into()
        });
        assert_eq!(other.status, Status::Warned);
    }
}
