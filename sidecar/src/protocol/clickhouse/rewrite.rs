//! The head of a request as the server gets it, and of an answer as the client does. Pure.

use bulkhead_crds::effective::EffectiveUpstream;
use bulkhead_crds::kinds::UpstreamRole;
use http::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, FORWARDED, HOST,
    HeaderMap, HeaderName, HeaderValue, TE, TRAILER, TRANSFER_ENCODING, UPGRADE, WWW_AUTHENTICATE,
};
use http::uri::PathAndQuery;
use http::{Method, Request, Uri, Version};

use super::error::{Code, Exception};
use super::parameters::{Parameters, percent_encode};
use crate::factory::key::Owner;

const USER: HeaderName = HeaderName::from_static("x-clickhouse-user");
const KEY: HeaderName = HeaderName::from_static("x-clickhouse-key");
const QUOTA: HeaderName = HeaderName::from_static("x-clickhouse-quota");
/// By which an answer names its query.
pub const QUERY_ID: HeaderName = HeaderName::from_static("x-clickhouse-query-id");
/// The id under which the server knows the query.
pub const OWN_QUERY_ID: HeaderName = HeaderName::from_static("x-bulkhead-query-id");

/// Of ClickHouse's own headers those that say nothing of who is calling.
const PASSABLE: [&str; 2] = ["x-clickhouse-database", "x-clickhouse-format"];

/// What concerns one hop alone (RFC 9110, section 7.6.1), and what the sidecar's own connection says anew.
const HOP: [HeaderName; 8] = [
    CONNECTION,
    CONTENT_LENGTH,
    EXPECT,
    HOST,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// By which a client would say who it is, or from where it comes: a server may go by those addresses.
const WHO: [HeaderName; 3] = [AUTHORIZATION, COOKIE, FORWARDED];

/// As whom the sidecar logs in.
#[derive(Clone, Debug)]
pub struct Account {
    user: HeaderValue,
    password: Option<HeaderValue>,
    quota_key: Option<HeaderValue>,
}

impl Account {
    /// The user and the password.
    ///
    /// # Errors
    /// What no header can hold.
    pub fn new(user: &str, password: Option<&str>) -> Result<Self, Exception> {
        let value = |text: &str, what: &str| {
            HeaderValue::from_bytes(text.as_bytes()).map_err(|_| {
                let message = format!(
                    "the upstream's {what} has a control character, which no header can hold"
                );
                Exception::new(Code::AuthenticationFailed, message)
            })
        };
        let mut password = password
            .map(|password| value(password, "password"))
            .transpose()?;
        if let Some(password) = &mut password {
            password.set_sensitive(true);
        }
        Ok(Self {
            user: value(user, "user name")?,
            password,
            quota_key: None,
        })
    }

    /// The same, counted by quotas that are keyed by the client's key.
    #[must_use]
    pub fn with_quota_key(mut self, owner: &Owner) -> Self {
        let key = owner.user().map(|user| encoded(user.as_str()));
        // Percent-encoded text is a header's value.
        self.quota_key = key.and_then(|key| HeaderValue::from_str(&key).ok());
        self
    }

    /// Puts it into a request's headers.
    pub fn write(&self, headers: &mut HeaderMap) {
        headers.insert(USER, self.user.clone());
        if let Some(password) = &self.password {
            headers.insert(KEY, password.clone());
        }
        if let Some(key) = &self.quota_key {
            headers.insert(QUOTA, key.clone());
        }
    }
}

/// A text so written that different ones never look alike, and without a character that means something.
#[must_use]
pub fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    percent_encode(text.as_bytes(), &mut out);
    out
}

/// The ClickHouse user as whom an end user's work is done: `upstream.userTemplate` with the encoded id; none where all work is the
/// sidecar's own user's.
#[must_use]
pub fn user_of(upstream: &EffectiveUpstream, owner: &Owner) -> Option<String> {
    let user = owner.user()?;
    let per_user = upstream.role == UpstreamRole::PerUser;
    per_user.then(|| {
        upstream
            .user_template
            .replacen("{user}", &encoded(user.as_str()), 1)
    })
}

