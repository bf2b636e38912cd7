# What the demo on a cluster stands on, sourced by demo-cluster.sh: the cluster and its images, ways to the pods, and the checks.
# shellcheck shell=bash disable=SC2154

. "$here/tell.sh"

manifests="$here/kubernetes"
system=bulkhead-system
work="$(mktemp -d "${TMPDIR:-/tmp}/bulkhead-demo-cluster.XXXXXX")"
own_cluster='' installed='' crds_were_there=''
forward_pids=()
declare -A app_port=() admin_port=()

broken() {
    printf '\n%sDemo FAILED:%s %s\n' "$red" "$plain" "$1" >&2
    tell_the_world >&2 || true
    exit 1
}

# What a person would look at next.
tell_the_world() {
    local log
    for log in "$work"/*.log; do
        [ -s "$log" ] && printf -- '--- the end of %s\n%s\n' "$(basename "$log")" "$(tail -n 15 "$log")"
    done
    [ -n "$installed" ] || return 0
    printf -- '--- pods\n'
    kubectl get pods -A -o wide
    printf -- '--- policies\n'
    kubectl get ipol -A -o wide
    printf -- '--- events that warn\n'
    kubectl get events -A --field-selector type=Warning --sort-by=.lastTimestamp | tail -n 15
    printf -- '--- Prometheus\n'
    kubectl logs -n chat-monitoring -l app=prometheus --tail 5 --prefix
    printf -- '--- the operator\n'
    kubectl logs -n "$system" -l app.kubernetes.io/name=bulkhead-operator --tail 20 --all-containers --prefix
}

# --- clocks

# Milliseconds, for differences.
now() { printf '%s' "$((${EPOCHREALTIME/[.,]/} / 1000))"; }

# within SECONDS WHAT COMMAND...: looks ten times a second.
within() {
    local deadline="$((SECONDS + $1))" what="$2"
    shift 2
    while ! "$@" >"$work/looked" 2>&1; do
        [ "$SECONDS" -lt "$deadline" ] || broken "$what: not in time. The last look: $(tail -n 3 "$work/looked")"
        sleep 0.1
    done
}

# --- the end: in the order opposite to the beginning

stop_forwards() {
    local pid
    for pid in "${forward_pids[@]}"; do end TERM "$pid"; done
    forward_pids=()
}

leave() {
    local status=$?
    trap - EXIT
    stop_forwards
    if [ -n "${BULKHEAD_KEEP:-}" ] && [ -n "${KUBECONFIG:-}" ]; then
        say "kept, as BULKHEAD_KEEP says: export KUBECONFIG=$KUBECONFIG; make cluster-down ends it"
    elif [ -n "$own_cluster" ]; then
        cluster_down || status=1
    elif [ -n "$installed" ]; then
        remove_everything || status=1
    fi
    rm -rf "$work"
    exit "$status"
}
trap leave EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# --- pods

pods() { kubectl get pods -n "$1" -l app=chat-backend --field-selector status.phase=Running -o 'jsonpath={range .items[*]}{.metadata.name}{"\n"}{end}'; }
first_pod() { pods "$1" | sed -n 1p; }

rolled_out() {
    kubectl rollout status -n "$1" "deployment/$2" --timeout=120s >"$work/rollout.log" 2>&1 || broken "deployment $2 in $1 does not become ready"
    rm -f "$work/rollout.log"
}

# injected NAMESPACE POD: the first init container is the sidecar, as a native one, and the pod says which template it came from.
injected() {
    local seen
    seen="$(kubectl get pod -n "$1" "$2" -o 'jsonpath={.spec.initContainers[0].name} {.spec.initContainers[0].restartPolicy} {.metadata.annotations.bulkhead\.dev/injected}')"
    [[ $seen == 'bulkhead Always chat@'* ]] || broken "pod $2 in $1 is not injected: ${seen:-no init container}"
}

# What would become of a pod that was created now; nothing is.
would_be_injected() {
    kubectl create -n "$1" --dry-run=server -f "$work/probe.yaml" -o 'jsonpath={.spec.initContainers[*].name}' | grep -w bulkhead
}

# identity NAMESPACE: which pods there are, and how often anything in them has been restarted.
identity() {
    kubectl get pods -n "$1" -l app=chat-backend --sort-by=.metadata.name \
        -o 'jsonpath={range .items[*]}{.metadata.uid}{.status.initContainerStatuses[*].restartCount}{.status.containerStatuses[*].restartCount}{"\n"}{end}'
}

# forward NAMESPACE POD: the application's port and the sidecar's, on this machine.
forward() {
    local log="$work/forward.$1.$2" key="$1/$2"
    kubectl port-forward -n "$1" "pod/$2" :8000 :9432 >"$log" 2>&1 &
    forward_pids+=("$!")
    within 20 "forwarding ports to $key" forwards_both "$log"
    app_port[$key]="$(forwarded "$log" 8000)"
    admin_port[$key]="$(forwarded "$log" 9432)"
}
forwarded() { sed -nE "s/^Forwarding from 127\.0\.0\.1:([0-9]+) -> $2\$/\1/p" "$1"; }
forwards_both() { [ -n "$(forwarded "$1" 8000)" ] && [ -n "$(forwarded "$1" 9432)" ]; }

forward_all() {
    local namespace pod
    stop_forwards
    for namespace in "$@"; do
        for pod in $(pods "$namespace"); do forward "$namespace" "$pod"; done
    done
}

# --- HTTP by bash alone, because a bare machine has no curl

status='' body=''

# http PORT METHOD PATH [USER [BODY]]: sets status and body.
http() {
    local socket reply text="${5:-}"
    exec {socket}<>"/dev/tcp/127.0.0.1/$1" || return 1
    printf '%s %s HTTP/1.1\r\nHost: chat\r\nx-chat-user: %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s' \
        "$2" "$3" "${4:-}" "${#text}" "$text" >&"$socket"
    reply="$(tr -d '\r' <&"$socket")"
    exec {socket}>&-
    status="$(sed -n '1s/^HTTP[^ ]* \([0-9]*\).*/\1/p' <<<"$reply")"
    body="$(sed '1,/^$/d' <<<"$reply")"
}

