{{- define "aletheia.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "aletheia.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- $name := include "aletheia.name" . }}
{{- if contains $name .Release.Name }}
{{- .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}
{{- end }}

{{- /* Name of an object that is cluster-scoped or in a namespace that other releases use too. A namespace's name contains no
dot, so `NAME.NAMESPACE` is unique to the release. Takes (list . "suffix"). */}}
{{- define "aletheia.clusterName" -}}
{{- $root := index . 0 }}
{{- $parts := prepend (compact (rest .)) (include "aletheia.fullname" $root) }}
{{- printf "%s.%s" (join "-" $parts) $root.Release.Namespace }}
{{- end }}

{{- define "aletheia.selectorLabels" -}}
app.kubernetes.io/name: {{ include "aletheia.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end }}

{{- define "aletheia.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/name: {{ include "aletheia.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: aletheia
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "aletheia.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (ternary (include "aletheia.fullname" .) "default" .Values.serviceAccount.create) }}
{{- end }}

{{- define "aletheia.image" -}}
{{- if .Values.image.digest }}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) }}
{{- end }}
{{- end }}

{{- define "aletheia.claimName" -}}
{{- .Values.persistence.existingClaim | default (printf "%s-sessions" (include "aletheia.fullname" .)) }}
{{- end }}

{{- define "aletheia.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "aletheia.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}
