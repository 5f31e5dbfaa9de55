{{- define "auditship.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* The release's name, with the chart's where it is not in it already; 52 leaves room for the suffixes. */}}
{{- define "auditship.fullname" -}}
{{- $name := include "auditship.name" . }}
{{- if .Values.fullnameOverride }}{{ .Values.fullnameOverride | trunc 52 | trimSuffix "-" }}
{{- else if contains $name .Release.Name }}{{ .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else }}{{ printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "auditship.selector" -}}
app.kubernetes.io/name: {{ include "auditship.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "auditship.labels" -}}
{{ include "auditship.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "auditship.image" -}}
{{- if .Values.image.digest }}{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else }}{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end }}
{{- end }}

{{/* A label as a TOML value. A JSON text and a JSON list of texts are TOML as well. */}}
{{- define "auditship.label" -}}
{{- if kindIs "string" . }}{{ toRawJson . }}
{{- else }}
{{- $pairs := list }}
{{- range $key, $value := . }}{{ $pairs = append $pairs (printf "%s = %s" $key (toRawJson $value)) }}{{ end }}
{{- printf "{ %s }" (join ", " $pairs) }}
{{- end }}
{{- end }}

{{- define "auditship.toml" -}}
{{- $secrets := "/run/secrets/auditship" -}}
[agent]
state_dir        = "/var/lib/auditship"
admin_token_file = {{ printf "%s/%s" $secrets .Values.secret.adminTokenKey | toRawJson }}
memory_limit     = {{ toRawJson .Values.memoryLimit }}
shutdown_timeout = "{{ int .Values.shutdownTimeoutSeconds }}s"
log              = { level = {{ toRawJson .Values.log.level }}, format = {{ toRawJson .Values.log.format }} }

[sources.pods]
type     = "container"
include  = {{ toRawJson .Values.source.include }}
exclude  = {{ prepend .Values.source.exclude (printf "/var/log/pods/%s_%s-*/*/*.log" .Release.Namespace (include "auditship.fullname" .)) | toRawJson }}
prefix   = {{ toRawJson .Values.source.prefix }}
start_at = {{ toRawJson .Values.source.startAt }}

[labels]
{{- range $name, $label := .Values.labels }}
{{- if $label }}
{{ $name }} = {{ include "auditship.label" $label }}
{{- end }}
{{- end }}

[outputs.loki]
type = "loki"
url  = {{ toRawJson .Values.loki.url }}
{{- if and .Values.loki.tenantId .Values.loki.tenantLabel }}
{{- fail "loki.tenantId and loki.tenantLabel: only one of them" }}
{{- else if .Values.loki.tenantLabel }}
tenant_id = { label = {{ toRawJson .Values.loki.tenantLabel }} }
{{- else if .Values.loki.tenantId }}
tenant_id = {{ toRawJson .Values.loki.tenantId }}
{{- end }}
{{- $file := printf "%s/%s" $secrets .Values.secret.credentialKey | toRawJson }}
{{- if eq .Values.loki.auth "bearer" }}
auth.bearer = { token_file = {{ $file }} }
{{- else if eq .Values.loki.auth "basic" }}
auth.basic = { user = {{ toRawJson .Values.loki.user }}, password_file = {{ $file }} }
{{- end }}
{{- with .Values.loki.caKey }}
tls = { ca_file = {{ printf "%s/%s" $secrets . | toRawJson }} }
{{- end }}
{{- end }}
