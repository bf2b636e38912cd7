//! The custom resources, one kind a file, their parts by subject.
//!
//! Here is what a policy may say: types, bounds and what CEL can check. No default is a value here: each is told in words,
//! and set by [`mod@crate::resolve`]. No rule that needs two parts of a policy at once is here either: those are in
//! [`mod@crate::validate`].

mod audit;
pub(crate) mod bounds;
mod choices;
mod database;
mod environment;
mod finish;
mod identity;
mod injection;
mod policy;
mod pool;
mod reference;
mod revocation;
mod selector;
mod status;
pub mod template;
mod websocket;

pub use audit::{AuditFile, AuditTrail};
pub use choices::{
    AuditDestination, AuditFailure, AuthMode, Compression, IdentitySource, ListenTls, Missed, Mode,
    OnDisconnect, OptOut, PlainHttp, PoolMode, PortClosing, Protocol, RowLevelSecurity,
    SlowConsumer, SqlScope, TargetSessionAttrs, Tier, TlsMode, TokenPlace, UpstreamRole, UserIds,
    WhenFull,
};
pub use database::{Database, Listen, ListenAuth, Upstream, UpstreamHost, UpstreamTls};
pub use environment::{
    DatabaseOverlay, Environment, IdentityOverlay, JwtOverlay, UpstreamOverlay, WebSocketOverlay,
    WebSocketUpstreamOverlay,
};
pub use identity::{Identity, InSql, Jwks, Jwt, SignedContext, Trusted};
pub use injection::{Inject, Injection};
pub use policy::{Isolation, IsolationPolicy, IsolationPolicySpec, Limits};
pub use pool::{Breaker, PerUser, Pool, Session, Timeouts};
pub use reference::{SecretKeyRef, SecretRef};
pub use revocation::{RevocationPods, UserRevocation, UserRevocationSpec, UserRevocationStatus};
pub use selector::{Selector, SelectorOperator, SelectorRequirement};
pub use status::{
    Advice, AttributionCounts, Compliance, ComplianceStep, Condition, ConditionStatus, Inventory,
    InventoryRow, IsolationPolicyStatus, Pods, QueryCompliance, Skipped,
};
pub use template::{InjectionTemplate, InjectionTemplateSpec};
pub use websocket::{
    Execution, Resume, TokenSource, WebSocket, WebSocketLimits, WebSocketListen, WebSocketTimeouts,
    WebSocketUpstream,
};
