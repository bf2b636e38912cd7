//! The table of rules. A new rule is a line here, a function in the room of its subject, and a policy in the tests that breaks it.

use super::rule::Check::{self, Across, Effective, Written};
use super::rule::Rule;
use super::{
    application, databases, environments, events, hosts, identity, injection, listeners, managed,
    ports, requests, resume, session, timeouts, tokens, web_sockets, written,
};
use crate::findings::Severity::{self, Error, Warning};

/// Every rule there is.
pub static RULES: &[Rule] = &[
    rule("DuplicateName", Error, Written(written::duplicate_name)),
    rule("UnknownOverlay", Error, Written(written::unknown_overlay)),
    rule("EmptySelector", Warning, Written(written::empty_selector)),
    rule("GuardsNothing", Warning, Written(written::guards_nothing)),
    rule("JwtMissing", Error, Effective(identity::jwt_missing)),
    rule("JwksSource", Error, Effective(identity::jwks_source)),
    rule("JwksInsecure", Error, Effective(identity::jwks_insecure)),
    rule("JwksInline", Error, Effective(identity::jwks_inline)),
    rule("AnyAudience", Warning, Effective(identity::any_audience)),
    rule(
        "PlaceholdersAllowed",
        Warning,
        Effective(identity::placeholders_allowed),
    ),
    rule(
        "ConnectionScope",
        Warning,
        Effective(identity::connection_scope),
    ),
    rule("NamedInShared", Error, Effective(identity::named_in_shared)),
    rule(
        "ReservedParameter",
        Error,
        Effective(identity::reserved_parameter),
    ),
    rule("TrustedSigned", Error, Effective(identity::trusted_signed)),
    rule(
        "SignedInShared",
        Error,
        Effective(identity::signed_in_shared),
    ),
    rule(
        "SignedOnStandby",
        Error,
        Effective(identity::signed_on_standby),
    ),
    rule(
        "SigningKeyMissing",
        Error,
        Effective(identity::signing_key_missing),
    ),
    rule(
        "SigningKeyUnused",
        Warning,
        Effective(identity::signing_key_unused),
    ),
    rule(
        "TrustUnwritten",
        Error,
        Effective(identity::trust_unwritten),
    ),
    rule("TrustedByAll", Warning, Effective(identity::trusted_by_all)),
    rule("SharedTier", Warning, Effective(databases::shared_tier)),
    rule(
        "ScramWithoutSecret",
        Error,
        Effective(listeners::scram_without_secret),
    ),
    rule(
        "ListenCertificate",
        Error,
        Effective(listeners::certificate),
    ),
    rule("ListenOpen", Error, Effective(listeners::open)),
    rule(
        "ListenBeyondLoopback",
        Warning,
        Effective(listeners::beyond_loopback),
    ),
    rule("ListenClash", Error, Effective(listeners::clash)),
    rule("OwnPort", Error, Effective(ports::own)),
    rule("TakenTwice", Error, Effective(ports::taken_twice)),
    rule("ListenAnyPort", Warning, Effective(listeners::any_port)),
    rule("DialsItself", Error, Effective(listeners::dials_itself)),
    rule("UpstreamHost", Error, Written(hosts::one_of_two)),
    rule("HostTwice", Error, Effective(hosts::twice)),
    rule("HostPorts", Warning, Effective(hosts::ports)),
    rule("SessionParameter", Error, Effective(session::parameter)),
    rule("FixedParameter", Error, Effective(session::fixed)),
    rule("KeyPrefix", Error, Effective(session::key_prefix)),
    rule("Acl", Error, Effective(session::acl)),
    rule("AclInAudit", Warning, Effective(session::acl_in_audit)),
    rule("AllowedUids", Warning, Effective(listeners::allowed_uids)),
    rule("NeverWrites", Error, Effective(session::never_writes)),
    rule("CaMissing", Error, Effective(databases::ca_missing)),
    rule("CaUnused", Warning, Effective(databases::ca_unused)),
    rule("TlsOnSocket", Error, Effective(databases::tls_on_socket)),
    rule("Unverified", Warning, Effective(databases::unverified)),
    rule(
        "PerUserOverMax",
        Error,
        Effective(databases::per_user_over_max),
    ),
    rule("WarmOverMax", Error, Effective(databases::warm_over_max)),
    rule("WarmForWhom", Warning, Effective(databases::warm_for_whom)),
    rule(
        "NotForProtocol",
        Warning,
        Effective(databases::not_for_protocol),
    ),
    rule(
        "RoleCredentials",
        Error,
        Effective(databases::role_credentials),
    ),
    rule(
        "UserTemplateUnused",
        Warning,
        Effective(databases::user_template),
    ),
    rule("UserSetting", Error, Effective(session::user_setting)),
    rule(
        "UserSettingPrefix",
        Warning,
        Effective(session::user_setting_prefix),
    ),
    rule("NeverOff", Error, Effective(timeouts::never_off)),
    rule(
        "StatementOverTransaction",
        Warning,
        Effective(timeouts::statement_over_transaction),
    ),
    rule(
        "IdleOverTransaction",
        Warning,
        Effective(timeouts::idle_over_transaction),
    ),
    rule(
        "IdleOverLifetime",
        Warning,
        Effective(timeouts::idle_over_lifetime),
    ),
    rule(
        "HandshakeTooShort",
        Warning,
        Effective(timeouts::handshake_too_short),
    ),
    rule("ManagedConnect", Warning, Effective(managed::connect)),
    rule("TokenKey", Error, Effective(tokens::key)),
    rule("TokenTwice", Error, Effective(tokens::twice)),
    rule("TokenHeader", Error, Effective(tokens::header)),
    rule("TokenInAddress", Warning, Effective(tokens::in_address)),
    rule("CookieOrigins", Warning, Effective(tokens::cookie_origins)),
    rule("AllowedOrigin", Error, Effective(requests::origin)),
    rule(
        "OriginCovered",
        Warning,
        Effective(requests::origin_covered),
    ),
    rule(
        "AnyOrNoOrigin",
        Warning,
        Effective(requests::any_or_no_origin),
    ),
    rule("PathForm", Error, Effective(requests::path)),
    rule("PathCovered", Warning, Effective(requests::path_covered)),
    rule("PathPattern", Warning, Effective(requests::path_pattern)),
    rule(
        "PingOverIdle",
        Warning,
        Effective(web_sockets::ping_over_idle),
    ),
    rule(
        "PongOverPing",
        Warning,
        Effective(web_sockets::pong_over_ping),
    ),
    rule(
        "HandshakeUnreal",
        Warning,
        Effective(web_sockets::handshake_unreal),
    ),
    rule("LongGrace", Warning, Effective(web_sockets::long_grace)),
    rule("NoMessage", Error, Effective(web_sockets::no_message)),
    rule("MessageSize", Warning, Effective(web_sockets::message_size)),
    rule("BufferSmall", Warning, Effective(web_sockets::buffer_small)),
    rule(
        "MessageOverMemory",
        Warning,
        Effective(web_sockets::message_over_memory),
    ),
    rule(
        "BufferOverMemory",
        Warning,
        Effective(web_sockets::buffer_over_memory),
    ),
    rule(
        "CompressedUnread",
        Warning,
        Effective(web_sockets::compressed_unread),
    ),
    rule("ResumeOverTotal", Error, Effective(resume::over_total)),
    rule(
        "ResumeBufferSmall",
        Warning,
        Effective(resume::buffer_small),
    ),
    rule("ResumeOff", Warning, Effective(resume::off)),
    rule("ResumeOutlived", Warning, Effective(resume::outlived)),
    rule("ResumeCompressed", Warning, Effective(resume::compressed)),
    rule("EventNeverMatches", Error, Effective(events::never_matches)),
    rule("EventTwice", Error, Effective(events::twice)),
    rule("EventUnlikely", Warning, Effective(events::unlikely)),
    rule("RunsUnseen", Error, Effective(events::runs_unseen)),
    rule("RunLimits", Warning, Effective(events::run_limits)),
    rule(
        "EvictInEnforce",
        Warning,
        Effective(injection::evict_in_enforce),
    ),
    rule(
        "PortLeftOpen",
        Warning,
        Effective(injection::port_left_open),
    ),
    rule("InjectedTimeout", Warning, Effective(application::injected)),
    rule(
        "EnvironmentsFarApart",
        Warning,
        Across(environments::far_apart),
    ),
];

const fn rule(reason: &'static str, severity: Severity, check: Check) -> Rule {
    Rule {
        reason,
        severity,
        check,
    }
}
