//! Which users of a namespace are cut off: from `UserRevocation` objects to the one list that its sidecars read. Pure: the time is passed in.
//!
//! ```text
//!   objects, oldest first ── judge ── in force? ── room? ── RevocationList ── JSON ── a sidecar
//!                              └ Invalid    └ Expired  └ Full: told in the object's status
//! ```
//!
//! The list is bounded, and what is in force is never pushed out by what comes later.

use std::collections::BTreeMap;

use kube::ResourceExt as _;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::findings::{Finding, Severity};
use crate::kinds::UserRevocation;
use crate::names::Timestamp;

/// The version of the list that this build reads and writes.
pub const VERSION: u32 = 1;
/// Revocations that a list may hold.
pub const MOST_REVOCATIONS: usize = 4096;
/// The largest list, in bytes of its JSON: half of what a ConfigMap holds, which carries a policy beside it.
pub const LARGEST_LIST: usize = 512 * 1024;
/// The revision of a list without any.
pub const NONE: &str = "none";

/// What [`judge`] calls it where nobody knows the moment that a revocation is about.
pub const NO_MOMENT: &str = "NoMoment";

/// Bytes of the longest user id.
const LONGEST_USER: usize = 256;
/// Bytes of the hash that a revision shows.
const REVISION_BYTES: usize = 8;
/// What stands around the revocations in a list's JSON, in bytes, generously.
const FRAME: usize = 128;

/// A revocation in force.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Revocation {
    /// The object's name.
    pub name: String,
    /// Who is cut off.
    pub user: String,
    /// What was issued at this moment or before is refused.
    pub not_before: Timestamp,
    /// Until when; none: until the object is deleted.
    pub expires_at: Option<Timestamp>,
    /// Why, in one word for clients.
    pub reason: Option<String>,
}

/// The revocations of a namespace on their way to a sidecar.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RevocationList {
    version: u32,
    revision: String,
    revocations: Vec<Revocation>,
}

/// Why a text is no list that can be put in force.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListError {
    /// More than [`LARGEST_LIST`], or more than [`MOST_REVOCATIONS`].
    #[error(
        "the list of revocations is larger than {LARGEST_LIST} bytes or {MOST_REVOCATIONS} entries"
    )]
    TooLarge,
    /// Not JSON, or not of the form that its version has.
    #[error("the list of revocations cannot be read: {0}")]
    Malformed(String),
    /// A version of which this build knows nothing.
    #[error("the list of revocations has version {found}, and this build reads version {VERSION}")]
    Version {
        /// The version that it has.
        found: u64,
    },
    /// The content is not what the revision was made of.
    #[error(
        "the list of revocations says revision {written}, and its content has {found}: it was cut short or edited"
    )]
    Revision {
        /// What it says.
        written: String,
        /// What it is.
        found: String,
    },
}

/// What has become of one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is in the list.
    Listed,
    /// It is over.
    Expired,
    /// There is no room for it.
    Full,
    /// It cannot be put in force, for this reason.
    Invalid(Finding),
}

/// A namespace's list, and what has become of each object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// What sidecars read.
    pub list: RevocationList,
    /// By the object's name.
    pub fates: BTreeMap<String, Fate>,
    /// When the next one is over, and the list to be made anew.
    pub next: Option<Timestamp>,
}

impl RevocationList {
    /// A list of these, in the version of this build.
    #[must_use]
    pub fn of(revocations: Vec<Revocation>) -> Self {
        Self {
            version: VERSION,
            revision: revision(&revocations),
            revocations,
        }
    }

    /// The hash of the content; [`NONE`] of a list without any.
    #[must_use]
    pub fn revision(&self) -> &str {
        &self.revision
    }

    /// The revocations.
    #[must_use]
    pub fn revocations(&self) -> &[Revocation] {
        &self.revocations
    }

    /// As JSON.
    ///
    /// # Errors
    /// [`ListError::Malformed`], which no list causes: its texts and moments have a JSON form.
    pub fn to_json(&self) -> Result<String, ListError> {
        serde_json::to_string(self).map_err(|error| ListError::Malformed(error.to_string()))
    }

