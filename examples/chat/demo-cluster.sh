#!/usr/bin/env bash
# The demo on a cluster: the chart, two environments, one policy, an application that knows nothing of a sidecar, a real PostgreSQL.
# Exit code 0 only when each step held.
#
# Without KUBECONFIG a cluster of its own is built (once, some 20 minutes; cached), started, and removed at the end. With KUBECONFIG
# that cluster is used, whose nodes must be able to pull the five images named in BULKHEAD_OPERATOR_IMAGE, BULKHEAD_SIDECAR_IMAGE,
# BULKHEAD_CHAT_IMAGE, BULKHEAD_POSTGRES_IMAGE and BULKHEAD_PROMETHEUS_IMAGE. BULKHEAD_KEEP=1 leaves everything as it is at the end, to look around in.
set -euo pipefail

here="$(cd "$(dirname "$0")" && pwd)"
root="$(cd "$here/../.." && pwd)"
. "$here/cluster-stage.sh"
. "$here/cluster-install.sh"
. "$here/cluster-alert.sh"
cd "$root"

title 'A cluster, and five images'
cluster_up
say "Kubernetes $(kubectl version -o json | sed -nE 's/.*"gitVersion": "(v[^"]*)".*/\1/p' | tail -n 1), $(kubectl get nodes -o name | wc -l) node"

title '1. helm install'
install_chart
held 'two replicas are ready, and admission is in place'

title '2. Two namespaces, one policy, applied to both as it is'
set_the_scene
for namespace in chat-staging chat-production; do
    say "kubectl apply -n $namespace -f examples/chat/kubernetes/policy.yaml"
    kubectl apply -n "$namespace" -f "$manifests/policy.yaml" >"$work/apply.log" 2>&1 || broken "the policy is refused in $namespace"
    quote "$(cat "$work/apply.log")"
    within 30 "the policy's acceptance in $namespace" condition_is "$namespace" Accepted True
done
rm "$work/apply.log"
held 'the labels of the namespaces say which environment each is'

title '3. The application comes, and its pods are injected'
for namespace in chat-staging chat-production; do
    within 10 "injection in $namespace" would_be_injected "$namespace"
    app_manifest | kubectl apply -n "$namespace" -f - >/dev/null
done
for namespace in chat-staging chat-production; do
    rolled_out "$namespace" chat-backend
    for pod in $(pods "$namespace"); do injected "$namespace" "$pod"; done
    show "$(kubectl get pods -n "$namespace" -l app=chat-backend)"
done
forward_all chat-staging chat-production
staging="$(first_pod chat-staging)" production="$(first_pod chat-production)"
held 'under Pod Security restricted, ready, and nothing in the Deployment speaks of a sidecar'

title '4. Two users: each has their own messages, and nobody is nobody'
for namespace in chat-staging chat-production; do
    pod="$(first_pod "$namespace")"
    request "$namespace" "$pod" POST /messages alice "hello from alice in ${namespace#chat-}"
    expect_status 201
    request "$namespace" "$pod" POST /messages bob "hello from bob in ${namespace#chat-}"
    expect_status 201
    request "$namespace" "$pod" GET /messages alice
    expect_status 200
    expect_text "hello from alice in ${namespace#chat-}"
    expect_no_text 'from bob'
    request "$namespace" "$pod" GET /messages bob
    expect_text "hello from bob in ${namespace#chat-}"
    expect_no_text 'from alice'
done
request chat-production "$production" GET /messages null
expect_status 403
expect_text placeholder
held 'the database holds all of it; the sidecar says who asks, and has the password'

title '5. One policy, two environments: the same statement, two timeouts'
request chat-staging "$staging" GET '/report?seconds=2' alice
expect_status 200
request chat-production "$production" GET '/report?seconds=2' alice
expect_status 504
expect_text 'timeouts.statement = 1s (environment production'
held 'the answer names the setting, its value, and where it comes from'

title '6. The chat room, through the Service: every socket belongs to one user'
for user in alice bob; do
    talk_from chat-staging "$staging" "$user"
    hears connected
    says "hello from $user"
    hears "$user: hello from $user"
    hangs_up
done
talk_from chat-staging "$staging" ''
hears 'refused 401'
hangs_up
talk_from chat-staging "$staging" null
hears 'refused 401'
hangs_up
held 'the Service names a port, which belongs to the sidecar now; the backend hears who says what, and has no token in it'

title '7. What the cluster says of it'
for namespace in chat-staging chat-production; do
    within 30 "every pod of $namespace in sync" all_in_sync "$namespace" 2
    within 30 "the policy programmed in $namespace" condition_is "$namespace" Programmed True
done
say 'kubectl get ipol -A'
show "$(kubectl get ipol -A)"
say 'kubectl describe ipol -n chat-production chat (the end of it)'
show "$(kubectl describe ipol -n chat-production chat | sed -n '/^Status:/,$p')"
explain_both
held 'status, events and explain say the same'

title '8. A policy edit, in force without a restart'
before="$(identity chat-staging)"
revisions=()
for pod in $(pods chat-staging); do revisions+=("$(revision chat-staging "$pod")"); done
edit 'statement: 5s' 'statement: 250ms'
start="$(now)"
kubectl apply -n chat-staging -f "$work/policy.yaml" >/dev/null 2>"$work/apply.log" || broken 'the edit is refused'
applied="$(now)"
number=0
for pod in $(pods chat-staging); do
    within 20 "the edit in $pod" other_revision chat-staging "$pod" "${revisions[number]}"
    number="$((number + 1))"
done
# When that was, each sidecar's log knows better than who asks from outside.
in_force=0
for pod in $(pods chat-staging); do
    at="$(taken_over_at chat-staging "$pod")"
    [ "$at" -le "$in_force" ] || in_force="$at"
done
for pod in $(pods chat-staging); do
    http "${app_port[chat-staging/$pod]}" GET '/report?seconds=2' alice
    expect_status 504
    expect_text 'timeouts.statement = 250ms (environment staging'
done
bitten="$(now)"
say "kubectl apply took $((applied - start)) ms; from its end on, it took"
say "$(printf '%5d' "$((in_force - applied))") ms until the last sidecar had the edit in force, says its log, and"
say "$(printf '%5d' "$((bitten - applied))") ms until both had ended a statement by it (each took 250 of them)"
[ "$((in_force - applied))" -le 2000 ] || broken "it took $((in_force - applied)) ms, and should have taken 2000 at most (load average $(cut -d' ' -f1 /proc/loadavg))"
[ "$(identity chat-staging)" = "$before" ] || broken 'a pod is another one now, or was restarted'
within 30 'the status' all_in_sync chat-staging 2
within 30 'the status' condition_is chat-staging Programmed True
say "$(printf '%5d' "$(($(now) - applied))") ms until kubectl get ipol said so, asked ten times a second"
rm -f "$work/apply.log"
held 'the same pods, no restart, no reconnect'

title '9. A policy with a mistake is refused, with the path of the field'
edit 'statement: 5s' 'statement: soon'
refused 'a duration that is none' 'timeouts.statement' kubectl apply -n chat-staging -f "$work/policy.yaml"
say 'an overlay that is sound by itself, and not with the base, is refused in staging for what it would do in production:'
edit 'timeouts: {statement: 1s}' 'pool: {maxConnections: 3}'
refused 'less for all users than for one' 'pool.perUser.max: 4' kubectl apply -n chat-staging -f "$work/policy.yaml"
request chat-staging "$staging" GET '/report?seconds=2' alice
expect_status 504
expect_text 'timeouts.statement = 250ms'
held 'what was in force is in force'

title '10. The operator is away'
scale_operator 0
say 'no replica is left; a pod elsewhere, a pod that no policy selects, and a new pod of the application:'
bystander default
bystander chat-staging
kubectl delete pod -n chat-staging "$staging" --wait=false >/dev/null
within 60 'the pod in its place' replaced chat-staging "$staging"
rolled_out chat-staging chat-backend
forward_all chat-staging
staging="$(first_pod chat-staging)"
for pod in $(pods chat-staging); do
    injected chat-staging "$pod"
    request chat-staging "$pod" GET /messages alice
    expect_status 200
    expect_no_text 'from bob'
done
say 'a pod becomes one of the application without the sidecar:'
refused 'a pod without the sidecar' bulkhead kubectl label pod -n chat-staging bystander --overwrite app=chat-backend
say 'and were even the injecting policy gone:'
kubectl delete mutatingadmissionpolicybinding bulkhead-inject >/dev/null
within 20 "the guard's refusal" guard_refuses
refused 'a pod without the sidecar' bulkhead kubectl create -n chat-staging -f "$work/probe.yaml"
scale_operator 2
within 60 'injection, put back by the operator' would_be_injected chat-staging
held 'nobody is held up, and nobody runs unprotected'

title '11. Uninstall'
uninstall_chart
for pod in $(pods chat-staging); do
    request chat-staging "$pod" GET /messages alice
    expect_status 200
done
bystander default again
held 'what runs goes on, and nothing is left in the way of new pods'

title '12. A fault, and whom it wakes up'
say 'a Prometheus with the rules of the chart, as they are; it finds the sidecars, which go on being watched without an operator'
forward_all chat-staging chat-production
start_prometheus
within 60 'samples of all four sidecars' counts 'count(bulkhead_build_info)' 4
alert_is_not_there
say 'somebody takes a lock on the table of production, and keeps it:'
take_the_lock
fourteen_users_wait
within 60 'the alert' fires BulkheadTimeoutsBurnFast chat-production
show "$(what_is_told BulkheadTimeoutsBurnFast)"
[ -e "docs/runbooks/BulkheadTimeoutsBurnFast.md" ] || broken 'the runbook is not there'
alert_is_only_about chat-production
give_the_lock_back
held 'the alert fires for production, and for production alone; its runbook says what to do'

printf '\n%sDemo passed:%s every step held. %s s in all.\n' "$green" "$plain" "$SECONDS"