/// The name under which the server knows a client's session: bound to whose it is, so that two users never meet in one.
#[must_use]
pub fn session_id(owner: &Owner, named: &[u8]) -> Vec<u8> {
    let user = owner.user().map(|user| encoded(user.as_str()));
    let mut id = format!("bulkhead:{}:", user.unwrap_or_default()).into_bytes();
    id.extend_from_slice(named);
    id
}

/// The head that the server gets. `authority` is the upstream's.
///
/// # Errors
/// The address has become too long.
pub fn forward(
    method: &Method,
    path: &'static str,
    parameters: &Parameters,
    client: &HeaderMap,
    authority: &str,
) -> Result<Request<()>, Exception> {
    let address = if parameters.iter().next().is_none() {
        path.to_owned()
    } else {
        format!("{path}?{}", parameters.encode())
    };
    let address: PathAndQuery = address.try_into().map_err(|_| {
        Exception::new(Code::BadArguments, "the address is too long")
            .with_hint("Send the query in the body of a POST")
    })?;
    let mut request = Request::new(());
    *request.method_mut() = method.clone();
    *request.version_mut() = Version::HTTP_11;
    *request.uri_mut() = Uri::from(address);
    let headers = request.headers_mut();
    if let Ok(host) = HeaderValue::from_str(authority) {
        headers.insert(HOST, host);
    }
    let named = named_by_connection(client);
    for (name, value) in client {
        if passes(name, &named) {
            headers.append(name, value.clone());
        }
    }
    Ok(request)
}

/// The headers that a message's own `Connection` declares to concern one hop.
fn named_by_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    let values = headers.get_all(CONNECTION).iter();
    let texts = values.filter_map(|value| value.to_str().ok());
    let names = texts.flat_map(|text| text.split(','));
    names.filter_map(|name| name.trim().parse().ok()).collect()
}

fn passes(name: &HeaderName, named: &[HeaderName]) -> bool {
    let text = name.as_str();
    let hidden = ["x-bulkhead-", "x-forwarded-", "proxy-"];
    let hop = HOP.contains(name) || text == "keep-alive" || named.contains(name);
    let who = WHO.contains(name)
        || text == "x-real-ip"
        || hidden.iter().any(|begins| text.starts_with(begins))
        || (text.starts_with("x-clickhouse-") && !PASSABLE.contains(&text));
    // A client may not have taken away how it wants its answer.
    (!hop || *name == ACCEPT_ENCODING) && !who
}

/// Makes an answer's headers the client's: what concerned the other hop goes, and the query has the name that the client gave it.
pub fn answer(headers: &mut HeaderMap, theirs: Option<&[u8]>, own: &str) {
    pass_back(headers);
    name_query(headers, theirs, own);
}

/// Takes out of an answer's headers what concerned the other hop.
pub fn pass_back(headers: &mut HeaderMap) {
    for name in named_by_connection(headers) {
        headers.remove(name);
    }
    for name in HOP {
        if name != CONTENT_LENGTH {
            headers.remove(name);
        }
    }
    headers.remove("keep-alive");
    headers.remove(WWW_AUTHENTICATE);
}