    /// From JSON.
    ///
    /// # Errors
    /// [`ListError`].
    pub fn from_json(text: &str) -> Result<Self, ListError> {
        /// The one field that every version has.
        #[derive(Deserialize)]
        struct Versioned {
            version: u64,
        }
        let malformed = |error: serde_json::Error| ListError::Malformed(error.to_string());
        if text.len() > LARGEST_LIST {
            return Err(ListError::TooLarge);
        }
        let Versioned { version } = serde_json::from_str(text).map_err(malformed)?;
        if version != u64::from(VERSION) {
            return Err(ListError::Version { found: version });
        }
        let list: Self = serde_json::from_str(text).map_err(malformed)?;
        if list.revocations.len() > MOST_REVOCATIONS {
            return Err(ListError::TooLarge);
        }
        let found = revision(&list.revocations);
        if found != list.revision {
            return Err(ListError::Revision {
                written: list.revision,
                found,
            });
        }
        Ok(list)
    }
}

impl Default for RevocationList {
    fn default() -> Self {
        Self::of(Vec::new())
    }
}

fn revision(revocations: &[Revocation]) -> String {
    if revocations.is_empty() {
        return NONE.to_owned();
    }
    let content = serde_json::to_vec(revocations).unwrap_or_default();
    let hash = Sha256::digest(&content);
    let digits = hash.iter().take(REVISION_BYTES);
    digits.map(|byte| format!("{byte:02x}")).collect()
}

/// The list of these objects at `now`, and what has become of each. Older objects come first.
#[must_use]
pub fn list<'a>(objects: impl IntoIterator<Item = &'a UserRevocation>, now: Timestamp) -> Listing {
    let mut ordered: Vec<&UserRevocation> = objects.into_iter().collect();
    ordered.sort_by_key(|object| (created(object), object.name_any()));
    let (mut listed, mut fates, mut next) = (Vec::new(), BTreeMap::new(), None);
    let mut bytes = FRAME;
    for object in ordered {
        let fate = match in_force(object) {
            Err(finding) => Fate::Invalid(finding),
            Ok(one) if one.expires_at.is_some_and(|end| end <= now) => Fate::Expired,
            Ok(one) => {
                let size = serde_json::to_vec(&one).map_or(usize::MAX, |json| json.len() + 1);
                if listed.len() == MOST_REVOCATIONS || size > LARGEST_LIST.saturating_sub(bytes) {
                    Fate::Full
                } else {
                    bytes += size;
                    next = next.into_iter().chain(one.expires_at).min();
                    listed.push(one);
                    Fate::Listed
                }
            }
        };
        fates.insert(object.name_any(), fate);
    }
    Listing {
        list: RevocationList::of(listed),
        fates,
        next,
    }
}

/// What an object comes to.
///
/// # Errors
/// The first error that [`judge`] finds in it.
pub fn in_force(object: &UserRevocation) -> Result<Revocation, Finding> {
    let spec = &object.spec;
    let found = errors(object).into_iter().next();
    match (found, not_before(object)) {
        (Some(finding), _) => Err(finding),
        (None, None) => Err(no_moment()),
        (None, Some(not_before)) => Ok(Revocation {
            name: object.name_any(),
            user: spec.user.clone(),
            not_before,
            expires_at: spec.expires_at,
            reason: spec.reason.clone(),
        }),
    }
}

/// Everything that is wrong or unwise in an object at `now`, errors first.
#[must_use]
pub fn judge(object: &UserRevocation, now: Timestamp) -> Vec<Finding> {
    let mut findings = errors(object);
    let warnings = [ahead(object, now), over(object, now)];
    findings.extend(warnings.into_iter().flatten());
    findings
}

fn errors(object: &UserRevocation) -> Vec<Finding> {
    let rules = [no_user, too_long, control, ends_before, without_moment];
    rules.iter().filter_map(|rule| rule(object)).collect()
}

/// The moment that a revocation is about; none where nobody knows.
#[must_use]
pub fn not_before(object: &UserRevocation) -> Option<Timestamp> {
    object.spec.not_before.or_else(|| created(object))
}

fn created(object: &UserRevocation) -> Option<Timestamp> {
    let created = object.metadata.creation_timestamp.as_ref();
    created.map(|created| created.0.into())
}

