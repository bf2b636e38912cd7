//! Programs that run on the server.

use super::super::effect::Effect;
use super::{PASSES, Row, Rule, Treatment, Why, refused, treated};

const SCRIPT: Treatment = treated(Rule::Script).with(Effect::Script);

#[rustfmt::skip]
pub(super) const ROWS: &[Row] = &[
    (&["eval", "eval_ro", "evalsha", "evalsha_ro", "fcall", "fcall_ro"], SCRIPT),
    // The cache is by the hash of the text: one user's script can neither be read nor replaced by another's.
    (&["script|load", "script|exists"], treated(Rule::Script)),
    (&["script|flush", "script|kill"], refused(Why::SharedCode)),
    (&["script|debug"], refused(Why::Server).with(Effect::Pins)),
    (&["function|load", "function|delete", "function|flush", "function|restore", "function|kill", "function|list", "function|dump"], refused(Why::SharedCode)),
    (&["function|stats"], refused(Why::OthersActivity)),
    (&["script|help", "function|help"], PASSES),
];