# request NAMESPACE POD METHOD PATH USER [BODY]: says what is asked and what comes of it.
request() {
    say "$1: $(printf '%-5s' "$5") $3 $4${6:+  \"$6\"}"
    http "${app_port[$1/$2]}" "$3" "$4" "$5" "${6:-}" || broken "pod $2 in $1 does not answer"
    quote "$status $body"
}
expect_status() { [ "$status" = "$1" ] || broken "the status was $status, and should have been $1: $body"; }
expect_text() { [[ $body == *"$1"* ]] || broken "the answer should have had: $1"; }
expect_no_text() { [[ $body != *"$1"* ]] || broken "the answer should not have had: $1"; }

# --- the chat room, from a pod of the cluster

# talk_from NAMESPACE POD USER: opens a socket at the Service, in the name of USER.
talk_from() {
    talker="${3:-nobody}"
    coproc TALK { kubectl exec -i -n "$1" "$2" -c chat-backend -- /chat-backend talk ws://chat/room "$3" 2>&1; }
}
says() {
    say "$(printf '%-6s' "$talker") → $1"
    printf '%s\n' "$1" >&"${TALK[1]}"
}
hears() {
    local line=''
    IFS= read -r -t 30 -u "${TALK[0]}" line || broken "$talker hears nothing, and should: $1"
    say "$(printf '%-6s' "$talker") ← $line"
    [[ $line == "$1"* ]] || broken "$talker should have heard: $1"
}
hangs_up() {
    local pid="${TALK_PID:-}"
    [ -z "$pid" ] || kill "$pid" 2>/dev/null || true
    [ -z "$pid" ] || wait "$pid" 2>/dev/null || true
}

# --- policies

# The revision that a pod's sidecar has in force.
revision() {
    http "${admin_port[$1/$2]}" GET /revision && [ "$status" = 200 ] || return 1
    # The policy's own is the first; the list of revocations has one too.
    grep -oE '"revision": ?"[^"]+"' <<<"$body" | sed -nE '1s/.*"([^"]+)"$/\1/p'
}
other_revision() {
    local now
    now="$(revision "$1" "$2")" && [ -n "$now" ] && [ "$now" != "$3" ]
}

# When a pod's sidecar last took a policy over, in milliseconds since the epoch.
taken_over_at() {
    local line time
    line="$(kubectl logs -n "$1" "$2" -c bulkhead | grep '"policy taken over"' | tail -n 1)"
    time="$(sed -nE 's/.*"timestamp":"([^"]*)".*/\1/p' <<<"$line")"
    [ -n "$time" ] || broken "the sidecar of $2 has taken no policy over"
    date -d "$time" +%s%3N
}

condition() { kubectl get ipol -n "$1" chat -o "jsonpath={.status.conditions[?(@.type=='$2')].status}"; }
condition_is() { [ "$(condition "$1" "$2")" = "$3" ]; }
all_in_sync() {
    [ "$(kubectl get ipol -n "$1" chat -o 'jsonpath={.metadata.generation} {.status.pods.eligible} {.status.pods.inSync}')" = \
        "$(kubectl get ipol -n "$1" chat -o 'jsonpath={.status.observedGeneration}') $2 $2" ]
}

# edit FROM TO: the policy of the examples with one line changed, as a file.
edit() {
    sed "s/$1/$2/" "$manifests/policy.yaml" >"$work/policy.yaml"
    cmp -s "$manifests/policy.yaml" "$work/policy.yaml" && broken "policy.yaml has no $1"
    say "policy.yaml: $1 → $2"
}

# refused WHAT NEEDLE COMMAND...: must fail, and the answer must have NEEDLE.
refused() {
    local what="$1" needle="$2" answer
    shift 2
    if answer="$("$@" 2>&1)"; then broken "$what was let through: $answer"; fi
    quote "$answer"
    [[ $answer == *"$needle"* ]] || broken "$what was refused, but not for $needle"
}