fn finding(severity: Severity, field: &str, reason: &'static str, message: String) -> Finding {
    Finding {
        path: format!("spec.{field}"),
        reason,
        message,
        severity,
    }
}

fn no_user(object: &UserRevocation) -> Option<Finding> {
    let message = "is empty: write the id of the user who is cut off".to_owned();
    let found = || finding(Severity::Error, "user", "NoUser", message);
    object.spec.user.is_empty().then(found)
}

fn too_long(object: &UserRevocation) -> Option<Finding> {
    let bytes = object.spec.user.len();
    let message = format!("has {bytes} bytes, and no user's id has more than {LONGEST_USER}");
    let found = || finding(Severity::Error, "user", "UserTooLong", message);
    (bytes > LONGEST_USER).then(found)
}

fn control(object: &UserRevocation) -> Option<Finding> {
    let message = "has a control character, which no user's id has".to_owned();
    let found = || finding(Severity::Error, "user", "UserMalformed", message);
    object.spec.user.chars().any(char::is_control).then(found)
}

fn ends_before(object: &UserRevocation) -> Option<Finding> {
    let (begins, ends) = (not_before(object)?, object.spec.expires_at?);
    let message = format!(
        "is {ends}, and the revocation is about {begins}: it would be over before anybody was refused"
    );
    let found = || finding(Severity::Error, "expiresAt", "EndsBeforeItBegins", message);
    (ends <= begins).then(found)
}

/// The API server says when an object was created; a file does not.
fn without_moment(object: &UserRevocation) -> Option<Finding> {
    not_before(object).is_none().then(no_moment)
}

fn no_moment() -> Finding {
    let message = "is missing: in a file nobody else knows the moment, so write it, such as `2026-11-27T12:00:00Z`";
    finding(Severity::Error, "notBefore", NO_MOMENT, message.to_owned())
}

fn ahead(object: &UserRevocation, now: Timestamp) -> Option<Finding> {
    let moment = object.spec.not_before.filter(|moment| *moment > now)?;
    let message = format!(
        "is {moment}, which is still to come: until then every token of the user is refused, also one that is issued anew"
    );
    Some(finding(
        Severity::Warning,
        "notBefore",
        "StillToCome",
        message,
    ))
}

