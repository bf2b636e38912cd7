//! Patterns and bounds that the kinds share, and what of them the derive cannot say by itself.

use schemars::Schema;
use serde_json::{Value, json};

/// A DNS label (RFC 1123).
pub(crate) const LABEL: &str = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$";
/// A DNS subdomain (RFC 1123), as Kubernetes names objects.
pub(crate) const OBJECT_NAME: &str = "^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$";
/// A key of a Secret.
pub(crate) const SECRET_KEY: &str = "^[A-Za-z0-9._-]+$";
/// A host name, an address, or the folder of a Unix socket.
pub(crate) const HOST: &str =
    "^(/[^\\x00]*|[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?|[0-9A-Fa-f:.]+)$";
/// A run-time parameter of PostgreSQL with a prefix: what an application may define by itself.
pub(crate) const PARAMETER: &str = "^[A-Za-z_][A-Za-z0-9_$]*([.][A-Za-z_][A-Za-z0-9_$]*)+$";
/// A setting of any server: a run-time parameter of PostgreSQL with a prefix, or one of ClickHouse's own or custom settings.
pub(crate) const SETTING: &str = "^[A-Za-z_][A-Za-z0-9_$]*([.][A-Za-z_][A-Za-z0-9_$]*)*$";
/// The name of a server's user with a place for the end user's.
pub(crate) const USER_TEMPLATE: &str = "^[A-Za-z0-9_.@-]*[{]user[}][A-Za-z0-9_.@-]*$";
/// An IP address; the parser is stricter.
pub(crate) const ADDRESS: &str = "^[0-9A-Fa-f:.]+$";
/// A token as HTTP has them (RFC 9110, section 5.6.2), without the `%` that a query would take for the beginning of an escape: the name of
/// a header, a cookie or a query parameter.
pub(crate) const TOKEN: &str = "^[A-Za-z0-9!#$&'*+.^_`|~-]+$";
/// A request's path as it is written, or nothing.
pub(crate) const PATH: &str = "^(/[!-~]*)?$";

/// A user's id: no control characters.
pub(crate) const USER: &str = "^[^\\x00-\\x1f\\x7f-\\x9f]+$";
/// One word in CamelCase, as the reasons of conditions are.
pub(crate) const CODE: &str = "^[A-Z][A-Za-z0-9]*$";

/// What the patterns are called in an error.
pub(crate) const PATTERNS: [(&str, &str); 11] = [
    (USER, "a user's id, without control characters"),
    (
        CODE,
        "one word of letters and digits in CamelCase, such as `TokenLeaked`",
    ),
    (LABEL, "a name of lower-case letters, digits and `-`"),
    (
        OBJECT_NAME,
        "a name of lower-case letters, digits, `-` and `.`",
    ),
    (SECRET_KEY, "a key of letters, digits, `.`, `_` and `-`"),
    (
        HOST,
        "a host name, an address, or the folder of a Unix socket with a leading `/`",
    ),
    (
        PARAMETER,
        "a parameter with a prefix, such as `app.user_id`",
    ),
    (
        SETTING,
        "a setting, such as `app.user_id` for PostgreSQL and `SQL_bulkhead_user` for ClickHouse",
    ),
    (
        USER_TEMPLATE,
        "a name of letters, digits and `_.@-` in which `{user}` stands once",
    ),
    (
        TOKEN,
        "the name of a header, a cookie or a query parameter, without blanks, quotes and separators",
    ),
    (
        PATH,
        "a path that begins with `/`, without blanks, or nothing",
    ),
];

/// Whether a text has the form that a pattern asks for.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    regex_lite::Regex::new(pattern).is_ok_and(|pattern| pattern.is_match(text))
}

/// Marks a list whose entries are told apart by `name`.
pub(crate) fn list_by_name(schema: &mut Schema) {
    schema.insert("x-kubernetes-list-type".to_owned(), "map".into());
    schema.insert("x-kubernetes-list-map-keys".to_owned(), json!(["name"]));
}

/// Bounds the values of a map.
pub(crate) fn bound_values(schema: &mut Schema) {
    bound(schema, 4096);
}

/// Bounds the values of a map of run-time parameters.
pub(crate) fn bound_parameter_values(schema: &mut Schema) {
    bound(schema, 1024);
}

/// Bounds the values of a map of labels.
pub(crate) fn bound_label_values(schema: &mut Schema) {
    bound(schema, 63);
}

fn bound(schema: &mut Schema, longest: u32) {
    if let Some(values) = schema
        .get_mut("additionalProperties")
        .and_then(Value::as_object_mut)
    {
        values.insert("maxLength".to_owned(), longest.into());
    }
}
