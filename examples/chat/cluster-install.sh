# What the demo on a cluster puts into it and takes out again, sourced by demo-cluster.sh: cluster, images, chart, database, application.
# shellcheck shell=bash disable=SC2154

# --- the cluster, and five images

cluster_up() {
    if [ -n "${KUBECONFIG:-}" ]; then
        use_given_images
    else
        start_own_cluster
    fi
    kubectl get nodes >"$work/nodes.log" 2>&1 || broken 'the cluster does not answer'
    rm "$work/nodes.log"
}

use_given_images() {
    local name variable
    for name in operator sidecar chat postgres prometheus; do
        variable="BULKHEAD_${name^^}_IMAGE"
        [ -n "${!variable:-}" ] ||
            broken "KUBECONFIG is set, so its cluster is used, whose nodes must pull the images: name them in BULKHEAD_OPERATOR_IMAGE, BULKHEAD_SIDECAR_IMAGE, BULKHEAD_CHAT_IMAGE, BULKHEAD_POSTGRES_IMAGE and BULKHEAD_PROMETHEUS_IMAGE (each with a tag)"
        printf -v "${name}_image" '%s' "${!variable}"
    done
    eval "$("$root/tests/cluster/up")"
    cargo build --quiet --locked --package bulkhead-operator
    operator="${CARGO_TARGET_DIR:-$root/target}/debug/bulkhead-operator"
    say "KUBECONFIG=$KUBECONFIG"
}

start_own_cluster() {
    local programs
    if "$root/tests/cluster/command" kubeconfig >/dev/null 2>&1; then
        say 'a cluster of make cluster is up; it is used, and stays'
    else
        own_cluster=1
    fi
    eval "$("$root/tests/cluster/up")"
    programs="$("$root/tests/cluster/static")"
    operator="$programs/bulkhead-operator"
    "$root/tests/cluster/load" operator sidecar postgres prometheus "$(chat_archive "$programs")"
    operator_image=bulkhead.test/operator:1 sidecar_image=bulkhead.test/sidecar:1
    chat_image=bulkhead.test/chat-backend:1 postgres_image=bulkhead.test/postgres:1
    prometheus_image=bulkhead.test/prometheus:1
}

# chat_archive PROGRAMS: builds the application into the folder of the other programs, as they are built, and prints its image's path.
chat_archive() {
    local context="$work/chat-backend" machine
    machine="$(rustc -vV | sed -n 's/^host: //p')"
    CARGO_PROFILE_DEV_DEBUG=0 CARGO_PROFILE_DEV_STRIP=symbols RUSTFLAGS='-C target-feature=+crt-static' \
        cargo build --quiet --locked --package bulkhead-example-chat --bin bulkhead-example-chat --target "$machine" >&2
    mkdir -p "$context"
    cp "$1/bulkhead-example-chat" "$here/backend/Containerfile" "$context/"
    "$root/tests/cluster/image" --context "$context" chat-backend
}

cluster_down() {
    say 'make cluster-down'
    "$root/tests/cluster/down"
}

# --- secrets, schema, database: all of it the namespace's own

random() { od -An -tx1 -N16 /dev/urandom | tr -d ' \n'; }

# The application's manifests, with the image of this cluster.
app_manifest() { sed "s|image: chat-backend$|image: $chat_image|" "$manifests/chat.yaml"; }

set_the_scene() {
    local namespace password
    kubectl apply -f "$manifests/namespaces.yaml" >/dev/null
    show "$(kubectl get namespaces -l bulkhead.dev/injection=enabled -L bulkhead.dev/injection,bulkhead.dev/environment)"
    app_manifest | pod_of_the_application >"$work/probe.yaml"
    for namespace in chat-staging chat-production; do
        password="$(random)"
        kubectl create secret generic db-setup -n "$namespace" --from-literal=admin-password="$(random)" --from-literal=chat-password="$password" >/dev/null
        kubectl create secret generic chat-db -n "$namespace" --from-literal=username=chat --from-literal=password="$password" >/dev/null
        kubectl annotate secret chat-db -n "$namespace" bulkhead.dev/allow-policy=chat >/dev/null
        kubectl create configmap db-schema -n "$namespace" --from-file="$here/schema.sql" >/dev/null
        sed "s|image: postgres$|image: $postgres_image|" "$manifests/postgres.yaml" | kubectl apply -n "$namespace" -f - >/dev/null
    done
    for namespace in chat-staging chat-production; do rolled_out "$namespace" db; done
    say 'a PostgreSQL in each; Secret chat-db, which only the sidecar mounts, lets policy chat use it'
}

# A pod as the Deployment on standard input would make it, by the name of probe.
pod_of_the_application() {
    awk '
        /^---/ { exit }
        /^  template:/ { inside = 1; print "apiVersion: v1\nkind: Pod"; next }
        inside { sub(/^    /, ""); print; if ($0 ~ /^metadata:/) print "  name: probe" }'
}