fn over(object: &UserRevocation, now: Timestamp) -> Option<Finding> {
    let end = object.spec.expires_at.filter(|end| *end <= now)?;
    let message = format!("is {end}, which has passed: nobody is refused by it");
    Some(finding(
        Severity::Warning,
        "expiresAt",
        "AlreadyOver",
        message,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn now() -> Timestamp {
        at("2026-11-27T12:00:00Z")
    }

    fn object(name: &str, created: &str, spec: &str) -> UserRevocation {
        serde_yaml::from_str(&format!(
            "apiVersion: bulkhead.dev/v1alpha1\nkind: UserRevocation\nmetadata: {{name: {name}, creationTimestamp: \"{created}\"}}\nspec: {spec}\n"
        ))
        .unwrap()
    }

    #[test]
    fn without_a_moment_it_is_the_one_of_the_creation() {
        let listing = list(
            &[object("a", "2026-11-27T11:00:00Z", "{user: alice}")],
            now(),
        );
        let [one] = listing.list.revocations() else {
            panic!("{listing:?}");
        };
        assert_eq!(
            (&*one.user, one.not_before),
            ("alice", at("2026-11-27T11:00:00Z"))
        );
        assert_eq!(listing.next, None);
    }

    #[test]
    fn what_is_over_is_not_listed_and_the_next_end_is_known() {
        let created = "2026-11-27T11:00:00Z";
        let objects = [
            object(
                "over",
                created,
                "{user: a, expiresAt: \"2026-11-27T12:00:00Z\"}",
            ),
            object(
                "soon",
                created,
                "{user: b, expiresAt: \"2026-11-27T12:00:01Z\"}",
            ),
            object(
                "late",
                created,
                "{user: c, expiresAt: \"2026-11-28T12:00:00Z\"}",
            ),
        ];
        let listing = list(&objects, now());
        assert_eq!(listing.fates["over"], Fate::Expired);
        assert_eq!(listing.fates["soon"], Fate::Listed);
        assert_eq!(listing.next, Some(at("2026-11-27T12:00:01Z")));
        assert_eq!(listing.list.revocations().len(), 2);
    }

    #[test]
    fn what_is_in_force_is_never_pushed_out_by_what_comes_later() {
        let mut objects: Vec<_> = (0..MOST_REVOCATIONS)
            .map(|n| object(&format!("u{n:05}"), "2026-11-27T11:00:00Z", "{user: u}"))
            .collect();
        objects.insert(
            0,
            object("a-newer", "2026-11-27T11:59:00Z", "{user: alice}"),
        );
        let listing = list(&objects, now());
        assert_eq!(listing.list.revocations().len(), MOST_REVOCATIONS);
        assert_eq!(listing.fates["a-newer"], Fate::Full);
        let json = listing.list.to_json().unwrap();
        assert!(RevocationList::from_json(&json).is_ok());
    }

    #[test]
    fn a_list_stays_within_its_bytes_whatever_the_ids_are() {
        let user = "\\\\".repeat(128);
        let objects: Vec<_> = (0..2000)
            .map(|n| {
                object(
                    &format!("u{n:05}"),
                    "2026-11-27T11:00:00Z",
                    &format!("{{user: \"{user}\"}}"),
                )
            })
            .collect();
        let listing = list(&objects, now());
        let json = listing.list.to_json().unwrap();
        assert!(json.len() <= LARGEST_LIST, "{}", json.len());
        assert!(json.len() > LARGEST_LIST * 9 / 10, "{}", json.len());
        assert!(listing.fates.values().any(|fate| *fate == Fate::Full));
    }

    #[test]
    fn each_rule_finds_what_it_is_for() {
        let created = "2026-11-27T11:00:00Z";
        let long = format!("{{user: {}}}", "ä".repeat(129));
        for (spec, reason, severity) in [
            ("{user: \"\"}", "NoUser", Severity::Error),
            (&*long, "UserTooLong", Severity::Error),
            ("{user: \"a\\u0007\"}", "UserMalformed", Severity::Error),
            (
                "{user: a, expiresAt: \"2026-11-27T10:00:00Z\"}",
                "EndsBeforeItBegins",
                Severity::Error,
            ),
            (
                "{user: a, notBefore: \"2026-11-27T13:00:00Z\"}",
                "StillToCome",
                Severity::Warning,
            ),
            (
                "{user: a, expiresAt: \"2026-11-27T11:30:00Z\"}",
                "AlreadyOver",
                Severity::Warning,
            ),
        ] {
            let object = object("x", created, spec);
            let found = judge(&object, now());
            let one = found.iter().find(|one| one.reason == reason);
            assert_eq!(
                one.map(|one| one.severity),
                Some(severity),
                "{spec}: {found:?}"
            );
            assert_eq!(in_force(&object).is_err(), severity == Severity::Error);
        }
        let mut unborn = object("x", created, "{user: a}");
        unborn.metadata.creation_timestamp = None;
        assert_eq!(in_force(&unborn).unwrap_err().reason, "NoMoment");
        assert_eq!(judge(&object("x", created, "{user: a}"), now()), []);
    }

    #[test]
    fn a_list_that_was_edited_or_is_of_another_version_is_refused() {
        let created = "2026-11-27T11:00:00Z";
        let list = list(
            &[object("a", created, "{user: alice, reason: TokenLeaked}")],
            now(),
        )
        .list;
        let json = list.to_json().unwrap();
        assert_eq!(RevocationList::from_json(&json).unwrap(), list);
        let edited = json.replace("alice", "bob");
        assert!(matches!(
            RevocationList::from_json(&edited),
            Err(ListError::Revision { .. })
        ));
        let newer = json.replace("\"version\":1", "\"version\":2");
        assert_eq!(
            RevocationList::from_json(&newer),
            Err(ListError::Version { found: 2 })
        );
        assert!(matches!(
            RevocationList::from_json(&json[..40]),
            Err(ListError::Malformed(_))
        ));
        let large = " ".repeat(LARGEST_LIST + 1);
        assert_eq!(RevocationList::from_json(&large), Err(ListError::TooLarge));
        assert_eq!(RevocationList::default().revision(), NONE);
    }
}
