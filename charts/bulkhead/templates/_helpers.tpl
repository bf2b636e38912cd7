{{- define "bulkhead.name" -}}
{{- .Values.nameOverride | default "bulkhead-operator" -}}
{{- end -}}

{{- define "bulkhead.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (include "bulkhead.name" .) -}}
{{- end -}}

{{- define "bulkhead.selector" -}}
app.kubernetes.io/name: {{ include "bulkhead.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "bulkhead.labels" -}}
{{ include "bulkhead.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: bulkhead
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "bulkhead.image" -}}
{{- $of := index . 0 -}}
{{- $root := index . 1 -}}
{{- if $of.digest -}}
{{ $of.repository }}@{{ $of.digest }}
{{- else -}}
{{ $of.repository }}:{{ $of.tag | default $root.Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{/* The pods of this chart pass Pod Security `restricted`; on OpenShift the platform assigns the ids. */}}
{{- define "bulkhead.podSecurityContext" -}}
runAsNonRoot: true
{{- if not .Values.openshift }}
runAsUser: 65532
runAsGroup: 65532
{{- end }}
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "bulkhead.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* A group of APIs that is there, or that the values ask for although nobody could look: `helm template` has no cluster. */}}
{{- define "bulkhead.hasMonitoring" -}}
{{- if .Capabilities.APIVersions.Has "monitoring.coreos.com/v1" }}true{{ end -}}
{{- end -}}