# bystander NAMESPACE [again]: a pod that no policy selects starts, as if there were no Bulkhead.
bystander() {
    local name="bystander${2:+-$2}"
    sed -e 's/name: probe/name: '"$name"'/' -e 's/app: chat-backend/app: '"$name"'/' "$work/probe.yaml" |
        kubectl create -n "$1" -f - >/dev/null || broken "an unrelated pod is refused in $1"
    kubectl wait -n "$1" "pod/$name" --for=condition=Ready --timeout=60s >/dev/null || broken "an unrelated pod does not start in $1"
    [ -z "$(kubectl get pod -n "$1" "$name" -o 'jsonpath={.spec.initContainers}')" ] || broken "an unrelated pod in $1 is injected"
    say "$1: pod $name is ready, without a sidecar"
}

# replaced NAMESPACE POD: the pod is gone, and two others are there.
replaced() {
    local there
    there="$(pods "$1")"
    [ "$(wc -l <<<"$there")" = 2 ] && ! grep -qx "$2" <<<"$there"
}

# The guard alone: refuses what the injecting policy no longer injects.
guard_refuses() { ! kubectl create -n chat-staging --dry-run=server -f "$work/probe.yaml"; }

# --- the operator

scale_operator() {
    say "kubectl scale -n $system deployment/bulkhead-operator --replicas=$1"
    kubectl scale -n "$system" deployment/bulkhead-operator --replicas="$1" >/dev/null
    if [ "$1" = 0 ]; then
        kubectl wait -n "$system" pod -l app.kubernetes.io/name=bulkhead-operator --for=delete --timeout=60s >/dev/null || broken 'the operator does not end'
    else
        rolled_out "$system" bulkhead-operator
    fi
}

# helm wants the two parts of an image's name apart; a registry may have a port.
repository() { printf '%s' "${1%:*}"; }
tag() { printf '%s' "${1##*:}"; }

install_chart() {
    # Whether the definitions were there before decides whether they go at the end.
    crds_were_there="$(kubectl get crd isolationpolicies.bulkhead.dev --ignore-not-found -o name)"
    kubectl create namespace "$system" >/dev/null
    kubectl label namespace "$system" pod-security.kubernetes.io/enforce=restricted >/dev/null
    installed=1
    say "helm install bulkhead charts/bulkhead -n $system"
    helm install bulkhead "$root/charts/bulkhead" -n "$system" --wait --timeout 180s \
        --set image.repository="$(repository "$operator_image")" --set-string image.tag="$(tag "$operator_image")" \
        --set sidecar.image.repository="$(repository "$sidecar_image")" --set-string sidecar.image.tag="$(tag "$sidecar_image")" \
        >"$work/helm.log" 2>&1 || broken 'helm install failed'
    quote "$(sed -n '/^NOTES:/,$p' "$work/helm.log" | sed -n '2,10p')"
    rm "$work/helm.log"
    rolled_out "$system" bulkhead-operator
    show "$(kubectl get pods -n "$system")"
    within 60 'the injecting policy' kubectl get mutatingadmissionpolicybinding bulkhead-inject
    within 60 'the guard' kubectl get validatingadmissionpolicybinding bulkhead-guard
    within 60 'the validating webhook' kubectl get validatingwebhookconfiguration bulkhead-validate
}

uninstall_chart() {
    local left
    say "helm uninstall bulkhead -n $system"
    helm uninstall bulkhead -n "$system" --wait --timeout 180s >"$work/helm.log" 2>&1 || broken 'helm uninstall failed'
    rm "$work/helm.log"
    left="$(kubectl get mutatingadmissionpolicies,mutatingadmissionpolicybindings,validatingadmissionpolicies,validatingadmissionpolicybindings,mutatingwebhookconfigurations,validatingwebhookconfigurations -o name | grep bulkhead || true)"
    [ -z "$left" ] || broken "left in the way of pods: $left"
    say "the policies are still there, for the next installation: $(kubectl get ipol -A -o name | wc -l)"
}

# Out of a cluster that is not ours.
remove_everything() {
    helm uninstall bulkhead -n "$system" --wait --ignore-not-found >/dev/null 2>&1 || true
    kubectl delete pod -n default bystander bystander-again --ignore-not-found --wait=false >/dev/null
    kubectl delete namespace chat-staging chat-production "$system" chat-monitoring --ignore-not-found >/dev/null
    [ -n "$crds_were_there" ] || kubectl get crd -o name | grep '\.bulkhead\.dev$' | xargs -r kubectl delete >/dev/null
}

# What is in force where, and why: from the cluster, as a developer would ask.
explain_both() {
    local namespace pod
    for namespace in chat-staging chat-production; do
        pod="$(first_pod "$namespace")"
        say "bulkhead-operator explain pod/$pod -n $namespace (its timeouts)"
        "$operator" explain "pod/$pod" -n "$namespace" >"$work/explained.$namespace" 2>"$work/explain.log" || broken "explain has no answer for $namespace"
        show "$(grep -E '^(pod/|environment)|timeouts\.(connect|acquire|statement|transaction) ' "$work/explained.$namespace")"
    done
    rm -f "$work/explain.log"
    explained chat-staging 'timeouts.statement' 5s base
    explained chat-production 'timeouts.statement' 1s 'environment production'
}
explained() {
    awk -v path="databases[main].$2" -v want="$3 $4" '$1 == path { $1 = ""; gsub(/ +/, " "); sub(/^ /, ""); if ($0 == want) found = 1 } END { exit !found }' \
        "$work/explained.$1" || broken "explain does not say that $2 in $1 is $3 from $4"
}
