//! Whoever has nothing to do with a policy notices nothing of it, whatever breaks.

use bulkhead_tests::operator::{Operator, READY, control_plane};
use bulkhead_tests::wait;
use rustix::process::Signal;

use super::{create, enabled, in_force, pod, template};

#[tokio::test]
async fn no_pod_of_an_unlabelled_namespace_is_refused_while_the_server_restarts_or_the_definition_is_deleted()
 {
    let cluster = control_plane().await;
    let mut operator = Operator::start(&cluster).await;
    operator.until_installed().await;
    let (labelled, other) = (enabled(&cluster).await, cluster.namespace(&[]).await);
    in_force(&cluster, &labelled, &template(&labelled)).await;
    operator.signal(Signal::KILL);

    let mut count = 0;
    let mut made = || {
        count += 1;
        pod(&format!("p-{count}"))
    };
    assert!(create(&cluster, &other, &made()).await.success);
    for _ in 0..2 {
        cluster.restart_api_server().await;
        // From the first moment on.
        for _ in 0..10 {
            let said = create(&cluster, &other, &made()).await;
            assert!(said.success, "{said:?}");
        }
    }
    // With the operator dead, the API server injects still.
    wait::until_within(READY, "the policies to be warm", || {
        let (cluster, labelled, pod) = (&cluster, &labelled, made());
        async move {
            create(cluster, labelled, &pod)
                .await
                .output
                .contains("chat@h1")
        }
    })
    .await;

    let definition = ["delete", "crd", "injectiontemplates.bulkhead.dev"];
    let _deleted = cluster.kubectl(&definition).await.well();
    for _ in 0..10 {
        let said = create(&cluster, &other, &made()).await;
        assert!(said.success, "{said:?}");
    }
}
