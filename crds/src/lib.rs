//! The `IsolationPolicy` kind, its validation, and its resolution to an effective policy.
