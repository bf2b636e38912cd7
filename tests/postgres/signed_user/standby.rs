//! A standby, where no session can begin a tenure: nobody is proven there, and everybody is told why.

use bulkhead_tests::postgres::Server;

use super::world::World;
use crate::several_hosts::until_streamed;

#[tokio::test]
async fn a_standby_proves_nobody_and_says_so() {
    // Given signed users, and an entry whose one host is a standby,
    let primary = Server::own();
    let standby = primary.standby();
    let world = World::before(&standby, &primary).await;
    until_streamed(&primary, &standby).await;
    // when somebody asks something,
    let refused = world.refusal("alice").await;
    // then they are refused, and told what to name instead;
    assert_eq!(refused.code, "08006", "{refused:?}");
    assert!(refused.message.contains("is a standby"), "{refused:?}");
    assert!(refused.hint.contains("Name the primary"), "{refused:?}");
    // and `check` finds it before anybody asks.
    let said = world.check();
    let errors = String::from_utf8_lossy(&said.stderr);
    let found = errors.contains("error[SignedOnStandby]");
    assert!(!said.status.success() && found, "{errors}");
    assert_eq!(errors.matches("tandby]").count(), 1, "told once: {errors}");
}
