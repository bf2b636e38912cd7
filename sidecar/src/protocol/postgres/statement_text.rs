//! temporary
#[derive(Clone, Copy, Debug, Default)]
#[allow(missing_docs)]
pub struct Traits(u32);
#[allow(missing_docs, clippy::all)]
impl Traits {
 pub const fn is_plain(self)->bool{self.0==0}
 pub const fn creates_temporary(self)->bool{false}
 pub const fn takes_session_lock(self)->bool{false}
 pub const fn listens(self)->bool{false}
 pub const fn holds_cursor(self)->bool{false}
 pub const fn prepares_in_sql(self)->bool{false}
 pub const fn sets_parameter(self)->bool{false}
 pub const fn sets_locally(self)->bool{false}
 pub const fn calls_set_config(self)->bool{false}
 pub const fn resets_parameter(self)->bool{false}
}
#[derive(Debug)]
#[allow(missing_docs)]
pub struct SetStatement{pub name:String,pub value:Option<String>}
#[allow(missing_docs)]
pub fn classify(_t:&[u8])->Traits{Traits(0)}
#[allow(missing_docs)]
pub fn parse_set(_t:&[u8])->Option<SetStatement>{None}
#[allow(missing_docs)]
pub fn deallocated_name(_t:&[u8])->Option<Vec<u8>>{None}
#[allow(missing_docs)]
pub enum TransactionControl{Commit,Rollback}
#[allow(missing_docs)]
pub fn transaction_control(t:&[u8])->Option<TransactionControl>{ if t.eq_ignore_ascii_case(b"rollback"){Some(TransactionControl::Rollback)}else{None}}