/// Names the query, in the client's word where it has one.
pub fn name_query(headers: &mut HeaderMap, theirs: Option<&[u8]>, own: &str) {
    let own = HeaderValue::from_str(own).ok();
    let theirs = theirs.and_then(|id| HeaderValue::from_bytes(id).ok());
    if let Some(id) = theirs.or_else(|| own.clone()) {
        headers.insert(QUERY_ID, id);
    }
    if let Some(own) = own {
        headers.insert(OWN_QUERY_ID, own);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::identity::UserId;

    fn headers(list: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in list {
            let name: HeaderName = name.parse().unwrap();
            headers.append(name, value.parse().unwrap());
        }
        headers
    }

    fn owner(user: &str) -> Owner {
        Owner::User(UserId::parse(user).unwrap())
    }

    #[test]
    fn the_server_hears_nothing_of_who_the_client_says_it_is() {
        let client = headers(&[
            ("authorization", "Basic eA=="),
            ("connection", "x-secret, keep-alive, accept-encoding"),
            ("x-secret", "1"),
            ("keep-alive", "timeout=3"),
            ("cookie", "a=b"),
            ("content-length", "5"),
            ("transfer-encoding", "chunked"),
            ("expect", "100-continue"),
            ("host", "evil"),
            ("x-clickhouse-user", "root"),
            ("x-clickhouse-key", "x"),
            ("x-clickhouse-quota", "x"),
            ("x-clickhouse-ssl-certificate-auth", "on"),
            ("x-bulkhead-user", "bob"),
            ("x-bulkhead-context", "t"),
            ("x-forwarded-for", "10.0.0.1"),
            ("proxy-authorization", "x"),
            ("x-clickhouse-database", "chat"),
            ("x-clickhouse-format", "JSON"),
            ("accept-encoding", "gzip"),
            ("content-encoding", "gzip"),
            ("user-agent", "curl"),
            ("traceparent", "00-1"),
        ]);
        let mut parameters = Parameters::default();
        parameters.push("query", "SELECT '&'");
        let request = forward(&Method::POST, "/", &parameters, &client, "ch:8123").unwrap();
        assert_eq!(request.uri(), "/?query=SELECT+'%26'");
        let mut names: Vec<_> = request.headers().keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(
            names,
            [
                "accept-encoding",
                "content-encoding",
                "host",
                "traceparent",
                "user-agent",
                "x-clickhouse-database",
                "x-clickhouse-format"
            ]
        );
        assert_eq!(request.headers()[HOST], "ch:8123");
    }

    #[test]
    fn the_sidecar_logs_in_with_its_own_words() {
        let account = Account::new("app", Some("s:ecret")).unwrap();
        let mut out = HeaderMap::new();
        account.with_quota_key(&owner("ülle:x")).write(&mut out);
        assert_eq!(out[USER], "app");
        assert_eq!(out[KEY], "s:ecret");
        assert!(out[KEY].is_sensitive());
        assert_eq!(out[QUOTA], "%C3%BClle%3Ax");
        assert!(Account::new("a\nb", None).is_err());
        let mut none = HeaderMap::new();
        Account::new("app", None)
            .unwrap()
            .with_quota_key(&Owner::Unattributed)
            .write(&mut none);
        assert_eq!(none.len(), 1);
    }

    #[test]
    fn an_answer_names_the_query_in_the_clients_word() {
        let mut given = headers(&[
            ("connection", "Keep-Alive"),
            ("keep-alive", "timeout=3"),
            ("transfer-encoding", "chunked"),
            ("content-length", "5"),
            ("x-clickhouse-query-id", "ours"),
            ("x-clickhouse-summary", "{}"),
        ]);
        answer(&mut given, Some(b"theirs"), "ours");
        assert_eq!(given[QUERY_ID], "theirs");
        assert_eq!(given[OWN_QUERY_ID], "ours");
        assert_eq!(given.len(), 4);
        answer(&mut given, Some(b"no\nheader"), "ours");
        assert_eq!(given[QUERY_ID], "ours");
    }

    #[test]
    fn an_address_that_has_become_too_long_is_refused() {
        let mut parameters = Parameters::default();
        parameters.push("query", "\"".repeat(30_000));
        let refused = forward(&Method::GET, "/", &parameters, &HeaderMap::new(), "x");
        assert_eq!(refused.unwrap_err().code, Code::BadArguments);
    }

    proptest! {
        #[test]
        fn two_users_sessions_never_have_one_name(
            (one, other) in ("[a-z:%/ü]{1,6}", "[a-z:%/ü]{1,6}"),
            (a, b) in ("[a-z:%]{0,6}", "[a-z:%]{0,6}"),
        ) {
            let same = (&one, &a) == (&other, &b);
            let first = session_id(&owner(&one), a.as_bytes());
            let second = session_id(&owner(&other), b.as_bytes());
            prop_assert_eq!(first == second, same);
            prop_assert_ne!(session_id(&Owner::Unattributed, b.as_bytes()), first);
        }
    }
}
