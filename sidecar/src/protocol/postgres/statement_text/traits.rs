//! What can be said about a text, a bit each.

/// What a text does, all of its statements together. A trait that is there may be a false alarm (a function's name inside of
/// a string); for a text that is given whole, one that is not there is not in its words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Traits(u16);

macro_rules! traits {
    ($($(#[$doc:meta])* $constant:ident $method:ident $bit:literal;)+) => {
        impl Traits {
            $(
                pub(super) const $constant: Self = Self(1 << $bit);

                $(#[$doc])*
                #[inline]
                #[must_use]
                pub const fn $method(self) -> bool {
                    self.0 & Self::$constant.0 != 0
                }
            )+
        }
    };
}

traits!(
    /// More than one statement.
    MULTI is_multi 0;
    /// SET, SET SESSION, SET ROLE, SET SESSION AUTHORIZATION, SET SESSION CHARACTERISTICS: it lasts.
    SETS sets_parameter 1;
    /// SET LOCAL and SET TRANSACTION: they end with the transaction.
    SETS_LOCALLY sets_locally 2;
    /// RESET of any kind.
    RESETS resets_parameter 3;
    /// A call of `set_config` whose value outlives the transaction, as far as its words show.
    SET_CONFIG calls_set_config 4;
    /// DISCARD of any kind.
    DISCARDS discards 5;
    /// PREPARE in SQL.
    PREPARES prepares_in_sql 6;
    /// EXECUTE in SQL.
    EXECUTES executes_in_sql 7;
    /// DEALLOCATE of one statement or of all.
    DEALLOCATES deallocates 8;
    /// LISTEN.
    LISTENS listens 9;
    /// UNLISTEN.
    UNLISTENS unlistens 10;
    /// A cursor that is declared WITH HOLD.
    HOLDS_CURSOR holds_cursor 11;
    /// A temporary object that outlives its transaction.
    TEMPORARY creates_temporary 12;
    /// An advisory lock that outlives its transaction.
    SESSION_LOCK takes_session_lock 13;
    /// BEGIN, COMMIT, ROLLBACK, SAVEPOINT, PREPARE TRANSACTION and their like.
    TRANSACTION controls_transaction 14;
    /// A DO block, which may do anything.
    BLOCK runs_block 15;
);

impl Traits {
    /// Nothing to be noted.
    pub const PLAIN: Self = Self(0);

    /// Whether there is nothing to be noted.
    #[inline]
    #[must_use]
    pub const fn is_plain(self) -> bool {
        self.0 == 0
    }

    /// These and those.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}
